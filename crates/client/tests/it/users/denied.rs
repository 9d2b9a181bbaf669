//! Which of the administrators' requests are open to whom.

use etcdkit::auth::{Permission, UserAdd};
use etcdkit::cluster::{MemberAdd, MemberList, MemberRemove};
use etcdkit::maintenance::{
    Alarm, AlarmKind, Defragment, Downgrade, Hash, HashKv, Health, RaisedAlarm, Status, Version,
};
use etcdkit::{Client, Compact, Request, Result, ServerError};

use super::{add_root, on_quick_member};
use crate::auth::users::login;
use crate::kv::members::*;

/// Who may make a request, apart from `root`. The refusals say why.
async fn open_to<R: Request>(plain: &Client, anonymous: &Client, request: R) -> &'static str {
    let allowed = |outcome: Result<R::Response>, refusal: ServerError| match outcome {
        Ok(_) => true,
        // What fails for another reason was let in.
        Err(error) => error.server_error() != Some(refusal),
    };
    let everybody = allowed(anonymous.call(request.clone()).await, ServerError::UserEmpty);
    let users = allowed(plain.call(request.clone()).await, ServerError::PermissionDenied);
    match (users, everybody) {
        (false, false) => "root",
        (true, false) => "users",
        (true, true) => "all",
        (false, true) => panic!("{request:?} is open only to who has no name"),
    }
}

/// TestAuthMemberAdd, TestAuthMemberRemove, TestAuthMemberList, TestAuthCompact, TestAuthAlarm,
/// TestDefragmentWith…Auth, TestDowngradeWith…Auth, TestHashKVWith…Auth, TestStatusWith…Auth, TestSnapshotWith…Auth.
#[tokio::test]
async fn admin_calls_with_no_auth_user_auth_and_root_auth() {
    on_quick_member(async |client, etcd| {
        add_root(&client).await;
        client.user_add(UserAdd::new("alice", "alice")).await.unwrap();
        client.auth_enable().await.unwrap();
        let (root, alice) = (login(&etcd, "root").await, login(&etcd, "alice").await);
        let status = root.status().await.unwrap();
        let version: Version = status.version().parse().unwrap();
        // Older ones ask nobody's name for these.
        let older = version < Version::new(3, 6, 0);
        let (only_root, users) = if older { ("all", "all") } else { ("root", "users") };
        let down = Version::new(version.major, version.minor - 1, 0);
        let alarm = RaisedAlarm::new(status.member(), AlarmKind::NoSpace);
        let open = [
            ("add", open_to(&alice, &client, MemberAdd::new(["http://127.0.0.1:1"])).await, "root"),
            ("remove", open_to(&alice, &client, MemberRemove::new(7)).await, "root"),
            ("list", open_to(&alice, &client, MemberList::new()).await, users),
            ("compact", open_to(&alice, &client, Compact::new(0)).await, only_root),
            ("defragment", open_to(&alice, &client, Defragment::new()).await, "root"),
            ("hash", open_to(&alice, &client, Hash::new()).await, "root"),
            ("hash kv", open_to(&alice, &client, HashKv::new()).await, "root"),
            ("disarm", open_to(&alice, &client, Alarm::disarm(alarm)).await, only_root),
            ("alarms", open_to(&alice, &client, Alarm::list()).await, users),
            ("status", open_to(&alice, &client, Status::new()).await, users),
            ("health", open_to(&alice, &client, Health::new()).await, "all"),
        ];
        let expected = open.map(|(request, _, expected)| (request, expected));
        assert_eq!(open.map(|(request, open, _)| (request, open)), expected);
        if version >= Version::new(3, 5, 0) {
            let open = open_to(&alice, &client, Downgrade::validate(down)).await;
            assert_eq!(open, only_root);
        }

        refused(alice.snapshot().await.map(drop), ServerError::PermissionDenied);
        refused(client.snapshot().await.map(drop), ServerError::UserEmpty);
        root.defragment().await.unwrap();
        root.hash_kv(0).await.unwrap();
        let mut snapshot = root.snapshot().await.unwrap();
        while let Some(piece) = snapshot.next().await {
            piece.unwrap();
        }
    })
    .await;
}

/// TestAuthUserGet, TestAuthRoleGet, TestAuthRoleList: everybody may ask about themselves.
#[tokio::test]
async fn auth_user_get_role_get_and_lists() {
    on_quick_member(async |client, etcd| {
        add_root(&client).await;
        client.user_add(UserAdd::new("alice", "alice")).await.unwrap();
        client.role_add("own").await.unwrap();
        client.user_grant_role("alice", "own").await.unwrap();
        client.auth_enable().await.unwrap();
        let alice = login(&etcd, "alice").await;
        assert_eq!(alice.user_get("alice").await.unwrap().roles(), ["own"]);
        alice.role_get("own").await.unwrap();
        let outcomes = [
            alice.user_get("root").await.map(drop),
            alice.role_get("root").await.map(drop),
            alice.user_list().await.map(drop),
            alice.role_list().await.map(drop),
            alice.user_add(UserAdd::new("b", "b")).await.map(drop),
            alice.role_add("b").await.map(drop),
            alice.role_grant_permission("own", "a", Permission::Read).await.map(drop),
            alice.auth_disable().await.map(drop),
        ];
        for outcome in outcomes {
            refused(outcome, ServerError::PermissionDenied);
        }
        refused(client.user_get("alice").await, ServerError::UserEmpty);
    })
    .await;
}

#[tokio::test]
async fn auth_test_invalid_mgmt() {
    on_quick_member(async |client, etcd| {
        add_root(&client).await;
        client.auth_enable().await.unwrap();
        let root = login(&etcd, "root").await;
        refused(root.user_delete("root").await, ServerError::InvalidAuthManagement);
        refused(root.user_revoke_role("root", "root").await, ServerError::InvalidAuthManagement);
        refused(root.role_delete("root").await, ServerError::InvalidAuthManagement);
    })
    .await;
}
