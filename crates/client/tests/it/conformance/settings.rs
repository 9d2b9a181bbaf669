//! HTTP/2 below the calls: settings, windows, pings, and frames that nobody asked for.

use std::sync::Arc;
use std::time::Duration;

use etcdkit::ErrorKind::{ResourceExhausted, Unavailable};
use etcdkit::config::{Limits, Liveness};
use etcdkit_testkit::peer::frame::setting::{INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS};
use etcdkit_testkit::peer::frame::{Frame, FrameKind, flag};
use etcdkit_testkit::peer::{Answer, Connection, Peer, hpack};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tonic::Code;

use super::case::{Case, Then, answer, check, tonic, unknown};
use super::support::{self, PUT, ask, assert_says, put_answer, soon};

/// Sends something before a good answer.
macro_rules! before {
    (|$conn:ident, $id:ident| $before:block) => {
        |$conn, $id| {
            Box::pin(async move {
                $before
                $conn.respond($id, &put_answer()).await?;
                Ok(Then::Serve)
            })
        }
    };
}

#[tokio::test]
async fn what_http2_allows_is_answered_or_ignored() {
    check(&[
        Case::new(
            "a ping is answered while a call waits",
            before!(|conn, _id| {
                for number in 0..20 {
                    conn.ping([number; 8]).await?;
                }
            }),
            [answer(1); 3],
        ),
        Case::new(
            "settings are acknowledged while a call waits",
            before!(|conn, _id| {
                conn.settings(&[(INITIAL_WINDOW_SIZE, 1), (0x4242, 7)]).await?;
                conn.settings(&[(INITIAL_WINDOW_SIZE, 65_535)]).await?;
            }),
            [answer(1); 3],
        ),
        Case::new(
            "frames of unknown type",
            before!(|conn, id| {
                for stream in [0, id] {
                    conn.send_frame(&Frame::new(FrameKind::Unknown(0xfa), 0xff, stream, "?"))
                        .await?;
                }
            }),
            [answer(1); 3],
        ),
        Case::new(
            "PRIORITY, and a window for a stream that is over",
            |conn, id| {
                Box::pin(async move {
                    let priority = b"\x00\x00\x00\x00\x10".as_slice();
                    conn.send_frame(&Frame::new(FrameKind::Priority, 0, id, priority)).await?;
                    conn.respond(id, &put_answer()).await?;
                    conn.send_frame(&Frame::window_update(id, 1000)).await?;
                    conn.send_frame(&Frame::rst_stream(id, 0)).await?;
                    Ok(Then::Serve)
                })
            },
            [answer(1); 3],
        ),
        Case::new(
            "an informational response first",
            before!(|conn, id| {
                conn.send_headers(id, &[(":status", "103"), ("link", "x")]).await?;
            }),
            [answer(1); 3],
        ),
    ])
    .await;
}

/// Breaks the protocol instead of answering.
macro_rules! breaks {
    (|$conn:ident, $id:ident| $broken:expr) => {
        |$conn, $id| {
            Box::pin(async move {
                let frame: Frame = $broken;
                $conn.send_frame(&frame).await?;
                Ok(Then::Serve)
            })
        }
    };
}

#[tokio::test]
async fn what_http2_forbids_ends_the_connection_and_says_so() {
    let ours = unknown(Unavailable, "the server broke HTTP/2");
    let reference = tonic(Code::Unknown, "connection error detected");
    let all = [ours, answer(2), reference];
    check(&[
        Case::new(
            "PUSH_PROMISE, which we switch off",
            breaks!(|conn, id| {
                let request = [
                    (":method", "GET"),
                    (":scheme", "http"),
                    (":authority", "etcd"),
                    (":path", "/pushed"),
                ];
                let promised = [b"\x00\x00\x00\x02".as_slice(), &hpack::encode(&request)].concat();
                Frame::new(FrameKind::PushPromise, flag::END_HEADERS, id, promised)
            }),
            all,
        ),
        Case::new(
            "an answer on a stream that no one opened",
            breaks!(|conn, id| {
                let block = hpack::encode(&[(":status", "200")]);
                Frame::headers(id + 100, flag::END_HEADERS, block)
            }),
            all,
        ),
        Case::new("DATA on stream 0", breaks!(|conn, _id| Frame::data(0, 0, "x")), all),
        Case::new(
            "a window beyond 2^31",
            breaks!(|conn, _id| Frame::window_update(0, 0x7fff_ffff)),
            all,
        ),
        Case::new(
            "settings out of range",
            breaks!(|conn, _id| Frame::settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)])),
            all,
        ),
        Case::new(
            "a header block that can't be decoded",
            breaks!(|conn, id| Frame::headers(id, flag::END_HEADERS, b"\xff\xff\xff".as_slice())),
            all,
        ),
        Case::new(
            "a frame between HEADERS and CONTINUATION",
            |conn, id| {
                Box::pin(async move {
                    conn.send_frame(&Frame::headers(id, 0, b"\x88".as_slice())).await?;
                    conn.send_frame(&Frame::ping([0; 8])).await?;
                    Ok(Then::Serve)
                })
            },
            all,
        ),
    ])
    .await;
}

/// The size of a frame is what a client announces: we take 1 MiB, tonic 16 KiB.
#[tokio::test]
async fn a_frame_may_be_as_large_as_was_announced() {
    check(&[Case::new(
        "DATA of 20 KB",
        |conn, id| {
            Box::pin(async move {
                let mut message = put_answer().to_vec();
                // Field 15, which no message here has: 20 000 bytes.
                message.extend(b"\x7a\xa0\x9c\x01");
                message.extend([0; 20_000]);
                conn.start_response(id).await?;
                let message = etcdkit_testkit::peer::grpc_message(&message);
                conn.send_frame(&Frame::data(id, 0, message)).await?;
                conn.finish_response(id, 0, "").await?;
                Ok(Then::Serve)
            })
        },
        [answer(1), answer(1), tonic(Code::Unknown, "frame with invalid size")],
    )])
    .await;
}

/// Answers what is not a put, and returns the next put's stream.
async fn next_put(conn: &mut Connection) -> std::io::Result<u32> {
    loop {
        let call = conn.next_request().await?;
        match support::healthy(&call.path) {
            Some(Answer::Message(message)) if call.path != PUT => {
                conn.respond(call.stream_id, &message).await?;
            }
            _ => return Ok(call.stream_id),
        }
    }
}

fn requests(conn: &Connection) -> usize {
    conn.log().iter().filter(|frame| frame.kind == FrameKind::Headers).count()
}

#[tokio::test]
async fn calls_beyond_the_servers_limit_queue_and_run_in_turn() {
    const PUTS: usize = 20;
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake(&[(MAX_CONCURRENT_STREAMS, 1)]).await?;
        for _ in 0..PUTS {
            let stream = next_put(&mut conn).await?;
            let seen = requests(&conn);
            // Whatever the client had sent by the time that it answered would be here now.
            conn.ping([9; 8]).await?;
            assert_eq!(requests(&conn), seen, "more than one stream is open");
            conn.respond(stream, &put_answer()).await?;
        }
        conn.wait_close().await
    });
    let client = support::builder([peer.endpoint()]).build().unwrap();
    let mut puts = JoinSet::new();
    for _ in 0..PUTS {
        let client = client.clone();
        puts.spawn(async move { client.put("k", "v").await });
    }
    while let Some(outcome) = soon("the puts", puts.join_next()).await {
        outcome.unwrap().unwrap();
    }
    drop(client);
    soon("the end", peer.next_outcome()).await.unwrap();
}

#[tokio::test]
async fn one_more_call_than_may_queue_fails_at_once() {
    const QUEUED: usize = 3;
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let released = Arc::clone(&released);
        async move {
            conn.handshake(&[(MAX_CONCURRENT_STREAMS, 1)]).await?;
            let first = next_put(&mut conn).await?;
            released.notified().await;
            conn.respond(first, &put_answer()).await?;
            loop {
                let stream = next_put(&mut conn).await?;
                conn.respond(stream, &put_answer()).await?;
            }
        }
    });
    let client = support::builder([peer.endpoint()])
        .limits(Limits::new().max_queued_calls(QUEUED))
        .build()
        .unwrap();
    soon("the member", client.wait_ready()).await.unwrap();
    let mut calls: Vec<_> = (0..=QUEUED).map(|_| Box::pin(client.put("k", "v"))).collect();
    for call in &mut calls {
        assert!(ask(call).await.is_none());
    }
    let error = ask(&mut Box::pin(client.put("k", "v"))).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ResourceExhausted, "{error}");
    assert!(!error.maybe_applied());
    assert_says(&error.to_string(), "4 calls are waiting on this connection");
    assert_says(&error.to_string(), "max_queued_calls");
    release.notify_one();
    for call in calls {
        soon("a queued put", call).await.unwrap();
    }
    soon("the next put", client.put("k", "v")).await.unwrap();
}

#[tokio::test]
async fn of_a_queued_call_that_is_dropped_no_message_is_sent() {
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let released = Arc::clone(&released);
        async move {
            conn.handshake(&[(MAX_CONCURRENT_STREAMS, 1)]).await?;
            let first = next_put(&mut conn).await?;
            released.notified().await;
            conn.respond(first, &put_answer()).await?;
            let next = next_put(&mut conn).await?;
            // h2 opens its stream all the same, and resets it: no server begins a unary call without the message.
            let between = |frame: &&Frame| (first + 1..next).contains(&frame.stream);
            let dropped: Vec<_> = conn.log().iter().filter(between).map(|f| f.kind).collect();
            assert!(!dropped.contains(&FrameKind::Data), "{dropped:?}");
            conn.respond(next, &put_answer()).await?;
            conn.wait_close().await
        }
    });
    let client = support::builder([peer.endpoint()]).build().unwrap();
    soon("the member", client.wait_ready()).await.unwrap();
    let mut first = Box::pin(client.put("k", "v"));
    let mut second = Box::pin(client.put("k", "v"));
    assert!(ask(&mut first).await.is_none());
    assert!(ask(&mut second).await.is_none());
    drop(second);
    release.notify_one();
    soon("the first put", first).await.unwrap();
    soon("the third put", client.put("k", "v")).await.unwrap();
    drop(client);
    soon("the end", peer.next_outcome()).await.unwrap();
}

/// Calls are given up while the server allows none of them; those behind them must not wait for another event.
#[tokio::test]
async fn calls_that_were_given_up_in_the_queue_hold_up_no_others() {
    const LIMIT: usize = 3;
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let released = Arc::clone(&released);
        async move {
            conn.handshake(&[(MAX_CONCURRENT_STREAMS, LIMIT as u32)]).await?;
            let mut open = Vec::new();
            while open.len() < LIMIT {
                open.push(next_put(&mut conn).await?);
            }
            released.notified().await;
            for stream in open {
                conn.respond(stream, &put_answer()).await?;
            }
            loop {
                let stream = next_put(&mut conn).await?;
                conn.respond(stream, &put_answer()).await?;
            }
        }
    });
    let client = support::builder([peer.endpoint()]).build().unwrap();
    soon("the member", client.wait_ready()).await.unwrap();
    let begin = |count| {
        let mut calls: Vec<_> = (0..count).map(|_| Box::pin(client.put("k", "v"))).collect();
        async move {
            for call in &mut calls {
                assert!(ask(call).await.is_none());
            }
            calls
        }
    };
    let open = begin(LIMIT).await;
    let given_up = begin(LIMIT + 1).await;
    let queued = begin(1).await;
    drop(given_up);
    release.notify_one();
    for call in open.into_iter().chain(queued) {
        soon("a put", call).await.unwrap();
    }
}

#[tokio::test]
async fn a_limit_of_no_streams_holds_calls_until_it_is_raised() {
    let mut peer = Peer::bind().await;
    let (ready, limited) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (on_ready, on_limited) = (Arc::clone(&ready), Arc::clone(&limited));
    peer.run(move |mut conn| {
        let (ready, limited) = (Arc::clone(&on_ready), Arc::clone(&on_limited));
        async move {
            conn.handshake(&[]).await?;
            let stream = next_put(&mut conn).await?;
            conn.respond(stream, &put_answer()).await?;
            ready.notified().await;
            conn.settings(&[(MAX_CONCURRENT_STREAMS, 0)]).await?;
            let seen = requests(&conn);
            limited.notify_one();
            ready.notified().await;
            conn.ping([1; 8]).await?;
            assert_eq!(requests(&conn), seen, "a stream was opened though none is allowed");
            conn.settings(&[(MAX_CONCURRENT_STREAMS, 1)]).await?;
            let stream = next_put(&mut conn).await?;
            conn.respond(stream, &put_answer()).await?;
            conn.wait_close().await
        }
    });
    let client = support::builder([peer.endpoint()]).build().unwrap();
    soon("the first put", client.put("k", "v")).await.unwrap();
    ready.notify_one();
    soon("the limit", limited.notified()).await;
    let mut queued = Box::pin(client.put("k", "v"));
    assert!(ask(&mut queued).await.is_none());
    ready.notify_one();
    soon("the queued put", queued).await.unwrap();
    drop(client);
    soon("the end", peer.next_outcome()).await.unwrap();
}

#[tokio::test]
async fn calls_that_wait_go_on_as_soon_as_the_limit_is_raised() {
    const LIMIT: usize = 3;
    const PUTS: usize = 20;
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake(&[(MAX_CONCURRENT_STREAMS, LIMIT as u32)]).await?;
        // Nothing else that it sends may wake the calls.
        conn.hold_windows();
        let mut open = Vec::new();
        while open.len() < PUTS {
            if open.len() == LIMIT {
                conn.settings(&[(MAX_CONCURRENT_STREAMS, PUTS as u32)]).await?;
            }
            open.push(next_put(&mut conn).await?);
        }
        for stream in open {
            conn.respond(stream, &put_answer()).await?;
        }
        conn.wait_close().await
    });
    // No probe may wake what the server's word does not.
    let liveness = Liveness::new().probe_after(support::PATIENCE);
    let client = support::builder([peer.endpoint()]).liveness(liveness).build().unwrap();
    soon("the member", client.wait_ready()).await.unwrap();
    let mut puts: Vec<_> = (0..PUTS).map(|_| Box::pin(client.put("k", "v"))).collect();
    for put in &mut puts {
        assert!(ask(put).await.is_none());
    }
    for put in puts {
        soon("a put", put).await.unwrap();
    }
}

#[tokio::test]
async fn a_member_that_allows_no_streams_is_never_ready() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake(&[(MAX_CONCURRENT_STREAMS, 0)]).await?;
        conn.wait_close().await
    });
    let client = support::builder([peer.endpoint()]).connect_timeout(support::CONNECT);
    let error = soon("connecting", client.clone().connect()).await.unwrap_err();
    assert_eq!(error.kind(), Unavailable);
    assert_says(&error.to_string(), "not connected in time");
    let client = client.timeout(Duration::from_millis(100)).build().unwrap();
    let error = soon("the put", client.put("k", "v")).await.unwrap_err();
    assert_eq!(error.kind(), Unavailable);
    assert!(!error.maybe_applied());
}

/// An answer shows that it speaks HTTP/2 as well as SETTINGS would.
#[tokio::test]
async fn a_server_may_answer_before_its_settings() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake_silent().await?;
        loop {
            let stream = next_put(&mut conn).await?;
            conn.respond(stream, &put_answer()).await?;
        }
    });
    let client = support::builder([peer.endpoint()]).build().unwrap();
    soon("the put", client.put("k", "v")).await.unwrap();
}
