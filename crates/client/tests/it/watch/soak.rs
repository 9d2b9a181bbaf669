//! Many watches on a cluster to which everything happens: each sees exactly what a replay of all revisions says.
//!
//! A recorder follows revision by revision, ahead of each compaction, with reads at single revisions: it never uses a
//! watch. What it read is what the watches are compared with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use etcdkit::{
    CallOptions, Client, Delete, Event, Get, GetResponse, KeyRange, Op, Put, Revision, Txn, Watch,
};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::proxy::Proxy;
use etcdkit_testkit::wait::eventually;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;
use crate::kv::members::DEADLINE;

/// What a watch may see of one change: key, whether it is a put, value, created at.
type Change = (String, bool, String, bool);

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

/// All that happened, revision by revision.
#[derive(Default)]
struct Replay {
    /// Up to where it has been read.
    read: AtomicI64,
    changes: std::sync::Mutex<BTreeMap<i64, Vec<Change>>>,
}

impl Replay {
    /// Reads what each revision changed, from the difference to the one before.
    async fn record(self: Arc<Self>, client: Client, first: i64, over: Arc<AtomicI64>) {
        let mut state: BTreeMap<String, i64> = BTreeMap::new();
        let mut at = first;
        loop {
            let newest = read(&client, Get::new("s/").count_only()).await.revision().get();
            while at <= newest {
                let answer = read(&client, Get::prefix("s/").at_revision(at)).await;
                let mut changes = Vec::new();
                let mut next = BTreeMap::new();
                for kv in answer.kvs() {
                    let name = kv.key_str().unwrap().to_owned();
                    next.insert(name.clone(), kv.mod_revision().get());
                    if kv.mod_revision().get() == at {
                        let create = kv.create_revision() == kv.mod_revision();
                        let value = kv.value_str().unwrap().to_owned();
                        changes.push((name, true, value, create));
                    }
                }
                for name in state.keys().filter(|name| !next.contains_key(*name)) {
                    changes.push((name.clone(), false, String::new(), false));
                }
                state = next;
                self.changes.lock().unwrap().insert(at, changes);
                self.read.store(at, Ordering::Release);
                at += 1;
            }
            let last = over.load(Ordering::Acquire);
            if last != 0 && at > last {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// What a watch of `range` sees from `start` to `last`.
    fn expected(&self, range: &KeyRange, start: i64, last: i64) -> Vec<(i64, Change)> {
        let changes = self.changes.lock().unwrap();
        let mut expected = Vec::new();
        for (revision, changes) in changes.range(start..=last) {
            let inside = changes.iter().filter(|(key, ..)| range.contains(key.as_bytes()));
            expected.extend(inside.map(|change| (*revision, change.clone())));
        }
        expected
    }
}

fn change(event: &Event) -> (i64, Change) {
    let kv = event.kv();
    let (name, value) = (kv.key_str().unwrap(), kv.value_str().unwrap());
    (event.revision().get(), (name.into(), event.is_put(), value.into(), event.is_create()))
}

/// Reads a watch until it has come to the end, and checks the order of what comes, and what is said of progress.
async fn follow(mut stream: Watching, over: Arc<AtomicI64>) -> (Vec<(i64, Change)>, u64) {
    let mut seen: Vec<(i64, Change)> = Vec::new();
    let mut progress = 0;
    loop {
        let last = over.load(Ordering::Acquire);
        if last != 0 && seen.last().is_some_and(|(at, _)| *at >= last) {
            return (seen, stream.control().state().reconnects);
        }
        let Ok(response) = tokio::time::timeout(DEADLINE * 2, stream.next()).await else {
            panic!("stuck at {:?} of {last}: {:?}", seen.last(), stream.control().state());
        };
        let response = response.expect("it goes on").unwrap_or_else(|error| {
            panic!("{error} after {:?}", seen.last());
        });
        if response.is_progress() {
            let at = response.header().revision.get();
            assert!(at >= progress && seen.last().is_none_or(|(last, _)| *last <= at));
            progress = at;
        }
        for event in response.events() {
            let event = change(event);
            assert!(event.0 > progress, "{event:?} after progress at {progress}");
            let before = seen.last().map_or(0, |(last, _)| *last);
            assert!(event.0 >= before, "{event:?} after {before}");
            seen.push(event);
        }
    }
}

struct Field {
    cluster: Cluster,
    proxies: Vec<Proxy>,
}

/// One fault after the other until the time is over; after it everything works again.
async fn faults(field: Arc<Field>, until: Instant, seed: u64, replay: Arc<Replay>, direct: Client) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut counts = BTreeMap::new();
    while now() < until {
        let index = random.usize(0..3);
        let member = &field.cluster[index];
        let proxy = &field.proxies[index];
        let short = Duration::from_millis(random.u64(200..1500));
        let fault = random.usize(0..7);
        *counts.entry(fault).or_insert(0) += 1;
        match fault {
            0 => {
                member.kill().await;
                pause(short).await;
                member.start().await;
            }
            1 => {
                member.pause();
                pause(short * 3).await;
                member.resume();
            }
            2 => field.proxies.iter().for_each(Proxy::reset),
            3 => {
                proxy.freeze();
                pause(short * 4).await;
                proxy.unfreeze();
                proxy.reset();
            }
            4 | 5 => {
                let read = replay.read.load(Ordering::Acquire);
                let _ = direct.compact(Revision::new(read.max(1))).await;
            }
            _ => {
                if let Some(leader) = field.cluster.leader().await {
                    let to = field.cluster.member_id((leader + 1) % 3).await;
                    let to = format!("{to:x}");
                    let _ = field.cluster[leader].try_etcdctl(["move-leader", &to]).await;
                }
            }
        }
        pause(Duration::from_millis(random.u64(100..700))).await;
    }
    println!("faults: {counts:?}");
}

/// Puts, deletes, transactions, as fast as the cluster takes them.
async fn write(client: Client, stop: Arc<AtomicBool>, written: Arc<AtomicU64>, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let client = client.with_options(CallOptions::new().timeout(Duration::from_secs(2)));
    while !stop.load(Ordering::Acquire) {
        let value = random.u64(..).to_string();
        let done = match random.u64(0..10) {
            0 => client.delete(Delete::new(key(random.u64(..)))).await.is_ok(),
            1 => {
                let first = random.u64(..KEYS);
                let ops =
                    (0..4).map(|number| Op::from(Put::new(key(first + number), value.clone())));
                client.txn(Txn::new().then(ops)).await.is_ok()
            }
            _ => client.put(key(random.u64(..)), value).await.is_ok(),
        };
        if done {
            written.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn run(version: Version, watches: u64, length: Duration) {
    static ALONE: Semaphore = Semaphore::const_new(1);
    let _alone = ALONE.acquire().await.unwrap();
    let seed = fastrand::Rng::new().u64(..);
    println!("etcd {version}, seed {seed}");
    let cluster = Cluster::builder(version).start().await;
    cluster.wait_leader().await;
    let mut proxies = Vec::new();
    for member in cluster.members() {
        proxies.push(Proxy::start(member.client_addr()).await);
    }
    let endpoints: Vec<String> =
        proxies.iter().map(|proxy| format!("http://{}", proxy.addr())).collect();
    let direct = Client::connect(cluster.endpoints()).await.unwrap();
    let first = direct.put("s/00", "begin").await.unwrap().revision().get();
    let field = Arc::new(Field { cluster, proxies });
    let (over, stop) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let (written, replay) = (Arc::new(AtomicU64::new(0)), Arc::new(Replay::default()));

    let mut random = fastrand::Rng::with_seed(seed);
    let mut following = Vec::new();
    // Several clients, so that several members serve.
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::builder().endpoints(endpoints.clone()).build().unwrap());
    }
    for number in 0..watches {
        let range = match number % 4 {
            0 => KeyRange::prefix("s/"),
            1 => KeyRange::range(key(random.u64(..KEYS / 2)), "s/zz"),
            2 => KeyRange::from_key(key(random.u64(..KEYS))),
            // The last write is to the last key, so that each sees the end.
            _ => KeyRange::prefix("s/3"),
        };
        let client = &clients[number as usize % clients.len()];
        let request = Watch::new(range.clone()).from_revision(first).progress_notify();
        let stream = watch(client, request).await;
        following.push((range, spawn(follow(stream, Arc::clone(&over)))));
    }
    let recording = spawn(Arc::clone(&replay).record(direct.clone(), first, Arc::clone(&over)));
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            spawn(write(direct.clone(), stop, written, seed + number))
        })
        .collect();
    let until = now() + length;
    faults(Arc::clone(&field), until, seed, Arc::clone(&replay), direct.clone()).await;
    stop.store(true, Ordering::Release);
    for writer in writers {
        writer.await.unwrap();
    }
    field.cluster.start_all().await;
    // A write whose answer was lost may still come: the last one counts when nothing follows it.
    let last = eventually("the last write", DEADLINE, async || {
        direct.put(key(KEYS - 1), "end").await.ok()
    })
    .await;
    over.store(last.revision().get(), Ordering::Release);
    // Wakes those that had seen the last one already.
    direct.put(key(KEYS - 1), "after").await.unwrap();
    in_time("the replay", recording).await.unwrap();

    let (mut total, mut reconnects) = (0, 0);
    for (range, following) in following {
        let (mut seen, reconnected) = following.await.unwrap();
        let last = last.revision().get();
        let mut expected = replay.expected(&range, first, last);
        seen.retain(|(at, _)| *at <= last);
        // In which order the events of one revision come is not said.
        seen.sort();
        expected.sort();
        assert_eq!(seen.len(), expected.len(), "seed {seed}: {range:?}");
        assert_eq!(seen, expected, "seed {seed}: {range:?}");
        total += seen.len();
        reconnects += reconnected;
    }
    println!(
        "etcd {version}: {} writes, {watches} watches saw {total} events, {reconnects} changes of connection",
        written.load(Ordering::Relaxed)
    );
    assert!(reconnects > 0, "nothing was put to the test");
}

/// The short form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_under_faults() {
    run(Version::newest(), 16, Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn soak_watches() {
    let length = std::env::var("ETCDKIT_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(length.unwrap_or(600));
    for version in Version::available().into_iter().filter(|version| version.at_least(3, 6)) {
        run(version, 64, length).await;
    }
}
