//! Members that do not vote, until they are promoted.

use etcdkit::cluster::MemberAdd;
use etcdkit::maintenance::Version;
use etcdkit::{ErrorKind, ServerError};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd;
use etcdkit_testkit::wait::eventually;

use super::members::add;
use crate::kv::members::*;

/// TestMemberAddForLearner, TestMemberUpdateLearner, TestMemberPromoteMemberNotLearner, TestMemberPromoteMemberNotExist
/// and TestMaxLearnerInCluster.
#[tokio::test]
async fn learners_that_never_start() {
    on_own_member(async |client, etcd_member| {
        let learner = |port: u32| MemberAdd::new([format!("http://127.0.0.1:{port}")]).learner();
        let added = client.member_add(learner(1)).await.unwrap();
        let id = added.member().id;
        assert!(added.member().is_learner);
        assert_eq!(added.members().iter().filter(|member| member.is_learner).count(), 1);

        let outcome = client.member_add(learner(2)).await;
        assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::Conflict);
        refused(outcome, ServerError::TooManyLearners);

        refused(client.member_promote(id).await, ServerError::LearnerNotReady);
        refused(client.member_promote(1).await, ServerError::MemberNotFound);
        let own = client.status().await.unwrap().member();
        let text = client.member_promote(own).await.unwrap_err().to_string();
        assert!(text.contains("can only promote a learner member"), "{text}");

        // TestMemberRemove: nobody votes without the last one.
        refused(client.member_remove(own).await, ServerError::MemberNotEnoughStarted);
        client.member_remove(id).await.unwrap();
        let id = client.member_add(learner(2)).await.unwrap().member().id;

        let version: Version = client.status().await.unwrap().version().parse().unwrap();
        let updated = client.member_update(id, ["http://127.0.0.1:3"]).await.unwrap();
        let member = updated.member(id).unwrap();
        assert_eq!(member.peer_urls, ["http://127.0.0.1:3"]);
        // A defect of the older ones: an update makes the learner look like a voter.
        assert_eq!(member.is_learner, version >= Version::new(3, 6, 0));
        drop(etcd_member);
    })
    .await;
}

/// What a learner answers when it is called by name; promotion asked of a follower.
#[tokio::test]
async fn member_promote() {
    for version in etcd::Version::available() {
        let _named = Named::new(version);
        let mut cluster = Cluster::builder(version).members(2).start().await;
        let client = tolerant().endpoints(cluster.endpoints()).connect().await.unwrap();
        let existing = MemberAdd::new([cluster[0].peer_url()]);
        add(&client, existing).await.unwrap_err();
        let index = cluster.add_learner().await;
        let at = client.at(cluster[index].client_url()).unwrap();
        let status = at.status().await.unwrap();
        assert!(status.is_learner() && !status.is_leader());
        let refusal = in_time("the refusal", at.hash_kv(0)).await;
        assert_eq!(refusal.as_ref().unwrap_err().kind(), ErrorKind::Unsupported);
        refused(refusal, ServerError::NotSupportedForLearner);
        let snapshot = in_time("a snapshot", at.snapshot()).await;
        if version.at_least(3, 5) {
            let mut pieces = snapshot.unwrap();
            while let Some(piece) = pieces.next().await {
                piece.unwrap();
            }
        } else {
            refused(snapshot.map(drop), ServerError::NotSupportedForLearner);
        }

        let follower = cluster.followers().await[0];
        let follower = client.at(cluster[follower].client_url()).unwrap();
        eventually("the learner to catch up", DEADLINE, async || {
            match follower.member_promote(status.member()).await {
                Ok(promoted) => Some(promoted),
                Err(error) => {
                    let not_yet = [ServerError::LearnerNotReady, ServerError::Unhealthy].map(Some);
                    assert!(not_yet.contains(&error.server_error()), "{error}");
                    None
                }
            }
        })
        .await;
        // Before 3.5 a member lists what it has heard of itself.
        eventually("all members to know of the promotion", DEADLINE, async || {
            let list = client.member_list().await.unwrap();
            let known = list.members().iter().all(|member| !member.is_learner);
            assert!(known || !version.at_least(3, 5), "{list:?}");
            known.then_some(())
        })
        .await;
        // A learner can't be led to, and a voter that was one can.
        eventually("the new voter to lead", DEADLINE, async || {
            client.move_leader(status.member()).await.ok()
        })
        .await;
    }
}
