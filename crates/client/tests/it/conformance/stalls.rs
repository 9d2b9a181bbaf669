//! Answers that never end: a call is over by its deadline, and a member that answers nothing at all is given up.

use std::time::Duration;

use etcdkit::ErrorKind::{Timeout, Unavailable};
use etcdkit::config::Liveness;
use etcdkit::service::CallOptions;
use etcdkit::{Cause, Client};
use etcdkit_testkit::peer::frame::setting::INITIAL_WINDOW_SIZE;
use etcdkit_testkit::peer::frame::{Frame, FrameKind, flag};
use etcdkit_testkit::peer::{Answer, EtcdLike, Peer, grpc_message};
use tonic::Code;

use super::case::{Case, Then, check, fails, hangs, tonic, unknown};
use super::support::{self, HEALTH, PUT, RANGE, assert_says, put_answer, soon, within};

/// Long enough for a probe, which is sent after 500 ms of silence and answered here.
const DEADLINE: Duration = Duration::from_millis(1200);

/// tonic's deadline holds until the headers are there, and for nothing that follows.
#[tokio::test]
async fn a_call_without_an_end_is_over_by_its_deadline() {
    let late = "the deadline passed";
    check(&[
        Case::new(
            "nothing",
            |_, _| Box::pin(async { Ok(Then::Serve) }),
            [unknown(Timeout, late), fails(Timeout, late), tonic(Code::Cancelled, "Timeout")],
        )
        .deadline(DEADLINE),
        Case::new(
            "headers and no more",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    Ok(Then::Serve)
                })
            },
            [unknown(Timeout, late), fails(Timeout, late), hangs()],
        )
        .deadline(DEADLINE),
        Case::new(
            "half a message",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    conn.send_data(id, grpc_message(&put_answer()).slice(..8)).await?;
                    Ok(Then::Serve)
                })
            },
            [unknown(Timeout, late), fails(Timeout, late), hangs()],
        )
        .deadline(DEADLINE),
        Case::new(
            "a message and no trailers",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    conn.send_message(id, &put_answer()).await?;
                    Ok(Then::Serve)
                })
            },
            [unknown(Timeout, late), fails(Timeout, late), hangs()],
        )
        .deadline(DEADLINE),
        Case::new(
            "half a header block",
            |conn, id| {
                Box::pin(async move {
                    let stream = id.to_be_bytes();
                    let block = [b"\x00\x00\x01\x01\x00".as_slice(), &stream, b"\x88"].concat();
                    conn.raw(block).await?;
                    // Nothing else may be sent, and so nothing answered, until the block is complete.
                    let is_reset =
                        |frame: &Frame| frame.kind == FrameKind::RstStream && frame.stream == id;
                    while !is_reset(&conn.next_frame().await?) {}
                    conn.send_frame(&Frame::continuation(id, flag::END_HEADERS, "")).await?;
                    Ok(Then::Serve)
                })
            },
            [unknown(Timeout, late), fails(Timeout, late), tonic(Code::Cancelled, "Timeout")],
        )
        .deadline(Duration::from_millis(900)),
    ])
    .await;
}

fn quick() -> Liveness {
    Liveness::new()
        .doubt_after(Duration::from_millis(20))
        .probe_after(Duration::from_millis(40))
        .probe_timeout(Duration::from_secs(1))
}

fn with_timeout(client: &Client, timeout: Duration) -> Client {
    client.with_options(CallOptions::new().timeout(timeout))
}

/// A slow cluster is not taken for a frozen process.
#[tokio::test]
async fn a_member_that_answers_probes_is_waited_for_until_the_deadline() {
    let etcd = support::etcd().await;
    let liveness = quick().probe_timeout(support::PATIENCE);
    let client = support::builder([etcd.endpoint()]).liveness(liveness).build().unwrap();
    soon("the member", client.wait_ready()).await.unwrap();
    for _ in 0..2 {
        etcd.queue(PUT, Answer::Hang);
        let before = etcd.calls(HEALTH);
        tokio::select! {
            ended = client.put("k", "v") => panic!("the member is waited for: {ended:?}"),
            () = soon("a probe", etcd.wait_calls(HEALTH, before + 1)) => {}
        }
        etcd.queue(PUT, Answer::Hang);
        let hurried = with_timeout(&client, Duration::from_secs(2));
        let error = soon("the put", hurried.put("k", "v")).await.unwrap_err();
        assert_eq!(error.kind(), Timeout, "{error}");
        assert!(error.maybe_applied());
    }
    soon("the next put", client.put("k", "v")).await.unwrap();
    assert_eq!(etcd.peer().connections(), 1);
}

/// A member that answers `calls` calls in all on its first connection, then reads and writes no more.
async fn freezing(calls: usize) -> Peer {
    let mut peer = Peer::bind().await;
    let mut first = true;
    peer.run(move |mut conn| {
        let answers = if std::mem::take(&mut first) { calls } else { usize::MAX };
        async move {
            conn.handshake(&[]).await?;
            for _ in 0..answers {
                let call = conn.next_request().await?;
                if let Some(Answer::Message(message)) = support::healthy(&call.path) {
                    conn.respond(call.stream_id, &message).await?;
                }
            }
            std::future::pending().await
        }
    });
    peer
}

#[tokio::test]
async fn a_member_that_leaves_a_probe_unanswered_is_given_up_long_before_the_deadline() {
    let liveness = || quick().probe_timeout(Duration::from_millis(500));
    // The health check and the introduction come before the first call.
    let peer = freezing(2).await;
    let client = support::builder([peer.endpoint()]).liveness(liveness()).build().unwrap();
    let error = soon("the put", client.put("k", "v")).await.unwrap_err();
    assert_eq!(error.kind(), Unavailable, "{error}");
    assert!(error.maybe_applied(), "{error}");
    assert_eq!(error.attempts()[0].cause(), &Cause::Frozen);
    assert_says(&error.to_string(), "frozen: neither the request nor a probe was answered");
    // It answers on the second connection.
    soon("the next put", client.put("k", "v")).await.unwrap();

    let peer = freezing(2).await;
    let client = support::builder([peer.endpoint()]).liveness(liveness()).build().unwrap();
    soon("the get", client.get("k")).await.unwrap();
    assert_eq!(peer.connections(), 2);
}

/// The request can't leave: the server lets none of its windows grow.
#[tokio::test]
async fn a_request_that_the_server_does_not_take_in_is_over_by_its_deadline() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake(&[(INITIAL_WINDOW_SIZE, 1000)]).await?;
        conn.hold_windows();
        loop {
            let call = conn.next_request().await?;
            if let Some(Answer::Message(message)) = support::healthy(&call.path) {
                conn.respond(call.stream_id, &message).await?;
            }
        }
    });
    let client = support::builder([peer.endpoint()]).build().unwrap();
    soon("the member", client.wait_ready()).await.unwrap();
    let stalled = with_timeout(&client, Duration::from_millis(300));
    let put = within(Duration::from_millis(1300), "the put", stalled.put("k", vec![0; 20_000]));
    let error = put.await.unwrap_err();
    assert_eq!(error.kind(), Timeout, "{error}");
    assert!(error.maybe_applied(), "part of it has left");
    // A request that fits is not held up by the one that does not.
    soon("a small put", client.put("k", "v")).await.unwrap();
    assert_eq!(peer.connections(), 1);
}

/// Once the connection's own window is spent, nothing leaves, not even a probe: that connection is given up.
#[tokio::test]
async fn a_connection_that_takes_nothing_in_is_replaced() {
    let mut peer = Peer::bind().await;
    let mut first = true;
    peer.run(move |mut conn| {
        let stuck = std::mem::take(&mut first);
        async move {
            conn.handshake(&[]).await?;
            if stuck {
                conn.hold_windows();
            }
            loop {
                let call = conn.next_request().await?;
                if let Some(Answer::Message(message)) = support::healthy(&call.path) {
                    conn.respond(call.stream_id, &message).await?;
                }
            }
        }
    });
    let liveness = quick().probe_timeout(Duration::from_millis(500));
    let client = support::builder([peer.endpoint()]).liveness(liveness).build().unwrap();
    let error = soon("the put", client.put("k", vec![0; 200_000])).await.unwrap_err();
    assert_eq!(error.attempts()[0].cause(), &Cause::Frozen, "{error}");
    assert!(error.maybe_applied());
    soon("the next put", client.put("k", vec![0; 200_000])).await.unwrap();
    assert_eq!(peer.connections(), 2);
}

/// The time that the call waits for its turn, its connection and its retries counts.
#[tokio::test]
async fn a_call_is_over_by_its_deadline_whatever_it_waits_for() {
    let deadline = Duration::from_millis(200);
    let grace = deadline + Duration::from_secs(1);
    let unavailable = || Answer::status(14, "etcdserver: leader changed");

    let silent = Peer::silent().await;
    let waiting: Client = support::builder([silent.endpoint()]).build().unwrap();
    let refusing = EtcdLike::start().await;
    refusing.answer_with(move |call| match &*call.path {
        RANGE => Some(unavailable()),
        path => support::healthy(path),
    });
    let retrying = support::builder([refusing.endpoint()])
        .retry(support::quick_retry().max_attempts(u32::MAX))
        .build()
        .unwrap();
    for (what, client) in [("a connection", waiting), ("a retry", retrying)] {
        let get = with_timeout(&client, deadline);
        let error = within(grace, what, get.get("k")).await.unwrap_err();
        assert!(matches!(error.kind(), Timeout | Unavailable), "{what}: {error}");
        assert!(!error.maybe_applied(), "{what}: {error}");
    }
}
