//! What members say of themselves, each asked by name.

use std::collections::BTreeSet;

use etcdkit::config::Endpoint;
use etcdkit::maintenance::{HashKv, Health, HealthStatus, Status};
use etcdkit::{Client, Compact, ErrorKind, Revision, ServerError};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::wait::eventually;

use crate::kv::members::*;

/// The hash of every member at a revision, once all have come so far.
async fn hashes(client: &Client, revision: Revision) -> BTreeSet<(u32, Revision)> {
    eventually("all members to come so far", DEADLINE, async || {
        let answers = client.on_each_endpoint(HashKv::new().at_revision(revision)).await;
        assert_eq!(answers.len(), 3);
        let mut hashes = BTreeSet::new();
        for (endpoint, answer) in answers {
            match answer {
                Ok(answer) => {
                    if let Some(reached) = answer.hash_revision() {
                        assert!(revision == Revision::NONE || reached == revision);
                    }
                    hashes.insert((answer.hash(), answer.compact_revision()));
                }
                Err(error) if error.kind() == ErrorKind::FutureRevision => return None,
                Err(error) => panic!("{endpoint}: {error}"),
            }
        }
        Some(hashes)
    })
    .await
}

/// TestMaintenanceStatus, TestEndpointStatus, TestStatus, TestEndpointHealth, TestMaintenanceHashKV,
/// TestEndpointHashKV, TestV3HashKV, TestCompactionHash, TestVerifyHashKVAfterCompact, …AfterTwoCompactsOnTombstone,
/// …AfterCompactOnLastTombstone, …AfterCompactAndDefrag and TestDefragOnline, on one cluster.
#[tokio::test]
async fn status_health_hash_kv_and_defragment_of_each_member() {
    for version in Version::available() {
        let _named = Named::new(version);
        let cluster = Cluster::builder(version).members(3).start().await;
        let client = tolerant().endpoints(cluster.endpoints()).connect().await.unwrap();
        client.put("foo", "bar").await.unwrap();

        let mut members = BTreeSet::new();
        let mut leaders = BTreeSet::new();
        for (endpoint, status) in client.on_each_endpoint(Status::new()).await {
            let status = status.unwrap();
            assert!(members.insert(status.member()), "{endpoint} answers as another member");
            assert_eq!(status.version(), version.number());
            assert!(status.db_size() >= status.db_size_in_use() && status.db_size_in_use() > 0);
            assert!(status.raft_index() >= status.raft_applied_index() && status.raft_term() > 0);
            assert!(status.errors().is_empty() && !status.is_learner());
            assert_eq!(status.db_size_quota(), version.at_least(3, 6).then_some(2 << 30));
            leaders.extend(status.leader().filter(|_| status.is_leader()));
        }
        assert_eq!((members.len(), leaders.len()), (3, 1));
        for (_, health) in client.on_each_endpoint(Health::new()).await {
            assert_eq!(health.unwrap().status(), HealthStatus::Serving);
        }
        let unknown = client.call(Health::of_service("no such")).await;
        assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);

        let mut newest = Revision::NONE;
        for round in 0..10 {
            newest = client.put("foo", format!("{round}")).await.unwrap().revision();
            if round % 3 == 2 {
                newest = client.delete("foo").await.unwrap().header().revision;
            }
        }
        assert_eq!(hashes(&client, newest).await.len(), 1);
        // The second and the third are deletions.
        for compacted in [newest.get() - 6, newest.get() - 5, newest.get() - 1] {
            client.call(Compact::new(compacted).physical()).await.unwrap();
            // Older members don't count the revision that was compacted to.
            for revision in compacted + 1..=newest.get() {
                // Members compact one after the other.
                eventually("one hash", DEADLINE, async || {
                    (hashes(&client, Revision::new(revision)).await.len() == 1).then_some(())
                })
                .await;
            }
            // Members keep the hashes of revisions that they compacted to, the last of which is the one before.
            let outcome = client.hash_kv(compacted - 2).await;
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Compacted);
        }
        refused(client.hash_kv(newest.next()).await, ServerError::FutureRevision);
        let before = hashes(&client, newest).await;
        // One after the other, as it should be done.
        for endpoint in client.endpoints() {
            client.at(endpoint).unwrap().defragment().await.unwrap();
        }
        assert_eq!(hashes(&client, newest).await, before);
        client.hash().await.unwrap();
    }
}

/// Calls by name go over a connection that is kept, and to that member only.
#[tokio::test]
async fn one_connection_per_named_endpoint() {
    let etcd = shared(Version::newest()).await;
    let proxy = etcdkit_testkit::proxy::Proxy::start(etcd.client_addr()).await;
    let client = tolerant().endpoints([etcd.client_url()]).connect().await.unwrap();
    let endpoint: Endpoint = format!("http://{}", proxy.addr()).parse().unwrap();
    let at = client.at(endpoint.clone()).unwrap();
    for _ in 0..5 {
        at.status().await.unwrap();
        at.hash_kv(0).await.unwrap();
    }
    assert_eq!(proxy.connections(), 1);
    assert_eq!(at.options(), &client.options().clone().endpoint(endpoint));
    proxy.refuse().await;
    proxy.close();
    let error = in_time("the failure", at.status()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    client.status().await.unwrap();
    // Each endpoint fails for itself.
    let both = ["http://127.0.0.1:1".parse().unwrap(), etcd.client_url().parse().unwrap()];
    let answers = client.on_each(both, Status::new()).await;
    let outcomes: Vec<bool> = answers.iter().map(|(_, answer)| answer.is_ok()).collect();
    assert_eq!(outcomes, [false, true]);
}
