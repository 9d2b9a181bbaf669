//! A clock that stands still while the machine does.
//!
//! A test that bounds how long something took is about the program under test, and a machine that runs nothing for a
//! second, or has more to run than it can, is no fault of that. Here a thread wakes up every ten milliseconds and winds
//! the clock up for ten more; what it comes late by does not count. It is a thread of its own: a program that blocks the
//! threads of its runtime is not excused.

use std::ops::Sub;
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// How long the clock runs without being wound up.
const PERIOD: Duration = Duration::from_millis(10);

static CLOCK: LazyLock<Mutex<Clock>> = LazyLock::new(|| {
    // It lasts as long as the process.
    let _ = thread::Builder::new().name("clock".into()).spawn(wind).expect("a thread can start");
    Mutex::new(Clock { wound: real(), shows: Moment(Duration::ZERO) })
});

/// What the clock shows at some time. It never goes back.
///
/// For upper bounds alone: by this clock everything takes as long as by others, or less.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use etcdkit_testkit::clock::Moment;
///
/// let started = Moment::now();
/// let sum: u64 = (1..=1000).sum();
/// assert!(started.elapsed() < Duration::from_secs(1), "{sum}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// What the clock shows now.
    ///
    /// # Panics
    ///
    /// If it is the first time and no thread can be started.
    #[must_use]
    pub fn now() -> Self {
        let clock = clock();
        clock.at(real())
    }

    /// How far the clock has come since.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now() - self
    }
}

impl Sub for Moment {
    type Output = Duration;

    /// How much later this one is; nothing, if it is earlier.
    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The output of `future`, or nothing once that takes longer than `limit` by this clock. Where tokio's clock is paused it bounds
/// nothing: use tokio's own.
///
/// # Cancel safety
///
/// Dropping this drops `future`.
pub fn timeout<F: Future>(limit: Duration, future: F) -> impl Future<Output = Option<F::Output>> {
    // What tests wait for may be large.
    let mut future = Box::pin(future);
    async move {
        let started = Moment::now();
        loop {
            let left = limit.saturating_sub(started.elapsed());
            match tokio::time::timeout(left, &mut future).await {
                Ok(output) => return Some(output),
                Err(_) if left.is_zero() => return None,
                // The machine stood still meanwhile.
                Err(_) => {}
            }
        }
    }
}

struct Clock {
    wound: Instant,
    /// What it showed when it was wound up.
    shows: Moment,
}

impl Clock {
    fn at(&self, now: Instant) -> Moment {
        Moment(self.shows.0 + now.saturating_duration_since(self.wound).min(PERIOD))
    }

    fn wind_up(&mut self, now: Instant) {
        *self = Self { wound: now, shows: self.at(now) };
    }
}

fn clock() -> MutexGuard<'static, Clock> {
    CLOCK.lock().expect("no holder of the clock panics")
}

#[expect(clippy::disallowed_methods, reason = "the clock of tests")]
fn real() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "how late it wakes up is what is measured")]
fn wind() {
    loop {
        thread::sleep(PERIOD);
        let mut clock = clock();
        clock.wind_up(real());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_for_as_long_as_it_is_wound_up() {
        let start = real();
        let after = |millis| start + Duration::from_millis(millis);
        let mut clock = Clock { wound: start, shows: Moment(Duration::ZERO) };
        // When it is looked at, what it shows, and whether it is wound up then.
        for (at, shows, wound) in [
            (0, 0, false),
            (7, 7, false),
            (10, 10, true),
            (13, 13, false),
            (20, 20, true),
            // The machine stands still for a second.
            (1020, 30, false),
            (1025, 30, true),
            (1028, 33, false),
            (1035, 40, true),
        ] {
            assert_eq!(clock.at(after(at)), Moment(Duration::from_millis(shows)), "at {at} ms");
            if wound {
                clock.wind_up(after(at));
            }
        }
    }

    #[tokio::test]
    async fn what_never_comes_is_waited_for_until_the_clock_says_so() {
        let (started, began) = (real(), Moment::now());
        assert_eq!(timeout(5 * PERIOD, std::future::pending::<()>()).await, None);
        assert!(began.elapsed() >= 5 * PERIOD);
        assert!(started.elapsed() >= 5 * PERIOD);
        assert_eq!(timeout(Duration::ZERO, async { "what is there" }).await, Some("what is there"));
    }
}
