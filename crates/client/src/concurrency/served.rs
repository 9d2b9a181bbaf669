//! Waiting in line that a server does: etcd's own lock and election services.
//!
//! Who lines up makes its key itself, as it would without a server, and looks itself whether its turn has come; only the
//! wait in between is one call that the server answers, in place of a watch for each key before the own one.
//!
//! A server that loses whom it waits for deletes the key from under them, whenever it notices, and does not look whether
//! it still is the same key. So after a call that broke or was given up, [`settle`] lets it do that first.

use std::time::Duration;

use bytes::Bytes;

use super::places::Place;
use super::waiting::missing;
use crate::client::Client;
use crate::clock;
use crate::error::{ErrorKind, Result};
use crate::request::election::Campaign;
use crate::request::lock::Lock;
use crate::service::Service;

/// For how long a server may take to notice that a call is over: longer than it takes one that lives.
const NOTICE: Duration = Duration::from_secs(2);

/// What a server is to wait for.
#[derive(Clone, Debug)]
pub(super) enum Served {
    Lock(Lock),
    Campaign(Campaign),
}

impl Served {
    /// Has the server wait; if the key is gone by then, the server makes another. `false` if it could not: the key may be
    /// gone. Which key there is has to be found out after it, and with that the place is served no more.
    pub(super) async fn wait<S: Service + Clone>(&self, place: &Place<S>) -> Result<bool> {
        let client = place.session().client();
        let patient = client.with_options(client.options().clone().no_timeout());
        place.set_served(true);
        let answer = match self {
            Self::Lock(lock) => patient.call(lock.clone()).await.map(drop),
            Self::Campaign(campaign) => patient.call(campaign.clone()).await.map(drop),
        };
        match answer {
            Ok(()) => Ok(true),
            // Its member is gone, its watch was compacted away, or it found no key: whoever lines up again learns more.
            Err(error) if error.is_retryable() || is_servers_own(error.kind()) => {
                settle(client, place.key()).await;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// What the server's client met, rather than this one.
fn is_servers_own(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Internal | ErrorKind::Compacted | ErrorKind::NotFound)
}

/// Waits until the key is gone, or until it is plain that the server won't delete it.
pub(super) async fn settle<S: Service>(client: &Client<S>, key: &Bytes) {
    let deadline = clock::now().checked_add(NOTICE);
    // Whoever comes next meets the error itself.
    let _ = clock::until(deadline, Box::pin(missing(client, key))).await;
}
