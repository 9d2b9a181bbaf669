//! Users: added, listed, changed, deleted.

use etcdkit::auth::{HashedPassword, UserAdd, UserChangePassword};
use etcdkit::proto::etcdserverpb::AuthUserAddRequest;
use etcdkit::proto::method::auth;
use etcdkit::{ErrorKind, ServerError};

use super::{add_root, on_quick_member};
use crate::auth::users::login;
use crate::kv::members::*;

#[tokio::test]
async fn user_error() {
    on_quick_member(async |client, _| {
        client.user_add(UserAdd::new("foo", "bar")).await.unwrap();
        let outcome = client.user_add(UserAdd::new("foo", "bar")).await;
        assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::Conflict);
        refused(outcome, ServerError::UserAlreadyExist);
        refused(client.user_delete("not-exist-user").await, ServerError::UserNotFound);
        let outcome = client.user_grant_role("foo", "test-role-does-not-exist").await;
        refused(outcome, ServerError::RoleNotFound);
    })
    .await;
}

#[tokio::test]
async fn user_add_simple() {
    on_quick_member(async |client, _| {
        let table = [
            (UserAdd::new("a", "x"), None),
            (UserAdd::new("b", ""), None),
            (UserAdd::without_password("c"), None),
            (UserAdd::new("", "x"), Some(ServerError::UserEmpty)),
            (UserAdd::without_password(""), Some(ServerError::UserEmpty)),
        ];
        for (user, expected) in table {
            let outcome = client.user_add(user.clone()).await;
            match expected {
                None => assert_ne!(outcome.unwrap().header().cluster_id, 0, "{user:?}"),
                Some(error) => refused(outcome, error),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn user_list() {
    on_quick_member(async |client, _| {
        assert!(client.user_list().await.unwrap().users().is_empty());
        for name in ["b", "a", "c"] {
            client.user_add(UserAdd::new(name, "x")).await.unwrap();
        }
        assert_eq!(client.user_list().await.unwrap().users(), ["a", "b", "c"]);
    })
    .await;
}

#[tokio::test]
async fn user_delete() {
    on_quick_member(async |client, _| {
        client.user_add(UserAdd::new("a", "x")).await.unwrap();
        client.user_delete("a").await.unwrap();
        assert!(client.user_list().await.unwrap().users().is_empty());
        let outcome = client.user_delete("a").await;
        assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::NotFound);
        refused(outcome, ServerError::UserNotFound);
        refused(client.user_get("a").await, ServerError::UserNotFound);
        let outcome = client.user_change_password("a", "y").await;
        refused(outcome, ServerError::UserNotFound);
    })
    .await;
}

#[tokio::test]
async fn user_change_password() {
    on_quick_member(async |client, etcd| {
        add_root(&client).await;
        client.user_add(UserAdd::new("a", "old")).await.unwrap();
        client.user_change_password("a", "a").await.unwrap();
        client.auth_enable().await.unwrap();
        login(&etcd, "a").await;
        let old = tolerant().endpoints([etcd.client_url()]).user("a", "old").connect().await;
        assert_eq!(old.unwrap_err().server_error(), Some(ServerError::AuthFailed));
    })
    .await;
}

#[tokio::test]
async fn add_user_after_delete() {
    on_quick_member(async |client, etcd| {
        add_root(&client).await;
        client.auth_enable().await.unwrap();
        let root = login(&etcd, "root").await;
        root.user_add(UserAdd::new("foo", "foo")).await.unwrap();
        let foo = login(&etcd, "foo").await;
        root.user_delete("foo").await.unwrap();
        root.user_add(UserAdd::new("foo", "bar")).await.unwrap();
        // The name is the same, and the password that the old client knows is not.
        let error = foo.get("key").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
        let new = tolerant().endpoints([etcd.client_url()]).user("foo", "bar").connect().await;
        refused(new.unwrap().get("key").await, ServerError::PermissionDenied);
    })
    .await;
}

/// Who has no password can't log in with one, not even the empty one.
#[tokio::test]
async fn user_without_password() {
    on_quick_member(async |client, etcd| {
        add_root(&client).await;
        client.user_add(UserAdd::without_password("a")).await.unwrap();
        client.auth_enable().await.unwrap();
        let login = tolerant().endpoints([etcd.client_url()]).user("a", "x").connect().await;
        assert_eq!(login.unwrap_err().server_error(), Some(ServerError::NoPasswordUser));
    })
    .await;
}

/// Why users with a hashed password are added by two calls: every etcd puts the hash of the empty password in its place,
/// and whoever knows the name gets in.
#[tokio::test]
async fn a_hashed_password_is_an_empty_one() {
    on_quick_member(async |client, _| {
        add_root(&client).await;
        let hashed_password =
            "JDJhJDA0JENaREt4U2o5TUNrcm1HQ1ZCa1B2YnVjMFppMWZWVFlBY043ZWtxNGtMLjJKMXYxUWU5ZUtX";
        let user = AuthUserAddRequest {
            name: "a".into(),
            hashed_password: hashed_password.into(),
            ..Default::default()
        };
        client.raw(auth::USER_ADD, &user).await.unwrap();
        client.auth_enable().await.unwrap();
        let empty = etcdkit::proto::etcdserverpb::AuthenticateRequest {
            name: "a".into(),
            password: String::new(),
        };
        assert!(!client.raw(auth::AUTHENTICATE, &empty).await.unwrap().token.is_empty());
    })
    .await;
}

/// `known`, with cost 4.
const KNOWN: &str = "$2a$04$abcdefghijklmnopqrstuuges0.lCvw6dVHoVkOV0ih0Cvqc9/S82";

/// Both calls, on members that know the field; those of 3.4 are told not to.
#[tokio::test]
async fn user_with_hashed_password() {
    on_quick_member(async |client, etcd| {
        add_root(&client).await;
        let hash: HashedPassword = KNOWN.parse().unwrap();
        let added = client.user_add(UserAdd::with_hashed_password("added", hash.clone())).await;
        client.user_add(UserAdd::new("changed", "old")).await.unwrap();
        let change = UserChangePassword::with_hashed_password("changed", hash.clone());
        let changed = client.call(change.clone()).await;
        if !etcd.version().at_least(3, 5) {
            for outcome in [added, changed] {
                let error = outcome.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                assert!(!error.maybe_applied(), "{error}");
            }
            assert!(!client.user_list().await.unwrap().users().contains(&"added".to_owned()));
            return;
        }
        added.unwrap();
        changed.unwrap();
        let again = client.user_add(UserAdd::with_hashed_password("added", hash)).await;
        refused(again, ServerError::UserAlreadyExist);
        client.auth_enable().await.unwrap();
        for user in ["added", "changed"] {
            for (password, right) in [("known", true), ("", false), ("old", false), (KNOWN, false)]
            {
                let builder = tolerant().endpoints([etcd.client_url()]);
                let outcome = builder.user(user, password).connect().await;
                match outcome {
                    Ok(_) => assert!(right, "{user}: {password}"),
                    Err(error) => assert!(!right, "{user}: {password}: {error}"),
                }
            }
        }
    })
    .await;
}
