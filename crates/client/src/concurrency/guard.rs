//! What is held: a lock, or a leadership.

use std::fmt;

use bytes::Bytes;

use super::places::Place;
use super::session::Session;
use super::turn::gone;
use super::waiting;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::LossReason;
use crate::request::{Compare, Delete, Get, Op, Txn, Watch};
use crate::response::TxnResponse;
use crate::revision::Revision;
use crate::service::Service;
use crate::task::{Either, race};
use crate::transport::Channel;

/// A lock that is held: by a [`Mutex`](super::Mutex), a [`RwMutex`](super::RwMutex) or a
/// [`Leadership`](super::Leadership).
///
/// It is held as long as its [key](Self::key) exists, which was made at the revision of the
/// [fencing token](Self::fencing_token). See the [room](super) for what that promises.
///
/// # Dropping
///
/// Dropping it gives the lock up: the session's task deletes the key, as soon as it can. [`unlock`](Self::unlock) does the
/// same and waits for it.
#[must_use = "a lock is given up when its guard is dropped"]
pub struct Guard<S = Channel> {
    place: Place<S>,
    revision: Revision,
}

/// How a lock was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// With its session.
    Session(LossReason),
    /// Somebody deleted its key.
    Deleted,
}

impl<S: Service + Clone> Guard<S> {
    pub(super) fn new(place: Place<S>, revision: Revision) -> Self {
        Self { place, revision }
    }

    /// The key that holds the lock.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        self.place.key()
    }

    /// The revision that the key was made at. Of two holders one after the other, the later one's is higher: what is
    /// protected can refuse whoever comes with a lower one than it has seen.
    #[must_use]
    pub fn fencing_token(&self) -> Revision {
        self.revision
    }

    /// The session that it hangs on.
    #[must_use]
    pub fn session(&self) -> &Session<S> {
        self.place.session()
    }

    /// The condition that the lock is held, for transactions of your own.
    #[must_use]
    pub fn held(&self) -> Compare {
        Compare::create_revision(self.key()).eq(self.revision)
    }

    /// Asks the cluster whether the lock is held. What it says was true when it was said.
    ///
    /// # Errors
    ///
    /// See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn is_held(&self) -> Result<bool> {
        let answer = self.session().client().call(Get::new(self.key()).keys_only()).await?;
        Ok(answer.first().is_some_and(|kv| kv.create_revision() == self.revision))
    }

    /// Does a transaction if the lock is held, and nothing if it is not: what a former holder sends has no effect,
    /// however late it comes.
    ///
    /// ```
    /// use etcdkit::concurrency::Guard;
    /// use etcdkit::{Put, Txn};
    ///
    /// async fn example(guard: &Guard) -> etcdkit::Result<()> {
    ///     guard.txn(Txn::new().then([Put::new("/protected", "1")])).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if the lock is not held any more. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the transaction may or may not be done.
    pub async fn txn(&self, txn: Txn) -> Result<TxnResponse> {
        let guarded = Txn::new().when([self.held()]).then([txn]);
        let answer = self.session().client().call(guarded).await?;
        if !answer.succeeded() {
            return Err(gone(self.key()));
        }
        let header = answer.header();
        let inner =
            answer.into_responses().into_iter().next().and_then(crate::OpResponse::into_txn);
        let inner = inner.ok_or_else(|| Error::internal("a transaction was not answered"))?;
        // etcd leaves the header of an inner transaction out.
        Ok(if inner.succeeded() {
            TxnResponse::success(header, inner.into_responses())
        } else {
            TxnResponse::failure(header, inner.into_responses())
        })
    }

    /// Waits until the lock is lost: with its session, or because somebody deleted its key.
    ///
    /// It tells early and not in time: by then, another may hold the lock. See [`txn`](Self::txn) for what is safe.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn lost(&self) -> Loss {
        match race(self.session().lost(), Box::pin(self.deleted())).await {
            Either::First(reason) => Loss::Session(reason),
            Either::Second(()) => Loss::Deleted,
        }
    }

    /// Waits until the key is gone, over all trouble that time may mend. Of other trouble the session tells.
    async fn deleted(&self) {
        loop {
            match waiting::patiently(|| self.outlasted()).await {
                Ok(()) => return,
                // If the history went back, the key may have gone with it.
                Err(error) if error.kind() == ErrorKind::ClusterChanged => {
                    clock::sleep(waiting::PAUSE).await;
                }
                Err(_) => std::future::pending().await,
            }
        }
    }

    async fn outlasted(&self) -> Result<()> {
        let client = self.session().client();
        loop {
            let answer = client.call(Get::new(self.key()).keys_only()).await?;
            if answer.first().is_none_or(|kv| kv.create_revision() != self.revision) {
                return Ok(());
            }
            let from = answer.revision().next();
            let watch = Watch::new(self.key()).from_revision(from).only_deletes();
            let mut watching = client.watch(watch).await?;
            if waiting::happened(&mut watching).await? {
                return Ok(());
            }
        }
    }

    /// Gives the lock up, and waits until it is free. If the same session holds it by another guard, it stays held.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if it had been lost before: then what was done under it was perhaps not done
    /// alone. After other errors the session's task goes on trying. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the lock is given up all the same.
    pub async fn unlock(self) -> Result<()> {
        let key = self.key().clone();
        if self.leave().await? { Ok(()) } else { Err(gone(&key)) }
    }

    /// Whether the lock was held until now.
    pub(super) async fn leave(self) -> Result<bool> {
        let delete = Delete::new(self.key());
        let txn = Txn::new().when([self.held()]).then([Op::from(delete)]);
        Ok(self.place.leave(txn).await?.is_none_or(|answer| answer.succeeded()))
    }
}

impl<S> fmt::Debug for Guard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("key", self.place.key())
            .field("fencing_token", &self.revision)
            .finish_non_exhaustive()
    }
}
