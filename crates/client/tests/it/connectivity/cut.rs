//! A put whose connection is cut after every possible number of bytes: applied at most once, and never silently.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use etcdkit::{Client, Put};
use etcdkit_testkit::clock::Moment;
use etcdkit_testkit::etcd::{Etcd, Version};
use etcdkit_testkit::proxy::{Direction, Proxy};
use tokio::task::JoinSet;

use super::history::{Call, History, Kind};
use super::{newest_and_oldest, seconds, within};

/// How many connections are cut side by side.
const WORKERS: u64 = 12;
/// Bytes beyond those of an uncut run: a timeout in a header may be written with more digits, a frame be sent that
/// was not.
const BEYOND: u64 = 64;

#[derive(Debug)]
struct Tally {
    version: Version,
    direction: Direction,
    offsets: u64,
    acknowledged: usize,
    maybe_applied: usize,
    not_applied: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?}: {} offsets, {} acknowledged, {} maybe applied, {} not applied",
            self.version,
            self.direction,
            self.offsets,
            self.acknowledged,
            self.maybe_applied,
            self.not_applied
        )
    }
}

/// What the put of one connection takes, each way.
async fn bytes_of_a_put(etcd: &Etcd) -> [u64; 2] {
    let proxy = Proxy::start(etcd.client_addr()).await;
    let client = Client::connect([format!("http://{}", proxy.addr())]).await.unwrap();
    client.put("uncut", "1").await.unwrap();
    [Direction::ToServer, Direction::ToClient].map(|direction| proxy.bytes(direction))
}

async fn cut_at(proxy: &Proxy, direction: Direction, offset: u64, prefix: &str) -> Call {
    proxy.cut_after(direction, offset);
    let client = Client::builder().endpoints([format!("http://{}", proxy.addr())]).build().unwrap();
    let started = Moment::now();
    let put = Put::new(format!("{prefix}{offset}"), offset.to_string());
    let put = within("a put to end by its deadline", seconds(12), client.call(put)).await;
    Call {
        kind: Kind::Put,
        id: offset,
        started,
        ended: Moment::now(),
        failure: put.err().map(Into::into),
    }
}

async fn check(etcd: &Etcd, direction: Direction, total: u64) -> Tally {
    let prefix = format!("{direction:?}/");
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let (next, prefix) = (Arc::clone(&next), prefix.clone());
        workers.spawn(async move {
            let mut calls = Vec::new();
            loop {
                let offset = next.fetch_add(1, Ordering::Relaxed);
                if offset > total {
                    return calls;
                }
                calls.push(cut_at(&proxy, direction, offset, &prefix).await);
            }
        });
    }
    let mut history = History::default();
    while let Some(calls) = workers.join_next().await {
        history.calls.extend(calls.expect("no worker panics"));
    }
    // Read only now: what a member received in full may be applied after its connection broke.
    let direct = Client::connect([etcd.client_url()]).await.unwrap();
    history.check_store(&direct, &prefix).await;

    let failed = history.failed(Kind::Put);
    let maybe = |call: &&&Call| call.failure.as_ref().is_some_and(|failure| failure.maybe_applied);
    let maybe_applied = failed.iter().filter(maybe).count();
    Tally {
        version: etcd.version(),
        direction,
        offsets: history.calls.len() as u64,
        acknowledged: history.calls.len() - failed.len(),
        maybe_applied,
        not_applied: failed.len() - maybe_applied,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_cut_at_every_byte_is_applied_at_most_once() {
    for version in newest_and_oldest() {
        let etcd = Etcd::builder(version).start().await;
        let totals = bytes_of_a_put(&etcd).await;
        let directions = [Direction::ToServer, Direction::ToClient];
        for (direction, total) in directions.into_iter().zip(totals) {
            let limit = seconds(60);
            let tally = within("all offsets", limit, check(&etcd, direction, total + BEYOND)).await;
            println!("{tally}");
            assert_eq!(tally.offsets, total + BEYOND + 1, "{tally}");
            // What breaks before the put has left is tried again: it never fails. The rest is not known, or arrived.
            assert_eq!(tally.not_applied, 0, "{tally}");
            assert!(tally.maybe_applied > 0, "{tally}");
            assert!(tally.acknowledged as u64 > BEYOND / 2, "{tally}");
        }
    }
}
