//! The keys under a prefix, as if there were no others.
//!
//! [`prefix`] says where a key lies, [`requests`] moves requests in and [`responses`] moves answers out: pure functions,
//! which the property tests call without any server.

mod prefix;
mod requests;
mod responses;

use bytes::Bytes;

pub(super) use self::prefix::Prefix;
use crate::byte_string::ByteString;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{
    AnyRequest, AnyStream, AnyStreamRequest, LeaseTimeToLive, Request, StreamRequest,
};
use crate::revision::LeaseId;
use crate::service::{CallOptions, Service, Streaming, mismatch};

/// A layer that puts a prefix before each key of a request, and takes it away from each key of an answer.
///
/// Keys are moved wherever they stand: in reads, streamed ones too, writes, deletions, watches, conditions, transactions
/// within transactions, the keys of a lease, the permissions of a role, and the names of etcd's own locks and elections.
/// No request reads, writes, watches or deletes a key outside. In particular
///
/// * every key, and every range without an end, ends with the namespace, whatever bytes the prefix ends with;
/// * a lease with keys outside is not revoked: the call fails with
///   [`PermissionDenied`](crate::ErrorKind::PermissionDenied). (A key that somebody attaches between the look at the
///   lease and its end goes with it all the same. etcd has no transaction for that.)
/// * a snapshot, which holds the keys of all, is refused with [`Unsupported`](crate::ErrorKind::Unsupported).
///
/// What is no key belongs to all: revisions, and with them compactions; the ids of leases, which anybody may renew; users,
/// roles and members. A namespace keeps honest programs apart. Against others, give its user a role that allows no more.
///
/// The key that equals the prefix is not part of the namespace, since it would be the empty key there. Namespaces can be
/// put into one another; the prefix of the inner one comes first.
///
/// ```
/// use etcdkit::layer::Namespace;
/// use etcdkit::service::service_fn;
/// use etcdkit::{AnyRequest, AnyResponse, Client, Get, PutResponse, Put};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> etcdkit::Result<()> {
/// let cluster = Client::from_service(service_fn(|request| async move {
///     assert_eq!(request, AnyRequest::Put(Put::new("/app/color", "red")));
///     Ok(AnyResponse::Put(PutResponse::default()))
/// }));
/// let app: Client<Namespace<_>> = cluster.namespace("/app/");
/// app.put("color", "red").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Namespace<S> {
    inner: S,
    prefix: Prefix,
}

impl<S: Service> Client<S> {
    /// A client of the keys under `prefix` alone: see [`Namespace`].
    pub fn namespace(self, prefix: impl Into<ByteString>) -> Client<Namespace<S>> {
        self.layer(|inner| Namespace::new(inner, prefix))
    }
}

impl<S: Service> Namespace<S> {
    /// Shows the keys of `inner` that are under `prefix`. An empty prefix changes nothing.
    pub fn new(inner: S, prefix: impl Into<ByteString>) -> Self {
        Self { inner, prefix: Prefix::new(prefix.into().into_bytes()) }
    }

    /// The prefix.
    #[must_use]
    pub fn prefix(&self) -> &Bytes {
        self.prefix.as_bytes()
    }

    /// Refuses to end a lease that takes keys of others with it.
    async fn check_revoke(&self, lease: LeaseId, options: &CallOptions) -> Result<()> {
        if self.prefix.is_empty() {
            return Ok(());
        }
        let answer = self.inner.call(LeaseTimeToLive::new(lease).keys(), options).await?;
        if answer.keys().iter().all(|key| self.prefix.key_out(key).is_some()) {
            return Ok(());
        }
        let message = "keys outside of the namespace are attached to the lease: it can be revoked only by a client \
                       without the namespace";
        Err(Error::new(ErrorKind::PermissionDenied, message))
    }
}

impl<S: Service> Service for Namespace<S> {
    async fn call<R: Request>(&self, request: R, options: &CallOptions) -> Result<R::Response> {
        let request = self.prefix.request_in(request.into_any())?;
        if let AnyRequest::LeaseRevoke(revoke) = &request {
            self.check_revoke(revoke.lease_id(), options).await?;
        }
        let answer = request.call_on(&self.inner, options).await?;
        R::response(self.prefix.response_out(answer)?).ok_or_else(mismatch::<R>)
    }

    async fn open<R: StreamRequest>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> Result<Streaming<R::Item, R::Control>> {
        let prefix = self.prefix.clone();
        let stream = match self.prefix.stream_in(request.into_any())? {
            AnyStreamRequest::GetStream(request) => {
                let stream = self.inner.open(request, options).await?;
                AnyStream::GetStream(stream.map(move |piece| prefix.get_out(piece?)))
            }
            AnyStreamRequest::Watch(request) => {
                let stream = self.inner.open(request, options).await?;
                AnyStream::Watch(stream.map(move |response| prefix.watch_out(response?)))
            }
            AnyStreamRequest::Observe(request) => {
                let stream = self.inner.open(request, options).await?;
                AnyStream::Observe(stream.map(move |leader| prefix.leader_out(leader?)))
            }
            request @ (AnyStreamRequest::KeepAlive(_) | AnyStreamRequest::Snapshot(_)) => {
                request.open_on(&self.inner, options).await?
            }
        };
        R::stream(stream).ok_or_else(mismatch::<R>)
    }
}

#[cfg(test)]
mod tests;
