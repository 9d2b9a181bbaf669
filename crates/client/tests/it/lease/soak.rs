//! Faults at random, one member at a time: a quorum is always within reach, so no lease may be lost.

use std::time::Duration;

use etcdkit::{Client, LeaseState};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;

use super::{granted, now, pass, seconds};
use crate::kv::members::Named;

async fn check(version: Version, leases: usize, ttl: u64, length: Duration) {
    let _named = Named::new(version);
    let cluster = Cluster::builder(version).gates().start().await;
    let client = Client::connect(cluster.endpoints()).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..leases {
        all.push(client.keep_alive(granted(&client, ttl).await).await.unwrap());
    }
    let (start, mut round, mut at_risk) = (now(), 0, 0);
    while now() < start + length {
        let member = &cluster[round % 3];
        match round % 4 {
            0 => {
                member.kill().await;
                pass(seconds(1)).await;
                member.start().await;
            }
            1 => {
                member.pause();
                pass(seconds(2)).await;
                member.resume();
            }
            2 => {
                let leader = cluster.wait_leader().await;
                cluster[leader].pause();
                pass(seconds(2)).await;
                cluster[leader].resume();
            }
            _ => {
                cluster.isolate(round % 3).await;
                pass(seconds(2)).await;
                cluster.reunite();
            }
        }
        // Time for the members to find together again.
        pass(seconds(2)).await;
        round += 1;
        for kept in &all {
            match kept.control().state() {
                LeaseState::Alive { .. } => {}
                LeaseState::AtRisk { .. } => at_risk += 1,
                other => panic!("round {round}: {other:?}"),
            }
        }
    }
    for kept in &all {
        let left = client.time_to_live(kept.control().id()).await.unwrap();
        assert!(left.remaining().is_some(), "{:?}", kept.control());
    }
    println!("{version}: {leases} leases of {ttl} s, {round} faults, seen at risk {at_risk} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lease_is_lost_while_a_quorum_is_within_reach() {
    check(Version::newest(), 200, 12, seconds(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn soak_leases() {
    for version in Version::available().into_iter().filter(|version| version.at_least(3, 6)) {
        check(version, 2000, 12, seconds(600)).await;
    }
}
