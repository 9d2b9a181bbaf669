//! Connections to a set of endpoints, and the one that serves the next call.
//!
//! A pool is the caller's end of a [`Driver`]: it starts it, tells it what is wanted, and reads what it publishes. A
//! channel has one for its calls, one for its long-lived streams, so that large answers can't starve them, and one for
//! each endpoint that somebody addressed by name.

use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::balancer::{
    Candidates, Demand, EndpointState, EndpointStates, EndpointStatus, Plan, SlotId, Spread, Want,
};
use super::driver::{ASK_AGAIN, Context, Driver, Handles, PickerOf, Wanted};
use super::link::Link;
use super::traits::Transport;
use crate::clock::{self, Instant};
use crate::config::{Balance, Endpoints};
use crate::error::{Attempt, Cause, Error, ErrorKind, Result};
use crate::service::unfold;
use crate::task::{self, Either, Task, race};

/// The pool for a call.
pub(crate) enum PoolRef<'a, T: Transport> {
    Shared(&'a Pool<T>),
    Visited(Arc<Pool<T>>),
}

impl<T: Transport> PoolRef<'_, T> {
    /// The pool of an endpoint that was called by name, which lives as long as somebody holds it.
    pub(super) fn visited(&self) -> Option<Arc<Pool<T>>> {
        match self {
            Self::Shared(_) => None,
            Self::Visited(pool) => Some(Arc::clone(pool)),
        }
    }
}

impl<T: Transport> Deref for PoolRef<'_, T> {
    type Target = Pool<T>;

    fn deref(&self) -> &Pool<T> {
        match self {
            Self::Shared(pool) => pool,
            Self::Visited(pool) => pool,
        }
    }
}

/// Connections to a set of endpoints. Its task ends with it.
pub(crate) struct Pool<T: Transport> {
    context: Arc<Context<T>>,
    wanted: watch::Sender<Wanted>,
    picker: watch::Receiver<Arc<PickerOf<T>>>,
    /// The driver until it is started.
    dormant: Mutex<Option<Driver<T>>>,
    task: OnceLock<Option<Task>>,
    demand: Demand,
}

impl<T: Transport> Pool<T> {
    /// A pool that has not connected yet.
    ///
    /// A call that finds every endpoint failing waits until its deadline where the demand is lasting, for a member may
    /// come back; otherwise it says so, once each has failed while it waited.
    pub(super) fn new(
        context: &Arc<Context<T>>,
        endpoints: Endpoints,
        connections: usize,
        balance: Balance,
        demand: Demand,
    ) -> Self {
        let spread =
            if matches!(balance, Balance::PickFirst) { Spread::First } else { Spread::Every };
        let reconnect = context.config.reconnect.clone();
        let plan = Plan { spread, connections, demand, reconnect };
        let (driver, handles) = Driver::new(Arc::clone(context), endpoints, plan, balance);
        let Handles { wanted, picker } = handles;
        Self {
            context: Arc::clone(context),
            wanted,
            picker,
            dormant: Mutex::new(Some(driver)),
            task: OnceLock::new(),
            demand,
        }
    }

    /// A ready connection for a call, if there is one now.
    pub(super) fn pick(
        &self,
        want: Want<'_>,
        now: Instant,
    ) -> Result<Option<Arc<Link<T::Connection>>>> {
        let picker = self.picker.borrow();
        if picker.closed || self.context.is_closed() {
            return Err(Error::closed());
        }
        if picker.is_custom() {
            // A user's policy may look at the states of the endpoints, which takes the same lock.
            let snapshot = Arc::clone(&picker);
            drop(picker);
            return Ok(snapshot.pick(want, now).cloned());
        }
        Ok(picker.pick(want, now).cloned())
    }

    /// Waits until there is a ready connection for a call.
    pub(super) async fn wait_for_link(&self, want: Want<'_>) -> Result<Arc<Link<T::Connection>>> {
        let mut picker = self.picker.clone();
        let mut woken = None;
        loop {
            picker.mark_unchanged();
            if let Some(link) = self.pick(want, clock::now())? {
                return Ok(link);
            }
            if let Some(error) = self.in_vain(woken) {
                if self.demand == Demand::Lasting {
                    // The next call may find that it was mended.
                    self.wake()?;
                }
                return Err(error);
            }
            let wake = self.wake()?;
            woken.get_or_insert(wake);
            // A learner that is promoted does not say so by itself.
            let again = self.has_learner().then(|| clock::now() + ASK_AGAIN);
            if let Some(Err(_)) = clock::until(again, picker.changed()).await {
                return Err(abandoned());
            }
        }
    }

    /// Whether a learner is ready.
    fn has_learner(&self) -> bool {
        self.picker.borrow().links.iter().any(|link| link.is_learner())
    }

    /// The ready connections to the member of `link`.
    pub(super) fn slots_beside(&self, link: &Link<T::Connection>) -> Vec<SlotId> {
        let picker = self.picker.borrow();
        let same = picker.links.iter().filter(|other| other.same_member(link));
        same.map(|link| link.slot).collect()
    }

    /// Whether a connection that a call was not unlucky with is ready.
    pub(super) fn has_untried(&self, want: Want<'_>) -> bool {
        let picker = self.picker.borrow();
        picker
            .links
            .iter()
            .any(|link| !want.avoid.contains(&link.slot) && (want.learner || !link.is_learner()))
    }

    /// Whether every endpoint is ready.
    pub(super) fn is_complete(&self) -> bool {
        self.picker.borrow().states.iter().all(EndpointState::is_ready)
    }

    /// The connections that are ready now.
    pub(super) fn links(&self) -> Vec<Arc<Link<T::Connection>>> {
        self.picker.borrow().links.clone()
    }

    /// An error, if there is nothing to wait for: every endpoint fails for a reason that time does not mend, or, where
    /// nobody tries between calls, has failed since this one `woke` the driver.
    fn in_vain(&self, woke: Option<u64>) -> Option<Error> {
        let picker = self.picker.borrow();
        let tried = woke.is_some_and(|wake| picker.wakes >= wake)
            && picker.all_failed
            && !picker.connecting;
        let message = match self.demand {
            Demand::EachCall if !tried => return None,
            _ if picker.hopeless => "no endpoint can be used",
            Demand::EachCall => "the endpoint can't be connected to",
            Demand::Lasting => return None,
        };
        let kind = match picker.failures.first().map(Attempt::cause) {
            Some(Cause::OtherCluster(_)) => ErrorKind::ClusterChanged,
            _ => ErrorKind::Unavailable,
        };
        Some(Error::new(kind, message).with_attempts(picker.failures.clone()))
    }

    /// Tells the driver, starting it if need be, that someone wants a connection. Returns how often that was said.
    fn wake(&self) -> Result<u64> {
        self.start();
        if self.wanted.is_closed() {
            return Err(if self.context.is_closed() { Error::closed() } else { abandoned() });
        }
        let mut wakes = 0;
        self.wanted.send_modify(|wanted| {
            wanted.wakes += 1;
            wakes = wanted.wakes;
        });
        Ok(wakes)
    }

    fn start(&self) {
        self.task.get_or_init(|| {
            let driver = self.dormant.lock().unwrap_or_else(PoisonError::into_inner).take();
            driver.map(|driver| task::spawn(driver.run()))
        });
    }

    /// Waits until every endpoint is ready or has failed; what takes longer than `patience` counts as out of reach.
    pub(super) async fn all_tried(&self, patience: Duration) {
        let mut picker = self.picker.clone();
        let tried = picker.wait_for(|picker| {
            let tried = |state: &EndpointState| {
                matches!(state.status(), EndpointStatus::Ready | EndpointStatus::Failed(_))
            };
            picker.closed || picker.states.iter().all(tried)
        });
        let _ = clock::until(Some(clock::now() + patience), tried).await;
    }

    /// Waits for one ready member; fails once every endpoint has been tried in vain.
    pub(super) async fn connected(&self) -> Result<()> {
        let mut picker = self.picker.clone();
        let wait = async {
            self.wake()?;
            loop {
                {
                    let now = picker.borrow_and_update();
                    if now.closed {
                        return Err(Error::closed());
                    }
                    if !now.links.is_empty() {
                        return Ok(());
                    }
                    if now.all_failed {
                        let message = "no endpoint could be connected to";
                        return Err(Error::new(ErrorKind::Unavailable, message)
                            .with_attempts(now.failures.clone()));
                    }
                }
                if picker.changed().await.is_err() {
                    return Err(abandoned());
                }
            }
        };
        // A member that takes all of the time has not failed yet when it is over.
        let grace = Duration::from_millis(100);
        let deadline = clock::now() + self.context.config.timeouts.connect + grace;
        clock::until(Some(deadline), wait).await.unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Unavailable, "no endpoint could be connected to in time")
                .with_attempts(self.unreached()))
        })
    }

    /// Waits until the client is closed and this pool has ended its connections.
    pub(super) async fn closed(&self) {
        self.context.closing().await;
        if self.task.get().is_some() {
            // It ends so, or with its runtime.
            let _ = self.picker.clone().wait_for(|picker| picker.closed).await;
        }
    }

    /// Replaces the endpoints. Returns what tells the replacement from others.
    pub(super) fn replace_endpoints(&self, endpoints: Endpoints) -> u64 {
        let mut edition = 0;
        self.wanted.send_modify(|wanted| {
            wanted.endpoints = endpoints;
            wanted.edition += 1;
            edition = wanted.edition;
        });
        edition
    }

    /// Waits until no call goes to the endpoints from before that replacement any more.
    pub(super) async fn replaced(&self, edition: u64) -> Result<()> {
        self.start();
        let mut picker = self.picker.clone();
        let replaced = picker.wait_for(|picker| picker.closed || picker.edition >= edition).await;
        match replaced {
            Ok(picker) if picker.closed => Err(Error::closed()),
            Ok(_) => Ok(()),
            Err(_) => Err(abandoned()),
        }
    }

    /// What is known of each endpoint now.
    pub(super) fn states(&self) -> Vec<EndpointState> {
        self.picker.borrow().states.clone()
    }

    /// The states now, and again after each change.
    pub(super) fn watch_states(&self) -> EndpointStates {
        let mut picker = self.picker.clone();
        picker.mark_changed();
        let context = Arc::clone(&self.context);
        EndpointStates::new(unfold((picker, context), |(mut picker, context)| async {
            // A pool that was never used has nobody to publish that it is closed.
            match race(picker.changed(), context.closing()).await {
                Either::First(changed) => changed.ok()?,
                Either::Second(()) => return None,
            }
            let (states, closed) = {
                let now = picker.borrow_and_update();
                (now.states.clone(), now.closed)
            };
            (!closed).then_some((states, (picker, context)))
        }))
    }

    /// How the endpoints that are not ready failed.
    pub(super) fn failures(&self) -> Vec<Attempt> {
        self.picker.borrow().failures.clone()
    }

    /// How each endpoint failed so far, and which ones are still being connected to.
    fn unreached(&self) -> Vec<Attempt> {
        let states = self.states();
        let pending = states.iter().filter(|state| {
            matches!(state.status(), EndpointStatus::Idle | EndpointStatus::Connecting)
        });
        let pending =
            pending.map(|state| Attempt::new(Arc::clone(&state.endpoint), Cause::ConnectTimeout));
        self.failures().into_iter().chain(pending).collect()
    }

    /// Whether the task ended with the runtime that it ran in.
    pub(super) fn is_abandoned(&self) -> bool {
        !self.context.is_closed() && self.picker.has_changed().is_err()
    }
}

/// The driver ended though the channel is not closed: its runtime is gone.
pub(super) fn abandoned() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the runtime that this client was first used in has ended: make a client per runtime",
    )
}
