//! The keys that a session has made, and who uses each.
//!
//! A key is deleted when the last of its users is gone, and only if it still is the one that they had: another session with
//! the same lease may have made it anew. Users that are dropped can't wait for that: they leave the key, and the call that
//! may still be making it, to the [cleaner](super::cleaner).

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::session::Session;
use crate::error::Result;
use crate::request::{OpResponse, Txn};
use crate::response::TxnResponse;
use crate::revision::Revision;
use crate::service::Service;

/// A call under way.
pub(super) type Pending = Pin<Box<dyn Future<Output = Result<TxnResponse>> + Send>>;

/// The keys of one session.
#[derive(Default)]
pub(super) struct Places {
    state: Mutex<State>,
    /// The cleaner has something to do.
    work: Notify,
    /// A key is free again.
    freed: Notify,
}

#[derive(Default)]
struct State {
    places: HashMap<Bytes, Users>,
    left: Vec<Left>,
    end: Option<End>,
}

#[derive(Default)]
struct Users {
    count: usize,
    /// What those had that are gone.
    had: Had,
    /// The key is being deleted: nobody may count on it.
    leaving: bool,
}

/// Which of the keys that come and go under one name is a user's. Of two users, the greater is what both have: the key that
/// was made later, since the earlier one is gone then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Had {
    #[default]
    Nothing,
    /// The one that was made at this revision, by the user or before it came.
    MadeAt(Revision),
    /// Whichever there is: it is not known what became of a call that makes it.
    Any,
}

impl Had {
    /// After a transaction that makes `key`, or reads what is there.
    pub(super) fn after(self, key: &Bytes, answer: &Result<TxnResponse>) -> Self {
        match answer {
            Ok(answer) if answer.succeeded() => Self::MadeAt(answer.revision()),
            Ok(answer) => {
                let read = answer.responses().iter().filter_map(OpResponse::as_get);
                let own = read.flat_map(|read| read.kvs()).find(|kv| kv.key() == key);
                own.map_or(self, |kv| Self::MadeAt(kv.create_revision()))
            }
            Err(error) if error.maybe_applied() => Self::Any,
            Err(_) => self,
        }
    }
}

/// A key to be deleted, once the call that may make it is over.
pub(super) struct Left {
    pub(super) key: Bytes,
    pub(super) had: Had,
    pub(super) pending: Option<Pending>,
    /// A server was waiting in line with the key, and deletes it when it notices that nobody waits for its answer. It may
    /// have made it anew before.
    pub(super) served: bool,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Its lease goes with it.
    pub(super) revoke: bool,
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Becomes a user of `key`, once it is not being deleted.
    async fn enter(&self, key: &Bytes) {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.lock();
                let users = state.places.entry(key.clone()).or_default();
                if !users.leaving {
                    users.count += 1;
                    return;
                }
            }
            freed.await;
        }
    }

    /// Whether the caller is the only user of `key`, and is to delete it. If not, it is a user no more.
    fn begin_leave(&self, key: &Bytes, had: Had) -> bool {
        let mut state = self.lock();
        let Some(users) = state.places.get_mut(key) else { return false };
        if users.count > 1 {
            users.count -= 1;
            users.had = users.had.max(had);
            return false;
        }
        users.leaving = true;
        true
    }

    /// A user of `key` was dropped.
    fn abandon(&self, key: &Bytes, had: Had, pending: Option<Pending>, served: bool) {
        let mut state = self.lock();
        let Some(users) = state.places.get_mut(key) else { return };
        users.count = users.count.saturating_sub(1);
        users.had = users.had.max(had);
        if users.count > 0 {
            if pending.is_some() {
                users.had = Had::Any;
            }
            return;
        }
        let had = users.had;
        if had == Had::Nothing && pending.is_none() {
            state.places.remove(key);
            self.freed.notify_waiters();
            return;
        }
        users.leaving = true;
        state.left.push(Left { key: key.clone(), had, pending, served });
        self.work.notify_one();
    }

    /// The key has been deleted, or will be with its lease.
    pub(super) fn free(&self, key: &Bytes) {
        self.lock().places.remove(key);
        self.freed.notify_waiters();
    }

    /// The session has ended.
    pub(super) fn end(&self, revoke: bool) {
        self.lock().end = Some(End { revoke });
        self.work.notify_one();
    }

    /// What is to be deleted, and whether the session has ended.
    pub(super) fn take(&self) -> (Vec<Left>, Option<End>) {
        let mut state = self.lock();
        (std::mem::take(&mut state.left), state.end)
    }

    /// Waits until there may be something to take.
    pub(super) async fn work(&self) {
        self.work.notified().await;
    }
}

/// One user of a key of a session.
pub(super) struct Place<S> {
    session: Session<S>,
    key: Bytes,
    /// Never locked: a mutex makes it shareable, and a guard with it.
    pending: Mutex<Option<Pending>>,
    had: Had,
    /// A server waits in line with the key, and may have made it anew.
    served: AtomicBool,
    left: bool,
}

impl<S: Service + Clone> Place<S> {
    /// A user of `key`; waits if the key is just being deleted.
    pub(super) async fn enter(session: &Session<S>, key: Bytes) -> Self {
        session.places().enter(&key).await;
        Self {
            session: session.clone(),
            key,
            pending: Mutex::default(),
            had: Had::Nothing,
            served: AtomicBool::new(false),
            left: false,
        }
    }

    /// Makes a call that may make the key. If the future is dropped, the call goes on, and the key is deleted after it.
    pub(super) async fn run(&mut self, txn: Txn) -> Result<TxnResponse> {
        let client = self.session.client().clone();
        let pending = self.pending.get_mut().unwrap_or_else(PoisonError::into_inner);
        let call = pending.insert(Box::pin(async move { client.call(txn).await }));
        let answer = poll_fn(|cx| call.as_mut().poll(cx)).await;
        *pending = None;
        self.had = self.had.after(&self.key, &answer);
        if answer.is_ok() {
            self.set_served(false);
        }
        answer
    }

    /// Deletes the key by `txn`, unless it has other users. After an error, if the future is dropped, or if it is not the key
    /// that `txn` is about, the cleaner deletes the one that its users had.
    pub(super) async fn leave(mut self, txn: Txn) -> Result<Option<TxnResponse>> {
        if !self.session.places().begin_leave(&self.key, self.had) {
            self.left = true;
            return Ok(None);
        }
        let answer = self.session.client().call(txn).await?;
        if answer.succeeded() {
            self.session.places().free(&self.key);
            self.left = true;
        }
        Ok(Some(answer))
    }
}

impl<S> Place<S> {
    pub(super) fn session(&self) -> &Session<S> {
        &self.session
    }

    pub(super) fn key(&self) -> &Bytes {
        &self.key
    }

    /// A server waits in line with the key; or does not any more, and the key is the one that was there before.
    pub(super) fn set_served(&self, served: bool) {
        self.served.store(served, Ordering::Relaxed);
    }

    /// The key is there, and was made at this revision.
    pub(super) fn found(&mut self, made: Revision) {
        self.had = Had::MadeAt(made);
    }
}

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        if !self.left {
            let pending = self.pending.get_mut().unwrap_or_else(PoisonError::into_inner).take();
            let served = *self.served.get_mut();
            let had = if served { Had::Any } else { self.had };
            self.session.places().abandon(&self.key, had, pending, served);
        }
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places").field("keys", &self.lock().places.len()).finish_non_exhaustive()
    }
}

/// For the tests of the cleaner.
#[cfg(test)]
pub(super) fn left(places: &Places, key: &'static str, had: Had, pending: Option<Pending>) {
    let key = Bytes::from_static(key.as_bytes());
    places.lock().places.insert(key.clone(), Users { count: 1, ..Users::default() });
    places.abandon(&key, had, pending, false);
}
