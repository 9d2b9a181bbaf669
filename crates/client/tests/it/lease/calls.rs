use etcdkit::{
    CallOptions, ErrorKind, Get, LeaseGrant, LeaseId, LeaseTimeToLive, Put, ServerError,
};
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::proxy::{Direction, Proxy};

use super::{granted, pass, seconds};
use crate::kv::lost::eager;
use crate::kv::members::*;

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).unwrap()
}

#[tokio::test]
async fn lease_not_found_error() {
    on_every_version(async |client, _| {
        let put = Put::new("lease_not_found", "bar").lease(id(500));
        refused(client.call(put).await, ServerError::LeaseNotFound);
        refused(client.revoke(id(500)).await, ServerError::LeaseNotFound);
    })
    .await;
}

#[tokio::test]
async fn lease_grant() {
    on_every_version(async |client, _| {
        refused(client.grant(seconds(9_000_000_001)).await, ServerError::LeaseTtlTooLarge);
        fails(client.grant(std::time::Duration::ZERO).await, ErrorKind::InvalidArgument);
        let lease = client.grant(seconds(10)).await.unwrap();
        assert_eq!(lease.ttl(), seconds(10));
        client.call(Put::new("lease_grant", "bar").lease(lease.id())).await.unwrap();
        // Raised to the minimum of the server.
        assert!(client.grant(seconds(1)).await.unwrap().ttl() > seconds(1));
    })
    .await;
}

#[tokio::test]
async fn lease_grant_by_id_and_negative_id() {
    on_every_version(async |client, _| {
        for number in [77, -77] {
            let grant = LeaseGrant::new(seconds(60)).id(id(number));
            assert_eq!(client.grant(grant.clone()).await.unwrap().id(), id(number));
            refused(client.grant(grant).await, ServerError::LeaseExist);
            let put = Put::new("lease_negative", "bar").lease(id(number));
            client.call(put).await.unwrap();
            let kept = client.keep_alive(id(number)).await.unwrap();
            assert_eq!(kept.control().id(), id(number));
            client.revoke(id(number)).await.unwrap();
            assert!(value(&client, "lease_negative").await.is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn lease_revoke() {
    on_every_version(async |client, _| {
        let lease = granted(&client, 10).await;
        client.revoke(lease).await.unwrap();
        let put = Put::new("lease_revoke", "bar").lease(lease);
        refused(client.call(put).await, ServerError::LeaseNotFound);
    })
    .await;
}

#[tokio::test]
async fn lease_time_to_live() {
    on_every_version(async |client, _| {
        let lease = granted(&client, 10).await;
        for key in ["lease_ttl/1", "lease_ttl/2"] {
            client.call(Put::new(key, "bar").lease(lease)).await.unwrap();
        }
        let bare = client.time_to_live(lease).await.unwrap();
        assert_eq!((bare.granted(), bare.keys().len()), (Some(seconds(10)), 0));
        let answer = client.time_to_live(LeaseTimeToLive::new(lease).keys()).await.unwrap();
        assert!(answer.remaining() <= Some(seconds(10)) && answer.remaining() >= Some(seconds(5)));
        let mut keys = answer.keys().to_vec();
        keys.sort();
        assert_eq!(keys, ["lease_ttl/1", "lease_ttl/2"]);
        client.revoke(lease).await.unwrap();
        // `lease_time_to_live_lease_not_found`: no error.
        let gone = client.time_to_live(lease).await.unwrap();
        assert_eq!((gone.remaining(), gone.granted()), (None, None));
    })
    .await;
}

#[tokio::test]
async fn lease_leases() {
    on_own_member(async |client, _| {
        assert!(client.leases().await.unwrap().ids().is_empty());
        let mut leases = Vec::new();
        for number in 1..=5 {
            leases.push(granted(&client, 100 * number).await);
        }
        // etcd lists first what ends first.
        assert_eq!(client.leases().await.unwrap().ids(), leases);
    })
    .await;
}

/// TestLeaseGrantTimeToLiveExpired, TestLeaseGrantKeepAliveOnce: one renewal only puts the end off.
#[tokio::test]
async fn lease_expires_with_its_keys() {
    // On all versions at once, since it takes as long as that.
    let mut leases = Vec::new();
    for version in Version::available() {
        let _named = Named::new(version);
        let client = connect(shared(version).await).await;
        let lease = granted(&client, 9).await;
        client.call(Put::new("lease_expires", "bar").lease(lease)).await.unwrap();
        client.keep_alive_once(lease).await.unwrap();
        leases.push((version, client, lease));
    }
    for (version, client, lease) in leases {
        let _named = Named::new(version);
        in_time("the key to go", async {
            while value(&client, "lease_expires").await.is_some() {
                pass(seconds(1)).await;
            }
        })
        .await;
        assert_eq!(client.time_to_live(lease).await.unwrap().remaining(), None);
    }
}

#[tokio::test]
async fn lease_keep_alive_once() {
    on_every_version(async |client, _| {
        let lease = granted(&client, 60).await;
        let renewal = client.keep_alive_once(lease).await.unwrap();
        assert_eq!((renewal.id, renewal.ttl), (lease, seconds(60)));
        client.revoke(lease).await.unwrap();
        refused(client.keep_alive_once(lease).await, ServerError::LeaseNotFound);
    })
    .await;
}

/// It neither spins nor goes on for ever.
#[tokio::test]
async fn keep_alive_once_without_a_server() {
    on_own_member(async |client, etcd| {
        etcd.kill().await;
        let hurried = client.with_options(within(seconds(1)));
        let error = hurried.keep_alive_once(id(7)).await.unwrap_err();
        assert!(error.attempts().len() < 20, "{error}");
        assert!(error.is_retryable(), "{error}");
    })
    .await;
}

#[tokio::test]
async fn lease_calls_after_close() {
    on_every_version(async |client, _| {
        client.close().await;
        fails(client.grant(seconds(5)).await, ErrorKind::Closed);
        fails(client.revoke(id(5)).await, ErrorKind::Closed);
        fails(client.keep_alive_once(id(5)).await, ErrorKind::Closed);
        fails(client.keep_alive(id(5)).await, ErrorKind::Closed);
    })
    .await;
}

/// Whatever the fate of answers: as many leases as grants that succeeded, and each with the id that was told.
#[tokio::test]
async fn lost_answers_leak_no_lease() {
    on_own_member(async |direct, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let client = eager(&proxy).await.with_options(CallOptions::new().timeout(DEADLINE));
        let mut leases = Vec::new();
        for round in 0..10 {
            // The request passes, and the connection ends before or within the answer.
            proxy.cut_after(Direction::ToClient, proxy.bytes(Direction::ToClient) + round * 4);
            let lease = client.grant(seconds(300)).await.unwrap();
            assert_eq!(lease.ttl(), seconds(300));
            leases.push(lease.id());
        }
        let mut listed = direct.leases().await.unwrap().ids().to_vec();
        listed.sort();
        leases.sort();
        assert_eq!(listed, leases);
        // And a revocation whose answer is lost is a success.
        for lease in leases {
            proxy.cut_after(Direction::ToClient, proxy.bytes(Direction::ToClient) + 4);
            client.revoke(lease).await.unwrap();
        }
        assert!(direct.leases().await.unwrap().ids().is_empty());
        assert!(client.get(Get::new("any")).await.unwrap().is_empty());
    })
    .await;
}
