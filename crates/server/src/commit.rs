//! Making durable what was applied: one task, which owns the storage.
//!
//! See "How an answer leaves" in `docs/design/server.md`.

use std::collections::VecDeque;
use std::future::pending;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use etcdkit_proto::etcdserverpb::AlarmType;
use etcdkit_proto::{Code, ServerError};
use tokio::sync::{Notify, oneshot, watch};

use crate::clock::stopwatch;
use crate::node::Node;
use crate::state::State;
use crate::status::{Result, Status};
use crate::storage::{Storage, StorageError};
use crate::task;

/// Losses that are remembered for those who did not ask yet what became of their write.
const LOSSES: usize = 16;

/// The node's half: what is to be done, and how far it is.
#[derive(Debug)]
pub(crate) struct Commits {
    progress: watch::Sender<Progress>,
    /// Why nobody knows what is durable any more. Apart, so that who waits for it does not hear of each batch.
    broken: watch::Sender<Option<StorageError>>,
    work: Notify,
    stopping: AtomicBool,
    /// Those who wait for the storage to be defragmented; one for each such call.
    defragment: Mutex<Vec<oneshot::Sender<Result<()>>>>,
    size: Mutex<Option<u64>>,
    pub(crate) syncs: AtomicU64,
}

/// How far the storage is.
#[derive(Debug)]
struct Progress {
    /// Everything up to here is durable or lost.
    index: u64,
    /// What was lost to a full disk: from after an index to an index, the oldest first.
    lost: VecDeque<(u64, u64)>,
    /// Where the last loss ends that is not remembered any more.
    forgotten: Option<u64>,
    /// How many were lost in all.
    failed: u64,
}

impl Progress {
    /// What became of what was applied as `index`, if that is settled.
    fn outcome(&self, index: u64) -> Option<Result<()>> {
        if index > self.index {
            return None;
        }
        if self.forgotten.is_some_and(|last| index <= last) {
            // It may be durable or lost; that is what this error means.
            return Some(Err(ServerError::Timeout.into()));
        }
        let lost = self.lost.iter().any(|(after, last)| (after + 1..=*last).contains(&index));
        Some(if lost { Err(ServerError::NoSpace.into()) } else { Ok(()) })
    }

    /// Everything since the last settled index, up to `last`, is lost.
    fn lose(&mut self, last: u64) {
        if self.lost.len() == LOSSES {
            self.forgotten = self.lost.pop_front().map(|(_, last)| last);
        }
        self.lost.push_back((self.index, last));
        self.failed += last - self.index;
        self.index = last;
    }
}

/// What is answered once the storage is broken.
pub(crate) fn refusal(why: &StorageError) -> Status {
    Status::new(Code::Unavailable, format!("etcdserver: storage is broken: {why}"))
}

impl Commits {
    pub(crate) fn new(index: u64) -> Self {
        let progress = Progress { index, lost: VecDeque::new(), forgotten: None, failed: 0 };
        Self {
            progress: watch::Sender::new(progress),
            broken: watch::Sender::new(None),
            work: Notify::new(),
            stopping: AtomicBool::new(false),
            defragment: Mutex::default(),
            size: Mutex::default(),
            syncs: AtomicU64::new(0),
        }
    }

    /// Says that there is something to do.
    pub(crate) fn wake(&self) {
        self.work.notify_one();
    }

    /// Up to which index everything is settled, and how many requests were lost to a full disk.
    pub(crate) fn settled_and_failed(&self) -> (u64, u64) {
        let progress = self.progress.borrow();
        (progress.index, progress.failed)
    }

    /// Waits until what was applied as `index` is durable.
    pub(crate) async fn settled(&self, index: u64) -> Result<()> {
        let mut progress = self.progress.subscribe();
        let is_settled = |now: &Progress| self.is_broken() || now.outcome(index).is_some();
        let settled = progress.wait_for(is_settled).await;
        self.intact()?;
        // The sender lives as long as the node.
        settled.ok().and_then(|now| now.outcome(index)).unwrap_or(Ok(()))
    }

    fn is_broken(&self) -> bool {
        self.broken.borrow().is_some()
    }

    /// Fails once it is broken.
    pub(crate) fn intact(&self) -> Result<()> {
        self.broken.borrow().as_ref().map_or(Ok(()), |why| Err(refusal(why)))
    }

    /// Waits until it is broken, and returns why.
    pub(crate) async fn failed(&self) -> StorageError {
        let mut broken = self.broken.subscribe();
        let why = broken.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        match why {
            Some(why) => why,
            // The sender lives as long as the node.
            None => pending().await,
        }
    }

    /// Has the storage give back what it does not need.
    ///
    /// Dropping the future does not stop that.
    pub(crate) async fn defragment(&self) -> Result<()> {
        let (done, outcome) = oneshot::channel();
        self.lock().push(done);
        self.wake();
        outcome.await.unwrap_or_else(|_| Err(ServerError::Stopped.into()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<oneshot::Sender<Result<()>>>> {
        self.defragment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody knows what is durable from here on: every answer is an error.
    fn fail(&self, error: StorageError) {
        self.broken.send_replace(Some(error));
        // Those who wait for a batch look again.
        self.progress.send_modify(|_| ());
        self.lock().clear();
    }

    /// Bytes that the storage takes on disk, if it tells.
    pub(crate) fn size(&self) -> Option<u64> {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, storage: &dyn Storage) {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = storage.size();
        self.syncs.store(storage.syncs(), Ordering::Relaxed);
    }
}

impl Node {
    /// Makes what is applied durable, batch by batch: all that came while the last one was on its way.
    pub(crate) async fn commit(self: &Arc<Self>, mut storage: Box<dyn Storage>) {
        self.commits().count(&*storage);
        loop {
            self.commits().work.notified().await;
            let node = Arc::clone(self);
            // Dropping the task while a batch is on its way leaves the storage to this thread, which ends with the batch.
            let round = task::blocking(move || {
                let outcome = node.commit_once(&mut *storage);
                node.commits().count(&*storage);
                (storage, outcome)
            });
            let index = match round.await {
                Ok((kept, Ok(index))) => {
                    storage = kept;
                    index
                }
                Ok((_, Err(error))) => return self.commits().fail(error),
                Err(status) => {
                    return self.commits().fail(StorageError::Broken(status.to_string()));
                }
            };
            if self.commits().stopping.load(Ordering::Acquire) && self.state().index == index {
                return;
            }
        }
    }

    /// Commits what there is, and returns how far that goes.
    fn commit_once(&self, storage: &mut dyn Storage) -> Result<u64, StorageError> {
        let (batch, revision, index) = {
            let mut state = self.state_mut();
            let (batch, revision) = state.take_batch();
            (batch, revision, state.index)
        };
        let time = stopwatch();
        let outcome = if batch.is_empty() { Ok(()) } else { storage.commit(&batch) };
        let index = match outcome {
            Ok(()) => {
                if !batch.is_empty() {
                    self.observed.batches.observe(time());
                }
                let mut state = self.state_mut();
                state.publish(revision);
                if !state.compactions.is_empty() {
                    self.compacted.notify_one();
                }
                drop(state);
                self.commits().progress.send_modify(|progress| progress.index = index);
                index
            }
            Err(StorageError::Full(_)) => self.go_back(storage)?,
            Err(error) => return Err(error),
        };
        let waiting = mem::take(&mut *self.commits().lock());
        if !waiting.is_empty() {
            let time = stopwatch();
            self.observed.defragmenting.set(1);
            let defragmented = storage.defragment();
            self.observed.defragmenting.set(0);
            self.observed.defragmentations.observe(time());
            let outcome = match defragmented {
                Ok(()) => Ok(()),
                Err(StorageError::Full(_)) => Err(ServerError::NoSpace.into()),
                Err(error) => return Err(error),
            };
            for done in waiting {
                // Whoever gave up does not hear of it.
                let _ = done.send(outcome.clone());
            }
        }
        Ok(index)
    }

    /// The disk is full: the state becomes again what is on it, and what was applied since then is answered by that. Nobody
    /// saw any of it. The alarm is raised as the index after it, and stored if there is room for as much.
    ///
    /// Nobody waits while the storage is read or written: who writes while it is read loses that too.
    fn go_back(&self, storage: &mut dyn Storage) -> Result<u64, StorageError> {
        let stored = State::of_storage(Arc::clone(&self.config), storage, self.now())?;
        let mut state = self.state_mut();
        let lost = state.index;
        let before = state.go_back(stored, self.now());
        state.raise(AlarmType::NoSpace);
        let (alarm, _) = state.take_batch();
        drop(state);
        drop(before);
        self.commits().progress.send_modify(|progress| progress.lose(lost));
        self.leases_changed.notify_one();
        self.compacted.notify_one();
        match storage.commit(&alarm) {
            // It stays in memory until somebody clears it.
            Ok(()) | Err(StorageError::Full(_)) => {}
            Err(error) => return Err(error),
        }
        self.commits().progress.send_modify(|progress| progress.index = lost + 1);
        Ok(lost + 1)
    }

    /// Has the committer end once everything is durable.
    pub(crate) fn stop(&self) {
        self.commits().stopping.store(true, Ordering::Release);
        self.commits().wake();
    }
}
