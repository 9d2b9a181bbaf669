//! The machine under any schedule of events; `picker.rs`: what the picker chooses.

mod picker;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::machine::{About, Action, Balancer, Demand, Plan, SlotId, Spread};
use super::state::EndpointStatus;
use crate::clock::{self, Instant};
use crate::config::{Endpoint, Endpoints, Reconnect};
use crate::error::Cause;

/// The longest that a wake leaves a failed slot alone.
const HASTE: Duration = Duration::from_millis(500);
/// How long an endpoint is tried before the next is tried as well.
const HEAD_START: Duration = Duration::from_millis(250);
/// What counts as a connection that has proven itself.
const PROVEN: Duration = Duration::from_secs(5);
/// How long a member that was left gives way to attempts at others.
const GIVES_WAY: Duration = Duration::from_secs(2);

const FIRST: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(3);

fn reconnect() -> Reconnect {
    Reconnect::new().first(FIRST).max(MAX).factor(2.0).jitter(0.2)
}

fn plan(spread: Spread, connections: usize, demand: Demand) -> Plan {
    Plan { spread, connections, demand, reconnect: reconnect() }
}

fn learner() -> About {
    About { learner: true, ..About::default() }
}

/// The endpoints whose bits are set.
fn endpoints(mask: u8) -> Endpoints {
    let names = (0..4).filter(|bit| mask & (1 << bit) != 0);
    Endpoints::parse(names.map(|bit| format!("http://member{bit}:2379"))).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Wake,
    Pass(Duration),
    /// The n-th slot under way becomes ready, with a learner behind it or not.
    Ready(usize, bool),
    /// The n-th slot under way can't be connected.
    Refused(usize),
    /// The n-th ready slot is lost.
    Lost(usize),
    Frozen(usize),
    /// The n-th ready slot is given up for another member's.
    Left(usize),
    SetEndpoints(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Wake),
        4 => (1u64..2000).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        1 => (5000u64..9000).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        3 => (0usize..8, prop::bool::weighted(0.2)).prop_map(|(n, learner)| Step::Ready(n, learner)),
        4 => (0usize..8).prop_map(Step::Refused),
        1 => (0usize..8).prop_map(Step::Lost),
        1 => (0usize..8).prop_map(Step::Frozen),
        1 => (0usize..8).prop_map(Step::Left),
        1 => (1u8..16).prop_map(Step::SetEndpoints),
    ];
    prop::collection::vec(step, 1..80)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Slot {
    Connecting {
        since: Instant,
    },
    Ready {
        since: Instant,
    },
    /// Not to be tried before the first of these, unless woken, and by the second.
    Failed {
        at: Instant,
        earliest: Instant,
        latest: Instant,
    },
}

/// What the balancer is held to.
#[derive(Debug)]
struct Model {
    balancer: Balancer,
    now: Instant,
    plan: Plan,
    awake: bool,
    current: Endpoints,
    /// Of the slots that were connected at some time and not dropped: the endpoint, the state and failures in a row.
    slots: BTreeMap<SlotId, (Endpoint, Slot, i32)>,
    dropped: BTreeSet<SlotId>,
    /// The endpoints behind which a learner was found last.
    learners: BTreeSet<String>,
    /// The endpoints that failed last by being left, and when.
    left: BTreeMap<String, Instant>,
}

impl Model {
    fn new(mask: u8, plan: Plan, seed: u64) -> Self {
        let current = endpoints(mask);
        let rng = fastrand::Rng::with_seed(seed);
        Self {
            balancer: Balancer::new(&current, plan.clone(), rng),
            now: clock::now(),
            plan,
            awake: false,
            current,
            slots: BTreeMap::new(),
            dropped: BTreeSet::new(),
            learners: BTreeSet::new(),
            left: BTreeMap::new(),
        }
    }

    fn nth(&self, n: usize, suits: impl Fn(&Slot) -> bool) -> Option<SlotId> {
        let fitting: Vec<SlotId> =
            self.slots.iter().filter(|(_, (_, slot, _))| suits(slot)).map(|(id, _)| *id).collect();
        fitting.get(n % fitting.len().max(1)).copied()
    }

    /// Whether `endpoint` has a connection in a state that `suits`.
    fn has(&self, endpoint: &Endpoint, suits: impl Fn(&Slot) -> bool) -> bool {
        self.slots.values().any(|(of, slot, _)| of == endpoint && suits(slot))
    }

    /// The endpoints that are ready for every kind of call.
    fn serving(&self) -> Vec<&Endpoint> {
        let voters = self.current.iter().filter(|at| !self.learners.contains(&at.to_string()));
        voters.filter(|endpoint| self.has(endpoint, is_ready)).collect()
    }

    fn step(&mut self, step: &Step) {
        let mut actions = Vec::new();
        match step {
            Step::Pass(time) => self.now += *time,
            Step::Wake => {
                self.awake = true;
                if self.serving().is_empty() {
                    for (_, slot, _) in self.slots.values_mut() {
                        if let Slot::Failed { at, earliest, latest } = slot {
                            let soon = (*at + HASTE).max(self.now);
                            *earliest = (*earliest).min(soon);
                            *latest = (*latest).min(soon);
                        }
                    }
                }
                self.balancer.wake(self.now);
            }
            Step::Ready(n, learns) => {
                if let Some(id) = self.nth(*n, is_connecting) {
                    let about = if *learns { learner() } else { About::default() };
                    assert!(self.balancer.ready(id, about, self.now, &mut actions));
                    let (endpoint, slot, _) = self.slots.get_mut(&id).unwrap();
                    *slot = Slot::Ready { since: self.now };
                    assert!(!self.balancer.was_frozen(id), "{endpoint} answered");
                    let endpoint = endpoint.to_string();
                    self.left.remove(&endpoint);
                    if *learns {
                        self.learners.insert(endpoint);
                    } else {
                        self.learners.remove(&endpoint);
                    }
                }
            }
            Step::Refused(n) => {
                if let Some(id) = self.nth(*n, is_connecting) {
                    self.fail(id, Cause::Connect("refused".into()));
                }
            }
            Step::Lost(n) => {
                if let Some(id) = self.nth(*n, is_ready) {
                    self.fail(id, Cause::Disconnected("lost".into()));
                }
            }
            Step::Frozen(n) => {
                if let Some(id) = self.nth(*n, is_ready) {
                    self.fail(id, Cause::Frozen);
                    assert!(self.balancer.was_frozen(id));
                }
            }
            Step::Left(n) => {
                if let Some(id) = self.nth(*n, is_ready) {
                    self.fail(id, Cause::Left("it lags".into()));
                    let (left, ..) = &self.slots[&id];
                    self.left.insert(left.to_string(), self.now);
                    let others = self.current.iter().filter(|other| *other != left);
                    self.current = Endpoints::new(others.chain([left]).cloned()).unwrap();
                }
            }
            Step::SetEndpoints(mask) => {
                self.current = endpoints(*mask);
                let names: Vec<_> = self.current.iter().map(ToString::to_string).collect();
                self.left.retain(|left, _| names.contains(left));
                self.balancer.set_endpoints(&self.current, &mut actions);
            }
        }
        let next = self.balancer.poll(self.now, &mut actions);
        for action in actions {
            self.carry_out(action);
        }
        self.check(next);
    }

    fn fail(&mut self, id: SlotId, cause: Cause) {
        self.balancer.failed(id, cause.clone(), self.now);
        let (endpoint, slot, failures) = self.slots.get_mut(&id).unwrap();
        self.left.remove(&endpoint.to_string());
        let proven = matches!(slot, Slot::Ready { since } if self.now - *since >= PROVEN);
        *failures = if proven { 1 } else { *failures + 1 };
        let given_up = matches!(cause, Cause::Frozen | Cause::Left(_));
        let orderly = matches!(slot, Slot::Ready { .. }) && !given_up;
        // The first loss of a connection that was up is followed by an attempt at once.
        let repetition = *failures - i32::from(orderly) - 1;
        let pause = if repetition < 0 {
            Duration::ZERO
        } else {
            FIRST.mul_f64(2f64.powi(repetition.min(20))).min(MAX)
        };
        *slot = Slot::Failed {
            at: self.now,
            earliest: self.now + pause.mul_f64(0.799),
            latest: self.now + pause.mul_f64(1.201),
        };
        let idle = !self.slots.values().any(|(_, slot, _)| is_ready(slot) || is_connecting(slot));
        self.awake &= !(idle && self.plan.demand == Demand::EachCall);
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Connect(id, endpoint) => {
                assert!(self.awake, "nobody asked for {endpoint}");
                assert!(!self.dropped.contains(&id), "{endpoint} was dropped");
                assert!(self.current.iter().any(|current| *current == endpoint), "{endpoint} left");
                let found_out = self.has(&endpoint, is_ready);
                assert!(
                    found_out || !self.has(&endpoint, is_connecting),
                    "{endpoint} is tried twice at once"
                );
                if self.plan.spread == Spread::First {
                    let slots = self.slots.values().filter(|(of, ..)| *of != endpoint);
                    let late = slots.filter_map(|(_, slot, _)| match slot {
                        Slot::Connecting { since } => Some(*since + HEAD_START),
                        _ => None,
                    });
                    let late = late.max();
                    assert!(
                        self.now >= late.unwrap_or(self.now),
                        "{endpoint} has no patience with the one before it"
                    );
                    let serving = self.serving();
                    assert!(serving.iter().all(|other| **other == endpoint), "{serving:?} serve");
                    let left = self.left.get(&endpoint.to_string());
                    if left.is_some_and(|left| self.now < *left + GIVES_WAY) && serving.is_empty() {
                        assert_eq!(late, None, "{endpoint} comes in the way of another");
                    }
                }
                let failures = self.slots.get(&id).map_or(0, |(.., failures)| *failures);
                let connecting = Slot::Connecting { since: self.now };
                if let Some((known, slot, _)) =
                    self.slots.insert(id, (endpoint.clone(), connecting, failures))
                {
                    assert_eq!(known, endpoint, "a slot stays with its endpoint");
                    let Slot::Failed { earliest, .. } = slot else {
                        panic!("{endpoint} is connected twice at once: {slot:?}")
                    };
                    assert!(
                        self.now >= earliest,
                        "{endpoint}: {:?} too early",
                        earliest - self.now
                    );
                }
            }
            Action::Drop(id) => {
                assert!(self.dropped.insert(id), "dropped twice");
                if let Some((endpoint, slot, _)) = self.slots.remove(&id) {
                    let left = self.current.iter().all(|current| *current != endpoint);
                    let outrun = self.plan.spread == Spread::First && is_connecting(&slot);
                    assert!(left || outrun, "{endpoint}");
                    if left {
                        self.learners.remove(&endpoint.to_string());
                    }
                }
                // What a dropped slot still tells is not heard.
                let mut actions = Vec::new();
                assert!(!self.balancer.ready(id, About::default(), self.now, &mut actions));
                assert_eq!(actions, []);
                self.balancer.failed(id, Cause::Frozen, self.now);
            }
        }
    }

    fn check(&self, next: Option<Instant>) {
        for (endpoint, ..) in self.slots.values() {
            assert!(self.current.iter().any(|current| current == endpoint), "{endpoint} lives on");
            let slots = self.slots.values().filter(|(other, ..)| other == endpoint).count();
            assert!(slots <= self.plan.connections, "{endpoint} has {slots} connections");
        }
        let ready: BTreeSet<SlotId> = self
            .slots
            .iter()
            .filter(|(_, (_, slot, _))| is_ready(slot))
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(self.balancer.ready_slots().collect::<BTreeSet<_>>(), ready);

        let states = self.balancer.states();
        let names: Vec<&str> = states.iter().map(|state| state.endpoint()).collect();
        let current: Vec<&str> = self.current.iter().map(|endpoint| &**endpoint.name()).collect();
        assert_eq!(names, current);
        for (state, endpoint) in states.iter().zip(self.current.iter()) {
            assert_eq!(state.is_ready(), self.has(endpoint, is_ready), "{state:?}");
            let failed = self.balancer.failures().iter().any(|f| f.endpoint() == state.endpoint());
            assert_eq!(matches!(state.status(), EndpointStatus::Failed(_)), failed, "{state:?}");
        }
        let all_failed =
            states.iter().all(|state| matches!(state.status(), EndpointStatus::Failed(_)));
        assert_eq!(self.balancer.all_failed(), all_failed);

        if !self.awake {
            return;
        }
        let served = !self.serving().is_empty();
        if self.plan.spread == Spread::First && !served {
            let busy = self.current.iter().any(|at| self.has(at, is_connecting));
            let learners = self.current.iter().all(|at| self.has(at, is_ready));
            assert!(busy || next.is_some() || learners, "nothing will happen");
        }
        for endpoint in self.current.iter() {
            let wanted = self.plan.spread == Spread::Every || self.serving().contains(&endpoint);
            let found_out = self.has(endpoint, is_ready);
            let tried = self.has(endpoint, is_connecting);
            let slots = self.slots.values().filter(|(of, ..)| of == endpoint);
            if wanted && found_out {
                assert_eq!(slots.clone().count(), self.plan.connections, "{endpoint} has too few");
            }
            let looked_after = match (found_out, tried) {
                (true, _) => usize::MAX,
                (false, tried) => usize::from(!tried),
            };
            let first = slots.map(|(_, slot, _)| slot).take(looked_after);
            for slot in first.filter(|_| wanted) {
                if let Slot::Failed { latest, .. } = slot {
                    assert!(self.now < *latest, "{endpoint} is forgotten");
                    let next = next.expect("somebody waits");
                    assert!(next > self.now && next <= *latest, "{endpoint} is looked at too late");
                }
            }
        }
    }
}

fn is_ready(slot: &Slot) -> bool {
    matches!(slot, Slot::Ready { .. })
}

fn is_connecting(slot: &Slot) -> bool {
    matches!(slot, Slot::Connecting { .. })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_keeps_every_promise(
        mask in 1u8..16,
        connections in 1usize..4,
        first: bool,
        each_call: bool,
        seed: u64,
        steps in steps(),
    ) {
        let spread = if first { Spread::First } else { Spread::Every };
        let demand = if each_call { Demand::EachCall } else { Demand::Lasting };
        let mut model = Model::new(mask, plan(spread, connections, demand), seed);
        for step in &steps {
            model.step(step);
        }
    }
}

#[test]
fn pauses_grow_to_a_bound() {
    let mut model = Model::new(1, plan(Spread::Every, 1, Demand::Lasting), 7);
    model.step(&Step::Wake);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        model.step(&Step::Refused(0));
        let failed = model.now;
        let next = model.balancer.poll(failed, &mut Vec::new()).unwrap();
        pauses.push(next - failed);
        model.step(&Step::Pass(next - failed));
    }
    assert!(pauses[0] < FIRST.mul_f64(1.21), "{pauses:?}");
    assert!(pauses[..5].windows(2).all(|pair| pair[0] < pair[1]), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= MAX.mul_f64(1.2)), "{pauses:?}");
}

#[test]
fn connections_of_one_member_share_an_outage() {
    let mut model = Model::new(1, plan(Spread::Every, 3, Demand::Lasting), 7);
    let attempts =
        |model: &Model| model.slots.values().filter(|slot| is_connecting(&slot.1)).count();
    model.step(&Step::Wake);
    assert_eq!(attempts(&model), 1, "one finds out for all");
    model.step(&Step::Ready(0, false));
    assert_eq!(attempts(&model), 2);
    model.step(&Step::Ready(0, false));
    model.step(&Step::Ready(0, false));
    model.step(&Step::Pass(PROVEN));
    for _ in 0..3 {
        model.step(&Step::Lost(0));
    }
    while attempts(&model) > 0 {
        model.step(&Step::Refused(0));
    }
    for pause in [FIRST * 2, FIRST * 4, FIRST * 8] {
        model.step(&Step::Pass(pause.mul_f64(1.201)));
        assert_eq!(attempts(&model), 1, "one is tried, at its own pace");
        model.step(&Step::Refused(0));
    }
}

/// The endpoints that a pick-first balancer is connecting to.
fn tried(model: &Model) -> Vec<String> {
    let connecting = model.slots.values().filter(|slot| is_connecting(&slot.1));
    connecting.map(|(endpoint, ..)| endpoint.to_string()).collect()
}

#[test]
fn an_endpoint_that_swallows_packets_does_not_hold_up_the_next() {
    let mut model = Model::new(7, plan(Spread::First, 1, Demand::Lasting), 7);
    model.step(&Step::Wake);
    assert_eq!(tried(&model), ["http://member0:2379"]);
    model.step(&Step::Pass(HEAD_START));
    assert_eq!(tried(&model), ["http://member0:2379", "http://member1:2379"]);
    model.step(&Step::Ready(1, false));
    assert_eq!(tried(&model), [""; 0], "the slower one is let go");
    model.step(&Step::Lost(0));
    assert_eq!(tried(&model).len(), 1);
}

/// However long it was good enough, and however much faster it is than the others.
#[test]
fn a_member_that_was_left_comes_after_the_others() {
    let mut model = Model::new(7, plan(Spread::First, 1, Demand::Lasting), 7);
    model.step(&Step::Wake);
    model.step(&Step::Ready(0, false));
    model.step(&Step::Pass(PROVEN));
    model.step(&Step::Left(0));
    assert_eq!(tried(&model), ["http://member1:2379"]);
    model.step(&Step::Pass(HEAD_START));
    let others = ["http://member1:2379", "http://member2:2379"];
    assert_eq!(tried(&model), others);
    model.step(&Step::Pass(GIVES_WAY - HEAD_START - Duration::from_millis(1)));
    assert_eq!(tried(&model), others);
    // Those may lead nowhere.
    model.step(&Step::Pass(Duration::from_millis(1)));
    assert_eq!(tried(&model).len(), 3);
    model.step(&Step::Ready(1, false));
    model.step(&Step::Pass(PROVEN));
    model.step(&Step::Left(0));
    assert_eq!(tried(&model), ["http://member2:2379"], "the one that was left before comes later");
    model.step(&Step::Refused(0));
    assert_eq!(tried(&model), ["http://member0:2379"]);
}

#[test]
fn a_member_that_was_left_and_is_the_only_one_is_tried_again() {
    for mask in [1, 3] {
        let mut model = Model::new(mask, plan(Spread::First, 1, Demand::Lasting), 7);
        model.step(&Step::Wake);
        model.step(&Step::Ready(0, false));
        model.step(&Step::Pass(PROVEN));
        model.step(&Step::Left(0));
        let refuses = |model: &mut Model| {
            if mask == 3 {
                assert_eq!(tried(model), ["http://member1:2379"]);
                model.step(&Step::Refused(0));
            }
        };
        refuses(&mut model);
        assert_eq!(tried(&model), [""; 0]);
        model.step(&Step::Pass(FIRST.mul_f64(1.201)));
        refuses(&mut model);
        assert_eq!(tried(&model), ["http://member0:2379"]);
    }
}

#[test]
fn a_learner_that_comes_first_is_no_end_of_the_search() {
    let mut model = Model::new(3, plan(Spread::First, 1, Demand::Lasting), 7);
    model.step(&Step::Wake);
    model.step(&Step::Ready(0, true));
    assert_eq!(tried(&model), ["http://member1:2379"]);
    model.step(&Step::Ready(0, false));
    assert_eq!(model.balancer.ready_slots().count(), 2);
}

#[test]
fn a_member_that_turns_out_to_be_a_learner_is_not_the_last_tried() {
    let mut model = Model::new(3, plan(Spread::First, 1, Demand::Lasting), 7);
    model.step(&Step::Wake);
    model.step(&Step::Ready(0, false));
    assert_eq!(tried(&model), [""; 0]);
    let slot = *model.slots.keys().next().unwrap();
    assert!(model.balancer.note_learner(slot, true));
    assert!(!model.balancer.note_learner(slot, true), "that is no news");
    model.learners.insert("http://member0:2379".into());
    model.step(&Step::Wake);
    assert_eq!(tried(&model), ["http://member1:2379"]);
}

#[test]
fn an_endpoint_that_nobody_calls_any_more_is_not_tried_for_ever() {
    let mut model = Model::new(1, plan(Spread::First, 1, Demand::EachCall), 7);
    model.step(&Step::Wake);
    model.step(&Step::Refused(0));
    model.step(&Step::Pass(Duration::from_secs(3600)));
    assert_eq!(tried(&model), [""; 0]);
    model.step(&Step::Wake);
    assert_eq!(tried(&model).len(), 1);
}
