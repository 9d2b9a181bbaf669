//! Learners: they answer from their own state, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcdkit::{CallOptions, Cause, Client, ErrorKind, Get, ServerError};
use etcdkit_testkit::peer::{Answer, EtcdLike};
use etcdkit_testkit::proxy::Proxy;
use tokio::task::JoinSet;

use super::support::{self, CLUSTER, PUT, RANGE, STATUS, assert_says, range_request, soon, status};

/// What a learner says to what it does not serve.
const REFUSAL: &str = "etcdserver: rpc not supported for learner";

/// A member that knows of itself that it is a learner, and may say so or not.
async fn learner(admits: bool, code: u32) -> EtcdLike {
    support::etcd_that(move |call| match &*call.path {
        STATUS => Some(Answer::Message(status(CLUSTER, "3.7.1", admits))),
        RANGE if range_request(call).serializable => None,
        RANGE | PUT => Some(Answer::status(code, REFUSAL)),
        _ => None,
    })
    .await
}

/// A voter that keeps its port when it goes down, so that nobody else comes to listen there.
struct Voter {
    etcd: EtcdLike,
    front: Proxy,
}

impl Voter {
    async fn start() -> Self {
        let etcd = support::etcd().await;
        let front = Proxy::start(etcd.endpoint()).await;
        Self { etcd, front }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.front.addr())
    }

    async fn go_down(&self) {
        self.front.refuse().await;
        self.front.close();
    }
}

async fn client_of<const N: usize>(endpoints: [String; N]) -> Client {
    let client = support::builder(endpoints).build().unwrap();
    soon("all members", support::all_ready(&client)).await;
    client
}

fn own_state() -> Get {
    Get::new("k").serializable()
}

#[tokio::test]
async fn test_balancer_support_learner() {
    let alone = learner(true, 9).await;
    let client = client_of([alone.endpoint()]).await;
    assert!(client.endpoint_states()[0].is_learner());
    let error = soon("the get", client.get("k")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Unavailable), "{error}");
    soon("a serializable get", client.get(own_state())).await.unwrap();

    // A voter joins in.
    let voter = support::etcd().await;
    let both = [alone.endpoint(), voter.endpoint()];
    soon("the endpoints", client.set_endpoints(both)).await.unwrap();
    let before = alone.calls(RANGE);
    for _ in 0..10 {
        soon("the get", client.get("k")).await.unwrap();
        soon("the put", client.put("k", "v")).await.unwrap();
    }
    assert_eq!((voter.calls(RANGE), voter.calls(PUT)), (10, 10));
    assert_eq!((alone.calls(RANGE) - before, alone.calls(PUT)), (0, 0));
}

#[tokio::test]
async fn serializable_reads_are_shared_by_learners_and_voters() {
    let (one, voter) = (learner(true, 9).await, support::etcd().await);
    let client = client_of([one.endpoint(), voter.endpoint()]).await;
    for _ in 0..10 {
        soon("the get", client.get(own_state())).await.unwrap();
    }
    assert_eq!((one.calls(RANGE), voter.calls(RANGE)), (5, 5));
}

/// It was not known to be one: until 3.5 with the code Unavailable, since then with FailedPrecondition.
#[tokio::test]
async fn a_learner_that_was_taken_for_a_voter_is_left() {
    for code in [14, 9] {
        let (one, voter) = (learner(false, code).await, support::etcd().await);
        let client = client_of([one.endpoint(), voter.endpoint()]).await;
        for _ in 0..10 {
            soon("the put", client.put("k", "v")).await.unwrap();
            soon("the get", client.get("k")).await.unwrap();
        }
        assert_eq!((voter.calls(PUT), voter.calls(RANGE)), (10, 10), "code {code}");
        assert_eq!(one.calls(PUT) + one.calls(RANGE), 1, "it is asked once, with code {code}");
        for _ in 0..2 {
            soon("a serializable get", client.get(own_state())).await.unwrap();
        }
        assert_eq!(one.calls(PUT) + one.calls(RANGE), 2, "it still answers those");
    }
}

#[tokio::test]
async fn a_learner_without_a_voter_gives_its_refusal() {
    for code in [14, 9] {
        let one = learner(false, code).await;
        let client = client_of([one.endpoint()]).await;
        let error = soon("the put", client.put("k", "v")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert_eq!(error.server_error(), Some(ServerError::NotSupportedForLearner));
        assert!(!error.maybe_applied());
        assert_says(&error.to_string(), REFUSAL);
        assert!(matches!(error.attempts()[0].cause(), Cause::Status(..)));
        assert_eq!(one.calls(PUT), 1);
    }
}

/// It does not say so by itself, and gets no call by which it would show, as long as it is taken for a learner.
#[tokio::test]
async fn a_promoted_learner_is_used_while_another_endpoint_is_down() {
    let promoted = Arc::new(AtomicBool::new(false));
    let votes = Arc::clone(&promoted);
    let member = support::etcd_that(move |call| {
        let learner = !votes.load(Ordering::Relaxed);
        match &*call.path {
            STATUS => Some(Answer::Message(status(CLUSTER, "3.7.1", learner))),
            PUT if learner => Some(Answer::status(9, REFUSAL)),
            _ => None,
        }
    })
    .await;
    let voter = Voter::start().await;
    let client = support::builder([member.endpoint(), voter.endpoint()]).build().unwrap();
    soon("both members", support::all_ready(&client)).await;
    soon("a put", client.put("k", "v")).await.unwrap();
    assert_eq!((member.calls(PUT), voter.etcd.calls(PUT)), (0, 1));

    voter.go_down().await;
    soon("the loss of the voter", support::until(&client, |states| !states[1].is_ready())).await;
    promoted.store(true, Ordering::Relaxed);
    soon("a put", client.put("k", "v")).await.unwrap();
    assert_eq!(member.calls(PUT), 1);
    assert!(!client.endpoint_states()[0].is_learner());
}

/// What nobody but a voter serves waits for one, and the learner is asked now and then whether it has become one.
#[tokio::test]
async fn a_learner_is_not_called_in_place_of_a_voter_that_is_down() {
    let (one, voter) = (learner(true, 9).await, Voter::start().await);
    let client = client_of([one.endpoint(), voter.endpoint()]).await;
    voter.go_down().await;
    soon("the loss of the voter", support::until(&client, |states| !states[1].is_ready())).await;
    let hurried = client.with_options(CallOptions::new().timeout(Duration::from_millis(1500)));
    let before = one.calls(STATUS);
    let mut puts = JoinSet::new();
    for _ in 0..100 {
        let client = hurried.clone();
        puts.spawn(async move { client.put("k", "v").await });
    }
    for put in soon("the puts", puts.join_all()).await {
        let error = put.unwrap_err();
        assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Unavailable, false));
    }
    assert_eq!(one.calls(PUT), 0);
    let asked = one.calls(STATUS) - before;
    assert!((1..=4).contains(&asked), "it was asked {asked} times");
}
