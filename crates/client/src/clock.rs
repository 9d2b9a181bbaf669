//! The only place that reads the time, sleeps, or draws randomness.
//!
//! State machines get `now` and a seeded generator passed in, so that tests can replay any schedule. tokio's clock is
//! used throughout: a test that pauses it controls every deadline of this crate.
#![expect(clippy::disallowed_methods, reason = "this is where the banned calls live")]

use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::future::Future;
use std::hash::BuildHasher;
use std::time::Duration;

pub(crate) use tokio::time::Instant;

pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) async fn sleep_until(deadline: Instant) {
    tokio::time::sleep_until(deadline).await;
}

pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// The output of `future`, or `None` if `deadline` comes first. `None` as a deadline never comes.
pub(crate) async fn until<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}

/// A generator for jitter, seeded by the operating system.
pub(crate) fn rng() -> fastrand::Rng {
    fastrand::Rng::new()
}

/// 64 characters that nobody can guess: SipHash with keys from the operating system.
pub(crate) fn secret() -> String {
    let state = RandomState::new();
    (0u8..4).fold(String::new(), |mut text, part| {
        let _ = write!(text, "{:016x}", state.hash_one(part));
        text
    })
}
