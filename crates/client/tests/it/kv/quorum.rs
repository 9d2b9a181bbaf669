//! A cluster that lost its quorum.

use std::time::Duration;

use etcdkit::{CallOptions, Client, ErrorKind, Get};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::wait::eventually;

use super::members::*;

/// A cluster of three of which only the returned member runs, which knows that it has no leader.
async fn without_quorum(version: Version) -> (Cluster, Client) {
    let cluster = Cluster::builder(version)
        .heartbeat(Duration::from_millis(50))
        .election_timeout(Duration::from_millis(500))
        .start()
        .await;
    let client = connect(&cluster[0]).await;
    client.put("foo", "bar").await.unwrap();
    tokio::join!(cluster[1].kill(), cluster[2].kill());
    eventually("the leader to be missed", DEADLINE, async || {
        let metric = cluster[0].metric("etcd_server_has_leader").await;
        (metric == Some(0.0)).then_some(())
    })
    .await;
    (cluster, client)
}

#[tokio::test]
async fn kv_put_with_require_leader_and_kv_get_no_quorum() {
    for version in Version::available() {
        let _named = Named::new(version);
        let (cluster, client) = without_quorum(version).await;

        // Refused at once, rather than held until the member gives up after seconds.
        let demanding = client.with_options(CallOptions::new().require_leader());
        let refusal = at_most(Duration::from_secs(3), "a refusal", demanding.put("foo", "bar"));
        let error = refusal.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoLeader, "{error}");
        assert!(!error.maybe_applied() && error.is_retryable(), "{error}");
        fails(demanding.get("foo").await, ErrorKind::NoLeader);
        if version.at_least(3, 5) {
            let counted =
                r#"etcd_server_client_requests_total{client_api_version="3.7",type="unary"}"#;
            let requests = cluster[0].metric(counted).await;
            assert!(requests >= Some(3.0), "the server counted {requests:?} requests of ours");
        }

        // Any member answers a serializable read; no other can be answered.
        let hurried = client.with_options(within(Duration::from_millis(800)));
        let answer = hurried.get(Get::new("foo").serializable()).await.unwrap();
        assert_eq!(answer.first().unwrap().value(), b"bar");
        let error = hurried.get("foo").await.unwrap_err();
        let expected = [ErrorKind::Timeout, ErrorKind::Unavailable, ErrorKind::NoLeader];
        assert!(expected.contains(&error.kind()), "{error}");

        // And when the others are back, so is everything.
        cluster.start_all().await;
        let patient = demanding.with_options(within(DEADLINE));
        patient.get("foo").await.unwrap();
    }
}
