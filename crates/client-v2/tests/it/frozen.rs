//! Members that are frozen or cut off, in real clusters: the caveats of Go's v2 client.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcdkit_testkit::clock::Moment;
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::wait::eventually;
use etcdkit_v2::{Cause, Client, ErrorKind, Get, Set, Watch};
use tokio::time::timeout;

use crate::server::{SOON, begun, now};

/// What the issue allows an idempotent call to take.
const ANSWERED: Duration = Duration::from_secs(2);

async fn cluster() -> (Cluster, usize) {
    let cluster = Cluster::builder(Version::V3_4).enable_v2().start().await;
    let leader = cluster.wait_leader().await;
    (cluster, leader)
}

/// A client of all members whose pinned one is member `index`: as if that had served last.
async fn pinned(cluster: &Cluster, index: usize) -> Client {
    let urls = cluster.endpoints();
    loop {
        // The order is random, and who takes long to answer is not pinned any more.
        let client = Client::new(&urls).unwrap();
        if client.pinned().to_string() == urls[index] {
            client.keys().get("/").await.unwrap();
            if client.pinned().to_string() == urls[index] {
                return client;
            }
        }
    }
}

/// Makes idempotent calls one after the other for a while, of which the first leaves the frozen member. Returns how long
/// the slowest took.
async fn closed_loop(client: &Client, quorum: bool) -> Duration {
    let (keys, frozen) = (client.keys(), client.pinned());
    let begin = now();
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    while begin.elapsed() < Duration::from_secs(4) {
        let call = async {
            match calls % 5 {
                0 => drop(keys.get("/k").await.unwrap()),
                1 if quorum => drop(keys.get(Get::new("/k").quorum()).await.unwrap()),
                2 => drop(client.members().list().await.unwrap()),
                3 => drop(client.version().await.unwrap()),
                4 => drop(client.stats().store().await.unwrap()),
                _ => drop(keys.get(Get::new("/").recursive().sorted()).await.unwrap()),
            }
        };
        let begun = Moment::now();
        call.await;
        let took = begun.elapsed();
        assert_ne!(client.pinned(), frozen, "after call {calls}");
        calls += 1;
        slowest = slowest.max(took);
    }
    slowest
}

#[tokio::test]
async fn idempotent_calls_are_answered_while_a_follower_is_frozen() {
    let (cluster, leader) = cluster().await;
    let follower = (leader + 1) % 3;
    let client = pinned(&cluster, follower).await;
    client.keys().set("/k", "v").await.unwrap();
    cluster[follower].pause();
    let slowest = closed_loop(&client, true).await;
    println!("follower frozen: the slowest call took {slowest:?}");
    assert!(slowest < ANSWERED, "{slowest:?}");
}

#[tokio::test]
async fn idempotent_calls_are_answered_while_the_leader_is_frozen() {
    let (cluster, leader) = cluster().await;
    let client = pinned(&cluster, leader).await;
    client.keys().set("/k", "v").await.unwrap();
    // Those that take no decision of the cluster.
    eventually("the write everywhere", SOON, async || {
        for url in cluster.endpoints() {
            client.only(url).unwrap().keys().get("/k").await.ok()?;
        }
        Some(())
    })
    .await;
    cluster[leader].pause();
    let slowest = closed_loop(&client, false).await;
    println!("leader frozen: the slowest call took {slowest:?}");
    assert!(slowest < ANSWERED, "{slowest:?}");
    cluster.wait_leader().await;
    client.keys().get(Get::new("/k").quorum()).await.unwrap();
}

#[tokio::test]
async fn no_call_hangs_when_all_members_are_frozen() {
    let (cluster, _) = cluster().await;
    let client = Client::builder()
        .endpoints(cluster.endpoints())
        .header_timeout(Duration::from_secs(2))
        .watch_intervals(Duration::from_secs(1), SOON)
        .build()
        .unwrap();
    client.keys().set("/k", "v").await.unwrap();
    for member in cluster.members() {
        member.pause();
    }
    let error = timeout(SOON, client.keys().get("/k")).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let error = timeout(SOON, client.keys().set("/k", "v")).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Timeout, true), "{error}");
    let mut watcher = client.keys().watch("/k");
    let error = timeout(2 * SOON, watcher.next()).await.unwrap().unwrap_err();
    assert_eq!(error.attempts()[0].cause(), &Cause::Frozen, "{error}");
}

#[tokio::test]
async fn a_write_to_a_frozen_member_fails_and_the_next_goes_elsewhere() {
    let (cluster, leader) = cluster().await;
    let follower = (leader + 1) % 3;
    let client = pinned(&cluster, follower).await;
    cluster[follower].pause();
    let error = client.keys().create_in_order("/jobs", "1").await.unwrap_err();
    assert_eq!(error.attempts()[0].cause(), &Cause::Frozen);
    assert!(error.maybe_applied());
    client.keys().create_in_order("/jobs", "2").await.unwrap();
    // What is declared repeatable does not even fail.
    cluster[follower].resume();
    let other = (cluster.wait_leader().await + 1) % 3;
    let client = pinned(&cluster, other).await;
    cluster[other].pause();
    let frozen = client.pinned();
    client.keys().call(Set::new("/k", "v").repeatable()).await.unwrap();
    assert_ne!(client.pinned(), frozen);
}

/// Nobody can serve these before there is another leader, which takes one to two seconds; and then at once.
#[tokio::test]
async fn quorum_reads_are_answered_as_soon_as_there_is_another_leader() {
    let (cluster, leader) = cluster().await;
    let client = pinned(&cluster, leader).await;
    client.keys().set("/k", "v").await.unwrap();
    cluster[leader].pause();
    let keys = client.keys();
    let mut read = pin!(keys.get(Get::new("/k").quorum()));
    let answer = tokio::select! {
        answer = &mut read => answer,
        _ = cluster.wait_leader() => {
            let begun = Moment::now();
            let answer = (&mut read).await;
            let took = begun.elapsed();
            println!("a quorum read was answered {took:?} after the election");
            assert!(took < ANSWERED, "{took:?}");
            answer
        }
    };
    assert_eq!(answer.unwrap().node().unwrap().value(), Some("v"));
}

/// Go's client never notices: the poll waits at the member until it goes on, and events of the cluster pass by.
#[tokio::test]
async fn a_watch_leaves_a_frozen_member_and_misses_nothing() {
    let (cluster, leader) = cluster().await;
    let follower = (leader + 1) % 3;
    let client = pinned(&cluster, follower).await;
    let writer = client.only(cluster.endpoints()[leader].as_str()).unwrap().keys();
    let watching = client.keys();
    let mut watcher = watching.watch(Watch::new("/k"));
    // Under way and told when "now" was, at the member that is frozen then.
    begun(&mut watcher).await;
    let written = AtomicU64::new(0);
    let write = async {
        cluster[follower].pause();
        for value in 1..=3 {
            writer.set("/k", value.to_string()).await.unwrap();
            written.store(value, Ordering::Relaxed);
        }
    };
    let read = async {
        for value in 1..=3 {
            let event = timeout(SOON, watcher.next()).await.unwrap().unwrap();
            assert_eq!(event.node().unwrap().value(), Some(&*value.to_string()));
        }
    };
    tokio::join!(read, write);
    assert_eq!(written.into_inner(), 3);
}

/// Nobody can tell from an answer that its member is cut off: what helps is to ask for more.
#[tokio::test]
async fn an_isolated_member_answers_stale_reads_and_not_by_quorum() {
    let cluster = Cluster::builder(Version::V3_4).enable_v2().gates().start().await;
    let leader = cluster.wait_leader().await;
    let isolated = (leader + 1) % 3;
    let client = Client::new(cluster.endpoints()).unwrap();
    let alone = client.only(cluster.endpoints()[isolated].as_str()).unwrap();
    client.keys().set("/k", "old").await.unwrap();
    eventually("the write everywhere", SOON, async || alone.keys().get("/k").await.ok()).await;
    cluster.isolate(isolated).await;
    let majority = client.only(cluster.endpoints()[leader].as_str()).unwrap();
    majority.keys().set("/k", "new").await.unwrap();

    let stale = alone.keys().get("/k").await.unwrap();
    assert_eq!(stale.node().unwrap().value(), Some("old"), "the caveat");
    let error =
        timeout(2 * SOON, alone.keys().get(Get::new("/k").quorum())).await.unwrap().unwrap_err();
    assert!(error.is_retryable(), "{error}");
    // All endpoints together: a quorum read is served by the others, whoever is asked first.
    for _ in 0..5 {
        let client = Client::new(cluster.endpoints()).unwrap();
        let fresh = client.keys().get(Get::new("/k").quorum()).await.unwrap();
        assert_eq!(fresh.node().unwrap().value(), Some("new"));
    }
    cluster.reunite();
}

/// A watch at an isolated member sees nothing of what the cluster does, unless it requires a leader.
#[tokio::test]
async fn a_watch_leaves_an_isolated_member_if_it_requires_a_leader() {
    let cluster = Cluster::builder(Version::V3_4).enable_v2().gates().start().await;
    let leader = cluster.wait_leader().await;
    let isolated = (leader + 1) % 3;
    let index = {
        let client = Client::new(cluster.endpoints()).unwrap();
        client.keys().set("/k", "old").await.unwrap().index()
    };
    let client = pinned(&cluster, isolated).await;
    let alone = client.only(cluster.endpoints()[isolated].as_str()).unwrap();
    eventually("the write everywhere", SOON, async || alone.keys().get("/k").await.ok()).await;
    cluster.isolate(isolated).await;
    let majority = client.only(cluster.endpoints()[leader].as_str()).unwrap();
    majority.keys().set("/k", "new").await.unwrap();

    let mut blind = alone.keys().watch(Watch::new("/k").after_index(index));
    assert!(timeout(Duration::from_secs(2), blind.next()).await.is_err(), "the caveat");
    let mut watcher = client.keys().watch(Watch::new("/k").after_index(index).require_leader());
    let event = timeout(2 * SOON, watcher.next()).await.unwrap().unwrap();
    assert_eq!(event.node().unwrap().value(), Some("new"));
    assert_ne!(client.pinned(), alone.pinned());
    cluster.reunite();
}
