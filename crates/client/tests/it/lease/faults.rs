use std::time::Duration;

use etcdkit::{KeepAlive, LossReason};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::wait::eventually;

use super::{granted, now, pass, seconds};
use crate::kv::members::*;

async fn of_three(version: Version) -> Cluster {
    Cluster::builder(version)
        .heartbeat(Duration::from_millis(50))
        .election_timeout(Duration::from_millis(500))
        .start()
        .await
}

/// The quorum is lost and comes back within the time to live.
#[tokio::test]
async fn lease_renew_lost_quorum() {
    for version in Version::available() {
        let _named = Named::new(version);
        let cluster = of_three(version).await;
        let client = tolerant().endpoints(cluster.endpoints()).connect().await.unwrap();
        let lease = granted(&client, 15).await;
        let mut kept = client.keep_alive(lease).await.unwrap();
        tokio::join!(cluster[1].kill(), cluster[2].kill());
        pass(seconds(4)).await;
        assert!(kept.control().state().is_alive());
        cluster.start_all().await;
        let first = kept.next().await.unwrap().unwrap().until;
        let renewal = in_time("a renewal", kept.next()).await.unwrap().unwrap();
        assert!(renewal.until > first);
        assert!(client.time_to_live(lease).await.unwrap().remaining().is_some());
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

/// A member that restarts while it renews leases.
#[tokio::test]
async fn lease_keep_alive_over_a_restart() {
    on_own_member(async |client, etcd| {
        let mut all = Vec::new();
        for _ in 0..20 {
            all.push(client.keep_alive(granted(&client, 9).await).await.unwrap());
        }
        etcd.kill().await;
        pass(seconds(1)).await;
        etcd.start().await;
        // Each is renewed after the restart.
        let started = now();
        for kept in &mut all {
            while in_time("a renewal", kept.next()).await.unwrap().unwrap().until
                <= started + seconds(9)
            {}
        }
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
