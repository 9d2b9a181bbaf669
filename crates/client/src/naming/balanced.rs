//! A tonic channel over the endpoints of a service.

use std::fmt;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tonic::transport::channel::Change;

use super::endpoint::Endpoint;
use super::endpoints::Endpoints;
use super::updates::{EndpointChange, EndpointUpdates};
use crate::error::{Error, Result};
use crate::service::Service;
use crate::task::{Either, Task, race, spawn};

/// Changes that the channel has not looked at yet; it looks when it makes a call.
const WAITING: usize = 256;

/// A tonic channel that follows the endpoints of a service: from [`Endpoints::balanced`].
///
/// Calls go to all endpoints in turn, by load, as tonic's balanced channels do. A call made while there are none waits for
/// one: give calls a deadline. When this is dropped the channel stays with the endpoints that it has.
pub struct Balanced {
    channel: tonic::transport::Channel,
    ended: watch::Receiver<Option<Error>>,
    _task: Task,
}

type Changes = mpsc::Sender<Change<Bytes, tonic::transport::Endpoint>>;

impl<S: Service + Clone> Endpoints<S> {
    /// A tonic channel that follows the endpoints. `connect` says how one of them is connected to: its timeouts, its TLS; an
    /// endpoint for which it fails is left out, with a warning in the log.
    ///
    /// ```
    /// use etcdkit::naming::{Endpoint, Endpoints};
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let plain = |endpoint: &Endpoint| format!("http://{}", endpoint.address()).try_into();
    ///     let mail = Endpoints::new(&client, "mail")?.balanced(plain);
    ///     let _grpc = tonic::client::Grpc::new(mail.channel());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn balanced(
        &self,
        connect: impl Fn(&Endpoint) -> Result<tonic::transport::Endpoint, tonic::transport::Error>
        + Send
        + Sync
        + 'static,
    ) -> Balanced {
        let (channel, changes) = tonic::transport::Channel::balance_channel(WAITING);
        let (end, ended) = watch::channel(None);
        let updates = self.watch();
        let task = spawn(async move {
            end.send_replace(follow(updates, &changes, connect).await);
        });
        Balanced { channel, ended, _task: task }
    }
}

/// Tells the channel what changes, until there is no channel any more, or nothing to tell it: then why.
async fn follow<S: Service + Clone>(
    mut updates: EndpointUpdates<S>,
    to: &Changes,
    connect: impl Fn(&Endpoint) -> Result<tonic::transport::Endpoint, tonic::transport::Error>,
) -> Option<Error> {
    loop {
        let changes = match race(to.closed(), updates.next()).await {
            Either::Second(Some(Ok(changes))) => changes,
            Either::Second(Some(Err(error))) => return Some(error),
            Either::Second(None) => return Some(Error::closed()),
            Either::First(()) => return None,
        };
        for change in changes {
            let change = match change {
                EndpointChange::Delete { key } => Change::Remove(key),
                EndpointChange::Add { key, endpoint } => match connect(&endpoint) {
                    Ok(endpoint) => Change::Insert(key, endpoint),
                    Err(error) => {
                        let address = endpoint.address();
                        tracing::warn!(?key, address, %error, "an endpoint makes no sense");
                        // It has taken the place of one that did.
                        Change::Remove(key)
                    }
                },
            };
            to.send(change).await.ok()?;
        }
    }
}

impl Balanced {
    /// The channel, to make tonic's clients with. All clones follow the same endpoints.
    #[must_use]
    pub fn channel(&self) -> tonic::transport::Channel {
        self.channel.clone()
    }

    /// Waits until the endpoints can't be followed any more, and says why: an error that reading again would not mend. The
    /// channel stays with the endpoints that it has.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn ended(&self) -> Error {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(Error::closed),
            Err(_) => Error::closed(),
        }
    }
}

impl fmt::Debug for Balanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balanced").field("ended", &*self.ended.borrow()).finish_non_exhaustive()
    }
}
