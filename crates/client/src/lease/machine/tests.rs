use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn start() -> Instant {
    crate::clock::now()
}

fn machine(now: Instant) -> Machine {
    Machine::new(now, fastrand::Rng::with_seed(7))
}

fn due(machine: &mut Machine, now: Instant) -> Vec<LeaseId> {
    let mut ids = Vec::new();
    machine.due(now, &mut ids);
    ids
}

fn ended(machine: &mut Machine, now: Instant) -> Vec<LeaseId> {
    let mut ids = Vec::new();
    machine.ended(now, &mut ids);
    ids
}

/// A machine with these leases on an open stream, each asked for once.
fn asking(now: Instant, ids: &[i64]) -> Machine {
    let mut machine = machine(now);
    for number in ids {
        machine.join(id(*number), now);
    }
    machine.opened();
    assert_eq!(due(&mut machine, now).len(), ids.len());
    machine
}

#[test]
fn nothing_to_do_without_leases() {
    let now = start();
    let mut machine = machine(now);
    assert_eq!(machine.open_at(), None);
    machine.opened();
    assert_eq!((machine.wake_at(true), due(&mut machine, now)), (None, vec![]));
}

#[test]
fn a_lease_lives_from_the_moment_of_sending() {
    let now = start();
    let mut machine = asking(now, &[1]);
    let answered = now + ms(900);
    let answer = machine.answered(id(1), 3, answered);
    assert_eq!(answer, Answer::Renewed { sent: now, ttl: ms(3000) });
    // Renewed a third later, or a little after that.
    assert_eq!(due(&mut machine, now + ms(999)), vec![]);
    assert_eq!(due(&mut machine, now + ms(1200)), vec![id(1)]);
    // And lost if nothing comes of it.
    assert_eq!(ended(&mut machine, now + ms(2999)), vec![]);
    assert_eq!(ended(&mut machine, now + ms(3000)), vec![id(1)]);
    assert!(machine.is_empty());
}

#[test]
fn nothing_is_asked_for_twice() {
    let now = start();
    let mut machine = asking(now, &[1, 2]);
    for later in 1..100 {
        assert_eq!(due(&mut machine, now + ms(later * 500)), vec![], "a resend storm");
    }
    // Another stream takes it up, once.
    assert!(machine.is_stalled(now + ms(4000)));
    assert_eq!(machine.broken(Fault::Passing, now + ms(4000)), None);
    let at = machine.open_at().unwrap();
    assert!(at > now + ms(4000) && at <= now + ms(4020), "{:?}", at - now);
    machine.opened();
    assert_eq!(due(&mut machine, at).len(), 2);
    assert_eq!(due(&mut machine, at + ms(5000)), vec![]);
}

#[test]
fn pauses_grow_and_shrink_again() {
    let mut now = start();
    let mut machine = machine(now);
    machine.join(id(1), now);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        machine.broken(Fault::Passing, now);
        let at = machine.open_at().unwrap();
        pauses.push(at - now);
        now = at;
    }
    for (index, pause) in pauses.iter().enumerate() {
        let most = ms(20 << index).min(ms(1000));
        assert!((most / 2..=most).contains(pause), "{pauses:?}");
    }
    machine.opened();
    due(&mut machine, now);
    machine.answered(id(1), 5, now);
    machine.broken(Fault::Passing, now);
    assert!(machine.open_at().unwrap() - now <= ms(20));
}

#[test]
fn an_answer_meant_for_an_earlier_stay_counts_for_nothing() {
    let now = start();
    let mut machine = asking(now, &[1]);
    machine.leave(id(1));
    let later = now + ms(2000);
    machine.join(id(1), later);
    assert_eq!(due(&mut machine, later), vec![id(1)]);
    assert_eq!(machine.answered(id(1), 3, later), Answer::Unasked);
    assert_eq!(
        machine.answered(id(1), 3, later + ms(1)),
        Answer::Renewed { sent: later, ttl: ms(3000) }
    );
}

#[test]
fn what_does_not_exist_is_gone() {
    let now = start();
    for seconds in [0, -1, i64::MIN] {
        let mut machine = asking(now, &[1, 2]);
        assert_eq!(machine.answered(id(1), seconds, now), Answer::Gone { expired: false });
        assert!(machine.answered(id(2), i64::MAX, now).is_renewed());
        assert_eq!(machine.leases.len(), 1);
    }
}

/// A stalled program heard that it is gone before it looked at the clock, and took that for a revocation.
#[test]
fn what_is_gone_after_its_time_ran_out() {
    let now = start();
    for (later, expired) in [(2999, false), (3000, true)] {
        let mut machine = asking(now, &[1]);
        machine.answered(id(1), 3, now);
        assert_eq!(due(&mut machine, now + ms(1200)), vec![id(1)]);
        assert_eq!(machine.answered(id(1), 0, now + ms(later)), Answer::Gone { expired });
    }
}

impl Answer {
    fn is_renewed(&self) -> bool {
        matches!(self, Self::Renewed { .. })
    }
}

/// A stream that is put away when the last holder leaves is wanted again by the next, and no answer on it counts.
#[test]
fn who_comes_after_everybody_left_wants_another_stream() {
    let now = start();
    let mut machine = asking(now, &[1]);
    machine.leave(id(1));
    machine.put_away(now);
    assert_eq!(machine.open_at(), None);
    machine.join(id(1), now);
    assert_eq!(machine.open_at(), Some(now));
    machine.opened();
    assert_eq!(due(&mut machine, now), vec![id(1)]);
    assert!(machine.answered(id(1), 3, now).is_renewed());
    // What broke before is not opened any sooner.
    machine.broken(Fault::Passing, now);
    let later = machine.open_at();
    machine.put_away(now);
    assert_eq!(machine.open_at(), later);
}

/// One of three is denied: it alone is lost, found by asking for it alone.
#[test]
fn a_denied_lease_harms_no_neighbour() {
    let now = start();
    let mut machine = asking(now, &[1, 2, 3]);
    assert!(machine.answered(id(1), 60, now).is_renewed());
    // The server answers in order, so it is the second; but that has to be sure.
    assert_eq!(machine.broken(Fault::Refused, now), None);
    let now = machine.open_at().unwrap();
    machine.opened();
    assert_eq!(due(&mut machine, now), vec![id(2)]);
    assert_eq!(machine.broken(Fault::Refused, now), Some(id(2)));
    let now = machine.open_at().unwrap();
    machine.opened();
    assert_eq!(due(&mut machine, now), vec![id(3)]);
    assert!(machine.answered(id(3), 60, now).is_renewed());
    assert_eq!(machine.leases.len(), 2);
}

#[test]
fn a_wrong_suspect_is_cleared() {
    let now = start();
    let mut machine = asking(now, &[1, 2]);
    machine.broken(Fault::Refused, now);
    machine.opened();
    assert_eq!(due(&mut machine, now), vec![id(1)]);
    assert!(machine.answered(id(1), 60, now).is_renewed());
    assert_eq!(due(&mut machine, now), vec![id(2)]);
    assert_eq!(machine.broken(Fault::Refused, now), Some(id(2)));
}

#[test]
fn timers_of_leases_that_left_are_dropped() {
    let now = start();
    let mut machine = asking(now, &[1]);
    machine.answered(id(1), 60, now);
    for round in 0..10_000 {
        machine.join(id(2), now);
        assert_eq!(due(&mut machine, now), vec![id(2)]);
        machine.answered(id(2), 1_000_000, now);
        machine.leave(id(2));
        assert!(machine.sends.len() + machine.ends.len() < 200, "round {round}");
    }
}

/// A server that says something else each time leaves no timers behind.
#[test]
fn timers_that_were_replaced_are_dropped() {
    let mut now = start();
    let mut machine = asking(now, &[1]);
    let mut ended = Vec::new();
    for round in 0..10_000 {
        let seconds = if round % 2 == 0 { 1_000_000 } else { 3 };
        assert!(machine.answered(id(1), seconds, now).is_renewed());
        now = machine.leases[&id(1)].due.unwrap();
        machine.ended(now, &mut ended);
        assert_eq!((due(&mut machine, now), ended.len()), (vec![id(1)], 0));
        assert!(machine.sends.len() + machine.ends.len() < 200, "round {round}");
    }
    machine.answered(id(1), 3, now);
    machine.ended(now + ms(2999), &mut ended);
    assert!(ended.is_empty());
    machine.ended(now + ms(3000), &mut ended);
    assert_eq!(ended, [id(1)]);
}

#[test]
fn ten_thousand_leases_drift_apart_and_go_out_in_batches() {
    let now = start();
    let ids: Vec<i64> = (1..=4096).collect();
    let mut machine = asking(now, &ids);
    machine.join(id(5000), now);
    assert_eq!(due(&mut machine, now), vec![], "the window is full");
    for number in ids {
        machine.answered(id(number), 15, now);
    }
    assert_eq!(due(&mut machine, now), vec![id(5000)]);
    machine.answered(id(5000), 15, now);
    let (mut at, mut batches, mut sent) = (now, Vec::new(), 0);
    while sent < 4096 {
        at = machine.wake_at(true).unwrap();
        batches.push(due(&mut machine, at).len());
        sent += batches.last().unwrap();
    }
    assert!(at - now <= ms(6151), "{:?}", at - now);
    // Spread over a second, a batch every 150 ms.
    assert!((6..=9).contains(&batches.len()), "{batches:?}");
}

/// What befalls leases, in milliseconds from the event before.
#[derive(Clone, Debug)]
enum Fate {
    Join(i64),
    Leave(i64),
    Revoke(i64),
    /// The server grants this much from now on.
    Ttl(i64, i64),
    /// The connection breaks, and no other can be opened for so long.
    Cut(u64),
    /// The server takes requests, and answers them so much later.
    Mute(u64),
    /// From here on, a way takes so long.
    Latency(u64),
}

fn fates() -> impl Strategy<Value = Vec<(u64, Fate)>> {
    let lease = 1i64..5;
    let fate = prop_oneof![
        3 => lease.clone().prop_map(Fate::Join),
        1 => lease.clone().prop_map(Fate::Leave),
        1 => lease.clone().prop_map(Fate::Revoke),
        1 => (lease, 1i64..20).prop_map(|(lease, ttl)| Fate::Ttl(lease, ttl)),
        2 => (0u64..12_000).prop_map(Fate::Cut),
        1 => (0u64..6_000).prop_map(Fate::Mute),
        // A line so slow that the shortest TTL runs out between a renewal and its answer is no fault to be found here.
        1 => (0u64..250).prop_map(Fate::Latency),
    ];
    prop::collection::vec((0u64..4_000, fate), 1..40)
}

/// What is on its way.
#[derive(Clone, Copy, Debug)]
enum Way {
    Request(LeaseId),
    Answer(LeaseId, i64),
}

/// A server, a network and a driver around a machine, all of them in milliseconds from the start.
struct World {
    zero: Instant,
    now: u64,
    machine: Machine,
    stream: u64,
    /// By time and order: which stream, and what.
    ways: BTreeMap<(u64, u64), (u64, Way)>,
    order: u64,
    latency: u64,
    mute_until: u64,
    down_until: u64,
    /// The server's leases: until when, and of how many seconds.
    server: BTreeMap<LeaseId, (u64, i64)>,
    /// What was claimed of leases here: until when, and since when they were joined.
    claims: BTreeMap<LeaseId, Option<u64>>,
    /// When the latest answer about a lease came.
    answered: BTreeMap<LeaseId, u64>,
    last_sent: BTreeMap<LeaseId, (u64, u64)>,
    open_requests: BTreeMap<LeaseId, u64>,
    last_fault: Option<u64>,
}

impl World {
    fn new() -> Self {
        let zero = start();
        Self {
            zero,
            now: 0,
            machine: machine(zero),
            stream: 0,
            ways: BTreeMap::new(),
            order: 0,
            latency: 1,
            mute_until: 0,
            down_until: 0,
            server: (1..5).map(|lease| (id(lease), (u64::MAX, 5))).collect(),
            claims: BTreeMap::new(),
            answered: BTreeMap::new(),
            last_sent: BTreeMap::new(),
            open_requests: BTreeMap::new(),
            last_fault: None,
        }
    }

    fn at(&self, millis: u64) -> Instant {
        self.zero + ms(millis)
    }

    fn millis(&self, at: Instant) -> u64 {
        // A moment between two milliseconds is reached at the second.
        u64::try_from((at - self.zero).as_micros().div_ceil(1000)).unwrap()
    }

    fn on_its_way(&mut self, way: Way, until: u64) {
        // Nothing overtakes on a stream.
        self.order += 1;
        let same = |other: &Way| {
            matches!(
                (other, &way),
                (Way::Request(_), Way::Request(_)) | (Way::Answer(..), Way::Answer(..))
            )
        };
        let after = self
            .ways
            .iter()
            .filter(|(_, (stream, other))| *stream == self.stream && same(other))
            .map(|((at, _), _)| *at)
            .max()
            .unwrap_or(0);
        self.ways.insert((until.max(after), self.order), (self.stream, way));
    }

    fn befall(&mut self, fate: &Fate) {
        let now = self.at(self.now);
        match *fate {
            Fate::Join(lease) => {
                let first = self.machine.is_empty();
                self.machine.join(id(lease), now);
                assert!(!first || self.machine.open_at().is_some(), "nobody would open a stream");
                self.claims.entry(id(lease)).or_insert(None);
            }
            Fate::Leave(lease) => {
                self.machine.leave(id(lease));
                self.claims.remove(&id(lease));
                self.last_sent.remove(&id(lease));
            }
            Fate::Revoke(lease) => drop(self.server.remove(&id(lease))),
            // One that was revoked does not come back: nobody here could know.
            Fate::Ttl(lease, ttl) => {
                if let Some((_, granted)) = self.server.get_mut(&id(lease)) {
                    *granted = ttl;
                }
            }
            Fate::Cut(length) => {
                self.last_fault = Some(self.now + length);
                self.down_until = self.now + length;
                self.cut();
            }
            Fate::Mute(length) => {
                self.last_fault = Some(self.now + length);
                self.mute_until = self.now + length;
            }
            Fate::Latency(latency) => {
                self.last_fault = Some(self.now);
                self.latency = latency;
            }
        }
    }

    fn cut(&mut self) {
        self.stream += 1;
        self.open_requests.clear();
        let now = self.at(self.now);
        assert_eq!(self.machine.broken(Fault::Passing, now), None);
    }

    fn arrives(&mut self, stream: u64, way: Way) {
        match way {
            Way::Request(lease) => {
                // A request that is on its way when the connection breaks may still arrive.
                let seconds = match self.server.get_mut(&lease) {
                    Some((until, ttl)) if *until > self.now => {
                        // What was promised stays so.
                        let granted = if *until == u64::MAX { 0 } else { *until };
                        *until = granted.max(self.now + u64::try_from(*ttl).unwrap() * 1000);
                        *ttl
                    }
                    _ => 0,
                };
                if stream == self.stream {
                    let at = (self.now + self.latency).max(self.mute_until);
                    self.on_its_way(Way::Answer(lease, seconds), at);
                }
            }
            Way::Answer(lease, seconds) if stream == self.stream => {
                let now = self.at(self.now);
                *self.open_requests.entry(lease).or_default() -= 1;
                match self.machine.answered(lease, seconds, now) {
                    Answer::Renewed { sent, ttl } => {
                        let until = self.millis(sent + ttl);
                        assert!(self.claims.contains_key(&lease));
                        self.claims.insert(lease, Some(until));
                        self.answered.insert(lease, self.now);
                    }
                    Answer::Gone { .. } => {
                        self.claims.remove(&lease);
                        self.last_sent.remove(&lease);
                    }
                    Answer::Unasked => {}
                }
            }
            Way::Answer(..) => {}
        }
    }

    /// The driver's turn.
    fn drive(&mut self) {
        let now = self.at(self.now);
        for lease in ended(&mut self.machine, now) {
            let claimed = self.claims.remove(&lease).unwrap().unwrap();
            self.last_sent.remove(&lease);
            assert!(self.now >= claimed, "lost before its time");
            // An answer can say that the time was over before it came: the server has shortened it.
            let known = claimed.max(self.answered[&lease]);
            assert!(self.now <= known + 1000, "the loss is told late");
            let ttl = 20_000;
            let fault = self.last_fault.is_some_and(|at| at + ttl >= self.now);
            assert!(fault, "lost although nothing was wrong");
        }
        if let Some(at) = self.machine.open_at()
            && at <= now
        {
            if self.now < self.down_until {
                self.machine.broken(Fault::Passing, now);
            } else {
                self.machine.opened();
            }
        }
        if self.machine.is_stalled(now) {
            self.cut();
        }
        if self.machine.is_empty() {
            self.stream += 1;
            self.open_requests.clear();
            self.machine.put_away(now);
        }
        for lease in due(&mut self.machine, now) {
            let open = self.open_requests.entry(lease).or_default();
            *open += 1;
            let ttl = self.server.get(&lease).map_or(1000, |(_, ttl)| *ttl as u64 * 1000);
            if let Some((stream, at)) = self.last_sent.insert(lease, (self.stream, self.now))
                && stream == self.stream
            {
                assert_eq!(*open, 1, "asked for again without an answer");
                // The TTL may have been changed since by the server.
                assert!(self.now - at >= ttl.min(1000) / 3, "asked for too soon");
            }
            self.on_its_way(Way::Request(lease), self.now + self.latency);
        }
        for (lease, claim) in &self.claims {
            let Some(claim) = claim else { continue };
            if self.now < *claim
                && let Some((until, _)) = self.server.get(lease)
            {
                assert!(until >= claim, "claimed until {claim}, and the server says {until}");
            }
        }
    }

    fn next(&mut self, limit: u64) -> u64 {
        let wake = self.machine.wake_at(true).map(|at| self.millis(at));
        let open = self.machine.open_at().map(|at| self.millis(at));
        let way = self.ways.keys().next().map(|(at, _)| *at);
        [wake, open, way].into_iter().flatten().min().unwrap_or(limit).min(limit)
    }

    fn run_until(&mut self, limit: u64) {
        let mut turns_now = 0;
        loop {
            while let Some((&(at, order), &(stream, way))) = self.ways.iter().next()
                && at <= self.now
            {
                self.ways.remove(&(at, order));
                self.arrives(stream, way);
            }
            self.drive();
            let next = self.next(limit);
            turns_now = if next > self.now { 0 } else { turns_now + 1 };
            assert!(turns_now < 100, "it spins at {} ms: {:?}", self.now, self.machine);
            if self.now >= limit {
                return;
            }
            self.now = self.now.max(next);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Whatever befalls: no lease is claimed to live for longer than the server lets it, none is asked for twice without
    /// an answer, a loss is told in time, and there is none without a reason.
    #[test]
    fn any_schedule(fates in fates()) {
        let mut world = World::new();
        for (pause, fate) in &fates {
            let limit = world.now + pause;
            world.run_until(limit);
            world.befall(fate);
        }
        let limit = world.now + 60_000;
        world.run_until(limit);
        // What is left is alive: nothing was wrong for a minute.
        for (lease, claim) in &world.claims {
            let alive = claim.is_some_and(|until| until > world.now) || world.latency > 500;
            prop_assert!(alive, "{lease} is stuck: {:?}", world.machine);
        }
    }
}
