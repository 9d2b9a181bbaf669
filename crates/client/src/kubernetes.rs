//! The few calls in which Kubernetes' API server uses etcd, as it wants them: by key or prefix, at a revision, and writes
//! that are done only if nobody else wrote since.
//!
//! ```
//! use etcdkit::kubernetes::{Kubernetes, List};
//! use etcdkit::Revision;
//!
//! async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
//!     let store = Kubernetes::new(&client);
//!     let made = store.optimistic_put("/registry/pods/a", "{}", Revision::NONE).await?;
//!     assert!(made.succeeded);
//!     let mut page = store.list("/registry/pods/", List::new().limit(500)).await?;
//!     while let Some(rest) = page.rest() {
//!         page = store.list("/registry/pods/", rest.limit(500)).await?;
//!     }
//!     Ok(())
//! }
//! ```

use std::fmt;
use std::future::Future;

use bytes::Bytes;

use crate::byte_string::ByteString;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::request::{Compare, Delete, Get, KeyRange, Op, Put, Txn, Watch, prefix_end};
use crate::response::{KeyValue, TxnResponse, WatchResponse};
use crate::revision::{LeaseId, Revision};
use crate::service::{Service, Streaming};
use crate::transport::Channel;
use crate::watch::WatchControl;

/// The store of an API server. Cheap to clone; see the [room](self).
#[derive(Clone)]
pub struct Kubernetes<S = Channel> {
    client: Client<S>,
}

/// One object, and when it was read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GetResult {
    /// The object, if there is one.
    pub kv: Option<KeyValue>,
    /// The revision of the store.
    pub revision: Revision,
}

/// Which page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    revision: Option<Revision>,
    limit: u64,
    from: Option<Bytes>,
}

impl List {
    /// All objects, now.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The objects as they were at `revision`.
    #[must_use]
    pub fn at_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.revision = Some(revision.into());
        self
    }

    /// At most so many; 0 is no limit.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// Those from this key on.
    #[must_use]
    pub fn continue_from(mut self, key: impl Into<ByteString>) -> Self {
        self.from = Some(key.into().into_bytes());
        self
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ListResult {
    /// The objects, by key.
    pub kvs: Vec<KeyValue>,
    /// How many objects there are from the beginning of this page on, those of this page included.
    pub count: u64,
    /// The revision of the list: the one asked for, or that of the store.
    pub revision: Revision,
    more: bool,
}

impl ListResult {
    /// How many objects come after this page.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.count.saturating_sub(self.kvs.len() as u64)
    }

    /// What to ask for to get the rest of the list, at the same revision; `None` if this was the last page.
    #[must_use]
    pub fn rest(&self) -> Option<List> {
        let last = self.kvs.last().filter(|_| self.more)?;
        let next = [last.key(), &[0]].concat();
        Some(List::new().at_revision(self.revision).continue_from(next))
    }
}

/// What became of a write that expected an object to be as it was read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OptimisticResult {
    /// Whether the object was as expected, so that the write was done.
    pub succeeded: bool,
    /// The revision of the store: of the write, if it was done.
    pub revision: Revision,
    /// If it was not done: the object as it is, if there is one.
    pub kv: Option<KeyValue>,
}

impl<S: Service + Clone> Kubernetes<S> {
    /// The store on `client`.
    pub fn new(client: &Client<S>) -> Self {
        Self { client: client.clone() }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client<S> {
        &self.client
    }

    /// Reads one object, as it is.
    ///
    /// # Errors
    ///
    /// That it does not exist is none. See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn get(&self, key: impl Into<ByteString>) -> Result<GetResult> {
        self.read(Get::new(key.into())).await
    }

    /// Reads one object as it was at `revision`.
    ///
    /// # Errors
    ///
    /// [`Compacted`](crate::ErrorKind::Compacted) or [`FutureRevision`](crate::ErrorKind::FutureRevision), if it can't be
    /// read at that revision. See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn get_at(
        &self,
        key: impl Into<ByteString>,
        revision: impl Into<Revision>,
    ) -> Result<GetResult> {
        self.read(Get::new(key.into()).at_revision(revision)).await
    }

    async fn read(&self, get: Get) -> Result<GetResult> {
        let answer = self.client.call(get).await?;
        Ok(GetResult { revision: answer.revision(), kv: answer.into_first() })
    }

    /// Reads a page of the objects under `prefix`.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is to go on from a key that is not under the prefix.
    /// See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn list(&self, prefix: impl Into<ByteString>, page: List) -> Result<ListResult> {
        let prefix = prefix.into().into_bytes();
        let range = match &page.from {
            None => KeyRange::prefix(&prefix),
            Some(from) if from.starts_with(&prefix) => KeyRange::range(from, prefix_end(&prefix)),
            Some(from) => {
                let message = format!("the key {from:?} to go on from is not under {prefix:?}");
                return Err(Error::invalid(message));
            }
        };
        let mut get = Get::new(range).limit(page.limit);
        if let Some(revision) = page.revision {
            get = get.at_revision(revision);
        }
        let answer = self.client.call(get).await?;
        Ok(ListResult {
            count: answer.count(),
            revision: page.revision.unwrap_or_else(|| answer.revision()),
            more: answer.more(),
            kvs: answer.into_kvs(),
        })
    }

    /// How many objects there are under `prefix`.
    ///
    /// # Errors
    ///
    /// See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn count(&self, prefix: impl Into<ByteString>) -> Result<u64> {
        Ok(self.client.call(Get::prefix(prefix).count_only()).await?.count())
    }

    /// Writes an object if it was last changed at `expected`; [`Revision::NONE`] if it must not exist.
    ///
    /// # Errors
    ///
    /// That it is not as expected is none: see [`OptimisticResult`]. See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the write may or may not be done.
    pub async fn optimistic_put(
        &self,
        key: impl Into<ByteString>,
        value: impl Into<ByteString>,
        expected: Revision,
    ) -> Result<OptimisticResult> {
        self.optimistic(Put::new(key, value), expected).await
    }

    /// The same, with the object attached to a lease.
    ///
    /// # Errors
    ///
    /// As [`optimistic_put`](Self::optimistic_put).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the write may or may not be done.
    pub async fn optimistic_put_on(
        &self,
        lease: LeaseId,
        key: impl Into<ByteString>,
        value: impl Into<ByteString>,
        expected: Revision,
    ) -> Result<OptimisticResult> {
        self.optimistic(Put::new(key, value).lease(lease), expected).await
    }

    async fn optimistic(&self, put: Put, expected: Revision) -> Result<OptimisticResult> {
        let key = put.key_bytes();
        self.guarded(key, put.into(), expected).await
    }

    /// Deletes an object if it was last changed at `expected`.
    ///
    /// # Errors
    ///
    /// That it is not as expected is none: see [`OptimisticResult`]. See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the deletion may or may not be done.
    pub async fn optimistic_delete(
        &self,
        key: impl Into<ByteString>,
        expected: Revision,
    ) -> Result<OptimisticResult> {
        let key = key.into().into_bytes();
        self.guarded(key.clone(), Delete::new(key).into(), expected).await
    }

    async fn guarded(&self, key: Bytes, op: Op, expected: Revision) -> Result<OptimisticResult> {
        let txn = Txn::new()
            .when([Compare::mod_revision(&key).eq(expected)])
            .then([op])
            .or_else([Get::new(&key)]);
        result(self.client.call(txn).await?)
    }

    /// Watches what happens to the objects under `prefix` after `revision`, with their former states, and with progress
    /// where nothing happens.
    ///
    /// # Errors
    ///
    /// As [`Client::watch`].
    ///
    /// # Cancellation
    ///
    /// Dropping this future, or the stream, ends the watch on the server.
    pub fn watch(
        &self,
        prefix: impl Into<ByteString>,
        revision: Revision,
    ) -> impl Future<Output = Result<Streaming<WatchResponse, WatchControl>>> + Send {
        let watch = Watch::prefix(prefix).from_revision(revision.next());
        self.client.watch(watch.prev_kv().progress_notify())
    }
}

fn result(answer: TxnResponse) -> Result<OptimisticResult> {
    let (succeeded, revision) = (answer.succeeded(), answer.revision());
    let first = answer.into_responses().into_iter().next();
    let first = first.ok_or_else(|| Error::internal("a guarded write has no answer"))?;
    if succeeded {
        return Ok(OptimisticResult { succeeded, revision, kv: None });
    }
    let read = first.into_get();
    let read = read.ok_or_else(|| Error::internal("a guarded write was not answered by a read"))?;
    Ok(OptimisticResult { succeeded, revision, kv: read.into_first() })
}

impl<S> fmt::Debug for Kubernetes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kubernetes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::response::{GetResponse, PutResponse, ResponseHeader};

    /// An answer without the read is an error, for deletions too.
    #[test]
    fn an_answer_that_lacks_its_parts_is_no_panic() {
        let at = ResponseHeader::at(7);
        let odd = [
            TxnResponse::failure(at, []),
            TxnResponse::success(at, []),
            TxnResponse::failure(at, [PutResponse::default().into()]),
        ];
        for answer in odd {
            assert_eq!(result(answer).unwrap_err().kind(), ErrorKind::Internal);
        }
        let missing = TxnResponse::failure(at, [GetResponse::default().into()]);
        let expected = OptimisticResult { succeeded: false, revision: 7.into(), kv: None };
        assert_eq!(result(missing).unwrap(), expected);
    }
}
