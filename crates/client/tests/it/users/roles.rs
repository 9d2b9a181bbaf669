//! Roles: added, granted, revoked, deleted.

use etcdkit::auth::{Permission, RangePermission, UserAdd};
use etcdkit::maintenance::Version;
use etcdkit::{ErrorKind, KeyRange, ServerError};

use super::{add_root, on_quick_member};
use crate::kv::members::*;

#[tokio::test]
async fn role_add() {
    on_quick_member(async |client, etcd| {
        client.role_add("r").await.unwrap();
        let outcome = client.role_add("r").await;
        assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::Conflict);
        refused(outcome, ServerError::RoleAlreadyExist);
        let empty = client.role_add("").await;
        // An old defect of etcd's, mended in 3.4.
        assert!(empty.is_err(), "etcd {etcd:?} takes an empty role");
        assert_eq!(client.role_list().await.unwrap().roles(), ["r"]);
    })
    .await;
}

#[tokio::test]
async fn role_delete() {
    on_quick_member(async |client, _| {
        refused(client.role_delete("r").await, ServerError::RoleNotFound);
        client.role_add("r").await.unwrap();
        client.user_add(UserAdd::new("a", "x")).await.unwrap();
        client.user_grant_role("a", "r").await.unwrap();
        assert_eq!(client.user_get("a").await.unwrap().roles(), ["r"]);
        // TestAuthRevokeWithDelete: the users lose it too.
        client.role_delete("r").await.unwrap();
        assert!(client.user_get("a").await.unwrap().roles().is_empty());
        refused(client.role_get("r").await, ServerError::RoleNotFound);
    })
    .await;
}

#[tokio::test]
async fn user_grant_and_revoke_role() {
    on_quick_member(async |client, _| {
        client.user_add(UserAdd::new("a", "x")).await.unwrap();
        client.role_add("r").await.unwrap();
        refused(client.user_revoke_role("a", "r").await, ServerError::RoleNotGranted);
        client.user_grant_role("a", "r").await.unwrap();
        client.user_grant_role("a", "r").await.unwrap();
        assert_eq!(client.user_get("a").await.unwrap().roles(), ["r"]);
        client.user_revoke_role("a", "r").await.unwrap();
        assert!(client.user_get("a").await.unwrap().roles().is_empty());
        refused(client.user_grant_role("b", "r").await, ServerError::UserNotFound);
        refused(client.user_revoke_role("b", "r").await, ServerError::UserNotFound);
    })
    .await;
}

#[tokio::test]
async fn role_grant_revoke_permission() {
    on_quick_member(async |client, _| {
        client.role_add("r").await.unwrap();
        let ranges = [
            (KeyRange::key("bar"), Permission::Write),
            (KeyRange::from_key("from"), Permission::Read),
            (KeyRange::prefix("pre/"), Permission::Read),
            (KeyRange::range("x", "y"), Permission::ReadWrite),
        ];
        for (range, permission) in &ranges {
            client.role_grant_permission("r", range.clone(), *permission).await.unwrap();
        }
        let granted = client.role_get("r").await.unwrap();
        let expected = ranges.clone().map(|(range, what)| RangePermission::new(range, what));
        assert_eq!(granted.permissions(), expected);

        // The very range has to be named, and the same one granted again is replaced.
        let part = client.role_revoke_permission("r", "x").await;
        assert_eq!(part.as_ref().unwrap_err().kind(), ErrorKind::Conflict);
        refused(part, ServerError::PermissionNotGranted);
        client.role_grant_permission("r", "bar", Permission::Read).await.unwrap();
        let granted = client.role_get("r").await.unwrap();
        assert_eq!(granted.permissions()[0], RangePermission::new("bar", Permission::Read));
        for (range, _) in ranges {
            client.role_revoke_permission("r", range).await.unwrap();
        }
        assert!(client.role_get("r").await.unwrap().permissions().is_empty());
        let outcome = client.role_grant_permission("none", "a", Permission::Read).await;
        refused(outcome, ServerError::RoleNotFound);
        fails(
            client.role_grant_permission("r", "", Permission::Read).await,
            ErrorKind::InvalidArgument,
        );
    })
    .await;
}

/// Granting something to `root` changes nothing.
#[tokio::test]
async fn root_role() {
    on_quick_member(async |client, _| {
        add_root(&client).await;
        let version: Version = client.status().await.unwrap().version().parse().unwrap();
        let before = client.role_get("root").await.unwrap();
        client.role_grant_permission("root", "foo", Permission::ReadWrite).await.unwrap();
        let after = client.role_get("root").await.unwrap();
        // Older ones keep it, to no effect.
        let kept = version < Version::new(3, 6, 0);
        assert_eq!(after.permissions().len() - before.permissions().len(), usize::from(kept));
    })
    .await;
}
