use etcdkit::{ErrorKind, LeaseRenewal, LeaseState, LossReason, Result, ServerError};
use etcdkit_testkit::proxy::Proxy;

use super::{granted, pass, seconds};
use crate::kv::members::*;

fn state_is_lost(state: LeaseState, expected: LossReason) {
    assert_eq!(state, LeaseState::Lost { reason: expected });
}

/// The error, after any renewals that were not read.
async fn last<C>(kept: &mut etcdkit::Streaming<LeaseRenewal, C>) -> etcdkit::Error {
    let error = in_time("the end", async {
        loop {
            let item: Result<LeaseRenewal> = kept.next().await.expect("an error comes first");
            if let Err(error) = item {
                return error;
            }
        }
    })
    .await;
    // Exactly one.
    assert!(in_time("nothing more", kept.next()).await.is_none());
    error
}

/// Two holders of one lease; one goes, then the client is closed.
#[tokio::test]
async fn lease_keep_alive() {
    on_every_version(async |client, _| {
        let lease = granted(&client, 30).await;
        let mut first = client.keep_alive(lease).await.unwrap();
        let mut second = client.keep_alive(lease).await.unwrap();
        for kept in [&mut first, &mut second] {
            let renewal = in_time("a renewal", kept.next()).await.unwrap().unwrap();
            assert_eq!((renewal.id, renewal.ttl), (lease, seconds(30)));
            assert_eq!(kept.control().state(), LeaseState::Alive { until: renewal.until });
        }
        first.control().cancel();
        assert_eq!(last(&mut first).await.kind(), ErrorKind::Cancelled);
        state_is_lost(first.control().state(), LossReason::Cancelled);
        assert!(second.control().state().is_alive());
        let control = second.control().clone();
        client.close().await;
        assert_eq!(in_time("the end", control.lost()).await, LossReason::Closed);
        assert_eq!(last(&mut second).await.kind(), ErrorKind::Closed);
        fails(client.keep_alive(lease).await, ErrorKind::Closed);
    })
    .await;
}

/// Renewals come at a third of the time to live, and all leases share one stream on one connection.
#[tokio::test]
async fn lease_keep_alive_seconds() {
    on_every_version(async |_, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let client = tolerant().endpoints([proxy.addr().to_string()]).connect().await.unwrap();
        let mut all = Vec::new();
        for _ in 0..3 {
            let mut kept = client.keep_alive(granted(&client, 12).await).await.unwrap();
            let before = kept.next().await.unwrap().unwrap().until;
            all.push((kept, before));
        }
        for (mut kept, before) in all {
            let renewal = in_time("a renewal", kept.next()).await.unwrap().unwrap();
            assert!(renewal.until - before >= seconds(4), "renewed too soon");
        }
        assert_eq!(proxy.connections(), 2, "one for calls, one for streams");
    })
    .await;
}

/// One of three is revoked, by this client or another.
#[tokio::test]
async fn lease_keep_alive_not_found() {
    on_every_version(async |client, etcd| {
        refused(
            client.keep_alive(granted_and_revoked(&client).await).await.map(drop),
            ServerError::LeaseNotFound,
        );
        let other = connect(etcd).await;
        let mut all = Vec::new();
        // Of the second it learns with the next renewal.
        for ttl in [60, 9, 60] {
            all.push(client.keep_alive(granted(&client, ttl).await).await.unwrap());
        }
        client.revoke(all[0].control().id()).await.unwrap();
        other.revoke(all[1].control().id()).await.unwrap();
        for kept in &mut all[..2] {
            let error = last(kept).await;
            assert_eq!(error.server_error(), Some(ServerError::LeaseNotFound), "{error}");
            state_is_lost(kept.control().state(), LossReason::Revoked);
        }
        assert!(all[2].control().state().is_alive());
    })
    .await;
}

async fn granted_and_revoked(client: &etcdkit::Client) -> etcdkit::LeaseId {
    let lease = granted(client, 60).await;
    client.revoke(lease).await.unwrap();
    lease
}

/// A lease that is revoked while the connection is down.
#[tokio::test]
async fn lease_keep_alive_close_after_disconnect_revoke() {
    on_every_version(async |direct, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let client = tolerant().endpoints([proxy.addr().to_string()]).connect().await.unwrap();
        let lease = granted(&direct, 10).await;
        let mut kept = client.keep_alive(lease).await.unwrap();
        proxy.refuse().await;
        proxy.reset();
        direct.revoke(lease).await.unwrap();
        proxy.listen_again().await;
        let told = last(&mut kept);
        let error = at_most(seconds(10), "the loss", told).await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        state_is_lost(kept.control().state(), LossReason::Revoked);
    })
    .await;
}

/// Nobody answers from the start.
#[tokio::test]
async fn lease_keep_alive_init_timeout() {
    on_own_member(async |client, etcd| {
        let lease = granted(&client, 5).await;
        etcd.kill().await;
        let hurried = client.with_options(within(seconds(2)));
        let error = at_most(seconds(20), "a failure", hurried.keep_alive(lease)).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
    })
    .await;
}

/// A lease that is revoked again and again, and comes back with its key.
#[tokio::test]
async fn a_held_lease_is_granted_anew() {
    on_every_version(async |client, etcd| {
        let id = etcdkit::LeaseId::new(4711).unwrap();
        let grant = etcdkit::LeaseGrant::new(seconds(10)).id(id);
        let held = client.hold_lease(grant, async |lease| {
            assert_eq!(lease, id);
            client.call(etcdkit::Put::new("held", "up").lease(lease)).await.map(drop)
        });
        let other = connect(etcd).await;
        let disturb = async {
            for _ in 0..2 {
                in_time("the key", async {
                    while value(&other, "held").await.is_none() {
                        pass(std::time::Duration::from_millis(20)).await;
                    }
                })
                .await;
                other.revoke(id).await.unwrap();
            }
            client.close().await;
        };
        let (ended, ()) = tokio::join!(held, disturb);
        assert_eq!(
            ended.map(|never| match never {}).map_err(|e| e.kind()),
            Err::<(), _>(ErrorKind::Closed)
        );
    })
    .await;
}

/// Each failure of `attach` left a lease behind, which ran out only later.
#[tokio::test]
async fn a_held_lease_is_kept_when_it_can_not_be_attached_yet() {
    on_own_member(async |client, _| {
        let nobody = etcdkit::Client::builder().endpoints(["http://127.0.0.1:1"]).build().unwrap();
        let nobody = nobody.with_options(within(std::time::Duration::from_millis(50)));
        let given = std::cell::RefCell::new(Vec::new());
        let attached = tokio::sync::Notify::new();
        let held = client.hold_lease(seconds(60), async |lease| {
            let failures = given.borrow().len();
            given.borrow_mut().push(lease);
            if failures < 3 {
                nobody.put("held", "up").await?;
            }
            attached.notify_one();
            Ok(())
        });
        let ended = Box::pin(async {
            tokio::select! {
                ended = held => Err(ended),
                () = attached.notified() => Ok(()),
            }
        });
        in_time("the lease", ended).await.unwrap();
        let given = given.into_inner();
        assert_eq!(given, [given[0]; 4]);
        assert_eq!(client.leases().await.unwrap().ids(), &given[..1]);
    })
    .await;
}

/// It waited for an `attach` that could no longer do any good.
#[tokio::test]
async fn a_lease_that_is_lost_before_it_is_attached_is_granted_anew() {
    on_every_version(async |client, _| {
        let (gives, mut given) = tokio::sync::mpsc::channel(1);
        let held = client.hold_lease(seconds(60), async |lease| {
            gives.send(lease).await.unwrap();
            std::future::pending().await
        });
        let disturb = async {
            let first = given.recv().await.unwrap();
            client.revoke(first).await.unwrap();
            assert_ne!(given.recv().await.unwrap(), first);
            client.close().await;
        };
        let both = Box::pin(async { tokio::join!(held, disturb) });
        let (ended, ()) = in_time("another lease", both).await;
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Closed);
    })
    .await;
}
