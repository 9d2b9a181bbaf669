//! The state behind its lock, and what waits until a change is durable.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Poll;

use tokio::sync::{Notify, watch};

use crate::auth::Who;
use crate::auth::password::Passwords;
use crate::budget::Total;
use crate::caller::Caller;
use crate::clock::Clock;
use crate::commit::{Commits, refusal};
use crate::config::Config;
use crate::fault::Faults;
use crate::grpc::Counts;
use crate::lease::Now;
use crate::observed::Observed;
use crate::state::State;
use crate::status::Result;

/// One member, as its services see it.
pub(crate) struct Node {
    state: RwLock<State>,
    pub(crate) clock: Clock,
    pub(crate) config: Arc<Config>,
    pub(crate) faults: Faults,
    pub(crate) counts: Counts,
    pub(crate) observed: Observed,
    /// What is held for clients.
    pub(crate) held: Arc<Total>,
    pub(crate) passwords: Passwords,
    /// Whether answers wait for the committer.
    durable: bool,
    commits: Commits,
    /// A lease was granted or renewed, or ended.
    pub(crate) leases_changed: Notify,
    /// A compaction has something to remove.
    pub(crate) compacted: Notify,
    /// The revision that the last finished removal was for.
    pub(crate) removed: watch::Sender<i64>,
}

impl Node {
    pub(crate) fn new(state: State, clock: Clock, durable: bool) -> Self {
        let commits = Commits::new(state.index);
        Self {
            config: Arc::clone(&state.config),
            state: RwLock::new(state),
            faults: Faults::new(),
            counts: Counts::default(),
            observed: Observed::default(),
            held: Arc::default(),
            passwords: Passwords::default(),
            clock,
            durable,
            commits,
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

    /// Whether somebody has the state to change it.
    #[cfg(all(test, feature = "disk"))]
    pub(crate) fn is_locked(&self) -> bool {
        self.state.try_read().is_err()
    }

    /// Applies a request. The answer comes when what it did is durable, and a refusal when what it rests on is.
    ///
    /// Dropping the future does not undo what was applied.
    pub(crate) async fn write<T>(&self, apply: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let (outcome, index) = self.apply(apply);
        self.durable(index).await?;
        outcome
    }

    fn apply<T>(&self, apply: impl FnOnce(&mut State) -> Result<T>) -> (Result<T>, u64) {
        let mut state = self.state_mut();
        let outcome = apply(&mut state);
        state.applied();
        if self.durable {
            self.commits.wake();
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
        let mut last = None;
        while self.state().lessor.expired(now).is_some() {
            last = Some(self.apply(|state| Ok(state.expire(now))).1);
            tokio::task::yield_now().await;
        }
        // They share their syncs.
        match last {
            Some(last) => self.durable(last).await,
            None => Ok(()),
        }
    }

    /// Waits until what was applied as `index` is durable.
    pub(crate) async fn durable(&self, index: u64) -> Result<()> {
        if self.durable { self.commits.settled(index).await } else { Ok(()) }
    }

    /// Whether answers wait for a storage.
    pub(crate) const fn is_durable(&self) -> bool {
        self.durable
    }

    pub(crate) const fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Serves a call as long as the storage is not broken. What is on its way then ends with that.
    pub(crate) async fn while_intact<T>(
        &self,
        serving: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if !self.durable {
            return serving.await;
        }
        let mut failing = pin!(self.commits.failed());
        let mut serving = pin!(serving);
        poll_fn(|context| {
            self.commits.intact()?;
            // Most calls are done at the first attempt, and wait for nothing.
            if let Poll::Ready(outcome) = serving.as_mut().poll(context) {
                return Poll::Ready(outcome);
            }
            failing.as_mut().poll(context).map(|why| Err(refusal(&why)))
        })
        .await
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
