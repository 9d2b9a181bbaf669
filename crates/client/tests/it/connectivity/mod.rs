//! What a client makes of members and networks that fail: on real clusters, with every call recorded and the store
//! read afterwards.
//!
//! * `frozen.rs`, `killed.rs`: the acceptance scenarios, load on three members while one of them fails.
//! * `black_hole.rs`, `dial.rs`, `partition.rs`, `shutdown.rs`: behaviour by behaviour, named after etcd's own tests.
//! * `cut.rs`, `storm.rs`: connections that break at every byte, and at random: no write is applied twice.
//! * `quarantine.rs`: what a member that is given up still gets, and what does not count as frozen. `hedge.rs`: reads
//!   that a member holds.
//! * `fronts.rs`: a cluster with a proxy before each member. `history.rs`, `load.rs`: calls and what became of them.
#![expect(
    clippy::unwrap_used,
    reason = "tests state their invariants by unwrapping, in what they share too"
)]

mod black_hole;
mod cut;
mod dial;
mod fronts;
mod frozen;
mod hedge;
mod history;
mod killed;
mod load;
mod partition;
mod quarantine;
mod shutdown;
mod storm;

use std::time::Duration;

use etcdkit_testkit::clock;
use etcdkit_testkit::etcd::Version;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Tests that measure time don't run side by side: two cores are few for six members.
async fn alone() -> SemaphorePermit<'static> {
    static ALONE: Semaphore = Semaphore::const_new(1);
    ALONE.acquire().await.expect("it is never closed")
}

/// The newest etcd and the oldest of the 3.5 line, as far as they are at hand.
fn newest_and_3_5() -> Vec<Version> {
    let mut versions = vec![Version::newest()];
    versions.extend(Version::available().into_iter().filter(|version| version.minor() == 5));
    versions.dedup();
    versions
}

/// The newest etcd and the oldest one at hand.
fn newest_and_oldest() -> Vec<Version> {
    let available = Version::available();
    let mut versions = vec![Version::newest()];
    versions.extend(available.first());
    versions.dedup();
    versions
}

/// For lower bounds, and for a clock that is paused; what may take so long and no longer is measured in
/// [`Moment`](clock::Moment)s.
#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
fn now() -> Instant {
    Instant::now()
}

/// Lets a fault last.
async fn hold(duration: Duration) {
    tokio::time::sleep_until(now() + duration).await;
}

/// Waits for what must come, and no longer than it may take on a machine that does not stand still.
async fn within<F: Future>(what: &str, limit: Duration, future: F) -> F::Output {
    match clock::timeout(limit, future).await {
        Some(output) => output,
        None => panic!("{what} takes longer than {limit:?}"),
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
