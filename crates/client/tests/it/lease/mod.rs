//! Leases on real etcd, each version that is at hand, named after the tests of etcd's own client that they match.
//!
//! * `calls.rs`: granting, ending, asking, listing; lost answers.
//! * `keep_alive.rs`: renewals, and each reason for which they end. `faults.rs`: members that restart, quorums that are
//!   lost. `users.rs`: with authentication. `scripted.rs`: servers that answer as a test says. `soak.rs`: none is lost
//!   while a quorum is within reach. `turns.rs`: holders who come as the last one goes.
#![cfg(test)]

mod calls;
mod faults;
mod keep_alive;
mod scripted;
mod soak;
mod turns;
mod users;

use std::time::Duration;

use etcdkit::{Client, LeaseId};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A lease of so many seconds.
async fn granted(client: &Client, ttl: u64) -> LeaseId {
    client.grant(seconds(ttl)).await.unwrap().id()
}

#[expect(clippy::disallowed_methods, reason = "what is tested is time, that of the client")]
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

/// Lets time pass.
async fn pass(duration: Duration) {
    tokio::time::sleep_until((now() + duration).into()).await;
}
