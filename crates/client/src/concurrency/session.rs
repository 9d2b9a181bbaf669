//! A lease that is kept alive, and what ends with it.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::cleaner;
use super::places::Places;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::{LeaseControl, LeaseState, LossReason};
use crate::request::{KeepAlive, LeaseGrant, LeaseRevoke};
use crate::response::LeaseRenewal;
use crate::revision::LeaseId;
use crate::service::{Service, Streaming};
use crate::task::{Either, Task, race};
use crate::transport::Channel;

/// A lease that is kept alive for as long as this is held: what locks and elections hang on.
///
/// The lease is renewed at about a third of its time to live, over broken connections and frozen members, until its time
/// is truly over: then the session is [lost](Self::lost), and so is all that hangs on it. Cheap to clone; all clones are
/// one session.
///
/// ```
/// use std::time::Duration;
/// use etcdkit::concurrency::Mutex;
///
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let session = client.session(Duration::from_secs(10)).await?;
///     let guard = Mutex::new(&session, "/locks/a").lock().await?;
///     guard.unlock().await?;
///     session.close().await
/// }
/// ```
///
/// # Dropping and closing
///
/// [`close`](Self::close) ends the lease, with all keys on it, and waits for that. When the last clone is dropped, and all
/// that was made of it, the same is done by a task in the background, for at most the time to live of the lease; a lease
/// that the session did not grant itself is left to run out. [`orphan`](Self::orphan) leaves any lease to run out.
pub struct Session<S = Channel>(Arc<Inner<S>>);

struct Inner<S> {
    client: Client<S>,
    lease: LeaseId,
    ttl: Duration,
    control: LeaseControl,
    kept: Mutex<Option<Streaming<LeaseRenewal, LeaseControl>>>,
    /// Whether the lease goes with the session.
    revoke: AtomicBool,
    places: Arc<Places>,
    cleaner: Option<Task>,
}

/// What a session is made of; a [`Duration`] is a time to live, and a [`LeaseId`] a lease that exists.
///
/// ```
/// use std::time::Duration;
/// use etcdkit::concurrency::SessionOptions;
///
/// let options = SessionOptions::new().ttl(Duration::from_secs(10)).require_leader();
/// assert_ne!(options, Duration::from_secs(10).into());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SessionOptions {
    ttl: Duration,
    lease: Option<LeaseId>,
    require_leader: bool,
}

impl SessionOptions {
    /// A lease of its own, of 60 seconds.
    #[must_use]
    pub fn new() -> Self {
        Self { ttl: Duration::from_secs(60), lease: None, require_leader: false }
    }

    /// Whether the session has a lease of its own.
    pub(crate) fn grants(&self) -> bool {
        self.lease.is_none()
    }

    /// How long the lease lives without a renewal: after so long without this program, what it held is free again.
    /// Fractions of a second are rounded up; less than a second is refused.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Keeps this lease alive, which somebody else granted, instead of granting one. Its time to live is its own.
    /// Sessions that keep one lease have the same keys: a lock is had by all of them that take it, and lost by all once one of
    /// them gives it up.
    #[must_use]
    pub fn lease(mut self, lease: LeaseId) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Ends the session when the member that renews its lease loses its leader; see
    /// [`KeepAlive::require_leader`](crate::KeepAlive::require_leader).
    #[must_use]
    pub fn require_leader(mut self) -> Self {
        self.require_leader = true;
        self
    }
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Duration> for SessionOptions {
    fn from(ttl: Duration) -> Self {
        Self::new().ttl(ttl)
    }
}

impl From<LeaseId> for SessionOptions {
    fn from(lease: LeaseId) -> Self {
        Self::new().lease(lease)
    }
}

impl<S: Service + Clone> Client<S> {
    /// Begins a [`Session`]: grants a lease, and keeps it alive.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if a lease was named that does not exist. If the lease that was granted can't be
    /// kept alive, it is revoked before this fails. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, a lease that was granted runs out by itself.
    pub async fn session(&self, options: impl Into<SessionOptions>) -> Result<Session<S>> {
        Session::begin(self.clone(), options.into()).await
    }
}

impl<S: Service + Clone> Session<S> {
    async fn begin(client: Client<S>, options: SessionOptions) -> Result<Self> {
        let (lease, ttl) = match options.lease {
            Some(lease) => match client.time_to_live(lease).await?.granted() {
                Some(ttl) => (lease, ttl),
                None => {
                    let message = format!("there is no lease {lease} that a session could keep");
                    return Err(Error::new(ErrorKind::NotFound, message));
                }
            },
            None => {
                let granted = client.call(LeaseGrant::new(options.ttl)).await?;
                (granted.id(), granted.ttl())
            }
        };
        let keep_alive = KeepAlive::new(lease);
        let keep_alive =
            if options.require_leader { keep_alive.require_leader() } else { keep_alive };
        let kept = match client.open(keep_alive).await {
            Ok(kept) => kept,
            Err(error) => {
                if options.lease.is_none() {
                    // Nobody else knows of it. If this fails too, the lease runs out.
                    let _ = client.call(LeaseRevoke::new(lease)).await;
                }
                return Err(error);
            }
        };
        let places = Arc::new(Places::default());
        let control = kept.control().clone();
        let cleaner = cleaner::start(client.clone(), lease, ttl, Arc::clone(&places));
        Ok(Self(Arc::new(Inner {
            client,
            lease,
            ttl,
            control,
            kept: Mutex::new(Some(kept)),
            revoke: AtomicBool::new(options.lease.is_none()),
            places,
            cleaner: Some(cleaner),
        })))
    }

    /// Gives the lease back: ends it with all keys on it, and everything that hangs on the session.
    ///
    /// # Errors
    ///
    /// The lease could not be ended within its time to live, after which it ends by itself. That it has ended already is
    /// no error.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the lease is not renewed any more, and is ended when the session is dropped.
    pub async fn close(&self) -> Result<()> {
        self.orphan();
        self.0.revoke.store(true, Ordering::Release);
        let options = self.client().options().clone().timeout(self.0.ttl);
        let client = self.client().with_options(options);
        match client.call(LeaseRevoke::new(self.0.lease)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => {
                self.0.revoke.store(false, Ordering::Release);
                Ok(())
            }
        }
    }
}

impl<S> Session<S> {
    /// The lease.
    #[must_use]
    pub fn lease(&self) -> LeaseId {
        self.0.lease
    }

    /// How long the lease lives without a renewal.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.0.ttl
    }

    /// The client that the session was made with.
    #[must_use]
    pub fn client(&self) -> &Client<S> {
        &self.0.client
    }

    /// How the lease stands now.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        self.0.control.state()
    }

    /// Waits until the session has ended, and says why.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn lost(&self) -> LossReason {
        self.0.control.lost().await
    }

    /// The output of `future`, unless the session ends first: then `future` is dropped.
    ///
    /// # Errors
    ///
    /// Why the session ended.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops `future`.
    pub async fn while_alive<F: Future>(&self, future: F) -> Result<F::Output, LossReason> {
        match race(self.lost(), future).await {
            Either::First(reason) => Err(reason),
            Either::Second(output) => Ok(output),
        }
    }

    /// Ends the renewals and leaves the lease, with all that hangs on it, to run out by itself. The session has ended then:
    /// nothing can be locked with it any more.
    pub fn orphan(&self) {
        self.0.revoke.store(false, Ordering::Release);
        self.0.control.cancel();
        drop(self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(super) fn places(&self) -> &Arc<Places> {
        &self.0.places
    }

    /// The output of `future`, which is of no use once the session has ended.
    pub(super) async fn alive<F, T>(&self, future: F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.while_alive(future).await.unwrap_or_else(|reason| Err(expired(reason)))
    }
}

/// What waits for a session that has ended gets.
pub(super) fn expired(reason: LossReason) -> Error {
    let kind = match reason {
        LossReason::Expired | LossReason::Revoked => ErrorKind::NotFound,
        LossReason::Closed => ErrorKind::Closed,
        LossReason::NoLeader => ErrorKind::NoLeader,
        LossReason::PermissionDenied => ErrorKind::PermissionDenied,
        LossReason::Unauthenticated => ErrorKind::Unauthenticated,
        LossReason::ClusterChanged => ErrorKind::ClusterChanged,
        LossReason::Unsupported => ErrorKind::Unsupported,
        LossReason::Cancelled => ErrorKind::Cancelled,
    };
    Error::new(kind, format!("the session is expired: {reason}"))
}

impl<S> Drop for Inner<S> {
    fn drop(&mut self) {
        self.places.end(self.revoke.load(Ordering::Acquire));
        if let Some(cleaner) = self.cleaner.take() {
            cleaner.leave();
        }
    }
}

impl<S> Clone for Session<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("lease", &self.0.lease)
            .field("ttl", &self.0.ttl)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
