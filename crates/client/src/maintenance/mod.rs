//! The care of members: the calls of [`Client`] for it, with their requests and answers.
//!
//! Most of these concern *one* member. Which one is said by [`Client::at`], which gives the same client with all calls
//! going to one endpoint, over a connection that is kept; [`Client::on_each`] asks several at once. Without either, any
//! member may be the one.
//!
//! ```no_run
//! # async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
//! use etcdkit::maintenance::Status;
//!
//! for (endpoint, status) in client.on_each_endpoint(Status::new()).await {
//!     match status {
//!         Ok(status) => println!("{endpoint}: {} bytes", status.db_size()),
//!         Err(error) => println!("{endpoint}: {error}"),
//!     }
//! }
//! let member = client.at("http://10.0.0.1:2379")?;
//! member.defragment().await?;
//! # Ok(())
//! # }
//! ```
//!
//! `leader.rs` finds the leader, `snapshot.rs` reads a snapshot, `verify.rs` tells whether it is whole, `save.rs` has
//! it end up in a file.

mod digest;
mod leader;
mod save;
mod snapshot;
mod verify;

use std::future::Future;

use futures_util::future::join_all;

use crate::client::Client;
use crate::config::Endpoint;
use crate::error::{Error, Result};
use crate::request::Request;
use crate::response::HeaderResponse;
use crate::response::cluster::MemberId;
use crate::revision::Revision;
use crate::service::{Service, Streaming};
use crate::transport::{Channel, Transport};

pub(crate) use leader::move_leader;
pub(crate) use snapshot::open as open_snapshot;

pub use self::save::{SaveSnapshot, SavedSnapshot, SnapshotProgress};
pub use crate::request::maintenance::*;
pub use crate::request::snapshot::Snapshot;
pub use crate::response::maintenance::*;
pub use crate::version::Version;

impl<S: Service> Client<S> {
    /// The same client, with all of its calls going to `endpoint` and nowhere else: one of the client's, or any other
    /// member of the cluster. The connection is kept for further calls; its settings and its token are the client's.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let member = client.at("http://10.0.0.1:2379")?;
    ///     println!("{}", member.status().await?.version());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The endpoint makes no sense. Nothing is connected yet.
    pub fn at<E>(&self, endpoint: E) -> Result<Self>
    where
        S: Clone,
        E: TryInto<Endpoint>,
        E::Error: Into<Error>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        Ok(self.with_options(self.options().clone().endpoint(endpoint)))
    }

    /// Makes one request of each of several endpoints at the same time, and returns what each answered.
    ///
    /// ```
    /// use etcdkit::config::Endpoint;
    /// use etcdkit::maintenance::HashKv;
    ///
    /// async fn example(client: etcdkit::Client, members: Vec<Endpoint>) {
    ///     for (endpoint, answer) in client.on_each(members, HashKv::new().at_revision(7)).await {
    ///         println!("{endpoint}: {:?}", answer.map(|answer| answer.hash()));
    ///     }
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// Dropping the future abandons the requests that are not answered yet: what they change may or may not be changed.
    pub async fn on_each<R: Request>(
        &self,
        endpoints: impl IntoIterator<Item = Endpoint> + Send,
        request: R,
    ) -> Vec<(Endpoint, Result<R::Response>)> {
        let asked: Vec<_> = endpoints
            .into_iter()
            .map(|endpoint| {
                let options = self.options().clone().endpoint(endpoint.clone());
                let request = request.clone();
                async move { (endpoint, self.service().call(request, &options).await) }
            })
            .collect();
        join_all(asked).await
    }

    /// How a member is.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let status = client.at("http://10.0.0.1:2379")?.status().await?;
    ///     println!("{}: {} bytes, led by {:?}", status.version(), status.db_size(), status.leader());
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
    /// Nothing is lost by dropping the future.
    pub fn status(&self) -> impl Future<Output = Result<StatusResponse>> + Send {
        self.call(Status::new())
    }

    /// The alarms of all members.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     for alarm in client.alarm_list().await?.alarms() {
    ///         println!("{:?} on {}", alarm.kind, alarm.member);
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
    /// Nothing is lost by dropping the future.
    pub fn alarm_list(&self) -> impl Future<Output = Result<AlarmResponse>> + Send {
        self.call(Alarm::list())
    }

    /// Clears one alarm. That it is not raised is no error: the answer is empty then.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     for alarm in client.alarm_list().await?.alarms() {
    ///         client.alarm_disarm(*alarm).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) without the role `root`.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn alarm_disarm(
        &self,
        alarm: RaisedAlarm,
    ) -> impl Future<Output = Result<AlarmResponse>> + Send {
        self.call(Alarm::disarm(alarm))
    }

    /// Clears all alarms that are raised now, and returns those.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     println!("{} alarms cleared", client.alarm_disarm_all().await?.len());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) without the role `root`. Some alarms may have been
    /// cleared when it fails.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, any of the alarms may be cleared.
    pub async fn alarm_disarm_all(&self) -> Result<Vec<RaisedAlarm>> {
        let mut cleared = Vec::new();
        for alarm in self.alarm_list().await?.alarms() {
            cleared.extend_from_slice(self.alarm_disarm(*alarm).await?.alarms());
        }
        Ok(cleared)
    }

    /// Has a member rewrite its backend, so that what was compacted leaves the disk. It serves nothing meanwhile, and
    /// one member after the other is how a cluster bears it: name each with [`at`](Self::at).
    ///
    /// It may take as long as [`Timeouts::long`](crate::config::Timeouts) says.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.at("http://10.0.0.1:2379")?.defragment().await?;
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
    /// If the future is dropped, the member goes on all the same.
    pub fn defragment(&self) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(Defragment::new())
    }

    /// Has a member hash its whole backend. For tests: the hashes of healthy members differ; see
    /// [`hash_kv`](Self::hash_kv).
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     println!("{:x}", client.at("http://10.0.0.1:2379")?.hash().await?.hash());
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
    /// Nothing is lost by dropping the future.
    pub fn hash(&self) -> impl Future<Output = Result<HashResponse>> + Send {
        self.call(Hash::new())
    }

    /// Has a member hash its keys with their history, up to `revision` or, with [`Revision::NONE`], up to now. Members
    /// that have compacted to the same revision answer the same.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let now = client.get("any").await?.revision();
    ///     println!("{:x}", client.at("http://10.0.0.1:2379")?.hash_kv(now).await?.hash());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Compacted`](crate::ErrorKind::Compacted) or [`FutureRevision`](crate::ErrorKind::FutureRevision).
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn hash_kv(
        &self,
        revision: impl Into<Revision>,
    ) -> impl Future<Output = Result<HashKvResponse>> + Send {
        self.call(HashKv::new().at_revision(revision))
    }

    /// Hands the leadership over to the member `id`. Only the leader can, so the client finds it first, and once more
    /// if it changes meanwhile; on a client [at](Self::at) one endpoint, that one is asked and has to lead.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let status = client.at("http://10.0.0.2:2379")?.status().await?;
    ///     client.move_leader(status.member()).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if there is no such member, it is a learner, or who was asked does not
    /// lead; [`NoLeader`](crate::ErrorKind::NoLeader) if nobody leads.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the leadership may or may not change.
    pub fn move_leader(
        &self,
        id: impl Into<MemberId>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(MoveLeader::to(id))
    }

    /// Asks whether the cluster could go down to `version`, starts that, or stops it.
    ///
    /// ```
    /// use etcdkit::maintenance::{Downgrade, Version};
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.downgrade(Downgrade::validate(Version::new(3, 6, 0))).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if `version` is not the minor version before the
    /// cluster's, [`Conflict`](crate::ErrorKind::Conflict) if it is going down already,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) by etcd 3.4.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn downgrade(
        &self,
        downgrade: Downgrade,
    ) -> impl Future<Output = Result<DowngradeResponse>> + Send {
        self.call(downgrade)
    }

    /// gRPC's standard health check: whether the server serves. It needs no user and no quorum.
    ///
    /// ```
    /// use etcdkit::maintenance::HealthStatus;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let health = client.at("http://10.0.0.1:2379")?.health().await?;
    ///     assert_eq!(health.status(), HealthStatus::Serving);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) for a service that the server does not know; a learner refuses, with
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn health(&self) -> impl Future<Output = Result<HealthResponse>> + Send {
        self.call(Health::new())
    }

    /// Reads a copy of a member's backend, piece by piece.
    ///
    /// All pieces one after another are the file that `etcdutl snapshot restore` takes. The stream checks what it
    /// passes on: it ends only after everything has come and has the SHA-256 that the member computed, and the last
    /// piece is that digest.
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// async fn example(client: etcdkit::Client, mut file: impl Write) -> etcdkit::Result<()> {
    ///     let mut pieces = client.snapshot().await?;
    ///     while let Some(piece) = pieces.next().await {
    ///         let piece = piece?;
    ///         file.write_all(piece.bytes()).expect("there is space");
    ///         println!("{} bytes to go", piece.remaining());
    ///     }
    ///     Ok(()) // and only now is the file whole
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the stream can't be opened. Later, the last item is an error: [`Corrupt`](crate::ErrorKind::Corrupt) if
    /// it ended early or something changed on the way, [`Unavailable`](crate::ErrorKind::Unavailable) if the connection
    /// broke, [`Timeout`](crate::ErrorKind::Timeout) if it took longer than the call may. What was read before is worth
    /// nothing then.
    ///
    /// # Cancellation
    ///
    /// Dropping the stream ends it on the server too.
    pub fn snapshot(&self) -> impl Future<Output = Result<Streaming<SnapshotPiece>>> + Send {
        self.open(Snapshot::new())
    }
}

impl<T: Transport> Client<Channel<T>> {
    /// Makes one request of each endpoint of this client at the same time: [`on_each`](Self::on_each) of its
    /// [`endpoints`](Self::endpoints).
    ///
    /// ```
    /// use etcdkit::maintenance::Status;
    ///
    /// async fn example(client: etcdkit::Client) {
    ///     for (endpoint, status) in client.on_each_endpoint(Status::new()).await {
    ///         println!("{endpoint}: {:?}", status.map(|status| status.db_size()));
    ///     }
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// Dropping the future abandons the requests that are not answered yet: what they change may or may not be changed.
    pub fn on_each_endpoint<R: Request>(
        &self,
        request: R,
    ) -> impl Future<Output = Vec<(Endpoint, Result<R::Response>)>> + Send {
        self.on_each(self.endpoints(), request)
    }
}
