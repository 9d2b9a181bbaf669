//! The machine under any schedule of events, and the picker's choices.

use crate::transport::liveness::Doubt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::machine::{About, Action, Balancer, SlotId};
use super::picker::{Candidates, Picker, Want};
use super::state::EndpointStatus;
use crate::clock::{self, Instant};
use crate::config::{Balance, Candidate, Endpoint, Endpoints, Pick, Reconnect};
use crate::error::Cause;

/// The longest that a wake leaves a failed slot alone.
const HASTE: Duration = Duration::from_millis(500);
/// What counts as a connection that has proven itself.
const PROVEN: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_millis(500);

const FIRST: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(3);

fn reconnect() -> Reconnect {
    Reconnect::new().first(FIRST).max(MAX).factor(2.0).jitter(0.2)
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
    /// The n-th slot under way becomes ready.
    Ready(usize),
    /// The n-th slot under way can't be connected.
    Refused(usize),
    /// The n-th ready slot is lost.
    Lost(usize),
    Frozen(usize),
    SetEndpoints(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Wake),
        4 => (1u64..2000).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        1 => (5000u64..9000).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        3 => (0usize..8).prop_map(Step::Ready),
        4 => (0usize..8).prop_map(Step::Refused),
        1 => (0usize..8).prop_map(Step::Lost),
        1 => (0usize..8).prop_map(Step::Frozen),
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
    one_at_a_time: bool,
    connections: usize,
    awake: bool,
    current: Endpoints,
    /// Of the slots that were connected at some time and not dropped: the endpoint and the state.
    slots: BTreeMap<SlotId, (Endpoint, Slot)>,
    dropped: BTreeSet<SlotId>,
    /// Failures in a row, by endpoint.
    failures: BTreeMap<String, i32>,
}

impl Model {
    fn new(mask: u8, connections: usize, one_at_a_time: bool, seed: u64) -> Self {
        let current = endpoints(mask);
        let rng = fastrand::Rng::with_seed(seed);
        Self {
            balancer: Balancer::new(&current, connections, one_at_a_time, reconnect(), rng),
            now: clock::now(),
            one_at_a_time,
            connections,
            awake: false,
            current,
            slots: BTreeMap::new(),
            dropped: BTreeSet::new(),
            failures: BTreeMap::new(),
        }
    }

    fn nth(&self, n: usize, suits: impl Fn(&Slot) -> bool) -> Option<SlotId> {
        let fitting: Vec<SlotId> =
            self.slots.iter().filter(|(_, (_, slot))| suits(slot)).map(|(id, _)| *id).collect();
        fitting.get(n % fitting.len().max(1)).copied()
    }

    fn any_ready(&self) -> bool {
        self.slots.values().any(|(_, slot)| matches!(slot, Slot::Ready { .. }))
    }

    fn step(&mut self, step: &Step) {
        let mut actions = Vec::new();
        match step {
            Step::Pass(time) => self.now += *time,
            Step::Wake => {
                self.awake = true;
                if !self.any_ready() {
                    for (_, slot) in self.slots.values_mut() {
                        if let Slot::Failed { at, earliest, latest } = slot {
                            let soon = (*at + HASTE).max(self.now);
                            *earliest = (*earliest).min(soon);
                            *latest = (*latest).min(soon);
                        }
                    }
                }
                self.balancer.wake(self.now);
            }
            Step::Ready(n) => {
                if let Some(id) = self.nth(*n, |slot| matches!(slot, Slot::Connecting { .. })) {
                    assert!(self.balancer.ready(id, About::default(), self.now));
                    let (endpoint, slot) = self.slots.get_mut(&id).unwrap();
                    *slot = Slot::Ready { since: self.now };
                    assert!(!self.balancer.was_frozen(id), "{endpoint} answered");
                }
            }
            Step::Refused(n) => {
                if let Some(id) = self.nth(*n, |slot| matches!(slot, Slot::Connecting { .. })) {
                    self.fail(id, Cause::Connect("refused".into()));
                }
            }
            Step::Lost(n) => {
                if let Some(id) = self.nth(*n, |slot| matches!(slot, Slot::Ready { .. })) {
                    self.fail(id, Cause::Disconnected("lost".into()));
                }
            }
            Step::Frozen(n) => {
                if let Some(id) = self.nth(*n, |slot| matches!(slot, Slot::Ready { .. })) {
                    self.fail(id, Cause::Frozen);
                    assert!(self.balancer.was_frozen(id));
                }
            }
            Step::SetEndpoints(mask) => {
                self.current = endpoints(*mask);
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
        let (endpoint, slot) = self.slots.get_mut(&id).unwrap();
        let failures = self.failures.entry(endpoint.to_string()).or_default();
        let proven = matches!(slot, Slot::Ready { since } if self.now - *since >= PROVEN);
        *failures = if proven { 1 } else { *failures + 1 };
        let orderly = matches!(slot, Slot::Ready { .. }) && cause != Cause::Frozen;
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
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Connect(id, endpoint) => {
                assert!(self.awake, "nobody asked for {endpoint}");
                assert!(!self.dropped.contains(&id), "{endpoint} was dropped");
                assert!(self.current.iter().any(|current| *current == endpoint), "{endpoint} left");
                if self.one_at_a_time {
                    assert!(!self.any_ready(), "one connection is enough");
                    let fresh = |slot: &Slot| matches!(slot, Slot::Connecting { since } if self.now < *since + PATIENCE);
                    assert!(self.slots.values().all(|(_, slot)| !fresh(slot)), "one at a time");
                }
                let connecting = Slot::Connecting { since: self.now };
                if let Some((known, slot)) = self.slots.insert(id, (endpoint.clone(), connecting)) {
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
                if let Some((endpoint, _)) = self.slots.remove(&id) {
                    assert!(self.current.iter().all(|current| *current != endpoint), "{endpoint}");
                    self.failures.remove(&endpoint.to_string());
                }
                // What a dropped slot still tells is not heard.
                assert!(!self.balancer.ready(id, About::default(), self.now));
                self.balancer.failed(id, Cause::Frozen, self.now);
            }
        }
    }

    fn check(&self, next: Option<Instant>) {
        for (endpoint, _) in self.slots.values() {
            assert!(self.current.iter().any(|current| current == endpoint), "{endpoint} lives on");
            let slots = self.slots.values().filter(|(other, _)| other == endpoint).count();
            assert!(slots <= self.connections, "{endpoint} has {slots} connections");
        }
        let ready: BTreeSet<SlotId> = self
            .slots
            .iter()
            .filter(|(_, (_, slot))| matches!(slot, Slot::Ready { .. }))
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(self.balancer.ready_slots().collect::<BTreeSet<_>>(), ready);

        let states = self.balancer.states();
        let names: Vec<&str> = states.iter().map(|state| state.endpoint()).collect();
        let current: Vec<&str> = self.current.iter().map(|endpoint| &**endpoint.name()).collect();
        assert_eq!(names, current);
        for (state, endpoint) in states.iter().zip(self.current.iter()) {
            let is_ready = self
                .slots
                .values()
                .any(|(of, slot)| of == endpoint && matches!(slot, Slot::Ready { .. }));
            assert_eq!(state.is_ready(), is_ready, "{state:?}");
            let failed = self.balancer.failures().iter().any(|f| f.endpoint() == state.endpoint());
            assert_eq!(matches!(state.status(), EndpointStatus::Failed(_)), failed, "{state:?}");
        }
        let all_failed =
            states.iter().all(|state| matches!(state.status(), EndpointStatus::Failed(_)));
        assert_eq!(self.balancer.all_failed(), all_failed);

        let busy = self.slots.values().filter(|(_, slot)| !matches!(slot, Slot::Failed { .. }));
        let busy = busy.count();
        if self.one_at_a_time {
            assert!(busy >= 1 || !self.awake || next.is_some(), "nothing will happen");
        } else if self.awake {
            assert_eq!(self.slots.len(), self.current.as_slice().len() * self.connections);
            for (endpoint, slot) in self.slots.values() {
                if let Slot::Failed { latest, .. } = slot {
                    assert!(self.now < *latest, "{endpoint} is forgotten");
                    let next = next.expect("somebody waits");
                    assert!(next > self.now && next <= *latest, "{endpoint} is looked at too late");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_keeps_every_promise(
        mask in 1u8..16,
        connections in 1usize..4,
        one_at_a_time: bool,
        seed: u64,
        steps in steps(),
    ) {
        // Pick-first has one connection, whatever is asked for.
        let mut model = Model::new(mask, connections, one_at_a_time, seed);
        for step in &steps {
            model.step(step);
        }
    }
}

#[test]
fn pauses_grow_to_a_bound() {
    let mut model = Model::new(1, 1, false, 7);
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

#[derive(Clone, Debug)]
struct Fake {
    slot: SlotId,
    endpoint: Endpoint,
    learner: bool,
    in_flight: usize,
    doubt: Doubt,
}

impl Candidates for Fake {
    fn slot(&self) -> SlotId {
        self.slot
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn is_learner(&self) -> bool {
        self.learner
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn doubt(&self, _now: Instant) -> Doubt {
        self.doubt
    }
}

/// A picker over four members, changed as a test likes.
fn picker(balance: Balance, change: impl Fn(&mut [Fake])) -> Picker<Fake> {
    let mut balancer =
        Balancer::new(&endpoints(15), 1, false, reconnect(), fastrand::Rng::with_seed(1));
    let (now, mut actions) = (clock::now(), Vec::new());
    balancer.wake(now);
    balancer.poll(now, &mut actions);
    let mut links: Vec<Fake> = actions
        .into_iter()
        .map(|action| match action {
            Action::Connect(slot, endpoint) => {
                Fake { slot, endpoint, learner: false, in_flight: 0, doubt: Doubt::None }
            }
            Action::Drop(_) => panic!("nothing is dropped"),
        })
        .collect();
    change(&mut links);
    let mut picker = Picker::new(balance, 3);
    picker.links = links.into_iter().map(Arc::new).collect();
    picker
}

/// How often each of the four is picked in so many picks.
fn shares(picker: &Picker<Fake>, learner: bool, avoid: &[usize], picks: usize) -> [usize; 4] {
    let avoid: Vec<SlotId> = avoid.iter().map(|index| picker.links[*index].slot).collect();
    let mut shares = [0; 4];
    for _ in 0..picks {
        let link = picker.pick(Want { learner, avoid: &avoid }, clock::now()).unwrap();
        shares[picker.links.iter().position(|other| other.slot == link.slot).unwrap()] += 1;
    }
    shares
}

#[test]
fn round_robin_is_fair_whoever_is_left_out() {
    let check = |change: fn(&mut [Fake]), learner, avoid: &[usize], expected| {
        assert_eq!(shares(&picker(Balance::RoundRobin, change), learner, avoid, 1200), expected);
    };
    check(|_| {}, false, &[], [300; 4]);
    check(|links| links[1].doubt = Doubt::Slight, false, &[], [400, 0, 400, 400]);
    // Where all are slow, the one that is being probed is still the last choice.
    check(
        |links| {
            links.iter_mut().for_each(|link| link.doubt = Doubt::Slight);
            links[1].doubt = Doubt::Grave;
        },
        false,
        &[],
        [400, 0, 400, 400],
    );
    check(|links| links[3].learner = true, false, &[], [400, 400, 400, 0]);
    check(|links| links[3].learner = true, true, &[], [300; 4]);
    check(|_| {}, false, &[0, 2], [0, 600, 0, 600]);
    // Doubt weighs less than a failure of this very call.
    check(|links| links[1].doubt = Doubt::Slight, false, &[0, 2, 3], [0, 1200, 0, 0]);
    // Where all are alike in doubt, or have failed, each gets its turn again.
    check(
        |links| links.iter_mut().for_each(|link| link.doubt = Doubt::Slight),
        false,
        &[],
        [300; 4],
    );
    check(|_| {}, false, &[0, 1, 2, 3], [300; 4]);
}

#[test]
fn pick_first_takes_the_first_that_will_do() {
    let check = |change: fn(&mut [Fake]), expected| {
        assert_eq!(shares(&picker(Balance::PickFirst, change), false, &[], 10), expected);
    };
    check(|_| {}, [10, 0, 0, 0]);
    check(|links| links[0].doubt = Doubt::Slight, [0, 10, 0, 0]);
    check(|links| links[0].learner = true, [0, 10, 0, 0]);
}

#[test]
fn least_in_flight_takes_the_least_of_those_that_will_do() {
    let change = |links: &mut [Fake]| {
        for (link, in_flight) in links.iter_mut().zip([5, 1, 3, 0]) {
            link.in_flight = in_flight;
        }
        links[3].doubt = Doubt::Slight;
    };
    let picker = picker(Balance::LeastInFlight, change);
    assert_eq!(shares(&picker, false, &[], 10), [0, 10, 0, 0]);
    assert_eq!(shares(&picker, false, &[1], 10), [0, 0, 10, 0]);
    assert_eq!(shares(&picker, false, &[0, 1, 2], 10), [0, 0, 0, 10]);
}

#[test]
fn a_custom_policy_sees_the_best_and_may_be_wrong() {
    #[derive(Debug)]
    struct Wrong;
    impl Pick for Wrong {
        fn pick(&self, candidates: &[Candidate<'_>]) -> usize {
            assert_eq!(candidates.len(), 2);
            usize::MAX
        }
    }
    let change = |links: &mut [Fake]| {
        links[0].doubt = Doubt::Slight;
        links[3].learner = true;
    };
    let picker = picker(Balance::custom(Wrong), change);
    assert_eq!(shares(&picker, false, &[], 10), [0, 0, 10, 0]);
}

#[test]
fn nobody_is_picked_where_nobody_will_do() {
    let mut nobody = picker(Balance::RoundRobin, |_| {});
    nobody.links.clear();
    assert!(nobody.pick(Want { learner: true, avoid: &[] }, clock::now()).is_none());
}

/// A member that is frozen takes a connection and says nothing for as long as connecting may take: streams waited for it
/// although another member was well.
#[test]
fn one_that_says_nothing_does_not_keep_the_next_one_waiting() {
    let current = endpoints(0b11);
    let rng = fastrand::Rng::with_seed(7);
    let mut balancer = Balancer::new(&current, 1, true, reconnect(), rng);
    let now = clock::now();
    balancer.wake(now);
    let mut actions = Vec::new();
    assert_eq!(balancer.poll(now, &mut actions), Some(now + PATIENCE));
    assert_eq!(balancer.poll(now + PATIENCE / 2, &mut actions), Some(now + PATIENCE));
    assert_eq!(actions.len(), 1);
    balancer.poll(now + PATIENCE, &mut actions);
    let [Action::Connect(..), Action::Connect(second, _)] = actions[..] else {
        panic!("{actions:?}")
    };
    assert!(balancer.ready(second, About::default(), now + PATIENCE));
    assert_eq!(balancer.ready_slots().collect::<Vec<_>>(), [second]);
}
