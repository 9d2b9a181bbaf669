//! Names and passwords.

use etcdkit::{ErrorKind, ServerError};

use super::users::{self, authenticated, login};
use crate::kv::members::*;

#[tokio::test]
async fn user_error_auth() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        // Without credentials one may connect, and do nothing.
        let outcome = anonymous.put("foo", "bar").await;
        assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::Unauthenticated);
        refused(outcome, ServerError::UserEmpty);
        let again = tolerant().endpoints([etcd.client_url()]).connect().await.unwrap();
        refused(again.get("foo").await, ServerError::UserEmpty);

        for (name, password) in [("wrong", "root"), ("root", "wrong"), ("alice", "root")] {
            let before = authenticated(&etcd).await;
            let client = tolerant().endpoints([etcd.client_url()]).user(name, password);
            let error = client.connect().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
            assert_eq!(error.server_error(), Some(ServerError::AuthFailed), "{error}");
            let text = format!("{error} {error:?}");
            assert!(name == password || !text.contains(&format!("\"{password}\"")), "{text}");
            assert_eq!(authenticated(&etcd).await - before, 1, "a wrong password is tried again");
        }
        login(&etcd, "root").await.put("foo", "bar").await.unwrap();
        let alice = login(&etcd, "alice").await;
        alice.put("alice/a", "1").await.unwrap();
        refused(alice.put("foo", "baz").await, ServerError::PermissionDenied);
        let outcome = alice.get_stream("foo").await.map(drop);
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::PermissionDenied);
        // One of a transaction's operations is enough.
        let txn = etcdkit::Txn::new().or_else([etcdkit::Get::new("foo")]);
        refused(alice.txn(txn).await, ServerError::PermissionDenied);
    })
    .await;
}

/// A wrong password is not shown again with every call.
#[tokio::test]
async fn a_wrong_password_does_not_loop() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let client = tolerant().endpoints([etcd.client_url()]).user("alice", "wrong");
        let client = client.build().unwrap();
        let before = authenticated(&etcd).await;
        for _ in 0..20 {
            let error = client.get("alice/a").await.unwrap_err();
            assert_eq!(error.server_error(), Some(ServerError::AuthFailed), "{error}");
        }
        let tries = authenticated(&etcd).await - before;
        assert!((1..=3).contains(&tries), "the password was shown {tries} times");
    })
    .await;
}

#[tokio::test]
async fn get_token_without_auth() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        let client = login(&etcd, "alice").await;
        client.put("alice/a", "1").await.unwrap();
        // Turned on later, it asks for the token that there was no need of before.
        users::set_up(&anonymous).await;
        client.put("alice/a", "2").await.unwrap();
        assert_eq!(value(&client, "alice/a").await.as_deref(), Some("2"));
        // And turned off again.
        let root = login(&etcd, "root").await;
        let disable = etcdkit::proto::etcdserverpb::AuthDisableRequest {};
        root.raw(etcdkit::proto::method::auth::DISABLE, &disable).await.unwrap();
        client.put("foo", "bar").await.unwrap();
    })
    .await;
}

/// One client's token is not another's, though they share everything else.
#[tokio::test]
async fn auth_token_bundle_no_overwrite() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let root = login(&etcd, "root").await;
        let alice = login(&etcd, "alice").await;
        for _ in 0..3 {
            root.put("foo", "bar").await.unwrap();
            refused(alice.put("foo", "bar").await, ServerError::PermissionDenied);
            refused(anonymous.put("foo", "bar").await, ServerError::UserEmpty);
        }
        // A clone is the same client.
        let before = authenticated(&etcd).await;
        root.clone().put("foo", "bar").await.unwrap();
        assert_eq!(authenticated(&etcd).await, before);
    })
    .await;
}
