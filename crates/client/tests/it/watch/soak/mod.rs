//! Many watches on a cluster to which everything happens: each sees exactly what a replay of all revisions says.
//!
//! A recorder (`replay.rs`) follows revision by revision, ahead of each compaction, with reads at single revisions: it
//! never uses a watch. What it read is what the watches (`follow.rs`) are compared with, and its end is compared with
//! what each member holds. `faults.rs` has what happens to members and connections meanwhile.

mod faults;
mod follow;
mod replay;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use etcdkit::{CallOptions, Client, Delete, Get, GetResponse, KeyRange, Op, Put, Txn};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::proxy::Proxy;
use etcdkit_testkit::wait::eventually;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::faults::{Field, faults};
use self::follow::{Follower, Tally};
use self::replay::Replay;
use super::*;
use crate::kv::members::DEADLINE;

#[expect(clippy::disallowed_methods, reason = "a soak lasts in real time")]
fn now() -> Instant {
    Instant::now()
}

async fn pause(duration: Duration) {
    tokio::time::sleep_until(now() + duration).await;
}

const KEYS: u64 = 40;

fn key(number: u64) -> String {
    format!("s/{:02}", number % KEYS)
}

/// Reads until it succeeds.
async fn read(client: &Client, get: Get) -> GetResponse {
    let begun = now();
    loop {
        match client.get(get.clone()).await {
            Ok(answer) => return answer,
            Err(error) => assert!(begun.elapsed() < DEADLINE * 2, "{error}"),
        }
        pause(Duration::from_millis(20)).await;
    }
}

/// What tasks know of each other.
#[derive(Default)]
struct Shared {
    replay: Replay,
    /// The last revision that counts, once the writers have ended.
    over: AtomicI64,
    stop: AtomicBool,
    /// Changes that were acknowledged.
    written: AtomicU64,
    /// Up to where each watch has been read.
    positions: Vec<AtomicI64>,
    /// The highest revision that a compaction was asked for; held while one is chosen, and while a watch goes back.
    compaction: tokio::sync::Mutex<i64>,
    /// The highest compaction that may have overtaken a watch.
    overtaking: AtomicI64,
}

const WRITERS: u64 = 8;
/// Each writer's pace: all of them together, 800 requests per second, and what they fell behind with after faults.
const PACE: Duration = Duration::from_millis(10);

/// Puts, deletes and transactions.
async fn write(client: Client, shared: Arc<Shared>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let client = client.with_options(CallOptions::new().timeout(Duration::from_secs(2)));
    let mut slot = now();
    while !shared.stop.load(Ordering::Acquire) {
        slot += PACE;
        tokio::time::sleep_until(slot).await;
        let value = random.u64(..).to_string();
        let done = match random.u64(0..10) {
            0 => match client.delete(Delete::new(key(random.u64(..)))).await {
                Ok(answer) => answer.deleted(),
                Err(_) => 0,
            },
            1 => {
                let first = random.u64(..KEYS);
                let ops =
                    (0..4).map(|number| Op::from(Put::new(key(first + number), value.clone())));
                if client.txn(Txn::new().then(ops)).await.is_ok() { 4 } else { 0 }
            }
            _ => u64::from(client.put(key(random.u64(..)), value).await.is_ok()),
        };
        shared.written.fetch_add(done, Ordering::Relaxed);
    }
}

struct Plan {
    version: Version,
    watches: usize,
    length: Duration,
    /// The longest time for which a member is frozen.
    freeze: Duration,
    /// Changes per second that have to be reached.
    rate: f64,
}

async fn run(plan: Plan) {
    static ALONE: Semaphore = Semaphore::const_new(1);
    let _alone = ALONE.acquire().await.unwrap();
    let Plan { version, watches, length, .. } = plan;
    let seed = fastrand::Rng::new().u64(..);
    println!("etcd {version}, seed {seed}");
    let cluster =
        Cluster::builder(version).argument("--watch-progress-notify-interval=500ms").start().await;
    cluster.wait_leader().await;
    let mut proxies = Vec::new();
    for member in cluster.members() {
        proxies.push(Proxy::start(member.client_addr()).await);
    }
    let endpoints: Vec<String> =
        proxies.iter().map(|proxy| format!("http://{}", proxy.addr())).collect();
    let direct = Client::connect(cluster.endpoints()).await.unwrap();
    let first = direct.put("s/00", "begin").await.unwrap().revision().get();
    let field = Field::new(cluster, proxies).await;
    let positions = (0..watches).map(|_| AtomicI64::new(first - 1)).collect();
    let shared = Arc::new(Shared { positions, ..Shared::default() });

    let mut random = fastrand::Rng::with_seed(seed);
    // Several clients, so that several members serve.
    let clients: Vec<Client> =
        (0..4).map(|_| Client::builder().endpoints(endpoints.clone()).build().unwrap()).collect();
    let following: Vec<_> = (0..watches)
        .map(|number| {
            let range = match number % 4 {
                0 => KeyRange::prefix("s/"),
                1 => KeyRange::range(key(random.u64(..KEYS / 2)), "s/zz"),
                2 => KeyRange::from_key(key(random.u64(..KEYS))),
                // The last write is to the last key, so that each sees the end.
                _ => KeyRange::prefix("s/3"),
            };
            let client = clients[number % clients.len()].clone();
            let rng = fastrand::Rng::with_seed(seed ^ number as u64);
            spawn(Follower::new(number, range, client, Arc::clone(&shared), rng).run(first))
        })
        .collect();
    let recording = spawn(replay::record(direct.clone(), first, Arc::clone(&shared)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| spawn(write(direct.clone(), Arc::clone(&shared), seed.wrapping_add(number))))
        .collect();
    let begun = now();
    faults(&field, begun + length, plan.freeze, &mut random, &shared, &direct).await;
    shared.stop.store(true, Ordering::Release);
    for writer in writers {
        writer.await.unwrap();
    }
    let rate = shared.written.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    field.cluster.start_all().await;
    // A write whose answer was lost may still come: the last one counts when nothing follows it.
    let last = eventually("the last write", DEADLINE, async || {
        direct.put(key(KEYS - 1), "end").await.ok()
    })
    .await;
    let last = last.revision();
    shared.over.store(last.get(), Ordering::Release);
    // Wakes those that had seen the last one already.
    direct.put(key(KEYS - 1), "after").await.unwrap();
    in_time("the replay", recording).await.unwrap();
    replay::check_members(&shared.replay, &field.cluster, &direct, last).await;

    let mut tally = Tally::default();
    for following in following {
        tally.add(&following.await.unwrap());
    }
    println!("etcd {version}: {rate:.0} changes/s for {length:?}; {watches} watches: {tally:?}");
    assert!(tally.reconnects > 0, "nothing was put to the test");
    assert!(rate >= plan.rate, "only {rate:.0} changes per second");
}

/// The short form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_under_faults() {
    let (length, freeze) = (Duration::from_secs(20), Duration::from_secs(4));
    run(Plan { version: Version::newest(), watches: 16, length, freeze, rate: 0.0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn soak_watches() {
    let length = std::env::var("ETCDKIT_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(length.unwrap_or(600));
    let freeze = Duration::from_secs(30);
    // Older servers break the properties themselves.
    for version in Version::available().into_iter().filter(|version| version.at_least(3, 6)) {
        run(Plan { version, watches: 64, length, freeze, rate: 500.0 }).await;
    }
}
