//! Tokens that anyone with the key can check, and that run out by the clock.

use std::time::Duration;

use etcdkit::{ErrorKind, Get, Put, ServerError};
use etcdkit_testkit::certs::TestCa;
use etcdkit_testkit::etcd::{Etcd, Version};

use super::users::{self, authenticated, login, with_token};
use crate::kv::members::*;

/// An RSA key, made for this test by `openssl genrsa` and used nowhere.
const KEY: &str = include_str!("jwt-key.pem");
const PUBLIC_KEY: &str = include_str!("jwt-key.pub.pem");

/// A member of each version that hands out JWTs.
async fn on_jwt_member(ttl: &str, test: impl AsyncFn(etcdkit::Client, Etcd)) {
    for version in Version::available() {
        let _named = Named::new(version);
        let folder = TestCa::new();
        let key = folder.file("jwt-key.pem", KEY);
        let public_key = folder.file("jwt-key.pub.pem", PUBLIC_KEY);
        let (key, public_key) = (key.display(), public_key.display());
        let kind = format!("jwt,pub-key={public_key},priv-key={key},sign-method=RS256,ttl={ttl}");
        let etcd = users::quick(Etcd::builder(version)).auth_token(kind).start().await;
        test(connect(&etcd).await, etcd).await;
    }
}

/// TestAuthPrefixPerm, TestV3AuthWithLeaseRevokeWithRootJWT: what a JWT says of its user is what the user may do.
#[tokio::test]
async fn auth_prefix_perm_and_leases_with_jwt() {
    on_jwt_member("10m", async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let (root, alice) = (login(&etcd, "root").await, login(&etcd, "alice").await);
        for key in ["alice/", "alice/zzz"] {
            alice.put(key, "1").await.unwrap();
        }
        refused(alice.put("alice", "1").await, ServerError::PermissionDenied);
        refused(alice.get(Get::prefix("alice")).await, ServerError::PermissionDenied);
        let lease = grant(&root).await;
        root.call(Put::new("others/key", "1").lease(lease)).await.unwrap();
        refused(alice.revoke(lease).await, ServerError::PermissionDenied);
        root.revoke(lease).await.unwrap();
        assert!(value(&root, "others/key").await.is_none());
    })
    .await;
}

#[tokio::test]
async fn auth_jwt_only() {
    on_jwt_member("10m", async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let token = users::token(&anonymous, "alice").await;
        let client = with_token(&etcd, &token).await;
        client.put("alice/a", "1").await.unwrap();
        assert_eq!(value(&client, "alice/a").await.as_deref(), Some("1"));
        refused(client.put("foo", "bar").await, ServerError::PermissionDenied);
        assert!(!format!("{client:?}").contains(&token));

        // The server need not remember it.
        etcd.restart().await;
        let patient = client.with_options(within(DEADLINE));
        patient.put("alice/a", "2").await.unwrap();

        // Another byte in the middle of the signature.
        let at = token.len() - 100;
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        let forged = format!("{}{other}{}", &token[..at], &token[at + 1..]);
        for bad in [forged.as_str(), "gibberish"] {
            let outcome = with_token(&etcd, bad).await.get("alice/a").await;
            assert_eq!(outcome.as_ref().unwrap_err().kind(), ErrorKind::Unauthenticated);
            refused(outcome, ServerError::InvalidAuthToken);
        }
    })
    .await;
}

#[tokio::test]
async fn auth_jwt_expire() {
    let ttl = Duration::from_secs(1);
    on_jwt_member("1s", async |anonymous, etcd| {
        users::set_up(&anonymous).await;
        let client = login(&etcd, "alice").await;
        let fixed = with_token(&etcd, &users::token(&anonymous, "alice").await).await;
        let mut tick = tokio::time::interval(ttl / 4);
        let before = authenticated(&etcd).await;
        // Looking does not prolong its life.
        in_time("the token to expire", async {
            loop {
                tick.tick().await;
                client.put("alice/a", "1").await.unwrap();
                match fixed.get("alice/a").await {
                    Ok(_) => {}
                    outcome => return refused(outcome, ServerError::InvalidAuthToken),
                }
            }
        })
        .await;
        client.put("alice/a", "2").await.unwrap();
        let shown = authenticated(&etcd).await - before;
        assert!(shown >= 1, "the first token cannot be good any more");
        // Not once per call: once per life of a token, and a second is long.
        assert!(shown <= 20, "the password was shown {shown} times");
    })
    .await;
}
