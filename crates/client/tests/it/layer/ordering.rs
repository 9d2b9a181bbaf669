//! Members that lag behind, and reads that do not show it.

use etcdkit::layer::Ordering;
use etcdkit::{Client, ErrorKind, Get, Txn};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;

use crate::kv::backup::Backup;
use crate::kv::members::*;

/// A cluster of which one follower has not seen the newest value of `foo`, and a client of the two others that has.
async fn with_a_stale_member(
    version: Version,
) -> (Cluster, usize, Client, Client<Ordering<etcdkit::Channel>>) {
    let cluster = Cluster::builder(version).gates().start().await;
    cluster.wait_leader().await;
    let stale = cluster.followers().await[0];
    let mut endpoints = cluster.endpoints();
    endpoints.remove(stale);
    let client = tolerant().endpoints(endpoints).connect().await.unwrap();
    client.put("foo", "old").await.unwrap();
    // The follower has it too.
    let its = connect(&cluster[stale]).await;
    its.get("foo").await.unwrap();
    its.close().await;
    cluster.isolate(stale).await;
    let ordered = client.clone().ordered();
    ordered.with_options(within(DEADLINE)).put("foo", "new").await.unwrap();
    (cluster, stale, client, ordered)
}

fn read() -> Get {
    Get::new("foo").serializable()
}

/// Upstream's TestDetectKvOrderViolation, TestDetectTxnOrderViolation, TestUnresolvableOrderViolation and
/// TestEndpointSwitchResolvesViolation.
#[tokio::test]
async fn detect_kv_and_txn_order_violation() {
    for version in Version::available() {
        let _named = Named::new(version);
        let (cluster, stale, client, ordered) = with_a_stale_member(version).await;
        // Only the member that lags behind can be reached.
        client.set_endpoints([cluster[stale].client_url()]).await.unwrap();
        in_time("the member", client.wait_ready()).await.unwrap();
        assert_eq!(client.get(read()).await.unwrap().first().unwrap().value(), b"old");
        let error = in_time("a refusal", ordered.get(read())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("no cluster member has a revision as high"), "{error}");
        let hasty = ordered.clone().layer(|ordering| ordering.attempts(3));
        let refused = in_time("a refusal", hasty.txn(Txn::new().then([read()]))).await;
        fails(refused, ErrorKind::Unavailable);
        let streamed = in_time("a refusal", ordered.get_stream(read())).await;
        assert_eq!(streamed.unwrap_err().kind(), ErrorKind::Unavailable);

        // Others that can be reached are enough, whoever is asked first.
        client.set_endpoints(cluster.endpoints()).await.unwrap();
        in_time("all members", async {
            while !client.endpoint_states().iter().all(|state| state.is_ready()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        for _ in 0..6 {
            let answer = in_time("an answer", ordered.get(read())).await.unwrap();
            assert_eq!(answer.first().unwrap().value(), b"new");
            let pieces = in_time("a stream", ordered.get_stream(read())).await.unwrap();
            let (answer, _) = collect(pieces).await.unwrap();
            assert_eq!(answer.first().unwrap().value(), b"new");
        }
    }
}

/// After a backup was restored no read was new enough any more.
#[tokio::test]
async fn reads_go_on_after_a_watch_told_that_a_backup_was_restored() {
    on_own_member(async |client, etcd| {
        let ordered = client.ordered();
        ordered.put("foo", "old").await.unwrap();
        let backup = Backup::of(&etcd).await;
        for _ in 0..10 {
            in_time("a write", ordered.put("foo", "lost")).await.unwrap();
        }
        let mut watch = in_time("the watch", ordered.watch("foo")).await.unwrap();
        backup.restore().await;
        let told = in_time("the news", watch.next()).await.unwrap();
        assert_eq!(told.unwrap_err().kind(), ErrorKind::ClusterChanged);
        let answer = in_time("a read", ordered.get(read())).await.unwrap();
        assert_eq!(answer.first().unwrap().value(), b"old");
    })
    .await;
}
