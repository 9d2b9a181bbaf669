//! The state behind its lock, and what waits until a change is durable.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Poll;

use etcdkit_proto::Code;
use tokio::sync::{Notify, watch};

use crate::auth::Who;
use crate::caller::Caller;
use crate::clock::Clock;
use crate::config::Config;
use crate::fault::Faults;
use crate::lease::Now;
use crate::state::State;
use crate::status::{Result, Status};
use crate::storage::{Storage, StorageError};
use crate::task;

/// One member, as its services see it.
pub(crate) struct Node {
    state: RwLock<State>,
    pub(crate) clock: Clock,
    pub(crate) config: Arc<Config>,
    pub(crate) faults: Faults,
    /// Whether answers wait for the committer.
    durable: bool,
    committed: watch::Sender<Committed>,
    applied: Notify,
    stopping: AtomicBool,
    /// A lease was granted or renewed, or ended.
    pub(crate) leases_changed: Notify,
    /// A compaction has something to remove.
    pub(crate) compacted: Notify,
    /// The revision that the last finished removal was for.
    pub(crate) removed: watch::Sender<i64>,
}

/// How far the storage is.
#[derive(Clone, Debug)]
struct Committed {
    index: u64,
    broken: Option<Arc<str>>,
}

impl Node {
    pub(crate) fn new(state: State, clock: Clock, durable: bool) -> Self {
        let committed = Committed { index: state.index, broken: None };
        Self {
            config: Arc::clone(&state.config),
            state: RwLock::new(state),
            faults: Faults::new(),
            clock,
            durable,
            committed: watch::Sender::new(committed),
            applied: Notify::new(),
            stopping: AtomicBool::new(false),
            leases_changed: Notify::new(),
            compacted: Notify::new(),
            removed: watch::Sender::new(0),
        }
    }

    /// The time for leases and tokens.
    pub(crate) fn now(&self) -> Now {
        self.clock.elapsed()
    }

    /// The state, to be read. What is read of anything but keys may not be durable yet; see [`read`](Self::read).
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        // A panic under the lock is a defect of ours. What it left is still the best answer there is.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for what changes nothing that is stored: watchers, and removing what was compacted.
    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a request. The answer comes when what it did is durable; a refusal need not wait.
    ///
    /// Dropping the future does not undo what was applied.
    pub(crate) async fn write<T>(&self, apply: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let (outcome, index) = self.apply(apply);
        let answer = outcome?;
        self.durable(index).await?;
        Ok(answer)
    }

    fn apply<T>(&self, apply: impl FnOnce(&mut State) -> Result<T>) -> (Result<T>, u64) {
        let mut state = self.state_mut();
        let outcome = apply(&mut state);
        state.applied();
        if self.durable {
            self.applied.notify_one();
        } else {
            let revision = state.store.revision();
            state.publish(revision);
        }
        (outcome, state.index)
    }

    /// Reads anything but keys. The answer comes when what it saw is durable.
    pub(crate) async fn read<T>(&self, read: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        let (answer, index) = {
            let state = self.state();
            (read(&state)?, state.index)
        };
        self.durable(index).await?;
        Ok(answer)
    }

    /// As [`write`](Self::write), for who calls.
    pub(crate) async fn write_as<T>(
        &self,
        caller: &Caller,
        apply: impl FnOnce(&mut State, Option<&Who>) -> Result<T>,
    ) -> Result<T> {
        self.write(|state| {
            let who = state.who(caller, self.now())?;
            apply(state, who.as_ref())
        })
        .await
    }

    /// As [`read`](Self::read), for who calls.
    pub(crate) async fn read_as<T>(
        &self,
        caller: &Caller,
        read: impl FnOnce(&State, Option<&Who>) -> Result<T>,
    ) -> Result<T> {
        self.read(|state| {
            let who = state.who(caller, self.now())?;
            read(state, who.as_ref())
        })
        .await
    }

    /// Applies a request whose outcome nobody waits for.
    pub(crate) fn apply_as<T>(
        &self,
        caller: &Caller,
        apply: impl FnOnce(&mut State, Option<&Who>) -> Result<T>,
    ) {
        let _ = self.apply(|state| {
            let who = state.who(caller, self.now())?;
            apply(state, who.as_ref())
        });
    }

    /// Ends the leases that have expired, each as a request of its own.
    pub(crate) async fn expire(&self) -> Result<()> {
        let now = self.now();
        while self.state().lessor.expired(now).is_some() {
            self.write(|state| Ok(state.expire(now))).await?;
        }
        Ok(())
    }

    async fn durable(&self, index: u64) -> Result<()> {
        if !self.durable {
            return Ok(());
        }
        let mut committed = self.committed.subscribe();
        let reached = committed.wait_for(|now| now.broken.is_some() || now.index >= index).await;
        // The sender lives as long as the node.
        let broken = reached.ok().and_then(|now| now.broken.clone());
        match broken {
            Some(why) => {
                Err(Status::new(Code::Unavailable, format!("etcdserver: storage is broken: {why}")))
            }
            None => Ok(()),
        }
    }

    /// Makes what is applied durable, batch by batch: all that came while the last one was on its way.
    pub(crate) async fn commit(self: &Arc<Self>, mut storage: Box<dyn Storage>) {
        loop {
            self.applied.notified().await;
            let (batch, revision, index) = {
                let mut state = self.state_mut();
                let (batch, revision) = state.take_batch();
                (batch, revision, state.index)
            };
            let work = task::blocking(move || {
                let outcome = if batch.is_empty() { Ok(()) } else { storage.commit(&batch) };
                (storage, outcome)
            });
            let outcome = match work.await {
                Ok((kept, outcome)) => {
                    storage = kept;
                    outcome
                }
                Err(status) => {
                    return self.broken(&StorageError::Broken(status.to_string()));
                }
            };
            match outcome {
                Ok(()) => {
                    self.state_mut().publish(revision);
                    self.committed.send_modify(|committed| committed.index = index);
                }
                Err(error) => return self.broken(&error),
            }
            if self.stopping.load(Ordering::Acquire) && self.state().index == index {
                return;
            }
        }
    }

    /// Serves a connection as long as nobody wants it broken.
    pub(crate) async fn while_connected(&self, serving: impl Future<Output = ()>) {
        let mut dropped = pin!(self.faults.connections_dropped());
        let mut serving = pin!(serving);
        poll_fn(|context| {
            if dropped.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            serving.as_mut().poll(context)
        })
        .await;
    }

    /// Has the committer end once everything is durable.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.applied.notify_one();
    }

    /// Nobody knows what is durable from here on: every answer is an error.
    fn broken(&self, error: &StorageError) {
        let why = Arc::from(error.to_string());
        self.committed.send_modify(|committed| committed.broken = Some(why));
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hub = &self.state().hub;
        f.debug_struct("Node")
            .field("durable", &self.durable)
            .field("watch_streams", &hub.streams())
            .field("watchers", &hub.len())
            .field("lagging", &hub.lagging())
            .finish_non_exhaustive()
    }
}
