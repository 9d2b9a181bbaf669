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

/// Keeps one connection, or several, to each endpoint that is wanted.
#[derive(Debug)]
pub(in crate::transport) struct Balancer {
    members: Vec<Member>,
    /// Whether anyone wants connections yet.
    awake: bool,
    /// Whether one connection at a time is enough (pick-first).
    one_at_a_time: bool,
    connections: usize,
    reconnect: Reconnect,
    next_slot: u64,
    rng: fastrand::Rng,
}

#[derive(Debug)]
struct Member {
    endpoint: Endpoint,
    slots: Vec<Slot>,
    /// Failures in a row, over all slots of the member.
    failures: u32,
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

/// Where one connection is enough, an attempt that takes so long has company: a frozen member takes connections and says
/// nothing, and the others may be well.
const PATIENCE: Duration = Duration::from_millis(500);

impl Balancer {
    pub(in crate::transport) fn new(
        endpoints: &Endpoints,
        connections: usize,
        one_at_a_time: bool,
        reconnect: Reconnect,
        rng: fastrand::Rng,
    ) -> Self {
        let mut balancer = Self {
            members: Vec::new(),
            awake: false,
            one_at_a_time,
            connections: connections.max(1),
            reconnect,
            next_slot: 0,
            rng,
        };
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
        let slots = (0..self.connections)
            .map(|_| {
                self.next_slot += 1;
                Slot { id: SlotId(self.next_slot), state: State::Idle }
            })
            .collect();
        Member {
            endpoint: endpoint.clone(),
            slots,
            failures: 0,
            last_failure: None,
            frozen: false,
            hopeless: false,
            about: About::default(),
        }
    }

    /// Someone wants a connection and finds none ready.
    pub(in crate::transport) fn wake(&mut self, now: Instant) {
        self.awake = true;
        if self.any_ready() {
            return;
        }
        for slot in self.members.iter_mut().flat_map(|m| &mut m.slots) {
            if let State::Waiting { until, failed } = &mut slot.state {
                *until = (*until).min((*failed + HASTE).max(now));
            }
        }
    }

    /// The member answered on a new connection. `false` if the slot is gone: the connection is not wanted any more.
    pub(in crate::transport) fn ready(&mut self, id: SlotId, about: About, now: Instant) -> bool {
        let Some((member, slot)) = self.find(id) else { return false };
        member.slots[slot].state = State::Ready { since: now };
        member.last_failure = None;
        member.hopeless = false;
        member.frozen = false;
        member.about = about;
        true
    }

    /// The connection was lost, or could not be opened.
    pub(in crate::transport) fn failed(&mut self, id: SlotId, cause: Cause, now: Instant) {
        let Some((member, slot)) = self.find(id) else { return };
        let proven = matches!(
            member.slots[slot].state,
            State::Ready { since } if now.saturating_duration_since(since) >= PROVEN_AFTER
        );
        let was_ready = matches!(member.slots[slot].state, State::Ready { .. });
        member.failures = if proven { 1 } else { member.failures.saturating_add(1) };
        // A connection that ended in good order, a restart for instance, is opened again at once.
        let failures =
            if was_ready && cause != Cause::Frozen { member.failures - 1 } else { member.failures };
        member.frozen |= cause == Cause::Frozen;
        member.hopeless = !was_ready && cause.is_lasting();
        member.last_failure = Some(cause);
        let pause = match failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(before) => self.reconnect.pause(before, self.rng.f64()),
        };
        if let Some((member, slot)) = self.find(id) {
            member.slots[slot].state = State::Waiting { until: now + pause, failed: now };
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
        let mut next: Option<Instant> = None;
        let mut busy = self.one_at_a_time && self.any_ready();
        if self.one_at_a_time && !busy {
            let slots = self.members.iter().flat_map(|member| &member.slots);
            let connecting = slots.filter_map(|slot| match slot.state {
                State::Connecting { since } => Some(since + PATIENCE),
                _ => None,
            });
            next = connecting.filter(|until| *until > now).min();
            busy = next.is_some();
        }
        for member in &mut self.members {
            for slot in &mut member.slots {
                let due = match slot.state {
                    State::Idle => true,
                    State::Waiting { until, .. } if until <= now => true,
                    State::Waiting { until, .. } => {
                        next = Some(next.map_or(until, |next| next.min(until)));
                        false
                    }
                    State::Connecting { .. } | State::Ready { .. } => false,
                };
                if due && !busy {
                    slot.state = State::Connecting { since: now };
                    actions.push(Action::Connect(slot.id, member.endpoint.clone()));
                    busy = self.one_at_a_time;
                    if busy {
                        next = Some(next.map_or(now + PATIENCE, |at| at.min(now + PATIENCE)));
                    }
                }
            }
        }
        next
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
        slots.any(|slot| matches!(slot.state, State::Connecting { .. }))
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

    fn find(&mut self, id: SlotId) -> Option<(&mut Member, usize)> {
        self.members.iter_mut().find_map(|member| {
            let slot = member.slots.iter().position(|slot| slot.id == id)?;
            Some((member, slot))
        })
    }
}

impl Member {
    fn is_ready(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot.state, State::Ready { .. }))
    }

    fn state(&self) -> EndpointState {
        let status = if self.is_ready() {
            EndpointStatus::Ready
        } else if let Some(cause) = &self.last_failure {
            EndpointStatus::Failed(cause.clone())
        } else if self.slots.iter().any(|slot| matches!(slot.state, State::Connecting { .. })) {
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
