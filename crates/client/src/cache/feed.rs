//! The task that fills a cache, and what it shares with the cache's readers.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::log::Log;
use super::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::response::{Event, KeyValue};
use crate::revision::Revision;
use crate::service::Service;
use crate::task::{Either, Task, race, spawn};
use crate::watch::{Resync, ResyncWatch, WatchControl};

#[derive(Debug)]
pub(super) struct Shared {
    /// Locked before the log, where both are: then what is read of the one fits the other.
    store: RwLock<Store>,
    log: Mutex<Log>,
    /// The revision of the store, or why there will be none any more.
    revision: watch::Sender<Result<Revision>>,
    /// Somebody waits for a revision, and nothing happens.
    wanted: Notify,
    control: Mutex<Option<WatchControl>>,
}

impl Shared {
    pub(super) fn new(history: (usize, usize)) -> Self {
        Self {
            store: RwLock::default(),
            log: Mutex::new(Log::new(history)),
            revision: watch::Sender::new(Ok(Revision::NONE)),
            wanted: Notify::new(),
            control: Mutex::default(),
        }
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Store) -> T) -> T {
        read(&self.store.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn revision(&self) -> Revision {
        self.read(Store::revision)
    }

    /// Why nothing comes any more.
    pub(super) fn ended(&self) -> Option<Error> {
        self.revision.borrow().as_ref().err().cloned()
    }

    pub(super) fn disconnected_for(&self) -> Option<Duration> {
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        control.as_ref()?.state().disconnected_for
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

    fn apply(&self, change: Resync) {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let events = match change {
            // The first state: nobody knows an earlier one.
            Resync::State { changed, revision, .. } if store.revision() == Revision::NONE => {
                changed.iter().for_each(|kv| store.load(kv));
                store.advance(revision);
                Vec::new()
            }
            Resync::State { changed, vanished, revision } => {
                let mut events: Vec<Event> = changed.iter().map(|kv| put(&mut store, kv)).collect();
                events.extend(vanished.iter().map(|key| {
                    let kv = KeyValue::new(key, "").with_revisions(0, revision);
                    delete(&mut store, kv)
                }));
                store.advance(revision);
                events
            }
            Resync::Events(events) => {
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
                events
            }
        };
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

pub(super) fn start<S: Service + Clone>(changes: ResyncWatch<S>, shared: Arc<Shared>) -> Task {
    spawn(run(changes, shared))
}

async fn run<S: Service + Clone>(mut changes: ResyncWatch<S>, shared: Arc<Shared>) {
    loop {
        let next = poll_fn(|cx| {
            let next = changes.poll(cx);
            if next.is_pending() {
                // Progress says nothing but how far the watch is.
                shared.advance(changes.control().map(|it| it.state().bookmark).unwrap_or_default());
            }
            next
        });
        match race(next, shared.wanted.notified()).await {
            Either::First(Some(Ok(change))) => {
                *shared.control.lock().unwrap_or_else(PoisonError::into_inner) =
                    changes.control().cloned();
                shared.apply(change);
            }
            Either::First(Some(Err(error))) => return shared.end(error),
            Either::First(None) => {
                let message = "the watch behind the cache has ended";
                return shared.end(Error::new(ErrorKind::Cancelled, message));
            }
            Either::Second(()) => {
                if let Some(control) = changes.control() {
                    control.request_progress();
                }
            }
        }
    }
}
