//! The task that owns a channel's connections.
//!
//! It feeds the [`Balancer`] with what happens, carries out what the balancer asks for, and publishes a new [`Picker`]
//! after every change. One task per connection opens it, has the member answer on it, and watches over it; all of them
//! end with this one, and this one ends with the channel.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::balancer::{About, Action, Balancer, Candidates, Picker, Plan, SlotId};
use super::identity::Identity;
use super::link::{self, Link};
use super::token::Tokens;
use super::traits::{Connection, Transport};
use crate::clock::{self, Instant};
use crate::config::{Balance, Config, Endpoint, Endpoints};
use crate::error::Cause;
use crate::task::{self, Either, Task, race};

pub(super) type PickerOf<T> = Picker<Link<<T as Transport>::Connection>>;

/// What connections are made with; shared by the channel and its tasks.
#[derive(Debug)]
pub(super) struct Context<T> {
    pub(super) transport: T,
    pub(super) config: Config,
    pub(super) identity: Identity,
    pub(super) tokens: Tokens,
    closed: AtomicBool,
    closing: watch::Sender<bool>,
}

impl<T> Context<T> {
    pub(super) fn new(transport: T, config: Config, tokens: Tokens) -> Self {
        Self {
            transport,
            config,
            identity: Identity::default(),
            tokens,
            closed: AtomicBool::new(false),
            closing: watch::channel(false).0,
        }
    }

    /// Whether the client was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Has every driver end its connections. Nothing takes it back.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.closing.send_replace(true);
    }

    /// Waits until the client is closed.
    pub(super) async fn closing(&self) {
        // The sender lives as long as this.
        let _ = self.closing.subscribe().wait_for(|closed| *closed).await;
    }
}

/// How long a new connection waits for the member to introduce itself, once it has shown that it is alive.
const INTRODUCTION: Duration = Duration::from_millis(500);
/// How long a member that was frozen is given to find its way back to the others. It retries a read that got lost after
/// half a second (etcd's readIndexRetryTime), and reaches the others within a few tenths.
const RETURN: Duration = Duration::from_millis(1500);
/// How often a learner is asked whether it has been promoted, while somebody waits for a member that votes.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Room for what happens at once; tasks that find it full wait.
const EVENTS: usize = 64;

/// What callers want of the driver. However many ask at once, it looks once.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) endpoints: Endpoints,
    /// How often the endpoints were replaced.
    pub(super) edition: u64,
    /// How often a call found no member ready that would do.
    pub(super) wakes: u64,
}

/// What became of a connection.
#[derive(Debug)]
enum Event<C> {
    Ready(Arc<Link<C>>, About),
    /// A learner has become a voter.
    Promoted(Arc<Link<C>>),
    Failed(SlotId, Cause),
}

/// The ends that the pool keeps.
pub(super) struct Handles<T: Transport> {
    pub(super) wanted: watch::Sender<Wanted>,
    pub(super) picker: watch::Receiver<Arc<PickerOf<T>>>,
}

#[derive(Debug)]
pub(super) struct Driver<T: Transport> {
    context: Arc<Context<T>>,
    balance: Balance,
    balancer: Balancer,
    slots: HashMap<SlotId, Slot<T::Connection>>,
    /// Connections that were given up, on which calls under way finish, watched over by a task each.
    draining: Vec<(Weak<Link<T::Connection>>, Task)>,
    wanted: watch::Receiver<Wanted>,
    /// What was wanted when this looked last: the edition, and the wakes.
    seen: (u64, u64),
    events: mpsc::Receiver<Event<T::Connection>>,
    sender: mpsc::Sender<Event<T::Connection>>,
    picker: watch::Sender<Arc<PickerOf<T>>>,
}

/// A slot that is being connected or is up.
#[derive(Debug)]
struct Slot<C> {
    link: Option<Arc<Link<C>>>,
    /// When the member was last asked whether it is still a learner, and by whom.
    asked: Option<(Instant, Task)>,
    _task: Task,
}

impl<T: Transport> Driver<T> {
    pub(super) fn new(
        context: Arc<Context<T>>,
        endpoints: Endpoints,
        plan: Plan,
        balance: Balance,
    ) -> (Self, Handles<T>) {
        let balancer = Balancer::new(&endpoints, plan, clock::rng());
        let (sender, events) = mpsc::channel(EVENTS);
        let (wants, wanted) = watch::channel(Wanted { endpoints, edition: 0, wakes: 0 });
        let mut first = Picker::new(balance.clone(), clock::rng().usize(..));
        first.states = balancer.states();
        let (picker, receiver) = watch::channel(Arc::new(first));
        let handles = Handles { wanted: wants, picker: receiver };
        (
            Self {
                context,
                balance,
                balancer,
                slots: HashMap::new(),
                draining: Vec::new(),
                wanted,
                seen: (0, 0),
                events,
                sender,
                picker,
            },
            handles,
        )
    }

    pub(super) async fn run(mut self) {
        let context = Arc::clone(&self.context);
        let mut actions = Vec::new();
        self.look(&mut actions);
        loop {
            let next = self.balancer.poll(clock::now(), &mut actions);
            let changed = !actions.is_empty();
            for action in actions.drain(..) {
                self.carry_out(action);
            }
            if changed {
                self.publish();
            }
            let news = race(self.events.recv(), self.wanted.changed());
            match race(context.closing(), clock::until(next, news)).await {
                Either::First(()) => {
                    self.close();
                    return;
                }
                Either::Second(None) => {}
                Either::Second(Some(Either::First(Some(event)))) => {
                    self.take_in(event, &mut actions);
                }
                Either::Second(Some(Either::Second(Ok(())))) => self.look(&mut actions),
                // The pool is gone.
                Either::Second(Some(Either::First(None) | Either::Second(Err(_)))) => return,
            }
        }
    }

    /// Takes in what callers want.
    fn look(&mut self, actions: &mut Vec<Action>) {
        let (edition, wakes) = self.seen;
        {
            let wanted = self.wanted.borrow_and_update();
            self.seen = (wanted.edition, wanted.wakes);
            if wanted.edition != edition {
                self.balancer.set_endpoints(&wanted.endpoints, actions);
            }
        }
        let mut changed = self.seen.0 != edition;
        if self.seen.1 != wakes {
            // That a member is no voter, or is one now, shows in its answers to calls.
            for (id, slot) in &self.slots {
                if let Some(link) = &slot.link {
                    changed |= self.balancer.note_learner(*id, link.is_learner());
                }
            }
            self.balancer.wake(clock::now());
            self.ask_learners(clock::now());
        }
        if changed {
            self.publish();
        }
    }

    /// Asks members that are ready, but learners, whether they still are. One that was promoted gets no call by which it
    /// would show.
    fn ask_learners(&mut self, now: Instant) {
        for slot in self.slots.values_mut() {
            let Some(link) = slot.link.as_ref().filter(|link| link.is_learner()) else { continue };
            if slot.asked.as_ref().is_some_and(|(asked, _)| now < *asked + ASK_AGAIN) {
                continue;
            }
            let asking =
                ask_learner(Arc::clone(&self.context), Arc::clone(link), self.sender.clone());
            slot.asked = Some((now, task::spawn(asking)));
        }
    }

    fn take_in(&mut self, event: Event<T::Connection>, actions: &mut Vec<Action>) {
        let now = clock::now();
        match event {
            Event::Ready(link, about) => {
                let version = about.version.clone();
                if self.balancer.ready(link.slot, about, now, actions) {
                    tracing::info!(endpoint = %link.endpoint, version = version.as_deref(), "ready");
                    if let Some(slot) = self.slots.get_mut(&link.slot) {
                        slot.link = Some(link);
                    }
                    self.publish();
                }
            }
            Event::Promoted(link) => {
                link.mark_voter();
                if self.balancer.note_learner(link.slot, false) {
                    self.publish();
                }
            }
            Event::Failed(id, cause) => {
                if self.give_up(id) {
                    self.balancer.failed(id, cause, now);
                    self.publish();
                }
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Connect(id, endpoint) => {
                let task = task::spawn(connect_and_watch(
                    Arc::clone(&self.context),
                    id,
                    endpoint,
                    self.balancer.was_frozen(id),
                    self.sender.clone(),
                ));
                self.slots.insert(id, Slot { link: None, asked: None, _task: task });
            }
            Action::Drop(id) => {
                self.give_up(id);
            }
        }
    }

    /// Calls under way keep the link and finish on it; nothing new finds it.
    fn give_up(&mut self, id: SlotId) -> bool {
        let Some(slot) = self.slots.remove(&id) else { return false };
        self.draining.retain(|(link, _)| link.strong_count() > 0);
        if let Some(link) = slot.link {
            let left = Arc::downgrade(&link);
            self.draining.push((left, task::spawn(async move { link.drain().await })));
        }
        true
    }

    fn publish(&self) {
        let mut next = Picker::new(self.balance.clone(), self.picker.borrow().cursor());
        next.links = self
            .balancer
            .ready_slots()
            .filter_map(|id| self.slots.get(&id)?.link.clone())
            .collect();
        next.states = self.balancer.states();
        next.failures = self.balancer.failures();
        next.all_failed = self.balancer.all_failed();
        next.connecting = self.balancer.is_connecting();
        next.hopeless = self.balancer.is_hopeless();
        (next.edition, next.wakes) = self.seen;
        self.picker.send_replace(Arc::new(next));
    }

    fn close(&mut self) {
        let links = self.slots.drain().filter_map(|(_, slot)| slot.link);
        for link in links.chain(self.draining.drain(..).filter_map(|(link, _)| link.upgrade())) {
            link.connection.shut_down(Cause::Disconnected("the client was closed".into()));
        }
        let mut last = Picker::new(self.balance.clone(), 0);
        last.closed = true;
        self.picker.send_replace(Arc::new(last));
    }
}

/// The life of one slot's connection, told to the driver.
async fn connect_and_watch<T: Transport>(
    context: Arc<Context<T>>,
    id: SlotId,
    endpoint: Endpoint,
    was_frozen: bool,
    events: mpsc::Sender<Event<T::Connection>>,
) {
    let turn = endpoint.turn();
    let life = async {
        let deadline = clock::now() + context.config.timeouts.connect;
        let connected =
            clock::until(Some(deadline), connect(&context, id, &endpoint, was_frozen)).await;
        match connected.unwrap_or(Err(Cause::ConnectTimeout)) {
            Ok((link, about)) => {
                let link = Arc::new(link);
                // The driver is gone only if all of this is about to end as well.
                let _ = events.send(Event::Ready(Arc::clone(&link), about)).await;
                let cause = link.supervise().await;
                tracing::warn!(%endpoint, %cause, "lost");
                (cause, true)
            }
            Err(cause) => (cause, false),
        }
    };
    // A connector is the user's code. Its panic is one failed attempt, not the end of all attempts.
    let (cause, was_ready) = task::caught(life).await.unwrap_or_else(|| {
        let bug = "the attempt panicked: a bug in the connector, or in etcdkit";
        (Cause::Connect(bug.to_owned()), false)
    });
    // What was ready and was lost is looked for where it was: it restarts, say.
    if !(was_ready && matches!(cause, Cause::Disconnected(_))) {
        endpoint.pass_over_address(turn);
    }
    tracing::debug!(%endpoint, %cause, "not ready");
    let _ = events.send(Event::Failed(id, cause)).await;
}

/// Asks a learner whether it still is one.
async fn ask_learner<T: Transport>(
    context: Arc<Context<T>>,
    link: Arc<Link<T::Connection>>,
    events: mpsc::Sender<Event<T::Connection>>,
) {
    let token = context.tokens.current();
    let asked = link::introduce(&link.connection, token.as_ref().map(|token| &token.value));
    let answer = clock::until(Some(clock::now() + INTRODUCTION), asked).await;
    let Some((About { version: Some(_), learner: false, .. }, _)) = answer else { return };
    let _ = events.send(Event::Promoted(link)).await;
}

/// Opens a connection and has the member answer on it: only then is it ready.
async fn connect<T: Transport>(
    context: &Context<T>,
    id: SlotId,
    endpoint: &Endpoint,
    was_frozen: bool,
) -> Result<(Link<T::Connection>, About), Cause> {
    let connection = context.transport.connect(endpoint).await?;
    link::alive(&connection).await?;
    let token = context.tokens.current();
    let introduction = link::introduce(&connection, token.as_ref().map(|token| &token.value));
    let (about, cluster) =
        clock::until(Some(clock::now() + INTRODUCTION), introduction).await.unwrap_or_default();
    if let Some(cluster) = cluster {
        context.identity.admit(cluster)?;
    }
    if was_frozen {
        // The other members gave up their connections to it too. Until these are back, a write that it forwards to the
        // leader is lost, and holds its caller for seven seconds. If it can't reach a leader at all, it comes back as
        // any member without one.
        let returned = link::reaches_leader(&connection, token.as_ref().map(|token| &token.value));
        clock::until(Some(clock::now() + RETURN), returned).await.unwrap_or(Ok(()))?;
    }
    let settings = context.config.liveness.clone();
    let link = Link::new(id, endpoint.clone(), connection, &about, settings);
    Ok((link, about))
}

#[cfg(test)]
mod tests;
