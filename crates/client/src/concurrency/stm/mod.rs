//! Transactions in memory: code that reads and writes as if it were alone, and is run again if it was not.
//!
//! [`state`] knows what was read and written and makes the requests of it, without I/O; here they are sent.

mod state;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use self::state::State;
use crate::byte_string::ByteString;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{Delete, Get, Op, Put, Txn};
use crate::response::KeyValue;
use crate::revision::Revision;
use crate::service::Service;
use crate::transport::Channel;

/// How many keys are read at once: etcd takes 128 operations in a transaction, unless it is set up otherwise.
const READS: usize = 100;
/// So many repetitions wait for nothing.
const AT_ONCE: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// What a transaction may notice of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// All reads see one revision, and no other transaction comes between: neither what was read nor what is written has
    /// been changed since.
    #[default]
    SerializableSnapshot,
    /// All reads see one revision, and what was read has not been changed since. What is only written may have been.
    Serializable,
    /// Each key is read once, from any one member, and must not have been changed since. Two keys may be read at
    /// different revisions, though the writes are done only if all reads still hold.
    RepeatableReads,
    /// Each key is read once, from any one member, and may have been changed since.
    ReadCommitted,
}

impl Isolation {
    /// Whether all reads are of one revision.
    fn is_snapshot(self) -> bool {
        matches!(self, Self::SerializableSnapshot | Self::Serializable)
    }
}

/// How a transaction in memory is run; an [`Isolation`] is one with everything else as it is by default.
///
/// ```
/// use etcdkit::concurrency::{Isolation, StmOptions};
///
/// let options = StmOptions::new().isolation(Isolation::Serializable).attempts(10).prefetch(["/a", "/b"]);
/// assert_ne!(options, Isolation::Serializable.into());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StmOptions {
    isolation: Isolation,
    attempts: u32,
    prefetch: Vec<Bytes>,
}

impl StmOptions {
    /// [`Isolation::SerializableSnapshot`], at most 100 attempts.
    #[must_use]
    pub fn new() -> Self {
        Self { isolation: Isolation::default(), attempts: 100, prefetch: Vec::new() }
    }

    /// What it may notice of others.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// How often it is run at most until nobody came between. 0 counts as 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Reads these keys at once, before the first attempt: for keys that will be read anyway.
    #[must_use]
    pub fn prefetch(mut self, keys: impl IntoIterator<Item = impl Into<ByteString>>) -> Self {
        self.prefetch = keys.into_iter().map(|key| key.into().into_bytes()).collect();
        self
    }
}

impl Default for StmOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Isolation> for StmOptions {
    fn from(isolation: Isolation) -> Self {
        Self::new().isolation(isolation)
    }
}

/// What a transaction came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed<T> {
    /// What the code returned.
    pub value: T,
    /// The revision of its writes; of a transaction that wrote nothing, the one that it has seen, or
    /// [`Revision::NONE`] if there is none.
    pub revision: Revision,
    /// How often it was run.
    pub attempts: u32,
}

/// Others came between too often: the source of an error of [`Client::stm`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StmConflict {
    /// The keys that others changed during the last attempt.
    pub keys: Vec<Bytes>,
    /// How often it was tried.
    pub attempts: u32,
}

impl fmt::Display for StmConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "others came between {} times; the last time they changed {:?}",
            self.attempts, self.keys
        )
    }
}

impl std::error::Error for StmConflict {}

/// The keys as a transaction in memory sees them. Clones are of the same transaction.
#[derive(Clone)]
pub struct Stm<S = Channel>(Arc<Inner<S>>);

struct Inner<S> {
    client: Client<S>,
    isolation: Isolation,
    state: Mutex<State>,
}

impl<S: Service + Clone> Client<S> {
    /// Runs `apply`, and does all that it wrote at once if nobody came between; else runs it again.
    ///
    /// `apply` may run often, so it must not do anything but read and write keys. An error that it returns ends the
    /// transaction, and nothing is written. Between attempts there are pauses, which grow.
    ///
    /// ```
    /// use etcdkit::concurrency::StmOptions;
    ///
    /// async fn transfer(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let done = client
    ///         .stm(StmOptions::new(), async |stm| {
    ///             let balance = |value: Option<bytes::Bytes>| -> i64 {
    ///                 value.and_then(|value| std::str::from_utf8(&value).ok()?.parse().ok()).unwrap_or(0)
    ///             };
    ///             let (from, to) = (balance(stm.get("/a").await?), balance(stm.get("/b").await?));
    ///             stm.put("/a", (from - 10).to_string());
    ///             stm.put("/b", (to + 10).to_string());
    ///             Ok::<_, etcdkit::Error>(from - 10)
    ///         })
    ///         .await?;
    ///     println!("{} left, after {} attempts", done.value, done.attempts);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Whatever `apply` returns. [`Conflict`](ErrorKind::Conflict) if others came between too often; its source is a
    /// [`StmConflict`], which names the keys. See [`Service::call`] for all calls. Writes whose answer is lost are not
    /// repeated: [`Error::maybe_applied`] tells.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the writes may or may not be done; all of them or none.
    pub async fn stm<F, Fut, T, E>(
        &self,
        options: impl Into<StmOptions>,
        apply: F,
    ) -> Result<Committed<T>, E>
    where
        // And not `AsyncFn`: what is made of one can't be spawned if it borrows.
        F: Fn(Stm<S>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let options = options.into();
        let mut attempts = 0;
        let mut state = State::default();
        if !options.prefetch.is_empty() {
            let stm = Stm::new(self.clone(), options.isolation, state);
            stm.read(&options.prefetch).await?;
            state = stm.lock().as_prefetched();
        }
        loop {
            attempts += 1;
            let stm = Stm::new(self.clone(), options.isolation, state);
            let outcome = apply(stm.clone()).await;
            let conflicts = if stm.lock().is_overtaken() {
                // Whatever came of it, it could not read what it wanted to.
                state = State::default();
                Vec::new()
            } else {
                let value = outcome?;
                match stm.commit().await? {
                    Ok(revision) => return Ok(Committed { value, revision, attempts }),
                    Err((prefetched, conflicts)) => {
                        state = prefetched;
                        conflicts
                    }
                }
            };
            if attempts >= options.attempts {
                return Err(conflict(conflicts, attempts).into());
            }
            pause(attempts).await;
        }
    }
}

fn conflict(keys: Vec<Bytes>, attempts: u32) -> Error {
    let conflict = StmConflict { keys, attempts };
    Error::new(ErrorKind::Conflict, conflict.to_string()).with_source(conflict)
}

/// The first repetitions come at once: they have been told what changed, and ask for nothing but to commit.
async fn pause(attempts: u32) {
    if let Some(doublings) = attempts.checked_sub(AT_ONCE) {
        let longest = FIRST_PAUSE.saturating_mul(1 << doublings.min(10)).min(LONGEST_PAUSE);
        clock::sleep(longest.mul_f64(clock::rng().f64())).await;
    }
}

impl<S: Service + Clone> Stm<S> {
    fn new(client: Client<S>, isolation: Isolation, state: State) -> Self {
        Self(Arc::new(Inner { client, isolation, state: Mutex::new(state) }))
    }

    /// The value of a key as this transaction sees it: its own writes included; `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// See [`Service::call`]. Pass them on: some only have the transaction run again.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn get(&self, key: impl Into<ByteString>) -> Result<Option<Bytes>> {
        let values = self.get_all([key]).await?;
        Ok(values.into_iter().next().flatten())
    }

    /// The values of several keys, each by itself, with one request for those that were not read yet.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn get_all(
        &self,
        keys: impl IntoIterator<Item = impl Into<ByteString>>,
    ) -> Result<Vec<Option<Bytes>>> {
        let keys: Vec<Bytes> = keys.into_iter().map(|key| key.into().into_bytes()).collect();
        let unwritten: Vec<Bytes> = {
            let state = self.lock();
            keys.iter().filter(|key| state.written(key).is_none()).cloned().collect()
        };
        self.read(&unwritten).await?;
        let state = self.lock();
        let value = |key: &Bytes| match state.written(key) {
            Some(written) => written,
            None => state.seen(key).flatten().map(KeyValue::value_bytes),
        };
        Ok(keys.iter().map(value).collect())
    }

    /// The revision that last changed a key, as this transaction read it; [`Revision::NONE`] if there is no such key.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn revision(&self, key: impl Into<ByteString>) -> Result<Revision> {
        let key = key.into().into_bytes();
        self.read(std::slice::from_ref(&key)).await?;
        let state = self.lock();
        Ok(state.seen(&key).flatten().map(KeyValue::mod_revision).unwrap_or_default())
    }

    /// Writes `value` to `key`, when the transaction is done.
    pub fn put(&self, key: impl Into<ByteString>, value: impl Into<ByteString>) {
        self.write(Put::new(key, value));
    }

    /// Writes what a [`Put`] says: with a lease, for instance. The last write to a key counts.
    pub fn write(&self, put: Put) {
        self.lock().write(put.key_bytes(), Op::Put(put));
    }

    /// Deletes `key`, when the transaction is done.
    pub fn delete(&self, key: impl Into<ByteString>) {
        let key = key.into().into_bytes();
        self.lock().write(key.clone(), Op::Delete(Delete::new(key)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has all of `keys` be seen.
    async fn read(&self, keys: &[Bytes]) -> Result<()> {
        let missing = self.lock().missing(keys, self.0.isolation);
        for keys in missing.chunks(READS) {
            self.fetch(keys).await?;
        }
        Ok(())
    }

    async fn fetch(&self, keys: &[Bytes]) -> Result<()> {
        loop {
            let at = self.lock().revision();
            let answer = match self.ask(keys, at).await {
                // What this transaction has begun to see can't be seen any more.
                Err(error) if error.kind() == ErrorKind::Compacted && at.is_some() => {
                    self.lock().overtake();
                    return Err(error);
                }
                answer => answer?,
            };
            let (revision, found) = answer;
            let found: Vec<_> = keys.iter().cloned().zip(found).collect();
            if self.lock().read(found, at, revision, self.0.isolation) {
                return Ok(());
            }
        }
    }

    /// What is under each of `keys`, and the revision of the answer.
    async fn ask(
        &self,
        keys: &[Bytes],
        at: Option<Revision>,
    ) -> Result<(Revision, Vec<Option<KeyValue>>)> {
        let gets: Vec<Get> = keys
            .iter()
            .map(|key| match at {
                Some(at) => Get::new(key).at_revision(at),
                None => Get::new(key),
            })
            .collect();
        if self.0.isolation.is_snapshot() && at.is_none() {
            return self.send(gets).await;
        }
        let of_any_member = gets.iter().cloned().map(Get::serializable).collect();
        match self.send(of_any_member).await {
            // That member has not come so far.
            Err(error) if error.kind() == ErrorKind::FutureRevision => self.send(gets).await,
            answer => answer,
        }
    }

    async fn send(&self, mut gets: Vec<Get>) -> Result<(Revision, Vec<Option<KeyValue>>)> {
        let client = &self.0.client;
        // Members answer a read by itself faster than one in a transaction.
        if gets.len() == 1
            && let Some(get) = gets.pop()
        {
            let answer = client.call(get).await?;
            return Ok((answer.revision(), vec![answer.into_first()]));
        }
        let answer = client.call(Txn::new().then(gets)).await?;
        let revision = answer.revision();
        let found = answer.into_responses().into_iter();
        Ok((revision, found.map(|answer| answer.into_get()?.into_first()).collect()))
    }

    /// Does the writes, unless others came between: then what there is now, and what they changed.
    async fn commit(&self) -> Result<Result<Revision, (State, Vec<Bytes>)>> {
        let (txn, asked) = {
            let state = self.lock();
            match state.commit(self.0.isolation) {
                Some(commit) => commit,
                None => return Ok(Ok(state.revision().unwrap_or_default())),
            }
        };
        let answer = self.0.client.call(txn).await?;
        let revision = answer.revision();
        if answer.succeeded() {
            return Ok(Ok(revision));
        }
        let found = answer.into_responses().into_iter();
        let found = found.map(|answer| answer.into_get().and_then(|get| get.into_first()));
        Ok(Err(self.lock().conflict(asked.into_iter().zip(found).collect(), revision)))
    }
}

impl<S> fmt::Debug for Stm<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stm").field("isolation", &self.0.isolation).finish_non_exhaustive()
    }
}
