//! The only place that reads the time, waits for it, or draws randomness.
#![expect(clippy::disallowed_methods, reason = "this is where the banned calls live")]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::time::Instant;

/// The time that leases, tokens and intervals of a server go by.
///
/// It runs with the machine's clock, and a test can push it on: leases expire at once that would have expired by then.
/// It can also be stopped, so that nothing expires unless the test says so.
///
/// ```
/// use std::time::Duration;
/// use etcdkit_server::Server;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), etcdkit_server::Error> {
/// let server = Server::start_ephemeral().await?;
/// let clock = server.clock();
/// clock.stop();
/// let before = clock.elapsed();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.elapsed(), before + Duration::from_secs(3600));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Clock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hand: Mutex<Hand>,
    moved: Notify,
}

#[derive(Debug)]
struct Hand {
    /// What had passed when the clock was set last.
    passed: Duration,
    /// When that was; `None` while it is stopped.
    since: Option<Instant>,
}

impl Hand {
    fn elapsed(&self) -> Duration {
        self.passed + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Clock {
    pub(crate) fn new() -> Self {
        let hand = Hand { passed: Duration::ZERO, since: Some(Instant::now()) };
        Self { inner: Arc::new(Inner { hand: Mutex::new(hand), moved: Notify::new() }) }
    }

    /// How much time has passed for the server since it was first started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.change(|hand| hand.elapsed())
    }

    /// Has so much time pass at once.
    pub fn advance(&self, time: Duration) {
        self.change(|hand| hand.passed += time);
        self.inner.moved.notify_waiters();
    }

    /// From here on, time passes by [`advance`](Self::advance) alone.
    pub fn stop(&self) {
        self.change(|hand| {
            hand.passed = hand.elapsed();
            hand.since = None;
        });
        self.inner.moved.notify_waiters();
    }

    /// Has time pass by itself again.
    pub fn resume(&self) {
        self.change(|hand| {
            hand.since.get_or_insert_with(Instant::now);
        });
        self.inner.moved.notify_waiters();
    }

    fn change<T>(&self, change: impl FnOnce(&mut Hand) -> T) -> T {
        change(&mut self.inner.hand.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until so much time has passed since the start.
    pub(crate) async fn until(&self, deadline: Duration) {
        loop {
            let moved = self.inner.moved.notified();
            let wake = self.change(|hand| {
                let left = deadline.saturating_sub(hand.elapsed());
                if left.is_zero() {
                    Some(None)
                } else {
                    hand.since.map(|_| Some(Instant::now() + left))
                }
            });
            match wake {
                Some(None) => return,
                Some(Some(wake)) => {
                    let _ = tokio::time::timeout_at(wake, moved).await;
                }
                None => moved.await,
            }
        }
    }
}

/// Waits in real time, whatever the clock says.
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// A [`pause`] that can be kept.
#[derive(Debug)]
pub(crate) struct Pause(Pin<Box<tokio::time::Sleep>>);

impl Pause {
    pub(crate) fn new(duration: Duration) -> Self {
        Self(Box::pin(tokio::time::sleep(duration)))
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

/// Tells how much real time has passed since.
pub(crate) fn stopwatch() -> impl Fn() -> Duration {
    let start = Instant::now();
    move || start.elapsed()
}

/// The time of day, since 1970.
pub(crate) fn time_of_day() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A number that differs from start to start: 40 bits of the time of day in milliseconds, and room to count below.
pub(crate) fn seed() -> u64 {
    static STARTS: AtomicU64 = AtomicU64::new(0);
    let milliseconds =
        u64::try_from(time_of_day().as_millis()).unwrap_or_default() & 0xff_ffff_ffff;
    milliseconds << 8 | STARTS.fetch_add(1, Ordering::Relaxed) & 0xff
}

/// A random number below the limit.
pub(crate) fn random_below(limit: u8) -> u8 {
    fastrand::u8(..limit)
}
