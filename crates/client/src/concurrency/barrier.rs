//! A gate that one closes and many wait for.

use std::fmt;

use bytes::Bytes;

use super::waiting;
use crate::byte_string::ByteString;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{Compare, Delete, Put, Txn};
use crate::service::Service;
use crate::transport::Channel;

/// A gate: closed while its key exists. That of etcd's Go client (`recipe.Barrier`).
///
/// ```
/// use etcdkit::concurrency::Barrier;
///
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let barrier = Barrier::new(&client, "/migration");
///     barrier.hold().await?;
///     // Whoever calls `wait` waits…
///     barrier.release().await?;
///     barrier.wait().await
/// }
/// ```
#[derive(Clone)]
pub struct Barrier<S = Channel> {
    client: Client<S>,
    key: Bytes,
}

impl<S: Service + Clone> Barrier<S> {
    /// The gate `key`.
    pub fn new(client: &Client<S>, key: impl Into<ByteString>) -> Self {
        Self { client: client.clone(), key: key.into().into_bytes() }
    }

    /// Closes the gate.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) if it is closed already. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the gate may or may not be closed.
    pub async fn hold(&self) -> Result<()> {
        let txn = Txn::new().when([Compare::missing(&self.key)]).then([Put::new(&self.key, "")]);
        if self.client.call(txn).await?.succeeded() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, format!("the barrier {:?} is held already", self.key)))
    }

    /// Opens the gate. That it is open already is no error.
    ///
    /// # Errors
    ///
    /// See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the gate may or may not be open.
    pub async fn release(&self) -> Result<()> {
        self.client.call(Delete::new(&self.key)).await.map(drop)
    }

    /// Waits until the gate is open, for as long as it takes; if it is, no longer.
    ///
    /// # Errors
    ///
    /// See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn wait(&self) -> Result<()> {
        Box::pin(waiting::missing(&self.client, &self.key)).await
    }
}

impl<S> fmt::Debug for Barrier<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("key", &self.key).finish_non_exhaustive()
    }
}
