//! How often a call is sent: writes once unless it is certain that they left no trace, reads until they succeed or
//! have cost enough.

use std::time::Duration;

use etcdkit::ErrorKind::{self, Timeout, Unavailable};
use etcdkit::config::RetryPolicy;
use etcdkit::service::CallOptions;
use etcdkit::{Cause, Client, Compare, Delete, Get, Put, Txn};
use etcdkit_proto::etcdserverpb::{Member, MemberListResponse};
use etcdkit_testkit::peer::frame::code::REFUSED_STREAM;
use etcdkit_testkit::peer::{Answer, EtcdLike};
use prost::Message;
use tokio::task::JoinSet;

use super::support::{self, PUT, RANGE, TXN, assert_says, healthy, soon};

const DELETE: &str = "/etcdserverpb.KV/DeleteRange";

/// Answers that say nothing of what became of the request.
const VAGUE: [(u32, &str, ErrorKind); 9] = [
    (1, "context canceled", ErrorKind::Cancelled),
    (4, "context deadline exceeded", Timeout),
    (14, "transport is closing", Unavailable),
    (14, "etcdserver: request timed out", Unavailable),
    (14, "etcdserver: request timed out, possibly due to previous leader failure", Unavailable),
    (14, "etcdserver: request timed out, possibly due to connection lost", Unavailable),
    (14, "etcdserver: leader changed", Unavailable),
    (14, "etcdserver: server stopped", Unavailable),
    (14, "etcdserver: no leader", ErrorKind::NoLeader),
];

const MEMBER_REMOVE: &str = "/etcdserverpb.Cluster/MemberRemove";
const MEMBER_LIST: &str = "/etcdserverpb.Cluster/MemberList";

/// The repetition finds no such member, which says that the first attempt was done, and nothing about the others.
#[tokio::test]
async fn a_member_that_was_removed_without_an_answer_leaves_the_others_listed() {
    let etcd = support::etcd().await;
    let client = client_of(&etcd).await;
    let list = MemberListResponse {
        header: Some(support::header()),
        members: vec![Member { id: 7, name: "left".into(), ..Member::default() }],
    };
    etcd.queue(MEMBER_REMOVE, Answer::CloseConnection);
    etcd.queue(MEMBER_REMOVE, Answer::status(5, "etcdserver: member not found"));
    etcd.queue(MEMBER_LIST, Answer::message(list.encode_to_vec()));
    let removed = soon("removing", client.member_remove(8)).await.unwrap();
    assert_eq!(removed.members().iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["left"]);
    assert_eq!(etcd.calls(MEMBER_REMOVE), 2);
}

async fn client_of(etcd: &EtcdLike) -> Client {
    support::builder([etcd.endpoint()]).build().unwrap()
}

#[tokio::test]
async fn a_write_with_a_vague_answer_is_sent_once_and_a_read_again() {
    for (code, text, kind) in VAGUE {
        let etcd = support::etcd().await;
        let client = client_of(&etcd).await;
        let answer = || Answer::status(code, text);
        etcd.queue(PUT, answer());
        let error = soon("the put", client.put("k", "v")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.maybe_applied(), "{error}");
        assert_says(&error.to_string(), "the write may have been applied");
        assert_eq!(etcd.calls(PUT), 1, "{text}");

        etcd.queue(RANGE, answer());
        etcd.queue(RANGE, answer());
        soon("the get", client.get("k")).await.unwrap();
        assert_eq!(etcd.calls(RANGE), 3, "{text}");
    }
}

/// It was turned away before it was proposed.
#[tokio::test]
async fn a_write_that_was_turned_away_is_sent_again() {
    for code in [2, 8] {
        let etcd = support::etcd().await;
        etcd.queue(PUT, Answer::status(code, "etcdserver: too many requests"));
        soon("the put", client_of(&etcd).await.put("k", "v")).await.unwrap();
        assert_eq!(etcd.calls(PUT), 2);
    }
}

/// etcd answers a transaction that only reads from any state, as often as it is asked.
#[tokio::test]
async fn test_txn_read_retry() {
    let vague = || Answer::status(14, "etcdserver: leader changed");
    let etcd = support::etcd_that(|call| (call.path == TXN).then(|| Answer::message(""))).await;
    let client = client_of(&etcd).await;
    etcd.queue(TXN, vague());
    let read = Txn::new().when([Compare::missing("k")]).then([Get::new("k")]);
    soon("the read", client.txn(read)).await.unwrap();
    assert_eq!(etcd.calls(TXN), 2);

    etcd.queue(TXN, vague());
    let write = Txn::new().when([Compare::missing("k")]).then([Put::new("k", "v")]);
    let error = soon("the write", client.txn(write)).await.unwrap_err();
    assert!(error.maybe_applied());
    assert_eq!(etcd.calls(TXN), 3);

    etcd.queue(DELETE, vague());
    let error = soon("the deletion", client.delete(Delete::new("k"))).await.unwrap_err();
    assert!(error.maybe_applied());
    assert_eq!(etcd.calls(DELETE), 1);
}

/// A member that answers every get with Unavailable.
async fn unavailable() -> EtcdLike {
    support::etcd_that(|call| {
        (call.path == RANGE).then(|| Answer::status(14, "etcdserver: leader changed"))
    })
    .await
}

#[tokio::test]
async fn attempts_are_bounded_and_listed() {
    let (one, two) = (unavailable().await, unavailable().await);
    let client = support::builder([one.endpoint(), two.endpoint()]).build().unwrap();
    soon("both", support::all_ready(&client)).await;
    let error = soon("the get", client.get("k")).await.unwrap_err();
    assert_eq!(error.kind(), Unavailable);
    assert!(error.is_retryable());
    assert!(!error.maybe_applied());
    assert_eq!(error.rpc(), Some(RANGE));
    assert_eq!(error.attempts().len(), 10);
    assert_eq!(one.calls(RANGE) + two.calls(RANGE), 10);
    for etcd in [&one, &two] {
        let endpoint = etcd.endpoint();
        let there = error.attempts().iter().filter(|attempt| attempt.endpoint() == endpoint);
        assert_eq!(there.count(), etcd.calls(RANGE));
        assert!(etcd.calls(RANGE) > 0);
        assert_says(&error.to_string(), &endpoint);
    }
    let cause = Cause::Status(etcdkit::Code::Unavailable, "etcdserver: leader changed".into());
    assert!(error.attempts().iter().all(|attempt| *attempt.cause() == cause));
    assert_says(&error.to_string(), "times)");
}

#[tokio::test]
async fn a_write_that_is_always_refused_is_given_up_and_certainly_not_applied() {
    let etcd =
        support::etcd_that(|call| (call.path == PUT).then(|| Answer::Rst(REFUSED_STREAM))).await;
    let error = soon("the put", client_of(&etcd).await.put("k", "v")).await.unwrap_err();
    assert_eq!(error.kind(), Unavailable);
    assert!(!error.maybe_applied());
    assert_eq!(etcd.calls(PUT), 10);
    assert_says(&error.to_string(), "refused before it was looked at");
}

#[tokio::test]
async fn without_retries_there_is_one_attempt() {
    let etcd = unavailable().await;
    let off = support::builder([etcd.endpoint()]).retry(RetryPolicy::off()).build().unwrap();
    let error = soon("the get", off.get("k")).await.unwrap_err();
    assert_eq!((etcd.calls(RANGE), error.attempts().len()), (1, 1));

    let once = client_of(&etcd).await.with_options(CallOptions::new().retry(false));
    let error = soon("the get", once.get("k")).await.unwrap_err();
    assert_eq!((etcd.calls(RANGE), error.attempts().len()), (2, 1));
}

#[tokio::test]
async fn without_retries_a_write_that_nobody_looked_at_is_sent_twice_at_most() {
    let etcd =
        support::etcd_that(|call| (call.path == PUT).then(|| Answer::Rst(REFUSED_STREAM))).await;
    let quick = support::quick_retry();
    let options = CallOptions::new;
    for (policy, options) in
        [(quick.clone(), options().retry(false)), (quick.max_attempts(1), options())]
    {
        let client = support::builder([etcd.endpoint()]).retry(policy).build().unwrap();
        let before = etcd.calls(PUT);
        let once = client.with_options(options);
        let error = soon("the put", once.put("k", "v")).await.unwrap_err();
        assert_eq!((error.kind(), error.maybe_applied()), (Unavailable, false));
        assert_eq!((etcd.calls(PUT) - before, error.attempts().len()), (2, 2));
    }
}

/// 200 calls that would make 10 attempts each: the budget allows 100 retries at once, and then hardly any.
#[tokio::test]
async fn retries_of_all_calls_together_are_bounded() {
    const CALLS: usize = 200;
    const BURST: usize = 100;
    let etcd = unavailable().await;
    let client = support::builder([etcd.endpoint()])
        .retry(
            RetryPolicy::new()
                .backoff(Duration::from_millis(1), Duration::from_secs(3600))
                .max_attempts(10)
                .budget(0.2, 0.0),
        )
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    soon("the member", client.wait_ready()).await.unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let client = client.clone();
        calls.spawn(async move { client.get("k").await.unwrap_err() });
    }
    while let Some(error) = soon("the gets", calls.join_next()).await {
        let kind = error.unwrap().kind();
        assert!(matches!(kind, Timeout | Unavailable), "{kind:?}");
    }
    assert_eq!(etcd.calls(RANGE), CALLS + BURST);
}

/// A read that no answer comes for is sent to a second member too, and only there.
#[tokio::test]
async fn a_read_that_waits_is_asked_of_another_member_and_a_write_is_not() {
    use etcdkit::config::Liveness;
    let slow =
        support::etcd_that(|call| matches!(&*call.path, RANGE | PUT).then_some(Answer::Hang)).await;
    let well = support::etcd_that(|call| healthy(&call.path)).await;
    let builder = support::builder([slow.endpoint(), well.endpoint()])
        .liveness(Liveness::new().hedge_after(Duration::from_millis(50)))
        .balance(etcdkit::config::Balance::RoundRobin)
        .timeout(Duration::from_secs(8));
    let client = builder.build().unwrap();
    soon("both", support::all_ready(&client)).await;
    for _ in 0..2 {
        soon("the get", client.get("k")).await.unwrap();
    }
    // Where the turns begin is left to chance.
    assert!((1..=2).contains(&slow.calls(RANGE)), "{}", slow.calls(RANGE));
    assert_eq!(well.calls(RANGE), 2);

    let quick = client.with_options(CallOptions::new().timeout(Duration::from_millis(300)));
    let mut failed = 0;
    for _ in 0..2 {
        if let Err(error) = soon("the put", quick.put("k", "v")).await {
            assert_eq!(error.kind(), Timeout);
            assert!(error.maybe_applied());
            failed += 1;
        }
    }
    assert_eq!((slow.calls(PUT), well.calls(PUT)), (failed, 2 - failed));
}
