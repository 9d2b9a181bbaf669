//! The only place that reads the time, sleeps, or draws randomness.
//!
//! tokio's clock is used throughout: a test that pauses it controls every timeout of this crate.
#![expect(clippy::disallowed_methods, reason = "this is where the banned calls live")]

use std::future::Future;
use std::time::Duration;

pub(crate) use tokio::time::Instant;

pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// The output of `future`, or `None` if `limit` passes first.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}

/// The same for a future without a limit of its own, if there is none.
pub(crate) async fn maybe_within<F: Future>(
    limit: Option<Duration>,
    future: F,
) -> Option<F::Output> {
    match limit {
        Some(limit) => within(limit, future).await,
        None => Some(future.await),
    }
}

/// A generator for shuffling and query ids, seeded by the operating system.
pub(crate) fn rng() -> fastrand::Rng {
    fastrand::Rng::new()
}
