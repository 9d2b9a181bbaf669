//! How callers talk to a hub, and what it tells of itself.
//!
//! What lies in it is bounded by the watches that there are: each is added once, and a signal that is there already is
//! not added again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use etcdkit_proto::etcdserverpb::WatchCreateRequest;

use super::machine::Key;
use super::queue::Queue;
use crate::clock::Instant;
use crate::config::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::request::WatchSettings;

/// What a reader tells the hub about its watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Cancel,
    /// There is room in the buffer again.
    Drained,
    Progress,
}

/// A new watch.
#[derive(Debug)]
pub(super) struct Addition {
    pub(super) key: Key,
    pub(super) create: WatchCreateRequest,
    pub(super) settings: WatchSettings,
    pub(super) queue: Arc<Queue>,
}

/// What has come since the hub last looked.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) additions: Vec<Addition>,
    signals: HashMap<Key, Flags>,
    pub(super) closing: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    cancel: bool,
    drained: bool,
    progress: bool,
}

impl Mail {
    pub(super) fn signals(&mut self) -> impl Iterator<Item = (Key, Signal)> {
        self.signals.drain().flat_map(|(key, flags)| {
            let signals = [
                (flags.drained, Signal::Drained),
                (flags.progress, Signal::Progress),
                (flags.cancel, Signal::Cancel),
            ];
            signals.into_iter().filter(|(set, _)| *set).map(move |(_, signal)| (key, signal))
        })
    }

    fn is_empty(&self) -> bool {
        self.additions.is_empty() && self.signals.is_empty() && !self.closing
    }
}

/// How the stream fares.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) disconnected_since: Option<Instant>,
    pub(super) reconnects: u64,
    /// What went wrong last.
    pub(super) trouble: Option<Error>,
}

#[derive(Debug, Default)]
pub(super) struct Inbox {
    mail: Mutex<(Mail, Option<Waker>)>,
    status: Mutex<Status>,
    next_key: AtomicU64,
    /// Nobody looks any more.
    over: AtomicBool,
}

/// What ends watches whose hub is gone: it ends by itself only when nobody watches.
pub(super) fn abandoned() -> Error {
    let message =
        "the runtime that this client was first used in has ended: make a client per runtime";
    Error::new(ErrorKind::Closed, message)
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, (Mail, Option<Waker>)> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_key(&self) -> Key {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds a watch. Where nobody looks any more, that is its end.
    pub(super) fn add(&self, addition: Addition) {
        let queue = Arc::clone(&addition.queue);
        self.change(|mail| mail.additions.push(addition));
        if self.is_over() {
            queue.end(abandoned());
        }
    }

    pub(super) fn signal(&self, key: Key, signal: Signal) {
        self.change(|mail| {
            let flags = mail.signals.entry(key).or_default();
            match signal {
                Signal::Cancel => flags.cancel = true,
                Signal::Drained => flags.drained = true,
                Signal::Progress => flags.progress = true,
            }
        });
    }

    /// The client is being closed.
    pub(super) fn close(&self) {
        self.change(|mail| mail.closing = true);
    }

    fn change(&self, change: impl FnOnce(&mut Mail)) {
        let mut guard = self.lock();
        change(&mut guard.0);
        let waker = guard.1.take();
        drop(guard);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What has come, once something has.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Mail> {
        let mut guard = self.lock();
        if !guard.0.is_empty() {
            return Poll::Ready(std::mem::take(&mut guard.0));
        }
        match &mut guard.1 {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// The hub is gone; what it did not look at.
    pub(super) fn end(&self) -> Mail {
        // Before the mail is taken: whoever adds to it after that sees this.
        self.over.store(true, Ordering::Release);
        std::mem::take(&mut self.lock().0)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether nothing has come.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().0.is_empty()
    }

    pub(super) fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
