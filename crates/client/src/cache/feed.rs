//! The task that fills a cache, and what it shares with the cache's readers.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::{Notify, watch};

use super::index::Rule;
use super::log::Log;
use super::store::{Loading, Store};
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::request::{Get, KeyRange, Watch, WhenFull};
use crate::response::{Event, KeyValue, WatchResponse};
use crate::revision::Revision;
use crate::service::{Service, Streaming};
use crate::task::{Either, Task, caught, race, spawn};
use crate::watch::WatchControl;

/// Between two attempts to read the range.
const PAUSE: Duration = Duration::from_millis(100);

type Watching = Streaming<WatchResponse, WatchControl>;

#[derive(Debug)]
pub(super) struct Shared {
    /// Locked before the log, where both are: then what is read of the one fits the other.
    store: RwLock<Store>,
    log: Mutex<Log>,
    /// The revision of the store, or why there will be none any more.
    revision: watch::Sender<Result<Revision>>,
    /// Somebody waits for a revision, and nothing happens.
    wanted: Notify,
    source: Mutex<Source>,
}

/// Where the keys come from.
#[derive(Debug)]
enum Source {
    /// Nowhere: the range is being read, and since then nothing has come.
    Reading(clock::Instant),
    Watch(WatchControl),
}

impl Source {
    fn disconnected_for(&self) -> Option<Duration> {
        match self {
            Self::Reading(since) => Some(clock::now().saturating_duration_since(*since)),
            Self::Watch(control) => control.state().disconnected_for,
        }
    }
}

impl Shared {
    pub(super) fn new(rules: Vec<Rule>, history: (usize, usize)) -> Self {
        Self {
            store: RwLock::new(Store::new(rules)),
            log: Mutex::new(Log::new(history)),
            revision: watch::Sender::new(Ok(Revision::NONE)),
            wanted: Notify::new(),
            source: Mutex::new(Source::Reading(clock::now())),
        }
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Store) -> T) -> T {
        read(&self.store.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key as it was.
    pub(super) fn get_at(&self, key: &[u8], revision: Revision) -> Result<Option<KeyValue>> {
        self.at(revision, |store, undone| {
            let mut about = undone.filter(|event| event.key() == key);
            // The earliest of them knows what was there before.
            match about.by_ref().last() {
                Some(event) => event.previous().cloned(),
                None => store.get(key),
            }
        })
    }

    /// The keys of a range as they were, in order.
    pub(super) fn range_at(&self, range: &KeyRange, revision: Revision) -> Result<Vec<KeyValue>> {
        self.at(revision, |store, undone| {
            let mut kvs: BTreeMap<Bytes, KeyValue> =
                store.range(range).map(|kv| (kv.key_bytes(), kv)).collect();
            for event in undone.filter(|event| range.contains(event.key())) {
                match event.previous() {
                    Some(kv) => drop(kvs.insert(kv.key_bytes(), kv.clone())),
                    None => drop(kvs.remove(event.key())),
                }
            }
            kvs.into_values().collect()
        })
    }

    fn at<T>(
        &self,
        revision: Revision,
        read: impl FnOnce(&Store, &mut dyn Iterator<Item = &Event>) -> T,
    ) -> Result<T> {
        self.read(|store| {
            let now = store.revision();
            if revision > now {
                let message = format!("the cache is at revision {now}, and {revision} is later");
                return Err(Error::new(ErrorKind::FutureRevision, message));
            }
            let log = self.log();
            let Some(mut undone) = log.undo(revision) else {
                let message = format!(
                    "the cache holds the past from revision {} on, and {revision} is earlier",
                    log.past()
                );
                return Err(Error::new(ErrorKind::Compacted, message));
            };
            Ok(read(store, &mut undone))
        })
    }

    pub(super) fn revision(&self) -> Revision {
        self.read(Store::revision)
    }

    /// Why nothing comes any more.
    pub(super) fn ended(&self) -> Option<Error> {
        self.revision.borrow().as_ref().err().cloned()
    }

    pub(super) fn disconnected_for(&self) -> Option<Duration> {
        self.source().disconnected_for()
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watch has ended.
    fn unwatched(&self) {
        let mut source = self.source();
        if let Source::Watch(control) = &*source {
            let for_now = control.state().disconnected_for.unwrap_or_default();
            let now = clock::now();
            *source = Source::Reading(now.checked_sub(for_now).unwrap_or(now));
        }
    }

    /// Waits until the revision is as `enough` wants it.
    pub(super) async fn reached(&self, enough: impl Fn(Revision) -> bool) -> Result<Revision> {
        let mut revisions = self.revision.subscribe();
        let done = |reached: &Result<Revision>| match reached {
            Ok(revision) => enough(*revision),
            Err(_) => true,
        };
        if !done(&revisions.borrow()) {
            self.wanted.notify_one();
        }
        match revisions.wait_for(done).await {
            Ok(reached) => reached.clone(),
            Err(_) => Err(Error::closed()),
        }
    }

    /// The range was read.
    fn replace(&self, read: Loading, revision: Revision) {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let events = store.replace(read, revision);
        let mut log = self.log();
        log.push(events);
        log.begin_past(revision);
        drop(log);
        drop(store);
        self.tell(revision);
    }

    fn apply(&self, events: Vec<Event>) {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let last = events.last().map(Event::revision).unwrap_or_default();
        let events = events.into_iter().map(|event| {
            if event.is_put() {
                put(&mut store, event.kv())
            } else {
                delete(&mut store, event.into_kv().detached())
            }
        });
        let events = events.collect();
        store.advance(last);
        let revision = store.revision();
        self.log().push(events);
        drop(store);
        self.tell(revision);
    }

    /// Nothing has happened up to `revision`.
    fn advance(&self, revision: Revision) {
        if revision <= self.revision() {
            return;
        }
        self.store.write().unwrap_or_else(PoisonError::into_inner).advance(revision);
        self.tell(revision);
    }

    fn tell(&self, revision: Revision) {
        drop(self.revision.send_replace(Ok(revision)));
    }

    fn end(&self, error: Error) {
        self.unwatched();
        drop(self.revision.send_replace(Err(error)));
        self.log().wake_all();
    }
}

fn put(store: &mut Store, kv: &KeyValue) -> Event {
    let (now, before) = store.put(kv);
    before.into_iter().fold(Event::put(now), Event::with_prev_kv)
}

fn delete(store: &mut Store, kv: KeyValue) -> Event {
    let before = store.remove(kv.key());
    before.into_iter().fold(Event::delete(kv), Event::with_prev_kv)
}

pub(super) fn start<S: Service + Clone>(
    client: Client<S>,
    range: KeyRange,
    shared: Arc<Shared>,
) -> Task {
    spawn(async move {
        let ended = caught(run(&client, &range, &shared)).await;
        shared.end(ended.unwrap_or_else(|| {
            Error::internal("the task behind the cache panicked: perhaps the rule of an index did")
        }));
    })
}

/// Reads and watches, and reads again after a gap, until something happens that this does not mend.
///
/// It is what [`ResyncWatch`](crate::ResyncWatch) does, but without remembering which keys there were: the store knows.
async fn run<S: Service + Clone>(client: &Client<S>, range: &KeyRange, shared: &Shared) -> Error {
    loop {
        let error = match begin(client, range, shared).await {
            Ok(watching) => follow(watching, shared).await,
            Err(error) => error,
        };
        shared.unwatched();
        let gap = matches!(
            error.kind(),
            ErrorKind::Compacted | ErrorKind::Lagged | ErrorKind::ClusterChanged
        );
        if !gap && !error.is_retryable() {
            return error;
        }
        clock::sleep(PAUSE).await;
    }
}

/// Reads the range, piece by piece at one revision, and watches it from there on.
async fn begin<S: Service + Clone>(
    client: &Client<S>,
    range: &KeyRange,
    shared: &Shared,
) -> Result<Watching> {
    let now = client.call(Get::new(range.clone()).count_only()).await?.revision();
    let mut pieces = client.get_stream(Get::new(range.clone()).at_revision(now)).await?;
    let mut read = Loading::default();
    while let Some(piece) = pieces.next().await {
        piece?.kvs().iter().for_each(|kv| read.add(kv));
    }
    let watch = Watch::new(range.clone()).from_revision(now.next()).when_full(WhenFull::Discard);
    let watching = client.watch(watch).await?;
    *shared.source() = Source::Watch(watching.control().clone());
    shared.replace(read, now);
    Ok(watching)
}

/// Applies what happens, until the watch ends.
async fn follow(mut watching: Watching, shared: &Shared) -> Error {
    let control = watching.control().clone();
    loop {
        let next = poll_fn(|cx| {
            let next = Pin::new(&mut watching).poll_next(cx);
            if next.is_pending() {
                // Progress says nothing but how far the watch is.
                shared.advance(control.state().bookmark);
            }
            next
        });
        match race(next, shared.wanted.notified()).await {
            Either::First(Some(Ok(response))) => {
                if !response.events().is_empty() {
                    shared.apply(response.into_events());
                }
            }
            Either::First(Some(Err(error))) => return error,
            Either::First(None) => {
                let message = "the watch behind the cache has ended";
                return Error::new(ErrorKind::Internal, message);
            }
            Either::Second(()) => control.request_progress(),
        }
    }
}
