//! A range of keys in memory, kept up to date by one watch: reads without a round trip, and any number of local watchers.
//!
//! `store.rs` holds the keys, with an `index.rs` for each way to find them beside their names, and `log.rs` what happened to
//! them, all without I/O; `feed.rs` is the task that fills them.

mod feed;
mod index;
mod log;
mod store;
mod subscription;

pub use subscription::{CacheChange, Subscription};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::feed::Shared;
use self::index::Rule;
use crate::byte_string::ByteString;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, Result};
use crate::request::{Get, KeyRange, SortOrder, SortTarget};
use crate::response::KeyValue;
use crate::revision::Revision;
use crate::service::Service;
use crate::task::Task;
use crate::transport::Channel;

/// How long a progress notification is waited for before the state is compared.
const PROGRESS: Duration = Duration::from_secs(1);

/// A range of keys in memory. Cheap to clone; all clones are one cache.
///
/// Reads come from memory: they are of the state at one revision, which may be a moment old. Who has to see what was
/// written before asks [`catch_up`](Self::catch_up) first, or waits for [a revision](Self::wait_for).
///
/// Behind it is one watch, which goes on over lost connections; after a gap in the history the range is read again, and
/// what changed and vanished meanwhile is told as events. Per key, it takes the key, the value, and about 100 to 200 bytes.
/// It ends when the last clone and subscription is dropped.
///
/// ```
/// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
///     let cache = client.cache(etcdkit::KeyRange::prefix("/config/")).await?;
///     let color = cache.get("/config/color")?;
///     client.put("/config/color", "red").await?;
///     cache.catch_up().await?;
///     assert_ne!(cache.get("/config/color")?, color);
///     Ok(())
/// }
/// ```
pub struct Cache<S = Channel>(Arc<Inner<S>>);

struct Inner<S> {
    client: Client<S>,
    range: KeyRange,
    shared: Arc<Shared>,
    _feed: Task,
}

/// How a cache is made; a [`KeyRange`] is one with everything as it is by default.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheOptions {
    range: KeyRange,
    history: (usize, usize),
    rules: Vec<Rule>,
}

impl CacheOptions {
    /// A cache of these keys.
    pub fn new(range: impl Into<KeyRange>) -> Self {
        Self { range: range.into(), history: (1024, 16 << 20), rules: Vec::new() }
    }

    /// How much of what happened is held for subscriptions that are slow, and for [reads of the past](Cache::range_at): so
    /// many changes, or so many bytes, whichever comes first. Default: 1024 changes, 16 MiB. It is held once for all of
    /// them.
    #[must_use]
    pub fn history(mut self, changes: usize, bytes: usize) -> Self {
        self.history = (changes.max(1), bytes);
        self
    }

    /// Has keys be found by something else than their names: by each of the terms that `terms` gives for a key, with
    /// [`Cache::indexed`]. It must give the same for the same key and value whenever it is asked, and be quick: it is called
    /// for every change, while nobody can read. If it panics, the cache ends with
    /// [`Internal`](crate::ErrorKind::Internal).
    ///
    /// ```
    /// use etcdkit::cache::CacheOptions;
    /// use etcdkit::{KeyRange, KeyValue};
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let zone = |kv: &KeyValue| kv.value().split(|byte| *byte == b'@').nth(1).map(<[u8]>::to_vec);
    ///     let nodes = CacheOptions::new(KeyRange::prefix("/nodes/")).index("zone", zone);
    ///     let nodes = client.cache(nodes).await?;
    ///     client.put("/nodes/1", "10.0.0.4@eu").await?;
    ///     nodes.catch_up().await?;
    ///     assert_eq!(nodes.indexed("zone", "eu")?.kvs[0].key(), b"/nodes/1");
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn index<T>(
        mut self,
        name: &str,
        terms: impl Fn(&KeyValue) -> T + Send + Sync + 'static,
    ) -> Self
    where
        T: IntoIterator<Item: Into<ByteString>>,
    {
        let terms = move |kv: &KeyValue| -> Vec<Bytes> {
            terms(kv).into_iter().map(|term| term.into().into_bytes()).collect()
        };
        self.rules.push(Rule::new(name, terms));
        self
    }
}

impl<R: Into<KeyRange>> From<R> for CacheOptions {
    fn from(range: R) -> Self {
        Self::new(range)
    }
}

/// Keys, and of which revision they are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CacheRead {
    /// The keys, in order.
    pub kvs: Vec<KeyValue>,
    /// Everything up to this revision is in it.
    pub revision: Revision,
}

impl<S: Service + Clone> Client<S> {
    /// Holds a range of keys in memory: see [`Cache`]. It has been read when this returns.
    ///
    /// # Errors
    ///
    /// What reading and watching the range fails with, unless time mends it: then this waits.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, there is no cache.
    pub async fn cache(&self, options: impl Into<CacheOptions>) -> Result<Cache<S>> {
        let CacheOptions { range, history, rules } = options.into();
        let shared = Arc::new(Shared::new(rules, history));
        let feed = feed::start(self.clone(), range.clone(), Arc::clone(&shared));
        let cache = Cache(Arc::new(Inner { client: self.clone(), range, shared, _feed: feed }));
        cache.0.shared.reached(|revision| revision > Revision::NONE).await?;
        Ok(cache)
    }
}

impl<S> Cache<S> {
    /// The keys that it holds.
    #[must_use]
    pub fn key_range(&self) -> &KeyRange {
        &self.0.range
    }

    /// Everything up to this revision is in it.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.0.shared.revision()
    }

    /// For how long no member has served the watch behind it: for so long, and a moment, it may be out of date. `None` as
    /// long as all is well.
    #[must_use]
    pub fn disconnected_for(&self) -> Option<Duration> {
        self.0.shared.disconnected_for()
    }

    /// How many keys it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.shared.read(|store| store.len())
    }

    /// Whether it holds no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A key, from memory; `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the key is not one that it holds.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<KeyValue>> {
        let key = key.as_ref();
        if !self.0.range.contains(key) {
            return Err(self.outside(&KeyRange::key(key)));
        }
        Ok(self.0.shared.read(|store| store.get(key)))
    }

    /// Keys, from memory, all of one revision.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it does not hold all of the range.
    pub fn range(&self, range: impl Into<KeyRange>) -> Result<CacheRead> {
        let range = self.check(range.into())?;
        Ok(self.0.shared.read(|store| CacheRead {
            kvs: store.range(&range).collect(),
            revision: store.revision(),
        }))
    }

    /// The keys that have a term in an [index](CacheOptions::index), in the order of their names.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there is no index of this name.
    pub fn indexed(&self, name: &str, term: impl AsRef<[u8]>) -> Result<CacheRead> {
        self.0.shared.read(|store| {
            let kvs = store.indexed(name, term.as_ref());
            let kvs = kvs.ok_or_else(|| {
                Error::invalid(format!("the cache has no index `{name}`: name it in its options"))
            })?;
            Ok(CacheRead { kvs, revision: store.revision() })
        })
    }

    /// A key as it was at `revision`, from memory, as long as what happened since is [held](CacheOptions::history).
    ///
    /// # Errors
    ///
    /// As [`range_at`](Self::range_at).
    pub fn get_at(
        &self,
        key: impl AsRef<[u8]>,
        revision: impl Into<Revision>,
    ) -> Result<Option<KeyValue>> {
        let range = self.check(KeyRange::key(key.as_ref()))?;
        self.0.shared.get_at(range.start(), revision.into())
    }

    /// Keys as they were at `revision`, from memory, as long as what happened since is [held](CacheOptions::history). It
    /// costs a look at all of that.
    ///
    /// # Errors
    ///
    /// [`Compacted`](crate::ErrorKind::Compacted) if that is not held any more, or there was a gap since: ask the cluster.
    /// [`FutureRevision`](crate::ErrorKind::FutureRevision) if the cache is not there yet: see [`wait_for`](Self::wait_for).
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it does not hold all of the range.
    pub fn range_at(
        &self,
        range: impl Into<KeyRange>,
        revision: impl Into<Revision>,
    ) -> Result<CacheRead> {
        let (range, revision) = (self.check(range.into())?, revision.into());
        Ok(CacheRead { kvs: self.0.shared.range_at(&range, revision)?, revision })
    }

    /// How many keys there are in a range, from memory.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn count(&self, range: impl Into<KeyRange>) -> Result<usize> {
        let range = self.check(range.into())?;
        Ok(self.0.shared.read(|store| store.count(&range)))
    }

    fn check(&self, range: KeyRange) -> Result<KeyRange> {
        let held = &self.0.range;
        let starts = held.contains(range.start());
        let ends = match (range.end(), held.end()) {
            ([], _) | (_, [0]) => true,
            ([0], _) | (_, []) => false,
            (end, held) => end <= held,
        };
        // From the first key there can be: all that the cache holds, if it holds everything.
        let all = *held == KeyRange::all();
        if (starts && ends) || all { Ok(range) } else { Err(self.outside(&range)) }
    }

    fn outside(&self, range: &KeyRange) -> Error {
        Error::invalid(format!("the cache holds {:?}, and not all of {range:?}", self.0.range))
    }
}

impl<S: Service + Clone> Cache<S> {
    /// Asks the cluster how far it is, and waits until everything up to then is in it: a read after that is as good as one
    /// that asks the cluster.
    ///
    /// It costs a round trip, and another for a progress notification if nothing happens. Of members before etcd 3.4.25
    /// and 3.5.8, whose notifications can't be relied on, the state is compared instead, after a second.
    ///
    /// # Errors
    ///
    /// See [`Service::call`]; what the watch behind it has ended with.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn catch_up(&self) -> Result<Revision> {
        let count = Get::new(self.0.range.clone()).count_only();
        let now = self.0.client.call(count).await?.revision();
        loop {
            if let Some(reached) = self.reached(now).await? {
                return Ok(reached);
            }
        }
    }

    /// Waits until everything up to `revision` is in it: that of a write, for instance, which is read then. A revision that
    /// was made outside of its range is known by a progress notification, or [as there](Self::catch_up) by a comparison of
    /// the state.
    ///
    /// # Errors
    ///
    /// What the watch behind it has ended with; what comparing the state fails with, unless time mends it.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn wait_for(&self, revision: Revision) -> Result<()> {
        loop {
            match self.reached(revision).await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {}
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for a revision, for as long as a progress notification may take; then the state is compared. `None` if that
    /// doesn't tell.
    async fn reached(&self, revision: Revision) -> Result<Option<Revision>> {
        let Inner { client, range, shared, .. } = &*self.0;
        let deadline = clock::now() + PROGRESS;
        let reached = shared.reached(|reached| reached >= revision);
        if let Some(reached) = clock::until(Some(deadline), reached).await {
            return reached.map(Some);
        }
        // If the cluster has as many keys as are here, and none that was changed later, it has the same ones.
        let last = Get::new(range.clone()).sort(SortTarget::ModRevision, SortOrder::Descend);
        let answer = client.call(last.limit(1).keys_only()).await?;
        let latest = answer.first().map(KeyValue::mod_revision).unwrap_or_default();
        let same =
            shared.read(|store| store.len() as u64 == answer.count() && store.latest() == latest);
        Ok((same && answer.revision() >= revision).then(|| answer.revision()))
    }

    /// What happens to keys, beginning with what they are. Any number of subscriptions share the one watch behind the
    /// cache.
    ///
    /// # Errors
    ///
    /// As [`range`](Self::range).
    pub fn subscribe(&self, range: impl Into<KeyRange>) -> Result<Subscription<S>> {
        let range = self.check(range.into())?;
        Ok(Subscription::new(self.clone(), Arc::clone(&self.0.shared), range))
    }
}

impl<S> Clone for Cache<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for Cache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("range", &self.0.range)
            .field("keys", &self.len())
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}
