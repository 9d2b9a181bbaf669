//! The one place that waits for time to pass.

use std::time::{Duration, Instant};

/// Does nothing for so long.
#[expect(
    clippy::disallowed_methods,
    reason = "a person is to read what was said, and no runtime is blocked"
)]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// What the clock says.
#[expect(clippy::disallowed_methods, reason = "commands tell how long something took")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// How long something took, as it is printed.
pub(crate) fn since(start: Instant) -> String {
    let nanos = i64::try_from(now().duration_since(start).as_nanos()).unwrap_or(i64::MAX);
    crate::notation::duration::write(nanos)
}
