//! When to renew which lease, and when one is lost: without I/O, without a clock.
//!
//! Many leases are renewed over one stream. The [`Machine`] is told what happens (a lease joins or leaves, the
//! stream opens or breaks, an answer comes) and what time it is; it says which leases to ask for now, whether a stream
//! is wanted, and which leases have run out.
//!
//! * A lease lives until the moment at which its last answered request was *sent*, plus its TTL. The server counts from
//!   a later moment, so this is never too long.
//! * It is asked for again a third of its TTL after that, or up to a fifth of that later: leases granted together drift
//!   apart. Nothing is asked for twice on one stream without an answer in between.
//! * If the stream breaks, what it left unanswered goes first on the next one. Opening pauses a little longer after each
//!   failure, and not for long: leases don't wait.
//! * A server that denies one lease ends the stream of all. It answers in order, so the first request without an answer
//!   is the suspect; on the next stream it is asked for alone, and only if that is denied too, the lease is lost.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use crate::clock::Instant;
use crate::hash::Numbers;
use crate::revision::LeaseId;

/// Renewals that fall due within this share of their TTL go out together, and no longer than that: 150 ms of 15 s.
const BATCH: u32 = 100;
const LONGEST_BATCH: Duration = Duration::from_millis(200);

/// Requests without an answer on one stream; more wait.
const WINDOW: usize = 4096;

/// The pause before the first attempt to open another stream; doubled by each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Longer than any clock has to count: what a server may say is not trusted in arithmetic.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What an answer meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The lease lives: it was asked for at `sent`, and has `ttl` from then on.
    Renewed { sent: Instant, ttl: Duration },
    /// There is no such lease, of which the time was over or not. It has been removed here.
    Gone { expired: bool },
    /// Nobody waits for it.
    Unasked,
}

/// How a stream ended, as far as it makes a difference here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Another stream may fare better.
    Passing,
    /// The server refused a request for good.
    Refused,
}

#[derive(Debug)]
struct Lease {
    /// Tells this stay from an earlier one under the same id.
    stay: u64,
    /// As the server said last.
    ttl: Option<Duration>,
    /// Until when it certainly lives.
    until: Option<Instant>,
    /// When that is looked at: its timer that counts.
    ends: Option<Instant>,
    /// When to ask next; `None` while an answer is due.
    due: Option<Instant>,
    /// When the request was sent that has no answer yet.
    asked: Option<Instant>,
}

#[derive(Debug)]
enum Stream {
    /// None; the next may be opened at this time.
    Closed { retry_at: Instant },
    Open {
        /// Whether anything came of it.
        answered: bool,
        /// The last answer, or the first request.
        last_sign: Option<Instant>,
    },
}

/// A time, a stay, and whose it is. Out of date if the lease has moved on since.
type Timers = BinaryHeap<Reverse<(Instant, u64, LeaseId)>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Machine {
    leases: HashMap<LeaseId, Lease, Numbers>,
    /// When leases fall due.
    sends: Timers,
    /// When leases run out, or did before they were renewed.
    ends: Timers,
    /// Requests on this stream, in order; those at the front have no answer.
    unanswered: VecDeque<(LeaseId, u64)>,
    outstanding: usize,
    /// Answers to come for leases that have left since they were asked for.
    orphans: HashMap<LeaseId, u32, Numbers>,
    stream: Stream,
    failures: u32,
    /// The one lease to ask for, to find out whether it is the one that the server refuses.
    suspect: Option<LeaseId>,
    stays: u64,
    rng: fastrand::Rng,
}

impl Machine {
    pub(super) fn new(now: Instant, rng: fastrand::Rng) -> Self {
        Self {
            leases: HashMap::default(),
            sends: BinaryHeap::new(),
            ends: BinaryHeap::new(),
            unanswered: VecDeque::new(),
            outstanding: 0,
            orphans: HashMap::default(),
            stream: Stream::Closed { retry_at: now },
            failures: 0,
            suspect: None,
            stays: 0,
            rng,
        }
    }

    /// Whether there is nothing to keep alive.
    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Whether requests wait for an answer.
    pub(super) fn is_waiting(&self) -> bool {
        self.outstanding > 0
    }

    /// A lease to be kept alive; nothing changes if it is already.
    pub(super) fn join(&mut self, id: LeaseId, now: Instant) {
        if self.leases.contains_key(&id) {
            return;
        }
        self.stays += 1;
        let lease = Lease {
            stay: self.stays,
            ttl: None,
            until: None,
            ends: None,
            due: Some(now),
            asked: None,
        };
        self.sends.push(Reverse((now, lease.stay, id)));
        self.leases.insert(id, lease);
    }

    /// A lease that nobody wants to be kept alive any more.
    pub(super) fn leave(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.remove(&id) else { return };
        if lease.asked.is_some() {
            self.outstanding -= 1;
            *self.orphans.entry(id).or_default() += 1;
        }
        if self.suspect == Some(id) {
            self.suspect = None;
        }
        self.tidy();
    }

    /// Drops timers that are out of date, once they are many.
    fn tidy(&mut self) {
        let leases = &self.leases;
        let limit = 2 * leases.len() + 64;
        let stays = |id: &LeaseId, stay: u64| leases.get(id).is_some_and(|it| it.stay == stay);
        if self.sends.len() > limit {
            self.sends.retain(|Reverse((_, stay, id))| stays(id, *stay));
        }
        if self.ends.len() > limit {
            self.ends.retain(|Reverse((at, stay, id))| {
                leases.get(id).is_some_and(|it| it.stay == *stay && it.ends == Some(*at))
            });
        }
        if self.unanswered.len() > limit {
            self.unanswered.retain(|(id, stay)| stays(id, *stay));
        }
    }

    /// When to open a stream; `None` if there is one, or nothing to say on it.
    pub(super) fn open_at(&self) -> Option<Instant> {
        match self.stream {
            Stream::Closed { retry_at } if !self.leases.is_empty() => Some(retry_at),
            _ => None,
        }
    }

    /// A stream was opened.
    pub(super) fn opened(&mut self) {
        self.stream = Stream::Open { answered: false, last_sign: None };
    }

    /// The stream is gone, because nothing was left to say if it did not break.
    pub(super) fn put_away(&mut self, now: Instant) {
        if matches!(self.stream, Stream::Open { .. }) {
            self.lose_stream();
            self.failures = 0;
            self.stream = Stream::Closed { retry_at: now };
        }
    }

    /// The stream broke, or none could be opened. Returns the lease that the server refuses for good, if that is sure.
    pub(super) fn broken(&mut self, fault: Fault, now: Instant) -> Option<LeaseId> {
        if matches!(self.stream, Stream::Open { answered: true, .. }) {
            self.failures = 0;
        }
        let factor = 0.5 + self.rng.f64() / 2.0;
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.forget_answered();
        let first = self.unanswered.front().map(|(id, _)| *id);
        // The refused request may be that of a lease that has left since.
        let alone = self.outstanding == 1 && self.orphans.is_empty();
        self.lose_stream();
        self.stream = Stream::Closed { retry_at: now + pause.mul_f64(factor) };
        if fault == Fault::Passing {
            return None;
        }
        self.suspect = first;
        if !alone {
            return None;
        }
        self.suspect = None;
        let refused = first?;
        self.leases.remove(&refused);
        Some(refused)
    }

    /// What the stream left unanswered falls due at once.
    fn lose_stream(&mut self) {
        for (id, stay) in std::mem::take(&mut self.unanswered) {
            let Some(lease) = self.leases.get_mut(&id) else { continue };
            if lease.stay != stay {
                continue;
            }
            if let Some(asked) = lease.asked.take() {
                lease.due = Some(asked);
                self.sends.push(Reverse((asked, stay, id)));
            }
        }
        self.outstanding = 0;
        self.orphans.clear();
    }

    /// Appends what to ask for now to `ids`, the most urgent first. Each is counted as sent at `now`.
    pub(super) fn due(&mut self, now: Instant, ids: &mut Vec<LeaseId>) {
        if !matches!(self.stream, Stream::Open { .. }) {
            return;
        }
        if let Some(suspect) = self.suspect {
            if self.outstanding == 0 && self.orphans.is_empty() {
                self.send(suspect, now, ids);
            }
            return;
        }
        while self.outstanding < WINDOW {
            self.forget_moved();
            match self.sends.peek() {
                Some(Reverse((at, _, id))) if *at <= now => {
                    let id = *id;
                    self.sends.pop();
                    self.send(id, now, ids);
                }
                _ => return,
            }
        }
    }

    fn send(&mut self, id: LeaseId, now: Instant, ids: &mut Vec<LeaseId>) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        lease.due = None;
        lease.asked = Some(now);
        self.unanswered.push_back((id, lease.stay));
        if self.outstanding == 0
            && let Stream::Open { last_sign, .. } = &mut self.stream
        {
            *last_sign = Some(now);
        }
        self.outstanding += 1;
        ids.push(id);
    }

    /// The server's answer for a lease: the seconds it has, 0 or less if there is no such lease.
    pub(super) fn answered(&mut self, id: LeaseId, seconds: i64, now: Instant) -> Answer {
        if let Stream::Open { answered, last_sign } = &mut self.stream {
            *answered = true;
            *last_sign = Some(now);
        }
        if let Some(count) = self.orphans.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.orphans.remove(&id);
            }
            return Answer::Unasked;
        }
        let Some(lease) = self.leases.get_mut(&id) else { return Answer::Unasked };
        let Some(sent) = lease.asked.take() else { return Answer::Unasked };
        self.outstanding -= 1;
        if self.suspect == Some(id) {
            self.suspect = None;
        }
        let seconds = u64::try_from(seconds).unwrap_or(0);
        if seconds == 0 {
            let expired = lease.until.is_some_and(|until| until <= now);
            self.leases.remove(&id);
            self.forget_answered();
            return Answer::Gone { expired };
        }
        let ttl = Duration::from_secs(seconds).min(CENTURY);
        let until = sent + ttl;
        // A timer that comes too early looks again; one that would come too late has to be replaced.
        if lease.ends.is_none_or(|ends| until < ends) {
            lease.ends = Some(until);
            self.ends.push(Reverse((until, lease.stay, id)));
        }
        lease.ttl = Some(ttl);
        lease.until = Some(until);
        let third = ttl / 3;
        let due = sent + third + third.mul_f64(0.2 * self.rng.f64());
        lease.due = Some(due);
        self.sends.push(Reverse((due, lease.stay, id)));
        self.tidy();
        self.forget_answered();
        Answer::Renewed { sent, ttl }
    }

    /// Appends the leases to `ids` whose time is over, and forgets them.
    pub(super) fn ended(&mut self, now: Instant, ids: &mut Vec<LeaseId>) {
        while let Some(Reverse((at, stay, id))) = self.ends.peek().copied() {
            if at > now {
                return;
            }
            self.ends.pop();
            let counts = |lease: &&mut Lease| lease.stay == stay && lease.ends == Some(at);
            let Some(lease) = self.leases.get_mut(&id).filter(counts) else { continue };
            match lease.until {
                Some(until) if until > now => {
                    lease.ends = Some(until);
                    self.ends.push(Reverse((until, stay, id)));
                }
                _ => {
                    self.leave(id);
                    ids.push(id);
                }
            }
        }
    }

    /// Whether the stream brings nothing although it should: another one may fare better.
    pub(super) fn is_stalled(&mut self, now: Instant) -> bool {
        self.stalls_at().is_some_and(|at| at <= now)
    }

    /// When the stream counts as stalled, unless an answer comes.
    fn stalls_at(&mut self) -> Option<Instant> {
        self.forget_answered();
        let (id, _) = self.unanswered.front()?;
        let lease = self.leases.get(id)?;
        let asked = lease.asked?;
        let Stream::Open { last_sign: Some(last_sign), .. } = self.stream else { return None };
        let (least, most) = (Duration::from_millis(500), Duration::from_secs(4));
        let ttl = lease.ttl.unwrap_or(Duration::from_secs(8));
        let patience = (ttl / 4).clamp(least, most);
        // Answers to others show that it is only slow; a request that waits for half of its lease's life is lost.
        Some((asked.max(last_sign) + patience).min(asked + ttl / 2))
    }

    /// When to look again, if nothing happens before. `sends` is whether anything could be sent then.
    pub(super) fn wake_at(&mut self, sends: bool) -> Option<Instant> {
        let mut at = self.next_end();
        let mut sooner = |other: Option<Instant>| {
            if let Some(other) = other {
                at = Some(at.map_or(other, |at| at.min(other)));
            }
        };
        sooner(self.stalls_at());
        let open = matches!(self.stream, Stream::Open { .. });
        if sends && open && self.suspect.is_none() && self.outstanding < WINDOW {
            self.forget_moved();
            let first = self.sends.peek().map(|Reverse((due, _, id))| (*due, *id));
            sooner(first.map(|(due, id)| due + self.batch(id)));
        }
        at
    }

    /// How long a renewal that is due may wait for others. The first of a lease waits for none.
    fn batch(&self, id: LeaseId) -> Duration {
        let ttl = self.leases.get(&id).and_then(|lease| lease.ttl);
        ttl.map_or(Duration::ZERO, |ttl| (ttl / BATCH).min(LONGEST_BATCH))
    }

    /// When the first lease may run out.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Removes requests from the front that have their answer.
    fn forget_answered(&mut self) {
        while let Some((id, stay)) = self.unanswered.front() {
            let waits = |it: &Lease| it.stay == *stay && it.asked.is_some();
            if self.leases.get(id).is_some_and(waits) {
                return;
            }
            self.unanswered.pop_front();
        }
    }

    /// Removes timers from the top whose lease has left or moved on.
    fn forget_moved(&mut self) {
        while let Some(Reverse((at, stay, id))) = self.sends.peek() {
            let waits = |it: &Lease| it.stay == *stay && it.due == Some(*at);
            if self.leases.get(id).is_some_and(waits) {
                return;
            }
            self.sends.pop();
        }
    }
}

#[cfg(test)]
mod tests;
