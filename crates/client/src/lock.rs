//! Locks that a server waits for: the calls of [`Client`], with their requests and answers.
//!
//! This is etcd's own lock service, `v3lockpb`, as it is: one request that the server answers when the lock is held. It
//! needs no watch and no loop in the client, and promises less than it seems to:
//!
//! * **A lock is a lease.** When the lease ends, so does the lock, and nobody tells who held it. Keep the lease alive,
//!   and compare the [key](LockResponse::key) in the transactions that must only be done under the lock.
//! * **A lost answer is a lost key.** After an error with [`maybe_applied`](crate::Error::maybe_applied) the lock may be
//!   held, or queued for, without anybody knowing its key: only the end of the lease gives it up. So the call is not
//!   repeated, and [`Lock::for_a_minute`], which has a lease that nobody knows, is for tests.
//! * **One lease, one holder.** Who locks twice with the same lease holds the lock twice: tasks of one program that are
//!   to exclude each other need a lease each.
//! * **The member matters.** If the member that waits goes away, the call fails, and the place in the queue is lost.
//!
//! The wait may last for as long as [`Timeouts::long`](crate::config::Timeouts) says, unless the call has its own
//! timeout ([`CallOptions::timeout`](crate::CallOptions::timeout)).

use std::future::Future;

use crate::byte_string::ByteString;
use crate::client::Client;
use crate::error::Result;
use crate::response::HeaderResponse;
use crate::service::Service;

pub use crate::request::lock::*;

impl<S: Service> Client<S> {
    /// Waits for a lock. See the [room](crate::lock) for what it does not promise.
    ///
    /// ```
    /// use etcdkit::LeaseId;
    /// use etcdkit::lock::Lock;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let lease = LeaseId::new(7).expect("not zero"); // granted before, and kept alive
    ///     let held = client.lock(Lock::new("/locks/a", lease)).await?;
    ///     client.unlock(held.key()).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such lease; [`Timeout`](crate::ErrorKind::Timeout) if
    /// the wait lasted too long. If [`maybe_applied`](crate::Error::maybe_applied), the lock may be held: end its
    /// lease.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the server is told and leaves the queue; a lock that it had just got is held until the
    /// lease ends.
    pub fn lock(&self, lock: Lock) -> impl Future<Output = Result<LockResponse>> + Send {
        self.call(lock)
    }

    /// Gives a lock up: deletes its key. That it is gone already is no error.
    ///
    /// ```
    /// use etcdkit::lock::LockResponse;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let held = LockResponse::default();
    ///     client.unlock(held.key()).await?;
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
    /// If the future is dropped, the lock may or may not be given up.
    pub fn unlock(
        &self,
        key: impl Into<ByteString>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(Unlock::new(key))
    }
}
