//! A member that is cut off from its peers and still reached by clients: etcd's `network_partition_test.go`.
//!
//! There, calls on the isolated member time out and one of the next tries succeeds. Here, reads move over by themselves
//! after [`hedge_after`](etcdkit::config::Liveness::hedge_after); writes there end with the member's own time-out, as
//! maybe applied.

use std::time::Duration;

use etcdkit::service::CallOptions;
use etcdkit::{Client, ErrorKind, ServerError};
use etcdkit_testkit::clock::Moment;
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::wait::eventually;

use super::black_hole::What;
use super::fronts::{Fronts, wait_all_ready};
use super::{alone, millis, seconds, within};

/// A cluster with one member cut off, and a client that began there and knows all.
async fn isolated(version: Version, leader: bool) -> (Fronts, Client, usize) {
    let fronts = Fronts::before(Cluster::builder(version).gates()).await;
    let index = match leader {
        true => fronts.cluster.wait_leader().await,
        false => fronts.cluster.followers().await[0],
    };
    let client = Client::connect([fronts.endpoint(index)]).await.unwrap();
    client.put("foo", "bar").await.unwrap();
    client.set_endpoints(fronts.endpoints()).await.unwrap();
    wait_all_ready(&client).await;
    fronts.cluster.isolate(index).await;
    (fronts, client, index)
}

/// Waits until the member has noticed that it is alone.
async fn wait_no_leader(fronts: &Fronts, index: usize) {
    eventually("the isolated member to miss its leader", seconds(30), async || {
        let leader = fronts.cluster[index].metric("etcd_server_has_leader").await?;
        (leader == 0.0).then_some(())
    })
    .await;
}

/// Writes fail only on the isolated member, as maybe applied, with its own time-out; the others serve them.
async fn write(what: What) {
    for version in Version::available() {
        let (fronts, client, index) = isolated(version, false).await;
        let endpoint = fronts.endpoint(index);
        let (mut succeeded, mut failed) = (0, 0);
        for _ in 0..6 {
            let started = Moment::now();
            match within("a write", seconds(11), what.call(&client)).await {
                Ok(()) => succeeded += 1,
                Err(error) => {
                    assert!(error.maybe_applied(), "{what:?}: {error}");
                    assert_eq!(error.endpoint(), Some(endpoint.as_str()), "{what:?}: {error}");
                    assert!(started.elapsed() < seconds(10), "{what:?}: {error}");
                    assert!(error.code().is_some(), "{what:?}: not its own words: {error}");
                    failed += 1;
                }
            }
        }
        assert!(succeeded >= 4 && failed <= 2, "{what:?} on {version}: {failed} of 6 failed");

        // Asked to, a member without a leader turns a write away at once, and another one takes it.
        wait_no_leader(&fronts, index).await;
        let client = client.with_options(CallOptions::new().require_leader());
        for _ in 0..6 {
            let called = within("a write elsewhere", seconds(2), what.call(&client)).await;
            called.unwrap_or_else(|error| panic!("{what:?} on {version}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_network_partition_put() {
    write(What::Put).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_network_partition_delete() {
    write(What::Delete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_network_partition_txn() {
    write(What::Txn).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_network_partition_serializable_get() {
    for version in Version::available() {
        let (_fronts, client, _) = isolated(version, false).await;
        for _ in 0..6 {
            let get = What::SerializableGet.call(&client);
            within("a serializable get", seconds(1), get).await.unwrap();
        }
    }
}

/// Gets of which each succeeds, and how long the longest took.
async fn gets(client: &Client, timeout: Duration) -> Duration {
    let client = client.with_options(CallOptions::new().timeout(timeout));
    let mut longest = Duration::ZERO;
    for _ in 0..6 {
        let started = Moment::now();
        What::LinearizableGet.call(&client).await.unwrap();
        longest = longest.max(started.elapsed());
    }
    longest
}

/// Upstream succeeds at the first call too, after five seconds; here another member is asked after one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_network_partition_linearizable_get_with_long_timeout() {
    let _alone = alone().await;
    for version in Version::available() {
        let (_fronts, client, _) = isolated(version, false).await;
        let longest = gets(&client, seconds(7)).await;
        println!("{version}: the longest get took {longest:.1?}");
        assert!(longest <= millis(1500), "{longest:?}");
    }
}

/// Upstream such gets time out at first: the member holds them for longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_network_partition_linearizable_get_with_short_timeout() {
    let _alone = alone().await;
    for version in Version::available() {
        let (_fronts, client, _) = isolated(version, false).await;
        let longest = gets(&client, seconds(4)).await;
        println!("{version}: the longest get took {longest:.1?}");
    }
}

/// Upstream a get succeeds within two tries after the leader was cut off; here the first one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_network_partition_linearizable_get_leader_election() {
    for version in Version::available() {
        let (_fronts, client, _) = isolated(version, true).await;
        let started = Moment::now();
        let get = What::LinearizableGet.call(&client);
        within("a get across an election", seconds(6), get).await.unwrap();
        println!("{version}: the get took {:.1?}", started.elapsed());
    }
}

/// Reads on an isolated follower alone fail by their deadline, and succeed again after the partition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drop_read_under_network_partition() {
    for version in Version::available() {
        let fronts = Fronts::before(Cluster::builder(version).gates()).await;
        let index = fronts.cluster.followers().await[0];
        let client = Client::connect([fronts.endpoint(index)]).await.unwrap();
        client.put("foo", "bar").await.unwrap();
        fronts.cluster.isolate(index).await;
        wait_no_leader(&fronts, index).await;

        let started = Moment::now();
        let error = within("the get", seconds(11), client.get("foo")).await.unwrap_err();
        let expected = [ErrorKind::Timeout, ErrorKind::Unavailable, ErrorKind::NoLeader];
        assert!(expected.contains(&error.kind()), "{error:?}");
        assert!(!error.maybe_applied(), "{error}");
        assert!(started.elapsed() <= seconds(11));
        let required = client.with_options(CallOptions::new().require_leader());
        let refused = within("a refusal", seconds(2), required.get("foo")).await.unwrap_err();
        assert_eq!(refused.server_error(), Some(ServerError::NoLeader), "{refused}");

        fronts.cluster.reunite();
        let answer = within("a get after it", seconds(10), client.get("foo")).await.unwrap();
        assert_eq!(answer.first().unwrap().value(), b"bar");
    }
}
