//! The checks that several settings share.

use std::time::Duration;

use crate::error::{Error, Result};

pub(super) fn not_zero(what: &str, duration: Duration) -> Result<()> {
    if duration.is_zero() {
        return Err(Error::invalid(format!("{what} is zero")));
    }
    Ok(())
}

pub(super) fn ordered(lesser: (&str, Duration), greater: (&str, Duration)) -> Result<()> {
    if lesser.1 > greater.1 {
        return Err(Error::invalid(format!(
            "{} ({:?}) is longer than {} ({:?})",
            lesser.0, lesser.1, greater.0, greater.1
        )));
    }
    Ok(())
}

/// The clock can't add what is longer than its own range.
pub(super) fn within_a_day(what: &str, duration: Duration) -> Result<()> {
    ordered((what, duration), ("a day", Duration::from_secs(86_400)))
}

pub(super) fn in_range(what: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<()> {
    if !range.contains(&value) {
        return Err(Error::invalid(format!(
            "{what} is {value}: it lies between {} and {}",
            range.start(),
            range.end()
        )));
    }
    Ok(())
}
