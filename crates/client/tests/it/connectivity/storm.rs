//! Connections that are reset at random while programs write: no write is applied twice, and none silently.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use etcdkit::{Client, Put, Txn};
use etcdkit_testkit::clock::Moment;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::proxy::Direction;
use tokio::task::JoinSet;

use super::fronts::Fronts;
use super::history::{Call, History, Kind};
use super::{hold, millis, newest_and_oldest, seconds, within};

/// Puts and transactions, in turn, until it is told to stop.
async fn write(client: Client, next: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Vec<Call> {
    let mut calls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let put = Put::new(format!("storm/{id}"), id.to_string());
        let started = Moment::now();
        let written = if id.is_multiple_of(2) {
            client.txn(Txn::new().then([put])).await.map(drop)
        } else {
            client.call(put).await.map(drop)
        };
        let failure = written.err().map(Into::into);
        calls.push(Call { kind: Kind::Put, id, started, ended: Moment::now(), failure });
    }
    calls
}

/// Resets connections now, or has the next ones break after some bytes.
async fn storm(fronts: &Fronts, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let began = Moment::now();
    while began.elapsed() < seconds(5) {
        let proxy = &fronts.proxies[rng.usize(..fronts.proxies.len())];
        let direction = if rng.bool() { Direction::ToServer } else { Direction::ToClient };
        match rng.u8(..4) {
            0 => proxy.reset(),
            1 => proxy.close(),
            _ => proxy.cut_after(direction, rng.u64(..4000)),
        }
        hold(millis(rng.u64(1..60))).await;
    }
}

async fn check(version: Version, writers: usize, seed: u64) -> String {
    let fronts = Fronts::start(version).await;
    let client = fronts.client().await;
    let (next, stop) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)));
    let mut workers = JoinSet::new();
    for _ in 0..writers {
        workers.spawn(write(client.clone(), Arc::clone(&next), Arc::clone(&stop)));
    }
    let began = Moment::now();
    storm(&fronts, seed).await;
    stop.store(true, Ordering::Relaxed);
    let mut history = History::default();
    within("the last calls", seconds(12), async {
        while let Some(calls) = workers.join_next().await {
            history.calls.extend(calls.expect("no worker panics"));
        }
    })
    .await;
    let text = format!("seed {seed}\n{}", history.describe(began));
    history.check_store(&fronts.direct().await, "storm/").await;
    for call in history.failed(Kind::Put) {
        let failure = call.failure.as_ref().expect("it failed");
        assert!(failure.maybe_applied, "it could have been tried again: {failure:?}\n{text}");
    }
    assert!(history.calls.len() > 200, "{text}");
    let failed = history.failed(Kind::Put).len();
    assert!(failed > 0, "the storm broke no call\n{text}");
    let calls = history.calls.len();
    format!("{version} seed {seed}: {calls} writes by {writers}, {failed} maybe applied")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_in_a_storm_of_resets_are_applied_at_most_once() {
    for version in newest_and_oldest() {
        println!("{}", check(version, 4, fastrand::Rng::new().u64(..)).await);
    }
}

/// Connections with many calls under way send them by other means than those with few.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_a_crowd_in_a_storm_of_resets_are_applied_at_most_once() {
    for version in newest_and_oldest() {
        println!("{}", check(version, 64, fastrand::Rng::new().u64(..)).await);
    }
}
