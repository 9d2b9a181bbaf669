//! Who is picked of those that are ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{endpoints, plan};
use crate::clock::{self, Instant};
use crate::config::{Balance, Candidate, Endpoint, Pick};
use crate::transport::balancer::machine::{Action, Balancer, Demand, SlotId, Spread};
use crate::transport::balancer::picker::{Candidates, Picker, Want};
use crate::transport::liveness::Doubt;

#[derive(Debug)]
struct Fake {
    slot: SlotId,
    endpoint: Endpoint,
    learner: bool,
    in_flight: usize,
    doubt: Doubt,
    closed: bool,
    /// Whether it is doubted every second time that somebody asks, and how often that was.
    flickers: bool,
    asked: AtomicUsize,
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
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if self.flickers && asked % 2 == 1 { Doubt::Slight } else { self.doubt }
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

/// A picker over four members, changed as a test likes.
fn picker(balance: Balance, change: impl Fn(&mut [Fake])) -> Picker<Fake> {
    let every = plan(Spread::Every, 1, Demand::Lasting);
    let mut balancer = Balancer::new(&endpoints(15), every, fastrand::Rng::with_seed(1));
    let (now, mut actions) = (clock::now(), Vec::new());
    balancer.wake(now);
    balancer.poll(now, &mut actions);
    let mut links: Vec<Fake> = actions
        .into_iter()
        .map(|action| match action {
            Action::Connect(slot, endpoint) => Fake {
                slot,
                endpoint,
                learner: false,
                in_flight: 0,
                doubt: Doubt::None,
                closed: false,
                flickers: false,
                asked: AtomicUsize::new(0),
            },
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

/// A member that comes into doubt while the picker looks is not taken away from under the policy.
#[test]
fn a_custom_policy_always_has_a_choice() {
    #[derive(Debug)]
    struct Last;
    impl Pick for Last {
        fn pick(&self, candidates: &[Candidate<'_>]) -> usize {
            candidates.len().checked_sub(1).expect("there is a candidate")
        }
    }
    let change = |links: &mut [Fake]| links.iter_mut().for_each(|link| link.flickers = true);
    let picker = picker(Balance::custom(Last), change);
    assert_eq!(shares(&picker, false, &[], 10), [0, 0, 0, 10]);
}

/// A snapshot shows it for a moment longer: too long for a call that is repeated at once.
#[test]
fn a_connection_that_takes_no_more_calls_is_not_picked_by_a_call_that_found_out() {
    let picker = picker(Balance::RoundRobin, |links| {
        links.iter_mut().for_each(|link| link.closed = true);
        links[1].closed = false;
    });
    assert_eq!(shares(&picker, false, &[0, 1, 2, 3], 10), [0, 10, 0, 0]);
    // Whoever does not know yet is not made to ask.
    assert_eq!(shares(&picker, false, &[0, 2, 3], 10), [0, 10, 0, 0]);
    assert_eq!(shares(&picker, false, &[], 8), [2; 4]);
}

#[test]
fn nobody_is_picked_where_nobody_will_do() {
    let mut nobody = picker(Balance::RoundRobin, |_| {});
    nobody.links.clear();
    assert!(nobody.pick(Want { learner: true, avoid: &[] }, clock::now()).is_none());
    let closed = picker(Balance::RoundRobin, |links| {
        links.iter_mut().for_each(|link| link.closed = true);
    });
    let avoid: Vec<SlotId> = closed.links.iter().map(|link| link.slot).collect();
    assert!(closed.pick(Want { learner: true, avoid: &avoid }, clock::now()).is_none());
}
