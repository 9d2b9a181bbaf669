//! `ExampleLease_grant`, `_revoke`, `_keepAlive` and `_keepAliveOnce`, with what they print.

use std::time::Duration;

use etcdkit::Put;

use crate::kv::members::*;

const TTL: Duration = Duration::from_secs(5);

#[tokio::test]
async fn example_lease_grant() {
    on_every_version(async |client, _| {
        let lease = client.grant(TTL).await.unwrap().id();
        client.call(Put::new("example-lease/grant", "bar").lease(lease)).await.unwrap();
        // After 5 seconds, the key is removed.
        let left = client.time_to_live(lease).await.unwrap().remaining().unwrap();
        assert!(left <= TTL, "{left:?}");
    })
    .await;
}

#[tokio::test]
async fn example_lease_revoke() {
    on_every_version(async |client, _| {
        let lease = client.grant(TTL).await.unwrap().id();
        client.call(Put::new("example-lease/revoke", "bar").lease(lease)).await.unwrap();
        client.revoke(lease).await.unwrap();
        let answer = client.get("example-lease/revoke").await.unwrap();
        assert_eq!(format!("number of keys: {}", answer.kvs().len()), "number of keys: 0");
    })
    .await;
}

#[tokio::test]
async fn example_lease_keep_alive() {
    on_every_version(async |client, _| {
        let lease = client.grant(TTL).await.unwrap().id();
        client.call(Put::new("example-lease/keep-alive", "bar").lease(lease)).await.unwrap();
        let mut kept = client.keep_alive(lease).await.unwrap();
        let renewal = kept.next().await.unwrap().unwrap();
        assert_eq!(format!("ttl: {}", renewal.ttl.as_secs()), "ttl: 5");
    })
    .await;
}

#[tokio::test]
async fn example_lease_keep_alive_once() {
    on_every_version(async |client, _| {
        let lease = client.grant(TTL).await.unwrap().id();
        client.call(Put::new("example-lease/once", "bar").lease(lease)).await.unwrap();
        let renewal = client.keep_alive_once(lease).await.unwrap();
        assert_eq!(format!("ttl: {}", renewal.ttl.as_secs()), "ttl: 5");
    })
    .await;
}
