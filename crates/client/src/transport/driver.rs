//! The task that owns a channel's connections.
//!
//! It feeds the [`Balancer`] with what happens, carries out what the balancer asks for, and publishes a new [`Picker`]
//! after every change. One task per connection opens it, has the member answer on it, and watches over it; all of them
//! end with this one, and this one ends with the channel.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::balancer::{About, Action, Balancer, Picker, SlotId};
use super::identity::Identity;
use super::link::{self, Link};
use super::token::Tokens;
use super::traits::{Connection, Transport};
use crate::clock;
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
/// Room for what happens at once; tasks that find it full wait.
const EVENTS: usize = 64;

/// What the driver is told.
#[derive(Debug)]
pub(super) enum Event<C> {
    /// A call found no member ready.
    Wake,
    /// Other endpoints; the sender is dropped when no call goes to the old ones any more.
    SetEndpoints(Endpoints, oneshot::Sender<()>),
    Ready(Arc<Link<C>>, About),
    Failed(SlotId, Cause),
}

/// The ends that the channel keeps.
#[derive(Debug)]
pub(super) struct Handles<T: Transport> {
    pub(super) events: mpsc::Sender<Event<T::Connection>>,
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
    events: mpsc::Receiver<Event<T::Connection>>,
    sender: mpsc::Sender<Event<T::Connection>>,
    picker: watch::Sender<Arc<PickerOf<T>>>,
}

/// A slot that is being connected or is up.
#[derive(Debug)]
struct Slot<C> {
    link: Option<Arc<Link<C>>>,
    _task: Task,
}

impl<T: Transport> Driver<T> {
    pub(super) fn new(
        context: Arc<Context<T>>,
        balancer: Balancer,
        balance: Balance,
    ) -> (Self, Handles<T>) {
        let (sender, events) = mpsc::channel(EVENTS);
        let mut first = Picker::new(balance.clone(), clock::rng().usize(..));
        first.states = balancer.states();
        let (picker, receiver) = watch::channel(Arc::new(first));
        let handles = Handles { events: sender.clone(), picker: receiver };
        (
            Self {
                context,
                balance,
                balancer,
                slots: HashMap::new(),
                draining: Vec::new(),
                events,
                sender,
                picker,
            },
            handles,
        )
    }

    pub(super) async fn run(mut self) {
        let mut actions = Vec::new();
        loop {
            let next = self.balancer.poll(clock::now(), &mut actions);
            let changed = !actions.is_empty();
            for action in actions.drain(..) {
                self.carry_out(action);
            }
            if changed {
                self.publish();
            }
            let context = Arc::clone(&self.context);
            match race(context.closing(), clock::until(next, self.events.recv())).await {
                Either::First(()) => {
                    self.close();
                    return;
                }
                Either::Second(None) => {}
                Either::Second(Some(None)) => return,
                Either::Second(Some(Some(event))) => self.take_in(event, &mut actions),
            }
        }
    }

    fn take_in(&mut self, event: Event<T::Connection>, actions: &mut Vec<Action>) {
        let now = clock::now();
        match event {
            Event::Wake => self.balancer.wake(now),
            Event::SetEndpoints(endpoints, done) => {
                self.balancer.set_endpoints(&endpoints, actions);
                self.publish();
                drop(done);
            }
            Event::Ready(link, about) => {
                tracing::info!(endpoint = %link.endpoint, version = about.version.as_deref(), "ready");
                if self.balancer.ready(link.slot, about, now) {
                    if let Some(slot) = self.slots.get_mut(&link.slot) {
                        slot.link = Some(link);
                    }
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
                self.slots.insert(id, Slot { link: None, _task: task });
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
    let deadline = clock::now() + context.config.timeouts.connect;
    let connected =
        clock::until(Some(deadline), connect(&context, id, &endpoint, was_frozen)).await;
    let cause = match connected.unwrap_or(Err(Cause::ConnectTimeout)) {
        Ok((link, about)) => {
            let link = Arc::new(link);
            // The driver is gone only if all of this is about to end as well.
            let _ = events.send(Event::Ready(Arc::clone(&link), about)).await;
            let cause = link.supervise().await;
            tracing::warn!(%endpoint, %cause, "lost");
            cause
        }
        Err(cause) => cause,
    };
    tracing::debug!(%endpoint, %cause, "not ready");
    let _ = events.send(Event::Failed(id, cause)).await;
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
    let link = Link::new(id, endpoint.clone(), connection, about.learner, settings);
    Ok((link, about))
}
