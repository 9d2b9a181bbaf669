//! The only reader of clocks and the only sleeper of this crate.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The monotonic time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this room is where the bench reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The CPU time that this process has used so far, user and system together.
#[must_use]
pub fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Waits for a stretch of time; a load is measured by the clock, so there is nothing else to wait for.
#[expect(clippy::disallowed_methods, reason = "this room is where the bench sleeps")]
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
