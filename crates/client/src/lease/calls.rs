//! Leases: the calls of [`Client`].

use std::future::Future;

use crate::client::Client;
use crate::error::Result;
use crate::request::{KeepAlive, KeepAliveOnce, LeaseGrant, LeaseRevoke, LeaseTimeToLive, Leases};
use crate::response::{
    HeaderResponse, LeaseGrantResponse, LeaseRenewal, LeaseTimeToLiveResponse, LeasesResponse,
};
use crate::service::{Service, Streaming};

use super::control::LeaseControl;

impl<S: Service> Client<S> {
    /// Grants a lease: of a time to live, or whatever a [`LeaseGrant`] says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use etcdkit::{Client, Put, Result};
    ///
    /// async fn example(client: Client) -> Result<()> {
    ///     let lease = client.grant(Duration::from_secs(5)).await?.id();
    ///     // Deleted after 5 s, unless somebody renews the lease.
    ///     client.call(Put::new("/hosts/a", "up").lease(lease)).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the time to live is below a second or above what etcd
    /// allows (9 000 000 000 s), [`Conflict`](crate::ErrorKind::Conflict) if a lease has the chosen id. See
    /// [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the lease may or may not be granted; if it was, it runs out.
    pub fn grant(
        &self,
        grant: impl Into<LeaseGrant>,
    ) -> impl Future<Output = Result<LeaseGrantResponse>> + Send {
        self.call(grant.into())
    }

    /// Ends a lease and deletes the keys attached to it.
    ///
    /// Whoever keeps it alive with this client learns of it at once.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such lease. It takes the permission to write each attached
    /// key. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the lease may or may not be ended.
    pub fn revoke(
        &self,
        revoke: impl Into<LeaseRevoke>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(revoke.into())
    }

    /// How long a lease has left; with [`LeaseTimeToLive::keys`], its keys too.
    ///
    /// ```
    /// use etcdkit::{Client, LeaseId, LeaseTimeToLive, Result};
    ///
    /// async fn example(client: Client, lease: LeaseId) -> Result<()> {
    ///     match client.time_to_live(lease).await?.remaining() {
    ///         Some(left) => println!("{lease} has {left:?} left"),
    ///         None => println!("{lease} is gone"),
    ///     }
    ///     let keys = client.time_to_live(LeaseTimeToLive::new(lease).keys()).await?;
    ///     println!("{} keys go with it", keys.keys().len());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// A lease that does not exist is none: nothing remains of it. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn time_to_live(
        &self,
        ask: impl Into<LeaseTimeToLive>,
    ) -> impl Future<Output = Result<LeaseTimeToLiveResponse>> + Send {
        self.call(ask.into())
    }

    /// Lists all leases of the cluster.
    ///
    /// # Errors
    ///
    /// With authentication, one lease with a key that the user may not read has the whole list refused. See
    /// [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn leases(&self) -> impl Future<Output = Result<LeasesResponse>> + Send {
        self.call(Leases::new())
    }

    /// Renews a lease once.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such lease. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the lease may or may not be renewed.
    pub fn keep_alive_once(
        &self,
        once: impl Into<KeepAliveOnce>,
    ) -> impl Future<Output = Result<LeaseRenewal>> + Send {
        self.call(once.into())
    }

    /// Keeps a lease alive for as long as the returned stream is held.
    ///
    /// The lease is renewed at about a third of its time to live, over one stream that the leases of this client share
    /// (those with the same [metadata](crate::CallOptions::metadata)), whether the returned stream is read or not. It yields renewals, of which a slow reader gets the latest, and at the
    /// end one error that says why the lease is lost. Connections that break and members that freeze are left for others
    /// until the lease's time is truly over. The stream's [control](Streaming::control) tells how the lease stands, from
    /// any task.
    ///
    /// ```
    /// use etcdkit::{Client, LeaseId, LeaseState, Result};
    ///
    /// async fn example(client: Client, lease: LeaseId) -> Result<()> {
    ///     let kept = client.keep_alive(lease).await?;
    ///     let control = kept.control().clone();
    ///     if let LeaseState::Alive { until } = control.state() {
    ///         println!("at least until {until:?}");
    ///     }
    ///     println!("lost: {}", control.lost().await);
    ///     drop(kept); // From here on nobody renews it.
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Dropping the stream ends the renewals. It does not revoke the lease: what else holds it may go on, and
    /// [`revoke`](Self::revoke) ends it for all. Several streams of one lease do not depend on each other.
    ///
    /// Time is counted on the monotonic clock. Linux's stops while the machine sleeps, so after a sleep the lease counts
    /// as alive for up to its time to live although it has run out; the answer to the next renewal, due within a third
    /// of it, says so.
    ///
    /// # Errors
    ///
    /// The first renewal is answered when this returns: [`NotFound`](crate::ErrorKind::NotFound) if there is no such lease.
    /// [`Unsupported`](crate::ErrorKind::Unsupported) at one [endpoint](crate::CallOptions::endpoint) by name. See [`Service::open`] for all streams.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, nothing keeps the lease alive.
    pub fn keep_alive(
        &self,
        keep_alive: impl Into<KeepAlive>,
    ) -> impl Future<Output = Result<Streaming<LeaseRenewal, LeaseControl>>> + Send {
        self.open(keep_alive.into())
    }
}
