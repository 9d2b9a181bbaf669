//! Tokens and permissions.

use etcdkit::{ErrorKind, Watch};
use etcdkit_testkit::etcd::{Etcd, Version};

use super::*;
use crate::auth::users;
use crate::kv::members::{Named, connect, on_own_member_with};

/// Typed, at once, and no neighbour on the same stream is harmed: now, or when it ends later.
#[tokio::test]
async fn v3_auth_watch_error_and_watch_id_0() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let client = users::login(&etcd, "alice").await;
        let mut healthy = watch(&client, Watch::prefix("alice/")).await;
        client.put("alice/a", "1").await.unwrap();
        assert_eq!(shown(&events(&mut healthy, 1).await), ["alice/a=1"]);
        for _ in 0..3 {
            let mut denied = watch(&client, Watch::new("bob/a").from_revision(1)).await;
            ends_with(&mut denied, ErrorKind::PermissionDenied).await;
            // From now, the call itself says so.
            let error = client.watch(Watch::prefix("bob/")).await.map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
            // Not `from_key`, which older servers take for the single key (GHSA-xg4h-6gfc-h4m8).
            let wide = Watch::range("alice/", "zoe/").from_revision(1);
            let mut wide = watch(&client, wide).await;
            ends_with(&mut wide, ErrorKind::PermissionDenied).await;
        }
        client.put("alice/a", "2").await.unwrap();
        assert_eq!(shown(&events(&mut healthy, 1).await), ["alice/a=2"]);
        healthy.control().cancel();
        ends_with(&mut healthy, ErrorKind::Cancelled).await;
        super::cancel::wait_watchers(&etcd, 0.0).await;
    })
    .await;
}

/// A stream whose token has run out: old watches go on, and a new one gets a new token, without a new client.
#[tokio::test]
async fn a_token_that_expires_on_an_open_stream() {
    let ttl = Duration::from_secs(1);
    // etcd 3.4 has no flag for it, and 300 s are too long to wait.
    for version in Version::available().into_iter().filter(|version| version.at_least(3, 5)) {
        let _named = Named::new(version);
        let etcd = users::quick(Etcd::builder(version)).auth_token_ttl(ttl).start().await;
        let anonymous = connect(&etcd).await;
        users::set_up(&anonymous).await;
        let client = users::login(&etcd, "alice").await;
        let mut old = watch(&client, Watch::new("alice/a").from_revision(1)).await;
        client.put("alice/a", "1").await.unwrap();
        assert_eq!(shown(&events(&mut old, 1).await), ["alice/a=1"]);
        tokio::time::sleep_until(now() + ttl * 3).await;
        let before = users::authenticated(&etcd).await;
        let mut new = Vec::new();
        for _ in 0..20 {
            new.push(watch(&client, Watch::new("alice/a").from_revision(1)).await);
        }
        for stream in &mut new {
            assert_eq!(shown(&events(stream, 1).await), ["alice/a=1"]);
        }
        let shown_passwords = users::authenticated(&etcd).await - before;
        assert!((1..=2).contains(&shown_passwords), "{shown_passwords} times");
        client.put("alice/a", "2").await.unwrap();
        assert_eq!(shown(&events(&mut old, 1).await), ["alice/a=2"]);
    }
}

#[expect(clippy::disallowed_methods, reason = "a token lives in real time")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// A restarted member knows no token: a thousand watches come back with one new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_tokens_and_watches_come_back() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let client = users::login(&etcd, "alice").await;
        let begun = client.put("alice/0", "1").await.unwrap().revision();
        let mut streams = Vec::new();
        for number in 0..1000 {
            let request = Watch::new(format!("alice/{number}")).from_revision(begun.next());
            streams.push(watch(&client, request).await);
        }
        super::cancel::wait_watchers(&etcd, 1000.0).await;
        let before = users::authenticated(&etcd).await;
        etcd.restart().await;
        super::cancel::wait_watchers(&etcd, 1000.0).await;
        // It counts from its start; the calls of the log are not among them.
        let after = users::authenticated(&etcd).await;
        assert!(after <= 2, "the password was shown {after} times, {before} before");
        client.put("alice/999", "2").await.unwrap();
        assert_eq!(shown(&events(&mut streams[999], 1).await), ["alice/999=2"]);
    })
    .await;
}

/// Users change all the time while watches begin: upstream's `TestV3AuthOldRevConcurrent`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_change_while_watches_begin() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let root = users::login(&etcd, "root").await;
        let client = users::login(&etcd, "alice").await;
        let changing = spawn(async move {
            for number in 0..20 {
                users::allow(&root, "alice", &format!("alice/{number}/")).await;
            }
        });
        for number in 0..30 {
            let key = format!("alice/{number}");
            let mut stream = watch(&client, Watch::new(key.clone())).await;
            client.put(key.clone(), "1").await.unwrap();
            assert_eq!(shown(&events(&mut stream, 1).await), [format!("{key}=1")]);
        }
        changing.await.unwrap();
    })
    .await;
}

/// Authentication is turned on under a client that has a password and was told that it needs no token: watches that are
/// there go on, and new ones on their stream begin.
#[tokio::test]
async fn auth_is_turned_on_under_an_open_stream() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::add(&anonymous, "root", "root").await;
        let root = users::login(&etcd, "root").await;
        let mut old = watch(&root, "old").await;
        users::enable(&anonymous).await;
        for round in ["1", "2"] {
            let begun = root.put("new", round).await.unwrap().revision();
            let mut new = watch(&root, Watch::new("new").from_revision(begun)).await;
            assert_eq!(shown(&events(&mut new, 1).await), [format!("new={round}")]);
            root.put("old", round).await.unwrap();
            assert_eq!(shown(&events(&mut old, 1).await), [format!("old={round}")]);
        }
    })
    .await;
}

/// The same, and the stream is opened anew by a client that makes no calls: still without a token.
#[tokio::test]
async fn auth_is_turned_on_and_the_member_restarts() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::add(&anonymous, "root", "root").await;
        let watching = users::login(&etcd, "root").await;
        let mut stream = watch(&watching, "a").await;
        users::enable(&anonymous).await;
        let root = users::login(&etcd, "root").await;
        root.put("a", "1").await.unwrap();
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=1"]);
        etcd.restart().await;
        root.put("a", "2").await.unwrap();
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=2"]);
    })
    .await;
}

/// TestAuthGracefulDisable: a watch that began with a token goes on when authentication is turned off.
#[tokio::test]
async fn auth_graceful_disable() {
    on_own_member_with(users::quick, async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let alice = users::login(&etcd, "alice").await;
        let mut stream = watch(&alice, Watch::prefix("alice/")).await;
        users::login(&etcd, "root").await.auth_disable().await.unwrap();
        anonymous.put("alice/a", "1").await.unwrap();
        assert_eq!(shown(&events(&mut stream, 1).await), ["alice/a=1"]);
        etcd.restart().await;
        anonymous.put("alice/a", "2").await.unwrap();
        assert_eq!(shown(&events(&mut stream, 1).await), ["alice/a=2"]);
    })
    .await;
}
