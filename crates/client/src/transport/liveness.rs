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

/// What calls leave behind on a connection.
#[derive(Debug)]
pub(super) struct Liveness {
    born: Instant,
    in_flight: AtomicUsize,
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
            answers: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            usual: AtomicU64::new(0),
            trouble_until: AtomicU64::new(0),
            parked: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// Counts a call as outstanding until the guard is dropped.
    pub(super) fn begin(&self, now: Instant) -> InFlight<'_> {
        if self.in_flight.fetch_add(1, Ordering::SeqCst) == 0 {
            self.progress.store(self.stamp(now), Ordering::Relaxed);
        }
        // In one order with the two in `wait_for_calls`: either this sees it parked, or it sees this call.
        if self.parked.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
        InFlight(self)
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

    /// Calls that wait for an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
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
        if self.in_flight() > 0 {
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
        loop {
            self.parked.store(true, Ordering::SeqCst);
            if self.in_flight.load(Ordering::SeqCst) > 0 {
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
pub(super) struct InFlight<'a>(&'a Liveness);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
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
    pub(super) in_flight: usize,
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
                || last.in_flight == 0
        });
        self.last = Some(sample);
        if sample.in_flight == 0 {
            return Verdict::Idle;
        }
        if moved {
            self.silent_since = now;
        }
        let due = self.silent_since + self.patience;
        if now >= due {
            return Verdict::Probe;
        }
        // Sampling is what finds out about progress; half the patience bounds how late that can be.
        Verdict::Look(due.min(now + self.patience / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const PATIENCE: Duration = Duration::from_millis(500);

    fn sample(in_flight: usize, answers: u64, received: u64) -> Sample {
        Sample { in_flight, answers, received }
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
        let first = liveness.begin(at(1000));
        let second = liveness.begin(at(1050));
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
            let _call = liveness.begin(start);
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
