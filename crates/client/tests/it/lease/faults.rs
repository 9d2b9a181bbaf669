use std::time::Duration;

use etcdkit::{KeepAlive, LossReason};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::wait::eventually;
use tokio::task::JoinSet;

use super::{granted, pass, seconds};
use crate::kv::members::*;

async fn of_three(version: Version) -> Cluster {
    Cluster::builder(version)
        .heartbeat(Duration::from_millis(50))
        .election_timeout(Duration::from_millis(500))
        .start()
        .await
}

/// The quorum is lost and comes back within the time to live; a renewal falls into the time between.
#[tokio::test]
async fn lease_renew_lost_quorum() {
    for version in Version::available() {
        let _named = Named::new(version);
        let cluster = of_three(version).await;
        let client = tolerant().endpoints(cluster.endpoints()).connect().await.unwrap();
        let (first, second) = (granted(&client, 60).await, granted(&client, 60).await);
        let first = client.keep_alive(first).await.unwrap();
        tokio::join!(cluster[1].kill(), cluster[2].kill());
        eventually("the loss of the leader", DEADLINE, async || {
            let leader = cluster[0].metric("etcd_server_has_leader").await?;
            (leader == 0.0).then_some(())
        })
        .await;
        let patient = client.with_options(within(DEADLINE));
        let outage = async {
            pass(seconds(3)).await;
            cluster.start_all().await;
        };
        let (second, ()) = tokio::join!(patient.keep_alive(second), outage);
        for kept in [first, second.unwrap()] {
            assert!(kept.control().state().is_alive(), "{:?}", kept.control());
            let left = client.time_to_live(kept.control().id()).await.unwrap();
            assert!(left.remaining().is_some(), "{:?}", kept.control());
        }
    }
}

/// The leader is lost: only what asked for it ends, and that is renewed no more.
#[tokio::test]
async fn lease_with_require_leader() {
    for version in Version::available() {
        let _named = Named::new(version);
        let cluster = of_three(version).await;
        let client = connect(&cluster[0]).await;
        let (one, other) = (granted(&client, 60).await, granted(&client, 60).await);
        let short = granted(&client, 10).await;
        let alone = client.keep_alive(KeepAlive::new(short).require_leader()).await.unwrap();
        let demanding = client.keep_alive(KeepAlive::new(one).require_leader()).await.unwrap();
        let patient = client.keep_alive(one).await.unwrap();
        let beside = client.keep_alive(one).await.unwrap();
        let third = client.keep_alive(other).await.unwrap();
        tokio::join!(cluster[1].kill(), cluster[2].kill());
        let reason = in_time("the end", demanding.control().lost()).await;
        assert_eq!(reason, LossReason::NoLeader);
        assert_eq!(in_time("the end", alone.control().lost()).await, LossReason::NoLeader);
        assert!(patient.control().state().is_alive());
        // One of the holders that are left goes: that harms no other, not even of the same lease.
        patient.control().cancel();
        assert!(!patient.control().state().is_alive());
        assert!(beside.control().state().is_alive() && third.control().state().is_alive());
        cluster.start_all().await;
        eventually("the lease to run out", DEADLINE, async || {
            let left = client.time_to_live(short).await.ok()?;
            left.remaining().is_none().then_some(())
        })
        .await;
        // Those that are held still are there.
        assert!(beside.control().state().is_alive() && third.control().state().is_alive());
        assert!(client.time_to_live(other).await.unwrap().remaining().is_some());
    }
}

/// A member that restarts while it renews leases: none is lost, and renewals that fall due meanwhile come after it.
#[tokio::test]
async fn lease_keep_alive_over_a_restart() {
    on_own_member(async |client, etcd| {
        let patient = client.with_options(within(DEADLINE));
        let (mut all, mut due) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            all.push(client.keep_alive(granted(&client, 60).await).await.unwrap());
            due.push(granted(&client, 60).await);
        }
        etcd.kill().await;
        let mut waiting = JoinSet::new();
        for lease in due {
            let patient = patient.clone();
            waiting.spawn(async move { patient.keep_alive(lease).await });
        }
        pass(seconds(1)).await;
        assert!(waiting.try_join_next().is_none());
        etcd.start().await;
        for kept in in_time("the renewals", waiting.join_all()).await {
            all.push(kept.unwrap());
        }
        for kept in &all {
            assert!(kept.control().state().is_alive(), "{:?}", kept.control());
        }
        assert_eq!(client.leases().await.unwrap().ids().len(), all.len());
    })
    .await;
}

/// A follower that freezes under the stream: another member takes it up.
#[tokio::test]
async fn a_frozen_member_is_left() {
    let cluster = of_three(Version::newest()).await;
    let client = etcdkit::Client::connect(cluster.endpoints()).await.unwrap();
    let mut kept = Vec::new();
    for _ in 0..10 {
        kept.push(client.keep_alive(granted(&client, 12).await).await.unwrap());
    }
    for index in 0..3 {
        cluster[index].pause();
        pass(seconds(6)).await;
        cluster[index].resume();
        pass(seconds(2)).await;
        for kept in &kept {
            assert!(kept.control().state().is_alive(), "{:?}", kept.control());
        }
    }
}
