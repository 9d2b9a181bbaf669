//! Members that fail below a watch: frozen, cut off, lagging, shut down, restored from the leader's snapshot.

use etcdkit::config::Liveness;
use etcdkit::{Client, Compare, ErrorKind, Put, Txn, Watch};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::proxy::Proxy;
use etcdkit_testkit::wait::eventually;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::*;
use crate::kv::members::DEADLINE;

/// Three members each: one cluster at a time.
async fn alone() -> SemaphorePermit<'static> {
    static ALONE: Semaphore = Semaphore::const_new(1);
    ALONE.acquire().await.expect("it is never closed")
}

#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
fn now() -> Instant {
    Instant::now()
}

fn versions() -> Vec<Version> {
    let mut versions = vec![Version::newest()];
    versions.extend(Version::available().into_iter().filter(|version| version.minor() == 5));
    versions.dedup();
    versions
}

/// A cluster, a proxy before each member, and a client of the proxies.
struct Fronts {
    cluster: Cluster,
    proxies: Vec<Proxy>,
    direct: Client,
}

impl Fronts {
    async fn start(version: Version) -> Self {
        let cluster = Cluster::builder(version).gates().start().await;
        cluster.wait_leader().await;
        let mut proxies = Vec::new();
        for member in cluster.members() {
            proxies.push(Proxy::start(member.client_addr()).await);
        }
        let direct = Client::connect(cluster.endpoints()).await.unwrap();
        Self { cluster, proxies, direct }
    }

    fn endpoints(&self) -> Vec<String> {
        self.proxies.iter().map(|proxy| format!("http://{}", proxy.addr())).collect()
    }

    fn client(&self, liveness: Liveness) -> Client {
        Client::builder().endpoints(self.endpoints()).liveness(liveness).build().unwrap()
    }

    /// The member that serves a watch.
    async fn member_of(&self, stream: &Watching) -> usize {
        let endpoint =
            eventually("a member", DEADLINE, async || stream.control().state().connected_to).await;
        self.endpoints().iter().position(|known| *known == endpoint).expect("one of ours")
    }

    /// A watch on a member that leads, or follows.
    async fn watch_on(&self, leader: bool, request: &Watch) -> (Client, Watching, usize) {
        loop {
            let client = self.client(Liveness::new());
            let stream = watch(&client, request.clone()).await;
            let index = self.member_of(&stream).await;
            if (self.cluster.wait_leader().await == index) == leader {
                return (client, stream, index);
            }
        }
    }

    /// Writes around the failure, once the others can.
    async fn put(&self, value: &str) {
        eventually("a write", DEADLINE, async || self.direct.put("a", value).await.ok()).await;
    }
}

/// A network that swallows everything, and a process that stands still: left within ten seconds, without any setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_blackhole_keep_alive_watch() {
    let _alone = alone().await;
    for version in versions() {
        let fronts = Fronts::start(version).await;
        let client = fronts.client(Liveness::new());
        let mut stream = watch(&client, "a").await;
        let first = fronts.member_of(&stream).await;
        fronts.proxies[first].freeze();
        let begun = now();
        fronts.put("1").await;
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=1"]);
        let took = begun.elapsed();
        println!("{version}: a black hole was left after {took:.1?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        fronts.proxies[first].unfreeze();

        let second = fronts.member_of(&stream).await;
        assert_ne!(first, second);
        fronts.cluster[second].pause();
        let begun = now();
        fronts.put("2").await;
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=2"]);
        let took = begun.elapsed();
        println!("{version}: a frozen member was left after {took:.1?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        fronts.cluster[second].resume();
    }
}

/// A member without a leader loses its watches to the others, or ends them where that is asked for.
async fn partition(leader: bool) {
    let _alone = alone().await;
    for version in versions() {
        let fronts = Fronts::start(version).await;
        let (client, mut moves, index) = fronts.watch_on(leader, &Watch::new("a")).await;
        let mut ends = watch(&client, Watch::new("a").end_without_leader()).await;
        fronts.cluster.isolate(index).await;
        ends_with(&mut ends, ErrorKind::NoLeader).await;
        fronts.put("1").await;
        assert_eq!(shown(&events(&mut moves, 1).await), ["a=1"]);
        assert_ne!(fronts.member_of(&moves).await, index);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_network_partition_watch_leader() {
    partition(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_network_partition_watch_follower() {
    partition(false).await;
}

/// Without require-leader a member that is cut off keeps its watches; one that falls behind the others is left all the
/// same, also by a client that does nothing but watch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_falls_behind_is_left() {
    let _alone = alone().await;
    for version in versions() {
        let fronts = Fronts::start(version).await;
        let liveness = Liveness::new()
            .watch_probe_interval(Duration::from_millis(500))
            .stale_after(Duration::from_secs(3));
        let client = fronts.client(liveness);
        let mut stream = watch(&client, Watch::new("a").require_leader(false)).await;
        let index = fronts.member_of(&stream).await;
        fronts.cluster.isolate(index).await;
        fronts.put("1").await;
        let begun = now();
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=1"]);
        println!("{version}: a member that fell behind was left after {:.1?}", begun.elapsed());
        assert_ne!(fronts.member_of(&stream).await, index);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_server_shutdown_watch() {
    let _alone = alone().await;
    for version in versions() {
        let fronts = Fronts::start(version).await;
        let client = fronts.client(Liveness::new());
        let mut stream = watch(&client, "a").await;
        let index = fronts.member_of(&stream).await;
        fronts.cluster[index].stop().await;
        fronts.put("1").await;
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=1"]);
        assert_ne!(fronts.member_of(&stream).await, index);
    }
}

/// Without a quorum nobody serves a watch; what happened before is still delivered by a member on its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_with_require_leader() {
    let _alone = alone().await;
    for version in versions() {
        let fronts = Fronts::start(version).await;
        let put = fronts.direct.put("a", "1").await.unwrap().revision();
        let client = Client::connect([fronts.cluster[0].client_url()]).await.unwrap();
        // The member that is left has it too.
        client.get("a").await.unwrap();
        fronts.cluster[1].kill().await;
        fronts.cluster[2].kill().await;
        eventually("the loss of the leader", DEADLINE, async || {
            let leader = fronts.cluster[0].metric("etcd_server_has_leader").await?;
            (leader == 0.0).then_some(())
        })
        .await;
        let old = Watch::new("a").from_revision(put);
        let mut required = watch(&client, old.clone().end_without_leader()).await;
        assert!(ends_with(&mut required, ErrorKind::NoLeader).await.is_empty());
        let mut plain = watch(&client, old.clone().require_leader(false)).await;
        assert_eq!(shown(&events(&mut plain, 1).await), ["a=1"]);
        // One that waits for a leader gets there when there is one.
        let mut waits = watch(&client, old).await;
        silent(&mut waits).await;
        fronts.cluster.start_all().await;
        assert_eq!(shown(&events(&mut waits, 1).await), ["a=1"]);
    }
}

/// A follower that was away for so long that it gets the leader's snapshot goes on telling its watches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v3_watch_restore_snapshot_unsync() {
    let _alone = alone().await;
    for version in versions() {
        let cluster = Cluster::builder(version).gates().snapshot_count(20).start().await;
        cluster.wait_leader().await;
        let index = cluster.followers().await[0];
        let others: Vec<String> = (0..3)
            .filter(|other| *other != index)
            .map(|other| cluster[other].client_url())
            .collect();
        let direct = Client::connect(others).await.unwrap();
        let first = direct.put("a", "0").await.unwrap().revision();
        let client = Client::connect([cluster[index].client_url()]).await.unwrap();
        // It may lag, and is to be left alone with it.
        let request = Watch::new("a").from_revision(first).require_leader(false);
        let mut stream = watch(&client, request).await;
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=0"]);
        cluster.isolate(index).await;
        for number in 1..=100 {
            // Whatever the fate of an attempt, it is done once.
            let step = Txn::new()
                .when([Compare::value("a").eq((number - 1).to_string())])
                .then([Put::new("a", number.to_string())]);
            eventually("a step", DEADLINE, async || direct.txn(step.clone()).await.ok()).await;
        }
        cluster.reunite();
        let mut seen = Vec::new();
        while seen.last().map(String::as_str) != Some("a=100") {
            seen.extend(shown(next(&mut stream).await.events()));
        }
        let expected: Vec<String> = (1..=100).map(|number| format!("a={number}")).collect();
        assert_eq!(seen, expected);
    }
}
