//! Tokens that the server forgets.

use std::time::Duration;

use etcdkit::{Client, ServerError};
use etcdkit_testkit::etcd::{Etcd, Version};
use tokio::task::JoinSet;

use super::users::{self, authenticated, login, with_token};
use crate::kv::members::*;

/// A restarted member knows none of the simple tokens that it gave out.
#[tokio::test]
async fn a_restart_forgets_tokens() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let client = login(&etcd, "alice").await;
        client.put("alice/a", "1").await.unwrap();
        let token = users::token(&anonymous, "alice").await;
        let fixed = with_token(&etcd, &token).await;
        fixed.get("alice/a").await.unwrap();
        // What a member does again when it starts are the last entries of its log. No token may be among them.
        client.put("alice/a", "1").await.unwrap();

        etcd.restart().await;
        let patient = fixed.with_options(within(DEADLINE));
        refused(patient.get("alice/a").await, ServerError::InvalidAuthToken);
        // All calls at once find out; the password is shown once, or twice if a call was on its way meanwhile.
        let before = authenticated(&etcd).await;
        let mut calls = JoinSet::new();
        for call in 0..50 {
            let client = client.with_options(within(DEADLINE));
            calls.spawn(async move {
                let key = format!("alice/{call}");
                client.put(key.clone(), "2").await?;
                client.get_stream(key).await.map(drop)
            });
        }
        while let Some(outcome) = calls.join_next().await {
            outcome.expect("no call panics").unwrap();
        }
        let shown = authenticated(&etcd).await - before;
        assert!((1..=2).contains(&shown), "the password was shown {shown} times");
    })
    .await;
}

/// Leaves `idle` alone until the server no longer knows its token.
async fn expired(etcd: &Etcd, anonymous: &Client, ttl: Duration) {
    let token = users::token(anonymous, "alice").await;
    let fixed = with_token(etcd, &token).await;
    // Looking renews a simple token, so that each look comes after a pause that is long enough by itself.
    let mut tick = tokio::time::interval(ttl * 3);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick.tick().await;
    in_time("the token to expire", async {
        loop {
            tick.tick().await;
            match fixed.get("alice/a").await {
                Ok(_) => {}
                outcome => return refused(outcome, ServerError::InvalidAuthToken),
            }
        }
    })
    .await;
}

/// A simple token that was not used for its time to live.
#[tokio::test]
async fn a_token_expires() {
    let ttl = Duration::from_secs(1);
    // etcd 3.4 has no flag for it, and 300 s are too long to wait.
    for version in Version::available().into_iter().filter(|version| version.at_least(3, 5)) {
        let _named = Named::new(version);
        let etcd = users::quick(Etcd::builder(version)).auth_token_ttl(ttl).start().await;
        let anonymous = connect(&etcd).await;
        users::set_up(&anonymous).await;
        let client = login(&etcd, "alice").await;
        client.put("alice/a", "1").await.unwrap();
        expired(&etcd, &anonymous, ttl).await;
        client.put("alice/a", "2").await.unwrap();
        assert_eq!(value(&client, "alice/a").await.as_deref(), Some("2"));
    }
}

/// A user who is deleted is out, at once and with a reason.
#[tokio::test]
async fn auth_user_delete_during_ops() {
    use etcdkit::proto::etcdserverpb::AuthUserDeleteRequest;
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let root = login(&etcd, "root").await;
        let alice = login(&etcd, "alice").await;
        alice.put("alice/a", "1").await.unwrap();
        let delete = AuthUserDeleteRequest { name: "alice".into() };
        root.raw(etcdkit::proto::method::auth::USER_DELETE, &delete).await.unwrap();
        let error = alice.put("alice/a", "2").await.unwrap_err();
        let expected = [
            Some(ServerError::AuthFailed),
            Some(ServerError::InvalidAuthToken),
            Some(ServerError::UserNotFound),
        ];
        assert!(expected.contains(&error.server_error()), "{error:?}");
        assert!(!error.maybe_applied());
    })
    .await;
}
