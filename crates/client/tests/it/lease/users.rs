use etcdkit::{ErrorKind, LossReason, Put};

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
        let lease = granted(&alice, 6).await;
        alice.call(Put::new("alice/a", "1").lease(lease)).await.unwrap();
        let mut kept = alice.keep_alive(lease).await.unwrap();
        // Simple tokens are in the member's memory only.
        etcd.restart().await;
        let before = kept.next().await.unwrap().unwrap().until;
        while in_time("a renewal", kept.next()).await.unwrap().unwrap().until <= before {}
        assert!(users::authenticated(&etcd).await <= 1);
    })
    .await;
}
