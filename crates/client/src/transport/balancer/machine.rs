//! The state machine behind the balancer.

use std::sync::Arc;
use std::time::Duration;

use super::state::{EndpointState, EndpointStatus};
use crate::clock::Instant;
use crate::config::{Endpoint, Endpoints, Reconnect};
use crate::error::{Attempt, Cause};

/// One connection's place; never used again once its endpoint is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::transport) struct SlotId(u64);

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::transport) enum Action {
    /// Open a connection, have the member answer on it, and report back.
    Connect(SlotId, Endpoint),
    /// Give the slot up: end its connection or the attempt at one.
    Drop(SlotId),
}

/// What connections are kept up.
#[derive(Clone, Debug)]
pub(in crate::transport) struct Plan {
    pub(in crate::transport) spread: Spread,
    /// How many to an endpoint.
    pub(in crate::transport) connections: usize,
    pub(in crate::transport) demand: Demand,
    pub(in crate::transport) reconnect: Reconnect,
}

/// Which endpoints are connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Spread {
    Every,
    /// The first that has a voting member behind it (pick-first). Those before it get a head start each, not more: an
    /// endpoint that swallows packets must not hold up the rest (as in RFC 8305, "Happy Eyeballs").
    First,
}

/// For how long connections are tried for once they are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Demand {
    /// For good: a member that was lost is back before it is called again.
    Lasting,
    /// Until it failed: whoever calls next wakes it again.
    EachCall,
}

/// Keeps connections to endpoints, as planned.
#[derive(Debug)]
pub(in crate::transport) struct Balancer {
    plan: Plan,
    /// In the order in which they are tried where one is enough.
    members: Vec<Member>,
    /// Whether anyone wants connections.
    awake: bool,
    next_slot: u64,
    rng: fastrand::Rng,
}

#[derive(Debug)]
struct Member {
    endpoint: Endpoint,
    /// As long as none is ready, only one is tried: it finds out for all of them.
    slots: Vec<Slot>,
    last_failure: Option<Cause>,
    /// It stopped answering, and has not been ready since.
    frozen: bool,
    /// The last failure was one to become ready, for a reason that time does not mend.
    hopeless: bool,
    about: About,
}

/// What a member has told of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::transport) struct About {
    pub(in crate::transport) member_id: Option<u64>,
    pub(in crate::transport) version: Option<Arc<str>>,
    pub(in crate::transport) learner: bool,
}

#[derive(Debug)]
struct Slot {
    id: SlotId,
    state: State,
    /// Failures in a row.
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    Connecting {
        since: Instant,
    },
    Ready {
        since: Instant,
    },
    /// Failed; tried again at `until`.
    Waiting {
        until: Instant,
        failed: Instant,
    },
}

/// A connection that was up for this long has proven itself: the next failure starts back-off afresh.
const PROVEN_AFTER: Duration = Duration::from_secs(5);
/// When a call finds no member ready, pauses are cut so that none has been left alone for longer than this.
const HASTE: Duration = Duration::from_millis(500);
/// How long an endpoint is tried before the next is tried as well, where one is enough (RFC 8305, section 8).
const HEAD_START: Duration = Duration::from_millis(250);
/// How long a member that this client gave up for another one waits while others are tried: they may be farther away. They
/// may also lead nowhere, and then it is better than none.
const GIVES_WAY: Duration = Duration::from_secs(2);

impl Balancer {
    pub(in crate::transport) fn new(endpoints: &Endpoints, plan: Plan, rng: fastrand::Rng) -> Self {
        let mut balancer = Self { plan, members: Vec::new(), awake: false, next_slot: 0, rng };
        balancer.set_endpoints(endpoints, &mut Vec::new());
        balancer
    }

    /// Replaces the endpoints: those that stay keep their connections.
    pub(in crate::transport) fn set_endpoints(
        &mut self,
        endpoints: &Endpoints,
        actions: &mut Vec<Action>,
    ) {
        let mut old = std::mem::take(&mut self.members);
        for endpoint in endpoints.iter() {
            let kept = old.iter().position(|member| member.endpoint == *endpoint);
            let member = match kept {
                Some(index) => old.swap_remove(index),
                None => self.new_member(endpoint),
            };
            self.members.push(member);
        }
        actions.extend(old.iter().flat_map(|m| &m.slots).map(|slot| Action::Drop(slot.id)));
    }

    fn new_member(&mut self, endpoint: &Endpoint) -> Member {
        Member {
            endpoint: endpoint.clone(),
            slots: (0..self.plan.connections.max(1)).map(|_| self.new_slot()).collect(),
            last_failure: None,
            frozen: false,
            hopeless: false,
            about: About::default(),
        }
    }

    fn new_slot(&mut self) -> Slot {
        self.next_slot += 1;
        Slot { id: SlotId(self.next_slot), state: State::Idle, failures: 0 }
    }

    /// Someone wants a connection and finds none ready that will do.
    pub(in crate::transport) fn wake(&mut self, now: Instant) {
        self.awake = true;
        if self.members.iter().any(Member::serves_all) {
            return;
        }
        for slot in self.members.iter_mut().flat_map(|m| &mut m.slots) {
            if let State::Waiting { until, failed } = &mut slot.state {
                *until = (*until).min((*failed + HASTE).max(now));
            }
        }
    }

    /// The member answered on a new connection. `false` if the connection is not wanted any more: the slot is gone, or
    /// another member was faster where one is enough.
    pub(in crate::transport) fn ready(
        &mut self,
        id: SlotId,
        about: About,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some((index, slot)) = self.find(id) else { return false };
        if self.settled().is_some_and(|settled| settled != index) {
            self.let_go(index, actions);
            return false;
        }
        let member = &mut self.members[index];
        member.slots[slot].state = State::Ready { since: now };
        member.last_failure = None;
        member.hopeless = false;
        member.frozen = false;
        member.about = about;
        if self.settled() == Some(index) {
            (0..self.members.len())
                .filter(|other| *other != index)
                .for_each(|other| self.let_go(other, actions));
        }
        true
    }

    /// Notes whether the member behind a connection is a learner, which calls find out. Returns whether that is news.
    pub(in crate::transport) fn note_learner(&mut self, id: SlotId, learner: bool) -> bool {
        let Some((index, _)) = self.find(id) else { return false };
        let about = &mut self.members[index].about;
        std::mem::replace(&mut about.learner, learner) != learner
    }

    /// Ends the attempts at a member that is not needed. What they still tell is not heard: their slots have new ids.
    fn let_go(&mut self, index: usize, actions: &mut Vec<Action>) {
        for slot in 0..self.members[index].slots.len() {
            let State::Connecting { .. } = self.members[index].slots[slot].state else { continue };
            let fresh = self.new_slot();
            let old = std::mem::replace(&mut self.members[index].slots[slot], fresh);
            actions.push(Action::Drop(old.id));
        }
    }

    /// The connection was lost, or could not be opened.
    pub(in crate::transport) fn failed(&mut self, id: SlotId, cause: Cause, now: Instant) {
        let Some((index, slot)) = self.find(id) else { return };
        let member = &mut self.members[index];
        let slot = &mut member.slots[slot];
        let up = match slot.state {
            State::Ready { since } => Some(now.saturating_duration_since(since)),
            _ => None,
        };
        let proven = up.is_some_and(|up| up >= PROVEN_AFTER);
        slot.failures = if proven { 1 } else { slot.failures.saturating_add(1) };
        // A connection that ended in good order, a restart for instance, is opened again at once.
        let orderly = up.is_some() && !matches!(cause, Cause::Frozen | Cause::Left(_));
        let pause = match (slot.failures - u32::from(orderly)).checked_sub(1) {
            None => Duration::ZERO,
            Some(before) => self.plan.reconnect.pause(before, self.rng.f64()),
        };
        slot.state = State::Waiting { until: now + pause, failed: now };
        member.frozen |= cause == Cause::Frozen;
        member.hopeless = up.is_none() && cause.is_lasting();
        let left = matches!(cause, Cause::Left(_));
        member.last_failure = Some(cause);
        if left {
            // All the others come first.
            self.members[index..].rotate_left(1);
        }
        if self.plan.demand == Demand::EachCall && !self.any_ready() && !self.is_connecting() {
            self.awake = false;
        }
    }

    /// Starts what is due. Returns when to look again.
    pub(in crate::transport) fn poll(
        &mut self,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Option<Instant> {
        if !self.awake {
            return None;
        }
        match (self.plan.spread, self.settled()) {
            (Spread::Every, _) => {
                let later = self.members.iter_mut().map(|member| member.start(now, actions));
                later.flatten().min()
            }
            (Spread::First, Some(settled)) => self.members[settled].start(now, actions),
            (Spread::First, None) => self.start_one(now, actions),
        }
    }

    /// Starts an attempt at the first endpoint that is due, once the attempt before it has had its head start.
    fn start_one(&mut self, now: Instant, actions: &mut Vec<Action>) -> Option<Instant> {
        let slots = self.members.iter().flat_map(|member| &member.slots);
        let latest = slots.filter_map(|slot| match slot.state {
            State::Connecting { since } => Some(since),
            _ => None,
        });
        let latest = latest.max();
        let free = latest.map_or(now, |since| since + HEAD_START);
        if free > now {
            return Some(free);
        }
        let started = actions.len();
        let mut next: Option<Instant> = None;
        for member in self.members.iter_mut().filter(|member| !member.is_ready()) {
            let way = member.gives_way_until().filter(|until| latest.is_some() && *until > now);
            let later = way.or_else(|| member.start(now, actions));
            next = [next, later].into_iter().flatten().min();
            if actions.len() > started {
                return Some(now + HEAD_START);
            }
        }
        next
    }

    /// The one member that is connected to, where one is enough.
    fn settled(&self) -> Option<usize> {
        match self.plan.spread {
            Spread::Every => None,
            Spread::First => self.members.iter().position(Member::serves_all),
        }
    }

    /// Whether the slot's member stopped answering, and has not been ready since.
    pub(in crate::transport) fn was_frozen(&self, id: SlotId) -> bool {
        self.members
            .iter()
            .any(|member| member.frozen && member.slots.iter().any(|slot| slot.id == id))
    }

    /// The slots that calls may use.
    pub(in crate::transport) fn ready_slots(&self) -> impl Iterator<Item = SlotId> {
        self.members.iter().flat_map(|member| {
            member
                .slots
                .iter()
                .filter(|slot| matches!(slot.state, State::Ready { .. }))
                .map(|slot| slot.id)
        })
    }

    pub(in crate::transport) fn states(&self) -> Vec<EndpointState> {
        self.members.iter().map(Member::state).collect()
    }

    /// How each endpoint failed that is not ready, one line each.
    pub(in crate::transport) fn failures(&self) -> Vec<Attempt> {
        self.members
            .iter()
            .filter(|member| !member.is_ready())
            .filter_map(|member| {
                let cause = member.last_failure.clone()?;
                Some(Attempt::new(Arc::clone(member.endpoint.name()), cause))
            })
            .collect()
    }

    /// Whether every endpoint has been tried and has failed since it was last ready.
    pub(in crate::transport) fn all_failed(&self) -> bool {
        self.members.iter().all(|member| !member.is_ready() && member.last_failure.is_some())
    }

    /// Whether a connection is being opened.
    pub(in crate::transport) fn is_connecting(&self) -> bool {
        let mut slots = self.members.iter().flat_map(|member| &member.slots);
        slots.any(Slot::is_connecting)
    }

    /// Whether no endpoint can become ready, however long anyone waits: each fails for a reason that time does not mend.
    ///
    /// What was ready and then broke the protocol, say, deserves another attempt first.
    pub(in crate::transport) fn is_hopeless(&self) -> bool {
        self.members.iter().all(|member| !member.is_ready() && member.hopeless)
    }

    fn any_ready(&self) -> bool {
        self.members.iter().any(Member::is_ready)
    }

    /// The positions of the slot's member and of the slot in it.
    fn find(&self, id: SlotId) -> Option<(usize, usize)> {
        self.members.iter().enumerate().find_map(|(index, member)| {
            let slot = member.slots.iter().position(|slot| slot.id == id)?;
            Some((index, slot))
        })
    }
}

impl Slot {
    fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting { .. })
    }
}

impl Member {
    fn is_ready(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot.state, State::Ready { .. }))
    }

    /// Whether it is ready for every kind of call.
    fn serves_all(&self) -> bool {
        self.is_ready() && !self.about.learner
    }

    /// Until when attempts at other members are not disturbed, if it was left for one of them.
    fn gives_way_until(&self) -> Option<Instant> {
        let left = matches!(self.last_failure, Some(Cause::Left(_)));
        let failed = self.slots.iter().filter_map(|slot| match slot.state {
            State::Waiting { failed, .. } => Some(failed + GIVES_WAY),
            _ => None,
        });
        failed.max().filter(|_| left)
    }

    /// Starts what is due. Returns when something else will be.
    fn start(&mut self, now: Instant, actions: &mut Vec<Action>) -> Option<Instant> {
        let wanted = match self.is_ready() {
            true => self.slots.len(),
            false if self.slots.iter().any(Slot::is_connecting) => 0,
            false => 1,
        };
        let mut next: Option<Instant> = None;
        for slot in &mut self.slots[..wanted] {
            match slot.state {
                State::Waiting { until, .. } if until > now => {
                    next = Some(next.map_or(until, |next| next.min(until)));
                }
                State::Idle | State::Waiting { .. } => {
                    slot.state = State::Connecting { since: now };
                    actions.push(Action::Connect(slot.id, self.endpoint.clone()));
                }
                State::Connecting { .. } | State::Ready { .. } => {}
            }
        }
        next
    }

    fn state(&self) -> EndpointState {
        let status = if self.is_ready() {
            EndpointStatus::Ready
        } else if let Some(cause) = &self.last_failure {
            EndpointStatus::Failed(cause.clone())
        } else if self.slots.iter().any(Slot::is_connecting) {
            EndpointStatus::Connecting
        } else {
            EndpointStatus::Idle
        };
        EndpointState {
            endpoint: Arc::clone(self.endpoint.name()),
            status,
            member_id: self.about.member_id,
            version: self.about.version.clone(),
            learner: self.about.learner,
        }
    }
}
