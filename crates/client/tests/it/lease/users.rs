use etcdkit::{ErrorKind, LeaseTimeToLive, LossReason, Put};
use etcdkit_testkit::wait::eventually;

use super::{granted, pass, seconds};
use crate::auth::users;
use crate::kv::members::*;

/// A key that the user may not write comes to be attached: that lease is lost, and no other. (etcd 3.4.23 does not look
/// at the keys of a lease that is renewed.)
#[tokio::test]
async fn auth_lease_keep_alive_denied() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let (root, alice) = (users::login(&etcd, "root").await, users::login(&etcd, "alice").await);
        let mut kept = Vec::new();
        for _ in 0..5 {
            kept.push(alice.keep_alive(granted(&alice, 6).await).await.unwrap());
        }
        let denied = kept[2].control().id();
        root.call(Put::new("others/key", "1").lease(denied)).await.unwrap();
        if let Err(error) = alice.keep_alive_once(denied).await {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            let reason = at_most(seconds(10), "the end", kept[2].control().lost()).await;
            assert_eq!(reason, LossReason::PermissionDenied);
            let error = alice.keep_alive(denied).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        }
        pass(seconds(3)).await;
        for (index, kept) in kept.iter().enumerate() {
            assert!(index == 2 || kept.control().state().is_alive(), "{:?}", kept.control());
        }
    })
    .await;
}

/// Tokens that the server forgets are replaced under the stream, with one exchange.
#[tokio::test]
async fn auth_lease_keep_alive_with_a_lost_token() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let alice = users::login(&etcd, "alice").await;
        let (first, second) = (granted(&alice, 60).await, granted(&alice, 60).await);
        alice.call(Put::new("alice/a", "1").lease(second)).await.unwrap();
        let first = alice.keep_alive(first).await.unwrap();
        // Simple tokens are in the member's memory only. (One that is killed reads the last of them from its log.)
        etcd.restart().await;
        // It is there when the stream that they share is back and the lease was renewed on it.
        let second = in_time("a renewal", alice.keep_alive(second)).await.unwrap();
        for kept in [first, second] {
            assert!(kept.control().state().is_alive(), "{:?}", kept.control());
        }
        assert!(users::authenticated(&etcd).await <= 1);
    })
    .await;
}

/// TestAuthLeaseRevoke, TestAuthLeaseLeases, TestAuthLeaseTimeToLive, …Expired, TestAuthLeaseGrantLeases: who may not
/// use an attached key may not end its lease, nor see its keys or any list that it is on. Nobody in particular may nothing.
#[tokio::test]
async fn auth_leases_are_guarded_by_their_keys() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let (root, alice) = (users::login(&etcd, "root").await, users::login(&etcd, "alice").await);
        let own = granted(&alice, 60).await;
        alice.call(Put::new("alice/a", "1").lease(own)).await.unwrap();
        let others = granted(&root, 60).await;
        assert_eq!(alice.leases().await.unwrap().ids().len(), 2);
        root.call(Put::new("others/key", "1").lease(others)).await.unwrap();

        let keys = LeaseTimeToLive::new(own).keys();
        let answer = alice.time_to_live(keys).await.unwrap();
        assert_eq!(answer.keys(), ["alice/a"]);
        let keys = LeaseTimeToLive::new(others).keys();
        assert_eq!(root.time_to_live(keys.clone()).await.unwrap().keys(), ["others/key"]);
        // 3.4.23 and 3.5.1 look at the keys of a lease only before they delete them.
        let looks = etcd.version().at_least(3, 6);
        let table = [
            (alice.time_to_live(keys).await.err(), looks, ErrorKind::PermissionDenied),
            (alice.leases().await.err(), looks, ErrorKind::PermissionDenied),
            (alice.revoke(others).await.err(), true, ErrorKind::PermissionDenied),
            (anonymous.time_to_live(own).await.err(), looks, ErrorKind::Unauthenticated),
            (anonymous.leases().await.err(), looks, ErrorKind::Unauthenticated),
            (anonymous.revoke(own).await.err(), true, ErrorKind::Unauthenticated),
        ];
        for (row, (error, refused, kind)) in table.into_iter().enumerate() {
            let expected = refused.then_some(kind);
            assert_eq!(error.as_ref().map(etcdkit::Error::kind), expected, "row {row}: {error:?}");
        }
        alice.revoke(own).await.unwrap();
        assert_eq!(alice.get("alice/a").await.unwrap().count(), 0);
        // What has run out has no time left, and is no error.
        let short = granted(&alice, 1).await;
        eventually("the end", DEADLINE, async || {
            alice.time_to_live(short).await.unwrap().remaining().is_none().then_some(())
        })
        .await;
    })
    .await;
}
