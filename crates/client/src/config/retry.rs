//! How attempts and connections are repeated.

use std::time::Duration;

use crate::config::check;
use crate::error::{Error, Result};

/// How failed attempts of a call are repeated.
///
/// What may be repeated is not configurable, since it is a question of correctness: reads always, writes only when it
/// is certain that the failed attempt changed nothing. This says how often and how fast.
///
/// Three things bound the repetitions, whichever comes first: the call's deadline,
/// [`max_attempts`](Self::max_attempts), and a budget that all calls of a client share. The budget is what keeps a
/// client from multiplying its load on a cluster that is failing because of load: repetitions may be
/// [`budget`](Self::budget)'s fraction of the calls, and a few a second for clients with little traffic. Waiting for
/// a connection is no attempt and costs none of these.
///
/// ```
/// use etcdkit::config::RetryPolicy;
///
/// let patient = RetryPolicy::new().max_attempts(30);
/// let never = RetryPolicy::off();
/// # let _ = (patient, never);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    pub(crate) is_on: bool,
    pub(crate) max_attempts: u32,
    pub(crate) first_backoff: Duration,
    pub(crate) max_backoff: Duration,
    pub(crate) budget_ratio: f64,
    pub(crate) budget_per_second: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            is_on: true,
            max_attempts: 10,
            first_backoff: Duration::from_millis(25),
            max_backoff: Duration::from_secs(1),
            budget_ratio: 0.2,
            budget_per_second: 10.0,
        }
    }
}

impl RetryPolicy {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every call is attempted once, unless [`CallOptions::retry`](crate::service::CallOptions::retry) says otherwise.
    ///
    /// One that certainly was not looked at is sent a second time: the server may close a connection at the very moment
    /// when a call sets out on it.
    #[must_use]
    pub fn off() -> Self {
        Self { is_on: false, ..Self::default() }
    }

    /// How often a call is attempted at most, the first attempt included. Default 10: with the default backoff that spans
    /// 2.3 to 4.6 s, in which a cluster elects a new leader. With 1, what holds for [`off`](Self::off) holds too.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// The pause before a repetition: `first`, doubled each time up to `max`, each shortened at random by up to a
    /// half so that clients which failed together do not come back together. Default 25 ms and 1 s.
    ///
    /// An attempt that failed on one member moves to another without any pause, until all have been tried.
    #[must_use]
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.first_backoff = first;
        self.max_backoff = max;
        self
    }

    /// The share of calls that may be repetitions, and how many a second are allowed regardless. Default 0.2 and 10.
    #[must_use]
    pub fn budget(mut self, ratio: f64, per_second: f64) -> Self {
        self.budget_ratio = ratio;
        self.budget_per_second = per_second;
        self
    }

    /// The pause before repetition number `repetition`, counted from 0; `random` in [0, 1).
    pub(crate) fn pause(&self, repetition: u32, random: f64) -> Duration {
        let full = self.first_backoff.saturating_mul(1 << repetition.min(30)).min(self.max_backoff);
        full.mul_f64(1.0 - 0.5 * random.clamp(0.0, 1.0))
    }

    pub(super) fn validate(&self) -> Result<()> {
        if self.max_attempts == 0 {
            return Err(Error::invalid(
                "max_attempts is 0: a call is attempted at least once; `RetryPolicy::off` \
                 attempts it only once",
            ));
        }
        check::not_zero("the first backoff", self.first_backoff)?;
        check::ordered(("the first backoff", self.first_backoff), ("the last", self.max_backoff))?;
        check::within_a_day("the last backoff", self.max_backoff)?;
        check::in_range("the retry budget's ratio", self.budget_ratio, 0.0..=10.0)?;
        check::in_range("the retry budget per second", self.budget_per_second, 0.0..=1e6)
    }
}

/// How an endpoint that can't be reached is tried again.
///
/// Each endpoint has its own pace, which starts afresh once a connection has been up for 5 s.
/// Calls do not wait for it as long as any endpoint is connected.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconnect {
    pub(crate) first: Duration,
    pub(crate) max: Duration,
    pub(crate) factor: f64,
    pub(crate) jitter: f64,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            max: Duration::from_secs(30),
            factor: 1.6,
            jitter: 0.2,
        }
    }
}

impl Reconnect {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The pause after the first failure. Default 100 ms (gRPC's is 1 s): a member that restarts is back within a
    /// second, and ten attempts in that time are no burden.
    #[must_use]
    pub fn first(mut self, pause: Duration) -> Self {
        self.first = pause;
        self
    }

    /// The longest pause. Default 30 s (gRPC's is 120 s): how late, at worst, a member that comes back is noticed.
    #[must_use]
    pub fn max(mut self, pause: Duration) -> Self {
        self.max = pause;
        self
    }

    /// By what each pause is longer than the one before. Default 1.6, as in gRPC.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// By which fraction a pause is lengthened or shortened at random. Default 0.2, as in gRPC: after an outage the
    /// clients come back spread out.
    #[must_use]
    pub fn jitter(mut self, fraction: f64) -> Self {
        self.jitter = fraction;
        self
    }

    /// The pause after the failure number `failure`, counted from 0; `random` in [0, 1).
    pub(crate) fn pause(&self, failure: u32, random: f64) -> Duration {
        let exponent = i32::try_from(failure).unwrap_or(i32::MAX);
        let full =
            (self.first.as_secs_f64() * self.factor.powi(exponent)).min(self.max.as_secs_f64());
        let spread = 1.0 + self.jitter * (2.0 * random.clamp(0.0, 1.0) - 1.0);
        Duration::from_secs_f64(full * spread)
    }

    pub(super) fn validate(&self) -> Result<()> {
        check::not_zero("the first reconnect pause", self.first)?;
        check::ordered(("the first reconnect pause", self.first), ("the longest", self.max))?;
        check::within_a_day("the longest reconnect pause", self.max)?;
        check::in_range("the reconnect factor", self.factor, 1.0..=10.0)?;
        check::in_range("the reconnect jitter", self.jitter, 0.0..=1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(duration: Duration) -> u128 {
        duration.as_millis()
    }

    #[test]
    fn repetitions_back_off_to_a_bound() {
        let policy = RetryPolicy::new();
        let longest: Vec<_> = (0..8).map(|n| millis(policy.pause(n, 0.0))).collect();
        assert_eq!(longest, [25, 50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(millis(policy.pause(1, 0.5)), 37);
        assert_eq!(millis(policy.pause(u32::MAX, 1.0)), 500);
        let span: Duration = (0..9).map(|n| policy.pause(n, 0.0)).sum();
        assert!(span > Duration::from_secs(4), "{span:?}");
    }

    #[test]
    fn reconnecting_backs_off_to_a_bound() {
        let reconnect = Reconnect::new();
        let pauses: Vec<_> = (0..4).map(|n| millis(reconnect.pause(n, 0.5))).collect();
        assert_eq!(pauses, [100, 160, 256, 409]);
        assert_eq!(millis(reconnect.pause(u32::MAX, 0.5)), 30_000);
        assert_eq!(millis(reconnect.pause(0, 0.0)), 80);
        assert_eq!(millis(reconnect.pause(0, 1.0)), 120);
    }
}
