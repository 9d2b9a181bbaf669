//! Signs of life of one connection.
//!
//! A frozen process keeps its connections open: the kernel acknowledges for it. So a member is judged by its answers.
//! [`Liveness`] counts what is outstanding and when the last answer came, on the path of every call;
//! [`Watchdog`] decides, with the time passed in, when silence has lasted long enough for a probe. Fast periodic pings
//! are no way to find out: etcd allows one in five seconds, none without an open stream, and closes the connection at
//! the fourth offence.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Instant;
use crate::config;

/// Whether another member had better serve the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    None,
    /// Calls wait for longer than usual, or the member has lost touch with the others.
    Slight,
    /// Calls wait for so long that the member is being probed.
    Grave,
}

/// A garbage collection or a disk's flush takes about as long as this.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(20);
/// How long a member counts as out of touch that said so: about an election.
const TROUBLE: Duration = Duration::from_secs(2);

/// What the answer to a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The member: its silence says something about it.
    ForMember,
    /// Somebody else who holds a lock, or the size of the data: its silence says nothing.
    ForOthers,
}

/// A connection whose calls all wait for somebody else is probed this many times less often: 5 s with the defaults.
const RESTING: u32 = 10;

/// What calls leave behind on a connection.
#[derive(Debug)]
pub(super) struct Liveness {
    born: Instant,
    /// Calls that wait for the member.
    in_flight: AtomicUsize,
    /// Calls that wait for somebody else.
    resting: AtomicUsize,
    answers: AtomicU64,
    /// Nanoseconds from `born` to the last answer, or to the moment a call began when none was outstanding.
    progress: AtomicU64,
    /// How long answers usually take, in nanoseconds: a moving average; 0 before the first.
    usual: AtomicU64,
    /// Nanoseconds from `born` until which the member counts as cut off from the others.
    trouble_until: AtomicU64,
    /// Set while the watchdog waits for the first call.
    parked: AtomicBool,
    wake: Notify,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            born: now,
            in_flight: AtomicUsize::new(0),
            resting: AtomicUsize::new(0),
            answers: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            usual: AtomicU64::new(0),
            trouble_until: AtomicU64::new(0),
            parked: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// Counts a call as outstanding until the guard is dropped.
    pub(super) fn begin(&self, waiting: Waiting, now: Instant) -> InFlight<'_> {
        match waiting {
            Waiting::ForMember => {
                if self.in_flight.fetch_add(1, Ordering::SeqCst) == 0 {
                    self.progress.store(self.stamp(now), Ordering::Relaxed);
                }
            }
            Waiting::ForOthers => {
                self.resting.fetch_add(1, Ordering::SeqCst);
            }
        }
        // In one order with the two in `wait_for_calls`: either this sees it parked, or it sees this call.
        if self.parked.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
        InFlight(self, waiting)
    }

    /// Notes an answer.
    pub(super) fn answered(&self, now: Instant) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.progress.store(self.stamp(now), Ordering::Relaxed);
    }

    /// Notes how long an answer took that takes about as long every time. A lost update between two of them does no harm.
    pub(super) fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let usual = self.usual.load(Ordering::Relaxed);
        let next = if usual == 0 { time } else { usual - usual / 8 + time / 8 };
        self.usual.store(next, Ordering::Relaxed);
    }

    /// After which silence another member is preferred: when an answer takes eight times as long as usual.
    fn patience(&self, settings: &config::Liveness) -> Duration {
        match self.usual.load(Ordering::Relaxed) {
            0 => settings.doubt_after,
            usual => Duration::from_nanos(usual.saturating_mul(8))
                .max(SHORTEST_PATIENCE)
                .min(settings.doubt_after),
        }
    }

    /// Calls that wait for an answer, whatever that waits for.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed) + self.resting()
    }

    /// Calls whose answer waits for the member.
    pub(super) fn expecting(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Calls whose answer waits for somebody else.
    pub(super) fn resting(&self) -> usize {
        self.resting.load(Ordering::SeqCst)
    }

    /// How many answers there were, whatever they said.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// The member said that it can't reach the others: calls that need them had better go elsewhere for a while.
    pub(super) fn troubled(&self, now: Instant) {
        self.trouble_until.store(self.stamp(now + TROUBLE), Ordering::Relaxed);
    }

    /// How much speaks for preferring another member; none of it is reason to give this one up.
    pub(super) fn doubt(&self, now: Instant, settings: &config::Liveness) -> Doubt {
        let at = self.stamp(now);
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            let silent = at.saturating_sub(self.progress.load(Ordering::Relaxed));
            let silent = Duration::from_nanos(silent);
            if silent > settings.probe_after {
                return Doubt::Grave;
            }
            if silent > self.patience(settings) {
                return Doubt::Slight;
            }
        }
        if at < self.trouble_until.load(Ordering::Relaxed) { Doubt::Slight } else { Doubt::None }
    }

    /// Waits until a call is outstanding.
    pub(super) async fn wait_for_calls(&self) {
        self.park_until(|| self.expecting() + self.resting() > 0).await;
    }

    /// Waits until a call is outstanding that the member is to answer.
    pub(super) async fn wait_for_expecting(&self) {
        self.park_until(|| self.expecting() > 0).await;
    }

    async fn park_until(&self, over: impl Fn() -> bool) {
        loop {
            self.parked.store(true, Ordering::SeqCst);
            if over() {
                break;
            }
            self.wake.notified().await;
        }
        self.parked.store(false, Ordering::Release);
    }

    fn stamp(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A call that waits for its answer.
#[derive(Debug)]
pub(super) struct InFlight<'a>(&'a Liveness, Waiting);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let count = match self.1 {
            Waiting::ForMember => &self.0.in_flight,
            Waiting::ForOthers => &self.0.resting,
        };
        count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Decides when silence calls for a probe. Pure: it sees what is sampled, when it is sampled.
#[derive(Debug)]
pub(super) struct Watchdog {
    patience: Duration,
    last: Option<Sample>,
    silent_since: Instant,
}

/// What a connection shows at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Calls that the member is to answer.
    pub(super) expecting: usize,
    /// Calls whose answer waits for somebody else.
    pub(super) resting: usize,
    pub(super) answers: u64,
    pub(super) received: u64,
}

/// What to do about a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is outstanding: look again when something is.
    Idle,
    /// Look again then.
    Look(Instant),
    /// Look again then, or as soon as a call is outstanding that the member is to answer.
    Rest(Instant),
    /// Ask the member for a sign of life.
    Probe,
}

impl Watchdog {
    pub(super) fn new(patience: Duration, now: Instant) -> Self {
        Self { patience, last: None, silent_since: now }
    }

    pub(super) fn observe(&mut self, sample: Sample, now: Instant) -> Verdict {
        let moved = self.last.is_none_or(|last| {
            last.answers != sample.answers
                || last.received != sample.received
                || last.expecting + last.resting == 0
                || (last.expecting == 0 && sample.expecting > 0)
        });
        self.last = Some(sample);
        if sample.expecting + sample.resting == 0 {
            return Verdict::Idle;
        }
        if moved {
            self.silent_since = now;
        }
        let rests = sample.expecting == 0;
        let patience = if rests { self.patience * RESTING } else { self.patience };
        let due = self.silent_since + patience;
        if now >= due {
            return Verdict::Probe;
        }
        // Sampling is what finds out about progress; half the patience bounds how late that can be.
        let next = due.min(now + patience / 2);
        if rests { Verdict::Rest(next) } else { Verdict::Look(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const PATIENCE: Duration = Duration::from_millis(500);

    fn sample(expecting: usize, answers: u64, received: u64) -> Sample {
        Sample { expecting, resting: 0, answers, received }
    }

    fn resting(expecting: usize, received: u64) -> Sample {
        Sample { expecting, resting: 1, answers: 0, received }
    }

    /// Runs a schedule of (milliseconds, sample) and returns when a probe was asked for.
    fn probes(schedule: &[(u64, Sample)]) -> Vec<u64> {
        let start = clock::now();
        let mut watchdog = Watchdog::new(PATIENCE, start);
        schedule
            .iter()
            .filter(|(at, sample)| {
                watchdog.observe(*sample, start + Duration::from_millis(*at)) == Verdict::Probe
            })
            .map(|(at, _)| *at)
            .collect()
    }

    #[test]
    fn silence_with_a_call_outstanding_asks_for_a_probe() {
        let waiting = sample(1, 0, 9);
        assert_eq!(probes(&[(0, waiting), (250, waiting), (499, waiting), (500, waiting)]), [500]);
    }

    #[test]
    fn an_idle_connection_is_never_probed() {
        let idle = sample(0, 3, 9);
        assert!(probes(&[(0, idle), (500, idle), (60_000, idle)]).is_empty());
        // A call that begins after long idleness gets the full patience.
        let waiting = sample(1, 3, 9);
        assert_eq!(
            probes(&[(0, idle), (60_000, waiting), (60_499, waiting), (60_500, waiting)]),
            [60_500]
        );
    }

    #[test]
    fn a_call_that_waits_for_others_is_probed_seldom_and_hides_none() {
        let schedule = [(0, resting(0, 9)), (500, resting(0, 9)), (4999, resting(0, 9))];
        assert!(probes(&schedule).is_empty());
        assert_eq!(probes(&[(0, resting(0, 9)), (5000, resting(0, 9))]), [5000]);
        // The answer to the probe is a sign of life, and the rest begins anew.
        let probed = [(0, resting(0, 9)), (5000, resting(0, 9)), (5001, resting(0, 10))];
        assert_eq!(probes(&probed), [5000]);
        // A call that the member is to answer gets its own, full patience.
        let call = resting(1, 9);
        assert_eq!(probes(&[(0, resting(0, 9)), (4000, call), (4499, call), (4500, call)]), [4500]);
    }

    #[test]
    fn a_call_that_waits_for_others_raises_no_doubt() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let settings = config::Liveness::new();
        let liveness = Liveness::new(start);
        let lock = liveness.begin(Waiting::ForOthers, at(0));
        assert_eq!(liveness.doubt(at(60_000), &settings), Doubt::None);
        assert_eq!(liveness.in_flight(), 1);
        let get = liveness.begin(Waiting::ForMember, at(60_000));
        assert_eq!(liveness.doubt(at(60_100), &settings), Doubt::None);
        assert_eq!(liveness.doubt(at(60_501), &settings), Doubt::Grave);
        drop(get);
        assert_eq!(liveness.doubt(at(70_000), &settings), Doubt::None);
        drop(lock);
        assert_eq!(liveness.in_flight(), 0);
    }

    #[test]
    fn any_byte_or_answer_is_a_sign_of_life() {
        assert!(
            probes(&[
                (0, sample(1, 0, 9)),
                (400, sample(1, 0, 10)),
                (800, sample(1, 1, 10)),
                (1200, sample(2, 2, 10)),
            ])
            .is_empty()
        );
    }

    #[test]
    fn doubt_comes_and_goes_with_answers() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let settings = config::Liveness::new();
        let liveness = Liveness::new(start);
        let doubt = |ms| liveness.doubt(at(ms), &settings);
        assert_eq!(doubt(1000), Doubt::None);
        let first = liveness.begin(Waiting::ForMember, at(1000));
        let second = liveness.begin(Waiting::ForMember, at(1050));
        assert_eq!(doubt(1100), Doubt::None);
        assert_eq!(doubt(1101), Doubt::Slight);
        assert_eq!(doubt(1501), Doubt::Grave);
        liveness.answered(at(1600));
        drop(first);
        assert_eq!(doubt(1700), Doubt::None);
        assert_eq!(doubt(1701), Doubt::Slight);
        drop(second);
        assert_eq!(doubt(9000), Doubt::None);
    }

    #[test]
    fn a_quick_member_is_doubted_sooner() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let settings = config::Liveness::new();
        let doubted_after = |usual: &[u64]| {
            let liveness = Liveness::new(start);
            usual.iter().for_each(|ms| liveness.took(Duration::from_millis(*ms)));
            let _call = liveness.begin(Waiting::ForMember, start);
            (0..1000).find(|ms| liveness.doubt(at(*ms), &settings) == Doubt::Slight)
        };
        assert_eq!(doubted_after(&[]), Some(101));
        assert_eq!(doubted_after(&[1; 50]), Some(21));
        assert_eq!(doubted_after(&[5; 50]), Some(41));
        assert_eq!(doubted_after(&[500; 50]), Some(101));
    }

    #[test]
    fn a_member_out_of_touch_is_left_alone_for_a_while() {
        let start = clock::now();
        let liveness = Liveness::new(start);
        let settings = config::Liveness::new();
        liveness.troubled(start);
        assert_eq!(liveness.doubt(start + TROUBLE / 2, &settings), Doubt::Slight);
        assert_eq!(liveness.doubt(start + TROUBLE, &settings), Doubt::None);
    }
}
