//! Queues of work: each item is taken by one.

use std::fmt;

use bytes::Bytes;

use super::turn::{Line, directory, join};
use super::waiting;
use crate::byte_string::ByteString;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{Compare, Delete, Get, Put, SortOrder, SortTarget, Txn, Watch};
use crate::response::KeyValue;
use crate::revision::Revision;
use crate::service::Service;
use crate::transport::Channel;

/// How many of the first items are looked at: if others are faster with one, the next is tried.
const LOOK: u64 = 8;
/// How many digits the number of an item has at least in a queue with priorities.
const DIGITS: usize = 16;

/// A queue: first in, first out. That of etcd's Go client (`recipe.Queue`).
///
/// Each item is taken at most once: it is deleted when it is taken, and lost with whoever took it and died. (Take a
/// [lock](super::Mutex) on what must not get lost.)
///
/// ```
/// use etcdkit::concurrency::Queue;
///
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let queue = Queue::new(&client, "/jobs");
///     queue.enqueue("first").await?;
///     assert_eq!(queue.dequeue().await?, "first");
///     assert_eq!(queue.try_dequeue().await?, None);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Queue<S = Channel> {
    client: Client<S>,
    directory: Bytes,
}

/// A queue in which what is more urgent comes first, and of equals what came first. That of etcd's Go client
/// (`recipe.PriorityQueue`).
///
/// ```
/// use etcdkit::concurrency::PriorityQueue;
///
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let queue = PriorityQueue::new(&client, "/jobs");
///     queue.enqueue("can wait", 7).await?;
///     queue.enqueue("urgent", 0).await?;
///     assert_eq!(queue.dequeue().await?, "urgent");
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct PriorityQueue<S = Channel> {
    client: Client<S>,
    directory: Bytes,
}

impl<S: Service + Clone> Queue<S> {
    /// The queue `name`.
    pub fn new(client: &Client<S>, name: impl Into<ByteString>) -> Self {
        Self { client: client.clone(), directory: directory(name.into().into_bytes()) }
    }

    /// Adds an item.
    ///
    /// # Errors
    ///
    /// If [`maybe_applied`](Error::maybe_applied), the item may have been added, and taken since. See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the item may or may not be added.
    pub async fn enqueue(&self, value: impl Into<ByteString>) -> Result<()> {
        let value = value.into();
        loop {
            let number = clock::rng().i64(1..=i64::MAX);
            let key = join(&self.directory, number.to_string().as_bytes());
            let txn = Txn::new().when([Compare::missing(&key)]).then([Put::new(&key, &value)]);
            if self.client.call(txn).await?.succeeded() {
                return Ok(());
            }
        }
    }

    /// Takes the first item, and waits for one if there is none, for as long as it takes.
    ///
    /// # Errors
    ///
    /// If [`maybe_applied`](Error::maybe_applied), an item may have been taken, and is lost. See [`Service::call`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped while it waits, nothing is lost; while it takes an item, that may be.
    pub async fn dequeue(&self) -> Result<Bytes> {
        self.source().dequeue().await
    }

    /// Takes the first item; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`dequeue`](Self::dequeue).
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, an item may be lost.
    pub async fn try_dequeue(&self) -> Result<Option<Bytes>> {
        Ok(self.source().take().await?.ok())
    }

    fn source(&self) -> Source<'_, S> {
        Source {
            client: &self.client,
            line: Line::Numbers(self.directory.clone(), &[""]),
            by: SortTarget::ModRevision,
        }
    }
}

impl<S: Service + Clone> PriorityQueue<S> {
    /// The queue `name`.
    pub fn new(client: &Client<S>, name: impl Into<ByteString>) -> Self {
        Self { client: client.clone(), directory: directory(name.into().into_bytes()) }
    }

    /// Adds an item; the lowest priority comes first.
    ///
    /// # Errors
    ///
    /// As [`Queue::enqueue`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the item may or may not be added.
    pub async fn enqueue(&self, value: impl Into<ByteString>, priority: u16) -> Result<()> {
        let value = value.into();
        let level = join(&self.directory, format!("{priority:05}").as_bytes());
        // Written with every item of this priority, so that two can't draw the same number.
        let guard = join(b"__", &level);
        let level = directory(level);
        loop {
            let (next, seen) = self.next_number(&level).await?;
            let key = join(&level, format!("{next:0DIGITS$}").as_bytes());
            let txn = Txn::new()
                .when([Compare::mod_revision(&guard).lt(seen.next()), Compare::missing(&key)])
                .then([Put::new(&guard, ""), Put::new(&key, &value)]);
            if self.client.call(txn).await?.succeeded() {
                return Ok(());
            }
        }
    }

    /// The number after those of all items in a directory, and the revision of which that is so.
    async fn next_number(&self, level: &Bytes) -> Result<(u64, Revision)> {
        let line = Line::Numbers(level.clone(), &[""]);
        let mut items = self.client.call(Get::last_key(level).keys_only()).await?;
        // The last key has the highest number, if it is one of an item and of as many digits as all others.
        let is_usual = |kv: &KeyValue| line.holds(kv) && kv.key().len() == level.len() + DIGITS;
        if items.first().is_some_and(|kv| !is_usual(kv)) {
            items = self.client.call(Get::prefix(level).keys_only()).await?;
        }
        let in_line = items.kvs().iter().filter(|kv| line.holds(kv));
        let next = match in_line.filter_map(|kv| number(kv.key())).max() {
            Some(number) => number.checked_add(1).ok_or_else(|| {
                Error::new(ErrorKind::ResourceExhausted, "the queue's numbers are used up")
            })?,
            None => 0,
        };
        Ok((next, items.revision()))
    }

    /// Takes the first item, and waits for one if there is none, for as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`Queue::dequeue`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped while it waits, nothing is lost; while it takes an item, that may be.
    pub async fn dequeue(&self) -> Result<Bytes> {
        self.source().dequeue().await
    }

    /// Takes the first item; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`Queue::dequeue`].
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, an item may be lost.
    pub async fn try_dequeue(&self) -> Result<Option<Bytes>> {
        Ok(self.source().take().await?.ok())
    }

    fn source(&self) -> Source<'_, S> {
        Source {
            client: &self.client,
            line: Line::Levels(self.directory.clone()),
            by: SortTarget::Key,
        }
    }
}

/// The number at the end of an item's key.
fn number(key: &[u8]) -> Option<u64> {
    let digits = key.rsplit(|byte| *byte == b'/').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Where items are taken from, and in which order.
struct Source<'a, S> {
    client: &'a Client<S>,
    line: Line,
    by: SortTarget,
}

impl<S: Service> Source<'_, S> {
    async fn dequeue(&self) -> Result<Bytes> {
        loop {
            match self.take().await? {
                Ok(value) => return Ok(value),
                Err(empty_at) => {
                    let watch = Watch::new(self.line.range()).from_revision(empty_at.next());
                    Box::pin(waiting::happens(self.client, watch.only_puts())).await?;
                }
            }
        }
    }

    /// The first item, or the revision at which there was none.
    async fn take(&self) -> Result<Result<Bytes, Revision>> {
        loop {
            let (items, revision) = self.look().await?;
            if items.is_empty() {
                return Ok(Err(revision));
            }
            for item in items {
                let unchanged = Compare::mod_revision(item.key()).eq(item.mod_revision());
                let claim = Txn::new().when([unchanged]).then([Delete::new(item.key())]);
                if self.client.call(claim).await?.succeeded() {
                    return Ok(Ok(item.value_bytes()));
                }
            }
        }
    }

    async fn look(&self) -> Result<(Vec<KeyValue>, Revision)> {
        let get = Get::new(self.line.range()).sort(self.by, SortOrder::Ascend);
        let answer = self.client.call(get.clone().limit(LOOK)).await?;
        let in_line = |kv: &KeyValue| self.line.holds(kv);
        if !answer.more() || answer.kvs().iter().any(in_line) {
            let revision = answer.revision();
            return Ok((answer.into_kvs().into_iter().filter(in_line).collect(), revision));
        }
        // Other keys stand before all items.
        let answer = self.client.call(get).await?;
        let revision = answer.revision();
        Ok((answer.into_kvs().into_iter().filter(in_line).take(LOOK as usize).collect(), revision))
    }
}

impl<S> fmt::Debug for Queue<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for PriorityQueue<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriorityQueue").field("directory", &self.directory).finish_non_exhaustive()
    }
}
