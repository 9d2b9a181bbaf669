//! What permissions mean for keys, and that a change of them is felt by clients that are connected.

use etcdkit::auth::{Permission, UserAdd};
use etcdkit::{Client, Compare, Delete, ErrorKind, Get, KeyRange, Put, ServerError, Txn};
use etcdkit_testkit::etcd::Etcd;

use super::{add_root, on_quick_member};
use crate::auth::users::login;
use crate::kv::members::*;

/// `root` and `alice`, who has the role `alice`, both with their names as passwords; authentication is on.
async fn set_up(client: &Client, etcd: &Etcd) -> (Client, Client) {
    add_root(client).await;
    client.user_add(UserAdd::new("alice", "alice")).await.unwrap();
    client.role_add("alice").await.unwrap();
    client.user_grant_role("alice", "alice").await.unwrap();
    client.auth_enable().await.unwrap();
    (login(etcd, "root").await, login(etcd, "alice").await)
}

fn denied<T: std::fmt::Debug>(outcome: etcdkit::Result<T>) {
    refused(outcome, ServerError::PermissionDenied);
}

#[tokio::test]
async fn auth_enable_and_disable() {
    on_quick_member(async |client, etcd| {
        refused(client.auth_enable().await, ServerError::RootUserNotExist);
        client.user_add(UserAdd::new("root", "root")).await.unwrap();
        refused(client.auth_enable().await, ServerError::RootRoleNotExist);
        client.role_add("root").await.unwrap();
        client.user_grant_role("root", "root").await.unwrap();
        client.auth_enable().await.unwrap();
        refused(client.put("a", "1").await, ServerError::UserEmpty);
        let root = login(&etcd, "root").await;
        root.auth_enable().await.unwrap();
        root.put("a", "1").await.unwrap();
        // TestAuthGracefulDisable: who has a token goes on without one.
        root.auth_disable().await.unwrap();
        root.put("a", "2").await.unwrap();
        client.put("a", "3").await.unwrap();
        client.auth_disable().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn auth_status() {
    for version in etcdkit_testkit::etcd::Version::available() {
        let _named = Named::new(version);
        let etcd = etcdkit_testkit::etcd::Etcd::builder(version);
        let etcd = crate::auth::users::quick(etcd).start().await;
        let client = connect(&etcd).await;
        if !version.at_least(3, 5) {
            fails(client.auth_status().await, ErrorKind::Unsupported);
            continue;
        }
        let before = client.auth_status().await.unwrap();
        assert!(!before.is_enabled());
        add_root(&client).await;
        client.auth_enable().await.unwrap();
        let root = login(&etcd, "root").await;
        let after = root.auth_status().await.unwrap();
        assert!(after.is_enabled());
        assert!(after.auth_revision() > before.auth_revision());
        // Nobody has to be a user to ask, since 3.7.
        let anonymous = client.auth_status().await;
        assert_eq!(anonymous.is_ok(), version.at_least(3, 7), "{anonymous:?}");
        // TestAuthRevisionConsistency.
        etcd.restart().await;
        let restarted = root.auth_status().await.unwrap();
        assert_eq!(restarted.auth_revision(), after.auth_revision());
    }
}

#[tokio::test]
async fn auth_role_update() {
    on_quick_member(async |client, etcd| {
        let (root, alice) = set_up(&client, &etcd).await;
        denied(alice.put("foo", "1").await);
        root.role_grant_permission("alice", "foo", Permission::ReadWrite).await.unwrap();
        alice.put("foo", "1").await.unwrap();
        // TestAuthTestCacheReload: permissions survive a restart.
        etcd.restart().await;
        alice.put("foo", "2").await.unwrap();
        root.role_revoke_permission("alice", "foo").await.unwrap();
        denied(alice.put("foo", "3").await);
    })
    .await;
}

#[tokio::test]
async fn auth_user_delete_and_role_revoke_during_ops() {
    on_quick_member(async |client, etcd| {
        let (root, alice) = set_up(&client, &etcd).await;
        root.role_grant_permission("alice", "foo", Permission::ReadWrite).await.unwrap();
        alice.put("foo", "1").await.unwrap();
        root.user_revoke_role("alice", "alice").await.unwrap();
        denied(alice.put("foo", "2").await);
        root.user_grant_role("alice", "alice").await.unwrap();
        alice.put("foo", "3").await.unwrap();
        root.user_delete("alice").await.unwrap();
        let error = alice.put("foo", "4").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
        assert!(!error.maybe_applied());
        assert_eq!(value(&root, "foo").await.as_deref(), Some("3"));
    })
    .await;
}

#[tokio::test]
async fn auth_prefix_perm() {
    on_quick_member(async |client, etcd| {
        let (root, alice) = set_up(&client, &etcd).await;
        let prefix = KeyRange::prefix("/prefix/");
        root.role_grant_permission("alice", prefix, Permission::ReadWrite).await.unwrap();
        for key in ["/prefix/", "/prefix/0", "/prefix/zzz"] {
            alice.put(key, "x").await.unwrap();
        }
        for key in ["/prefix", "/prefix0", "/prefiy"] {
            denied(alice.put(key, "x").await);
        }
        assert_eq!(alice.get(Get::prefix("/prefix/")).await.unwrap().count(), 3);
        denied(alice.get(Get::prefix("/prefix")).await);
        // The union of two ranges counts.
        root.role_grant_permission("alice", KeyRange::range("/prefix0", "/q"), Permission::Read)
            .await
            .unwrap();
        let both = KeyRange::range("/prefix/", "/q");
        alice.get(Get::new(both.clone())).await.unwrap();
        denied(alice.delete(Delete::new(both)).await);
    })
    .await;
}

/// TestAuthWriteKey, TestAuthTxn: each operation asks for its own, and so do previous values.
#[tokio::test]
async fn auth_txn_and_previous_values() {
    on_quick_member(async |client, etcd| {
        let (root, alice) = set_up(&client, &etcd).await;
        let grants = [("r", Permission::Read), ("w", Permission::Write)];
        for (key, permission) in grants {
            root.role_grant_permission("alice", key, permission).await.unwrap();
        }
        alice.put("w", "1").await.unwrap();
        denied(alice.get("w").await);
        denied(alice.put("r", "1").await);
        denied(alice.call(Put::new("w", "2").prev_kv()).await);
        denied(alice.delete(Delete::new("w").prev_kv()).await);
        let compare = |key: &'static str| Compare::version(key).gt(0);
        let table = [
            (Txn::new().when([compare("r")]).then([Put::new("w", "3")]), true),
            (Txn::new().when([compare("w")]).then([Put::new("w", "3")]), false),
            (Txn::new().when([compare("r")]).then([Put::new("r", "3")]), false),
            (Txn::new().when([compare("r")]).or_else([Get::new("w")]), false),
        ];
        for (txn, allowed) in table {
            match alice.txn(txn.clone()).await {
                Ok(_) => assert!(allowed, "{txn:?}"),
                refusal => {
                    assert!(!allowed, "{txn:?}");
                    denied(refusal);
                }
            }
        }
    })
    .await;
}
