//! The endpoints of a service.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::endpoint::{Endpoint, EndpointUpdate};
use super::updates::EndpointUpdates;
use crate::byte_string::ByteString;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::request::{Delete, Get, KeyRange, Op, Put, Txn};
use crate::revision::LeaseId;
use crate::service::Service;
use crate::transport::Channel;

/// The endpoints of one service: keys that begin with its name and a slash, so that `foo` and `foo_other` don't mix.
///
/// ```
/// use etcdkit::naming::{Endpoint, Endpoints};
///
/// async fn offer(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let session = client.session(std::time::Duration::from_secs(10)).await?;
///     let endpoints = Endpoints::new(&client, "mail")?;
///     // Gone with this process, at the latest 10 seconds after it.
///     endpoints.add_on(session.lease(), "mail/10.0.0.4", Endpoint::new("10.0.0.4:25")).await?;
///     println!("{:?}", endpoints.list().await?);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Endpoints<S = Channel> {
    client: Client<S>,
    target: Bytes,
    range: KeyRange,
}

impl<S: Service + Clone> Endpoints<S> {
    /// The endpoints of the service `target`.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the name is empty.
    pub fn new(client: &Client<S>, target: impl Into<ByteString>) -> Result<Self> {
        let target = target.into().into_bytes();
        if target.is_empty() {
            return Err(Error::invalid("invalid target: name the service"));
        }
        let range = KeyRange::prefix([&target, &b"/"[..]].concat());
        Ok(Self { client: client.clone(), target, range })
    }

    /// Makes all changes at once.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if a key does not begin with the service's name and a slash,
    /// or stands there twice. See [`Service::call`] for all calls.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the changes may or may not be made; all of them or none.
    pub async fn update(&self, updates: impl IntoIterator<Item = EndpointUpdate>) -> Result<()> {
        let ops = updates.into_iter().map(|update| self.op(update)).collect::<Result<Vec<_>>>()?;
        self.client.call(Txn::new().then(ops)).await.map(drop)
    }

    fn op(&self, update: EndpointUpdate) -> Result<Op> {
        let EndpointUpdate { key, endpoint, lease } = update;
        if !self.range.contains(&key) {
            let message = format!(
                "endpoints: endpoint key should be prefixed with '{}/' got: '{}'",
                self.target.escape_ascii(),
                key.escape_ascii()
            );
            return Err(Error::invalid(message));
        }
        let Some(endpoint) = endpoint else { return Ok(Delete::new(key).into()) };
        let put = Put::new(key, endpoint.to_json()?);
        Ok(lease.into_iter().fold(put, Put::lease).into())
    }

    /// Adds or replaces an endpoint, which stays until it is deleted.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, it may or may not be added.
    pub async fn add(&self, key: impl Into<ByteString>, endpoint: Endpoint) -> Result<()> {
        self.update([EndpointUpdate::add(key, endpoint)]).await
    }

    /// Adds or replaces an endpoint that ends with `lease`.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, it may or may not be added.
    pub async fn add_on(
        &self,
        lease: LeaseId,
        key: impl Into<ByteString>,
        endpoint: Endpoint,
    ) -> Result<()> {
        self.update([EndpointUpdate::add(key, endpoint).lease(lease)]).await
    }

    /// Deletes an endpoint. That there is none is no error.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, it may or may not be deleted.
    pub async fn delete(&self, key: impl Into<ByteString>) -> Result<()> {
        self.update([EndpointUpdate::delete(key)]).await
    }

    /// All endpoints, by key. What is stored there and is none is left out.
    ///
    /// # Errors
    ///
    /// See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn list(&self) -> Result<BTreeMap<Bytes, Endpoint>> {
        let answer = self.client.get_all(Get::new(self.range.clone())).await?;
        let endpoint = |kv: crate::KeyValue| {
            Endpoint::from_json(kv.value()).map(|endpoint| (kv.key_bytes(), endpoint))
        };
        Ok(answer.into_kvs().into_iter().filter_map(endpoint).collect())
    }

    /// The endpoints there are, and every change of them: see [`EndpointUpdates`].
    pub fn watch(&self) -> EndpointUpdates<S> {
        EndpointUpdates::new(&self.client, self.range.clone())
    }
}

impl<S> fmt::Debug for Endpoints<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints").field("target", &self.target).finish_non_exhaustive()
    }
}
