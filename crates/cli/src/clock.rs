//! The only place that reads the time.
#![expect(clippy::disallowed_methods, reason = "this is where the banned calls live")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time of day, since 1970.
pub(crate) fn time_of_day() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
