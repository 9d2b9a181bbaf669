//! A member that does not vote yet.

use etcdkit::{Client, Get, Put, ServerError, Txn};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::wait::eventually;

use super::members::*;

#[tokio::test]
async fn kv_for_learner_and_balancer_support_learner() {
    for version in Version::available() {
        let _named = Named::new(version);
        let mut cluster = Cluster::builder(version).members(1).start().await;
        let learner = cluster.add_learner().await;
        let voter = connect(&cluster[0]).await;
        voter.put("foo", "bar").await.unwrap();

        // Only what the learner can answer from its own state.
        let client = connect(&cluster[learner]).await;
        let read = async || {
            let answer = client.get(Get::new("foo").serializable()).await.unwrap();
            answer.first().map(|kv| kv.value_bytes())
        };
        in_time("the learner to catch up", async {
            while read().await.as_deref() != Some(&b"bar"[..]) {}
        })
        .await;
        let outcomes = [
            client.get("foo").await.map(drop),
            client.put("foo", "baz").await.map(drop),
            client.delete("foo").await.map(drop),
            client.txn(Txn::new().then([Put::new("foo", "baz")])).await.map(drop),
            client.get_stream("foo").await.map(drop),
        ];
        for outcome in outcomes {
            let error = outcome.unwrap_err();
            assert!(!error.maybe_applied(), "{error}");
            let refused = error.server_error() == Some(ServerError::NotSupportedForLearner);
            assert!(refused || error.to_string().contains("learner"), "does not say why: {error}");
        }
        assert!(client.endpoint_states().iter().all(|state| state.is_learner()));
        // Serializable reads go on, in a stream too.
        let stream = client.get_stream(Get::new("foo").serializable()).await.unwrap();
        assert_eq!(collect(stream).await.unwrap().0.count(), 1);

        // With a member that votes beside it, every call finds that one.
        let urls = [cluster[learner].client_url(), cluster[0].client_url()];
        client.set_endpoints(urls).await.unwrap();
        for _ in 0..8 {
            in_time("a get", client.get("foo")).await.unwrap();
            client.put("foo", "baz").await.unwrap();
        }
        assert_eq!(value(&voter, "foo").await.as_deref(), Some("baz"));
        let mut watch = client.watch("foo").await.unwrap();
        promoted(&cluster, learner, &client).await;
        let event = in_time("the event", watch.next()).await.unwrap().unwrap();
        assert_eq!(event.events()[0].kv().value(), b"promoted");
    }
}

/// A learner that was promoted serves everything, without a new client, also when it is the only one left.
async fn promoted(cluster: &Cluster, learner: usize, client: &Client) {
    let first = cluster.member_id(0).await;
    cluster.promote(learner).await;
    eventually("the voter to be removed", DEADLINE, async || {
        match client.member_remove(first).await {
            Ok(_) => Some(()),
            // It may have left before it answered.
            Err(error) => (error.server_error() == Some(ServerError::MemberNotFound)).then_some(()),
        }
    })
    .await;
    cluster[0].kill().await;
    // The leader knows it first, and the promoted member a moment later: until then it refuses.
    eventually("the member to know of its promotion", DEADLINE, async || {
        client.put("foo", "promoted").await.ok()
    })
    .await;
    assert_eq!(value(client, "foo").await.as_deref(), Some("promoted"));
}
