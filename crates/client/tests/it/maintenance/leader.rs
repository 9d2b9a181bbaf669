//! Handing the leadership over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use etcdkit::proto::etcdserverpb::{ResponseHeader, StatusResponse};
use etcdkit::proto::method;
use etcdkit::{Client, ErrorKind, MemberId, ServerError};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::peer::{Answer, EtcdLike};
use etcdkit_testkit::wait::eventually;
use prost::Message;

use crate::kv::members::*;

#[tokio::test]
async fn maintenance_move_leader() {
    for version in Version::available() {
        let _named = Named::new(version);
        let cluster = Cluster::builder(version).members(3).start().await;
        let leader = cluster.wait_leader().await;
        let [target, other] = cluster.followers().await[..] else { panic!("three members") };
        let id = |index: usize| cluster.member_id(index);
        let client = tolerant().endpoints(cluster.endpoints()).connect().await.unwrap();

        // A follower refuses, and says so.
        let follower = client.at(cluster[target].client_url()).unwrap();
        let outcome = follower.move_leader(id(target).await).await;
        assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::Conflict);
        refused(outcome, ServerError::NotLeader);
        refused(client.move_leader(7).await, ServerError::BadLeaderTransferee);

        client.move_leader(id(target).await).await.unwrap();
        assert_eq!(cluster.wait_leader().await, target);
        // Twice is none the worse; and the leader itself does it when asked.
        client.move_leader(id(target).await).await.unwrap();
        follower.move_leader(id(leader).await).await.unwrap();
        assert_eq!(cluster.wait_leader().await, leader);

        // A client that knows only a follower finds the leader by the member list.
        let one = tolerant().endpoints([cluster[other].client_url()]).connect().await.unwrap();
        one.move_leader(id(other).await).await.unwrap();
        assert_eq!(cluster.wait_leader().await, other);

        // TestWaitLeader_MemberStop: who is left is led by another one, and says so.
        let stopped = MemberId::from(id(other).await);
        cluster[other].stop().await;
        eventually("another leader", DEADLINE, async || {
            let leader = follower.status().await.ok()?.leader()?;
            (leader != stopped).then_some(())
        })
        .await;
    }
}

/// Two members that claim to be led by whoever `leader` says, and hand over only if that is them.
async fn scripted(id: u64, leader: Arc<AtomicU64>, moved: Arc<AtomicU64>) -> EtcdLike {
    let etcd = EtcdLike::start().await;
    etcd.answer_with(move |call| {
        let header = Some(ResponseHeader { cluster_id: 1, member_id: id, ..Default::default() });
        if call.path == method::maintenance::STATUS.path() {
            let leader = leader.load(Ordering::SeqCst);
            let status = StatusResponse { header, leader, ..Default::default() };
            return Some(Answer::message(status.encode_to_vec()));
        }
        if call.path != method::maintenance::MOVE_LEADER.path() {
            return None;
        }
        // The first to be asked has just lost the leadership.
        if moved.fetch_add(1, Ordering::SeqCst) == 0 {
            leader.store(3 - id, Ordering::SeqCst);
            return Some(Answer::status(9, ServerError::NotLeader.message()));
        }
        Some(Answer::message(""))
    });
    etcd
}

/// The leader changes between the question who leads and the request.
#[tokio::test]
async fn a_leader_that_has_just_lost_the_leadership_is_followed() {
    let (leader, moved) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    let one = scripted(1, Arc::clone(&leader), Arc::clone(&moved)).await;
    let two = scripted(2, Arc::clone(&leader), Arc::clone(&moved)).await;
    let client = Client::connect([one.endpoint(), two.endpoint()]).await.unwrap();
    in_time("both members", async {
        while !client.endpoint_states().iter().all(|state| state.is_ready()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    in_time("the move", client.move_leader(2)).await.unwrap();
    let path = method::maintenance::MOVE_LEADER.path();
    assert_eq!((one.calls(path), two.calls(path)), (1, 1));

    // A member that knows no leader says so at once.
    leader.store(0, Ordering::SeqCst);
    fails(client.move_leader(2).await, ErrorKind::NoLeader);
}
