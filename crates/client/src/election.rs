//! Elections that a server waits for: the calls of [`Client`], with their requests and answers.
//!
//! This is etcd's own election service, `v3electionpb`, as it is. What its room says of [locks](crate::lock) holds here
//! too: a leadership is a lease, of whose end nobody is told; a lost answer to a campaign may leave a candidate that
//! nobody knows of, until its lease ends; and the wait ends with the member that waits. In particular
//!
//! * who leads should compare the [key](LeaderKey::key) and its [revision](LeaderKey::revision) in each transaction that
//!   only a leader may do;
//! * an [observer](Client::observe) sees the newest state and not each one: leaders may come and go in between. Its
//!   stream ends with the connection; opening it again shows who leads now.

use std::future::Future;

use etcdkit_proto::method;

use crate::byte_string::ByteString;
use crate::client::Client;
use crate::error::Result;
use crate::response::HeaderResponse;
use crate::revision::LeaseId;
use crate::service::{CallOptions, Service, Streaming, unfold};
use crate::transport::{Channel, Transport};

pub use crate::request::election::*;
pub use crate::response::election::*;

impl<S: Service> Client<S> {
    /// Waits until elected, and proclaims `value` then. See the [room](crate::election) for what it does not promise.
    ///
    /// ```
    /// use etcdkit::LeaseId;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let lease = LeaseId::new(7).expect("not zero"); // granted before, and kept alive
    ///     let elected = client.campaign("/election", lease, "node-1").await?;
    ///     client.resign(elected.into_leader()).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such lease; [`Timeout`](crate::ErrorKind::Timeout) if
    /// the wait lasted too long. If [`maybe_applied`](crate::Error::maybe_applied), it may lead, now or later: end its
    /// lease.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the server is told and leaves the queue; a leadership that it had just got lasts until
    /// the lease ends.
    pub fn campaign(
        &self,
        name: impl Into<ByteString>,
        lease: LeaseId,
        value: impl Into<ByteString>,
    ) -> impl Future<Output = Result<CampaignResponse>> + Send {
        self.call(Campaign::new(name, lease, value))
    }

    /// Changes the value of who leads.
    ///
    /// ```
    /// use etcdkit::election::LeaderKey;
    /// use etcdkit::LeaseId;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let lease = LeaseId::new(7).expect("not zero");
    ///     let leader = LeaderKey::new("/election", "/election/7", 12, lease); // as `campaign` returned it
    ///     client.proclaim(leader, "node-1, ready").await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails with etcd's `election: not leader` if the leadership has ended.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn proclaim(
        &self,
        leader: LeaderKey,
        value: impl Into<ByteString>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(Proclaim::new(leader, value))
    }

    /// Gives a leadership up. That it has ended already is no error.
    ///
    /// ```
    /// use etcdkit::election::LeaderKey;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     async fn step_down(client: etcdkit::Client, leader: LeaderKey) {
    ///         let _ = client.resign(leader).await;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the leadership may or may not be given up.
    pub fn resign(&self, leader: LeaderKey) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(Resign::new(leader))
    }

    /// Who leads an election.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     println!("{:?}", client.leader("/election").await?.kv());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails with etcd's `election: no leader` if nobody does.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn leader(
        &self,
        name: impl Into<ByteString>,
    ) -> impl Future<Output = Result<LeaderResponse>> + Send {
        self.call(Leader::of(name))
    }

    /// Who leads an election, now and whenever that changes. It opens when there is a leader, however long that takes; a
    /// [`timeout`](CallOptions::timeout) bounds that and the whole stream together.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let mut leaders = client.observe("/election").await?;
    ///     while let Some(leader) = leaders.next().await {
    ///         println!("{:?}", leader?.kv());
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the stream can't be opened, or no member can be asked for as long as a stream
    /// [may be silent](crate::config::Timeouts::stream_idle). What goes wrong later is its last item.
    ///
    /// # Cancellation
    ///
    /// Dropping the stream, or the future before there is one, ends it on the server too.
    pub fn observe(
        &self,
        name: impl Into<ByteString>,
    ) -> impl Future<Output = Result<Streaming<LeaderResponse>>> + Send {
        self.open(Observe::new(name))
    }
}

/// Opens the stream of an [`Observe`]; there is a leader when this returns.
pub(crate) async fn open_observe<T: Transport>(
    channel: &Channel<T>,
    request: Observe,
    options: &CallOptions,
) -> Result<Streaming<LeaderResponse>> {
    let method = method::election::OBSERVE;
    let pool = channel.pool(options)?;
    let call = channel.prepare(&pool, method.info(), false, options);
    let messages = channel.server_stream(method, request.wire(), &call).await?.on(&pool);
    Ok(Streaming::new(unfold(Some(messages), |messages| async {
        let mut messages = messages?;
        match messages.next().await {
            Ok(Some(leader)) => Some((Ok(leader.into()), Some(messages))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })))
}
