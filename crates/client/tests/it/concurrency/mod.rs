//! Sessions, locks, elections and transactions in memory on real etcd, each version that is at hand.
//!
//! Tests are named after those of etcd's own client that they match. etcd's lock and election services are its Go
//! packages, run by the server: `interop.rs` has programs of both kinds contend.
#![cfg(test)]

mod auth;
mod dropped;
mod election;
mod interop;
mod mutex;
mod observe;
pub(crate) mod outage;
mod recipes;
mod rw_mutex;
mod session;
mod stm;

use std::time::Duration;

use etcdkit::Client;
use etcdkit::concurrency::Session;
use etcdkit_testkit::wait::eventually;

use crate::kv::members::DEADLINE;

#[expect(clippy::disallowed_methods, reason = "each is joined by its test")]
fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(future)
}

/// A session that outlives any test.
async fn session(client: &Client) -> Session {
    client.session(Duration::from_secs(60)).await.expect("a session begins")
}

/// How many keys there are under a prefix.
async fn count(client: &Client, prefix: &str) -> u64 {
    client.get(etcdkit::Get::prefix(prefix).count_only()).await.expect("keys are counted").count()
}

/// Waits until so many keys are under a prefix.
async fn counted(client: &Client, prefix: &str, expected: u64) {
    eventually("the keys to be as many as expected", DEADLINE, async || {
        (count(client, prefix).await == expected).then_some(())
    })
    .await;
}

/// `future` gets as far as `sign` says, and no further.
async fn in_line<F: Future + Unpin>(what: &str, future: &mut F, sign: impl Future) {
    tokio::select! {
        biased;
        _ = future => panic!("{what} does not wait"),
        _ = sign => {}
    }
}

/// Nothing comes of `future` for a while.
async fn blocked<F: Future + Unpin>(what: &str, future: &mut F) {
    let waiting = tokio::time::timeout(Duration::from_millis(200), future).await;
    assert!(waiting.is_err(), "{what} does not wait");
}
