//! Tokens: one exchange for all who need one, another when the server wants it, and no loop when nothing helps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcdkit::config::Balance;
use etcdkit::proto::etcdserverpb::AuthenticateRequest;
use etcdkit::service::CallOptions;
use etcdkit::{Client, ErrorKind, Result, ServerError};
use etcdkit_testkit::peer::{Answer, EtcdLike, Request};
use prost::Message;
use tokio::task::JoinSet;

use super::endpoints::Prefer;
use super::support::{
    self, AUTHENTICATE, PUT, RANGE, STATUS, assert_says, healthy, soon, token_answer,
};

/// A member with authentication switched on: it issues tokens `t1`, `t2` and so on, and takes those that are young
/// enough.
struct Guarded {
    etcd: EtcdLike,
    door: Arc<Door>,
}

struct Door {
    issued: AtomicUsize,
    /// The first token that is accepted.
    oldest: AtomicUsize,
    /// How a token that is not is refused.
    refusal: Mutex<(u32, &'static str)>,
}

impl Guarded {
    async fn start() -> Self {
        let door = Arc::new(Door {
            issued: AtomicUsize::new(0),
            oldest: AtomicUsize::new(1),
            refusal: Mutex::new((16, ServerError::InvalidAuthToken.message())),
        });
        let asked = Arc::clone(&door);
        let etcd = support::etcd_that(move |call| asked.answer(call)).await;
        Self { etcd, door }
    }

    fn client(&self) -> Client {
        support::builder([self.etcd.endpoint()]).user("alice", "pw").build().unwrap()
    }

    /// No token that was issued so far is accepted any more.
    fn revoke(&self, code: u32, text: &'static str) {
        *self.door.refusal.lock().unwrap() = (code, text);
        let next = self.door.issued.load(Ordering::SeqCst) + 1;
        self.door.oldest.store(next, Ordering::SeqCst);
    }

    fn authentications(&self) -> usize {
        self.etcd.calls(AUTHENTICATE)
    }
}

impl Door {
    fn answer(&self, call: &Request) -> Option<Answer> {
        if call.path == AUTHENTICATE {
            let request = AuthenticateRequest::decode(call.message()).unwrap();
            assert_eq!((&*request.name, &*request.password), ("alice", "pw"));
            assert_eq!(call.header("token"), None, "Authenticate needs no token");
            let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
            return Some(token_answer(&format!("t{number}")));
        }
        if call.path != PUT && call.path != RANGE {
            return None;
        }
        let number = call.header("token").and_then(|token| token.strip_prefix('t')?.parse().ok());
        let oldest = self.oldest.load(Ordering::SeqCst);
        if number.is_some_and(|number: usize| number >= oldest) {
            return None;
        }
        let (code, text) = *self.refusal.lock().unwrap();
        Some(Answer::status(code, text))
    }
}

/// So many puts and gets at once.
async fn many(client: &Client, calls: usize) -> Vec<Result<()>> {
    let mut all = JoinSet::new();
    for number in 0..calls {
        let client = client.clone();
        all.spawn(async move {
            match number % 2 {
                0 => client.put("k", "v").await.map(drop),
                _ => client.get("k").await.map(drop),
            }
        });
    }
    soon("the calls", all.join_all()).await
}

#[tokio::test]
async fn a_hundred_first_calls_authenticate_once() {
    let guarded = Guarded::start().await;
    let client = guarded.client();
    for outcome in many(&client, 100).await {
        outcome.unwrap();
    }
    assert_eq!(guarded.authentications(), 1);
    assert_eq!(guarded.etcd.calls(PUT) + guarded.etcd.calls(RANGE), 100);
    // The next connection introduces itself with it.
    guarded.etcd.queue(RANGE, Answer::CloseConnection);
    soon("the get", client.get("k")).await.unwrap();
    assert_eq!(guarded.authentications(), 1, "a reconnect needs no new token");
    let introductions = guarded.etcd.requests(STATUS);
    assert_eq!(introductions.len(), 2);
    assert_eq!(introductions[1].header("token"), Some("t1"));
}

/// In etcd's own words and in those of older versions, whose codes differ.
#[tokio::test]
async fn test_client_should_refresh_token() {
    let user_empty = ServerError::UserEmpty.message();
    let old_revision = ServerError::AuthOldRevision.message();
    let invalid = ServerError::InvalidAuthToken.message();
    for (code, text) in [
        (16, invalid),
        (2, invalid),
        (3, user_empty),
        (2, user_empty),
        (3, old_revision),
        (2, old_revision),
        // No words of etcd's, but a code that says the same.
        (16, "jwt expired"),
    ] {
        let guarded = Guarded::start().await;
        let client = guarded.client();
        soon("the first call", client.get("k")).await.unwrap();
        guarded.revoke(code, text);
        for outcome in many(&client, 100).await {
            outcome.unwrap_or_else(|error| panic!("{text:?} with {code}: {error}"));
        }
        assert_eq!(guarded.authentications(), 2, "{text:?} with {code}");
        // Each was sent at most twice: with the old token and with the new.
        let sent = guarded.etcd.calls(PUT) + guarded.etcd.calls(RANGE);
        assert!(sent <= 1 + 200, "{sent} calls were sent");

        // Without retries too: it is no repetition of anything.
        let once = client.with_options(CallOptions::new().retry(false));
        guarded.revoke(code, text);
        soon("the put", once.put("k", "v")).await.unwrap();
        assert_eq!(guarded.authentications(), 3);
    }
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_too_is_the_answer() {
    for (text, code) in [(ServerError::InvalidAuthToken, 16), (ServerError::UserEmpty, 3)] {
        let guarded = Guarded::start().await;
        guarded.door.oldest.store(usize::MAX, Ordering::SeqCst);
        *guarded.door.refusal.lock().unwrap() = (code, text.message());
        let client = guarded.client();
        let error = soon("the put", client.put("k", "v")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
        assert_eq!(error.server_error(), Some(text));
        assert!(!error.maybe_applied());
        assert_eq!(guarded.authentications(), 3, "the first token and two renewals");
        assert_eq!(guarded.etcd.calls(PUT), 3);
    }
}

/// A token for another user would not help.
/// Each time it may just have been overtaken by another change of users; not for ever.
#[tokio::test]
async fn a_token_that_is_always_overtaken_is_given_up() {
    let guarded = Guarded::start().await;
    *guarded.door.refusal.lock().unwrap() = (3, ServerError::AuthOldRevision.message());
    guarded.door.oldest.store(usize::MAX, Ordering::SeqCst);
    let client = guarded.client().with_options(CallOptions::new().no_timeout());
    let error = soon("the put", client.put("k", "v")).await.unwrap_err();
    assert_eq!(error.server_error(), Some(ServerError::AuthOldRevision), "{error}");
    assert!(!error.maybe_applied());
    assert_eq!(guarded.etcd.calls(PUT), 10);
}

#[tokio::test]
async fn a_permission_that_lacks_is_no_reason_for_another_token() {
    let guarded = Guarded::start().await;
    let client = guarded.client();
    guarded.etcd.queue(PUT, Answer::status(7, ServerError::PermissionDenied.message()));
    let error = soon("the put", client.put("k", "v")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!error.maybe_applied());
    assert_eq!((guarded.authentications(), guarded.etcd.calls(PUT)), (1, 1));
}

#[tokio::test]
async fn a_wrong_password_is_asked_about_once() {
    let etcd = support::etcd_that(|call| {
        (call.path == AUTHENTICATE).then(|| Answer::status(3, ServerError::AuthFailed.message()))
    })
    .await;
    let client = support::builder([etcd.endpoint()]).user("alice", "wrong").build().unwrap();
    let check = |outcome: Result<()>| {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
        assert_eq!(error.server_error(), Some(ServerError::AuthFailed));
        assert_eq!(error.rpc(), Some(AUTHENTICATE));
        assert!(!error.maybe_applied());
        assert!(!error.is_retryable());
    };
    // All that ask within a second of the refusal share it.
    for outcome in many(&client, 100).await {
        check(outcome);
    }
    check(soon("another put", client.put("k", "v")).await.map(drop));
    assert_eq!(etcd.calls(AUTHENTICATE), 1);
    assert_eq!(etcd.calls(PUT) + etcd.calls(RANGE), 0);

    let error =
        soon("connecting", support::builder([etcd.endpoint()]).user("alice", "wrong").connect());
    check(error.await.map(drop));
}

#[tokio::test]
async fn where_authentication_is_off_calls_go_without_a_token() {
    let etcd = support::etcd_that(|call| {
        (call.path == AUTHENTICATE)
            .then(|| Answer::status(9, ServerError::AuthNotEnabled.message()))
    })
    .await;
    let client = support::builder([etcd.endpoint()]).user("alice", "pw").build().unwrap();
    for outcome in many(&client, 10).await {
        outcome.unwrap();
    }
    assert_eq!(etcd.calls(AUTHENTICATE), 1);
    assert!(etcd.requests(PUT).iter().all(|call| call.header("token").is_none()));

    // It is switched on later.
    etcd.answer_with(|call| match &*call.path {
        AUTHENTICATE => Some(token_answer("new")),
        PUT if call.header("token").is_none() => {
            Some(Answer::status(3, ServerError::UserEmpty.message()))
        }
        path => healthy(path),
    });
    soon("the put", client.put("k", "v")).await.unwrap();
    assert_eq!(etcd.requests(PUT).last().unwrap().header("token"), Some("new"));
    assert_eq!(etcd.calls(AUTHENTICATE), 2);
}

#[tokio::test]
async fn test_new_with_only_jwt() {
    let etcd = support::etcd().await;
    let connecting = support::builder([etcd.endpoint()]).token("a.b.c").connect();
    let client = soon("connecting", connecting).await.unwrap();
    soon("the put", client.put("k", "v")).await.unwrap();
    assert_eq!(etcd.requests(PUT)[0].header("token"), Some("a.b.c"));
    // There is nothing to renew it with.
    for (code, error) in [(16, ServerError::InvalidAuthToken), (3, ServerError::UserEmpty)] {
        etcd.queue(PUT, Answer::status(code, error.message()));
        let before = etcd.calls(PUT);
        let refused = soon("the put", client.put("k", "v")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
        assert_eq!(refused.server_error(), Some(error));
        assert!(!refused.maybe_applied());
        assert_eq!(etcd.calls(PUT), before + 1);
    }
    assert_eq!(etcd.calls(AUTHENTICATE), 0);
}

#[tokio::test]
async fn test_new_only_jwt_exclusivity() {
    let both = support::builder(["http://127.0.0.1:1"]).token("a.b.c").user("alice", "pw").build();
    let error = both.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_says(&error.to_string(), "token");
}

#[tokio::test]
async fn an_authentication_that_fails_for_now_is_repeated() {
    let guarded = Guarded::start().await;
    for answer in [
        Answer::status(14, "etcdserver: leader changed"),
        Answer::status(14, "etcdserver: request timed out"),
        Answer::Rst(2),
        Answer::CloseConnection,
    ] {
        guarded.etcd.queue(AUTHENTICATE, answer);
    }
    soon("the put", guarded.client().put("k", "v")).await.unwrap();
    assert_eq!(guarded.authentications(), 5);
    assert_eq!(guarded.etcd.calls(PUT), 1);
}

/// What was never sent has not been applied, whatever became of the token.
#[tokio::test]
async fn without_a_token_in_time_nothing_is_sent() {
    for answer in [Answer::Hang, Answer::status(14, "etcdserver: request timed out")] {
        let always = answer.clone();
        let etcd =
            support::etcd_that(move |call| (call.path == AUTHENTICATE).then(|| always.clone()))
                .await;
        let client = support::builder([etcd.endpoint()])
            .user("alice", "pw")
            .timeout(Duration::from_millis(500))
            .build()
            .unwrap();
        soon("the member", support::all_ready(&client)).await;
        let put = support::within(Duration::from_millis(1500), "the put", client.put("k", "v"));
        let error = put.await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable),
            "{answer:?}: {error}"
        );
        assert!(!error.maybe_applied(), "{answer:?}: {error}");
        assert_eq!(error.rpc(), Some(AUTHENTICATE));
        assert_eq!(etcd.calls(PUT), 0);
    }
}

/// The caller that began it gives up before the token is there, and a member that can't reach the others holds its
/// answer back.
#[tokio::test]
async fn a_caller_that_leaves_does_not_take_the_token_along() {
    let guarded = Guarded::start().await;
    let cut_off =
        support::etcd_that(|call| (call.path == AUTHENTICATE).then_some(Answer::Hang)).await;
    let client = support::builder([cut_off.endpoint(), guarded.etcd.endpoint()])
        .balance(Balance::custom(Prefer(cut_off.endpoint())))
        .user("alice", "pw")
        .build()
        .unwrap();
    soon("the members", support::all_ready(&client)).await;
    let impatient = client.with_options(CallOptions::new().timeout(Duration::from_millis(500)));
    let mut calls = JoinSet::new();
    calls.spawn(async move { impatient.put("k", "v").await.map(drop) });
    soon("the first to ask", cut_off.wait_calls(AUTHENTICATE, 1)).await;
    let patient = client.clone();
    calls.spawn(async move { patient.get("k").await.map(drop) });
    let first = soon("the impatient call", calls.join_next()).await.unwrap().unwrap();
    assert_eq!(first.unwrap_err().kind(), ErrorKind::Timeout);
    soon("the patient call", calls.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!((cut_off.calls(AUTHENTICATE), guarded.authentications()), (1, 1));
}
