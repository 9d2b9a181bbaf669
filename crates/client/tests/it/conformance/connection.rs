//! How connections and streams end: GOAWAY, RST_STREAM, and the cable pulled at every stage of an answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use etcdkit::CallOptions;
use etcdkit::ErrorKind::Unavailable;
use etcdkit::config::{Liveness, RetryPolicy};
use etcdkit_testkit::peer::frame::code::{self, ENHANCE_YOUR_CALM, NO_ERROR};
use etcdkit_testkit::peer::frame::flag;
use etcdkit_testkit::peer::{
    Answer, Connection, Frame, FrameKind, Peer, Request, grpc_message, hpack,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tonic::Code;

use super::case::{Case, Then, answer, check, tonic, unknown};
use super::support::{self, PUT, RANGE, put_answer, soon};

/// The largest stream number, which a GOAWAY names that does not know yet where to stop.
const ALL: u32 = 0x7fff_ffff;

/// Sends GOAWAY for the streams up to `$last` of the call's, and answers the call if it is among them.
macro_rules! goaway {
    ($code:expr, |$id:ident| $last:expr) => {
        |conn, $id| {
            Box::pin(async move {
                conn.goaway($last, $code, b"a reason").await?;
                if $last >= $id {
                    conn.respond($id, &put_answer()).await?;
                }
                Ok(Then::Serve)
            })
        }
    };
}

#[tokio::test]
async fn a_stream_beyond_the_last_of_a_goaway_was_not_looked_at() {
    check(&[
        Case::new(
            "NO_ERROR, last stream below the call's",
            goaway!(NO_ERROR, |id| id.saturating_sub(2)),
            [answer(2), answer(2), tonic(Code::Unknown, "connection error received")],
        ),
        Case::new(
            "ENHANCE_YOUR_CALM, last stream below the call's",
            goaway!(ENHANCE_YOUR_CALM, |id| id.saturating_sub(2)),
            [answer(2), answer(2), tonic(Code::Unknown, "connection error received")],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_stream_within_the_last_of_a_goaway_is_finished() {
    check(&[
        Case::new("NO_ERROR, last stream the call's", goaway!(NO_ERROR, |id| id), [answer(1); 3]),
        Case::new("NO_ERROR, last stream above", goaway!(NO_ERROR, |id| id + 2), [answer(1); 3]),
        Case::new(
            "ENHANCE_YOUR_CALM, last stream the call's",
            goaway!(ENHANCE_YOUR_CALM, |id| id),
            [answer(1); 3],
        ),
        Case::new(
            "ENHANCE_YOUR_CALM, last stream above",
            goaway!(ENHANCE_YOUR_CALM, |id| id + 2),
            [answer(1); 3],
        ),
        Case::new(
            "twice, as Go's server does it",
            |conn, id| {
                Box::pin(async move {
                    conn.goaway(ALL, NO_ERROR, b"graceful_stop").await?;
                    conn.ping(*b"\x01\x06\x01\x08\x00\x03\x03\x09").await?;
                    conn.goaway(id, NO_ERROR, b"").await?;
                    conn.respond(id, &put_answer()).await?;
                    Ok(Then::Close)
                })
            },
            [answer(1); 3],
        ),
    ])
    .await;
}

/// The server had begun with it: whether the call was looked at is not known, whatever the GOAWAY's code.
#[tokio::test]
async fn a_connection_that_breaks_after_a_goaway_leaves_its_calls_unknown() {
    check(&[
        Case::new(
            "NO_ERROR and FIN",
            |conn, id| {
                Box::pin(async move {
                    conn.goaway(id, NO_ERROR, b"").await?;
                    Ok(Then::Close)
                })
            },
            [unknown(Unavailable, "connection lost"), answer(2), tonic(Code::Unknown, "error")],
        ),
        Case::new(
            "ENHANCE_YOUR_CALM and FIN",
            |conn, id| {
                Box::pin(async move {
                    conn.goaway(id, ENHANCE_YOUR_CALM, b"too_many_pings").await?;
                    Ok(Then::Close)
                })
            },
            [unknown(Unavailable, "connection lost"), answer(2), tonic(Code::Unknown, "error")],
        ),
        Case::new(
            "NO_ERROR and RST",
            |conn, id| {
                Box::pin(async move {
                    conn.goaway(ALL, NO_ERROR, b"").await?;
                    conn.ping([7; 8]).await?;
                    conn.goaway(id, NO_ERROR, b"").await?;
                    Ok(Then::Reset)
                })
            },
            [unknown(Unavailable, "connection lost"), answer(2), tonic(Code::Unknown, "error")],
        ),
    ])
    .await;
}

/// Resets the call's stream.
macro_rules! rst {
    ($code:expr) => {
        |conn, id| {
            Box::pin(async move {
                conn.rst(id, $code).await?;
                Ok(Then::Serve)
            })
        }
    };
}

#[tokio::test]
async fn a_refused_stream_is_sent_once_more_and_any_other_reset_leaves_a_write_unknown() {
    let reset = unknown(Unavailable, "stream reset: by the server");
    check(&[
        Case::new(
            "REFUSED_STREAM",
            rst!(code::REFUSED_STREAM),
            [answer(2), answer(2), tonic(Code::Unknown, "refused stream")],
        ),
        Case::new(
            "CANCEL",
            rst!(code::CANCEL),
            [reset, answer(2), tonic(Code::Unknown, "no longer needed")],
        ),
        Case::new(
            "INTERNAL_ERROR",
            rst!(code::INTERNAL_ERROR),
            [reset, answer(2), tonic(Code::Unknown, "internal error")],
        ),
        Case::new(
            "NO_ERROR",
            rst!(NO_ERROR),
            [reset, answer(2), tonic(Code::Unknown, "not a result of an error")],
        ),
        Case::new(
            "ENHANCE_YOUR_CALM",
            rst!(ENHANCE_YOUR_CALM),
            [reset, answer(2), tonic(Code::Unknown, "excessive load")],
        ),
        Case::new(
            "an unknown code",
            rst!(0x1234_5678),
            [reset, answer(2), tonic(Code::Unknown, "error")],
        ),
        Case::new(
            "CANCEL between the message and the trailers",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    conn.send_message(id, &put_answer()).await?;
                    conn.rst(id, code::CANCEL).await?;
                    Ok(Then::Serve)
                })
            },
            [reset, answer(2), tonic(Code::Unknown, "error")],
        ),
        Case::new(
            "NO_ERROR after the whole answer, as servers end a request that they need no more of",
            |conn, id| {
                Box::pin(async move {
                    conn.respond(id, &put_answer()).await?;
                    conn.rst(id, NO_ERROR).await?;
                    Ok(Then::Serve)
                })
            },
            [answer(1); 3],
        ),
    ])
    .await;
}

/// The connection ends in some way after `$before`.
macro_rules! cut {
    ($name:literal, $then:expr, $reference:expr, |$conn:ident, $id:ident| $before:block) => {
        Case::new(
            $name,
            |$conn, $id| {
                Box::pin(async move {
                    $before
                    Ok($then)
                })
            },
            [unknown(Unavailable, "connection lost"), answer(2), $reference],
        )
    };
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_a_write_unknown_and_a_read_repeated() {
    let broken = tonic(Code::Unknown, "error");
    check(&[
        cut!("FIN before the headers", Then::Close, broken, |_conn, _id| {}),
        cut!("RST before the headers", Then::Reset, broken, |_conn, _id| {}),
        cut!("FIN after the headers", Then::Close, broken, |conn, id| {
            conn.start_response(id).await?;
        }),
        cut!("RST after the headers", Then::Reset, broken, |conn, id| {
            conn.start_response(id).await?;
        }),
        cut!("FIN within the message", Then::Close, broken, |conn, id| {
            conn.start_response(id).await?;
            conn.send_data(id, grpc_message(&put_answer()).slice(..8)).await?;
        }),
        cut!("RST within the message", Then::Reset, broken, |conn, id| {
            conn.start_response(id).await?;
            conn.send_data(id, grpc_message(&put_answer()).slice(..8)).await?;
        }),
        cut!("FIN before the trailers", Then::Close, broken, |conn, id| {
            conn.start_response(id).await?;
            conn.send_message(id, &put_answer()).await?;
        }),
        cut!("RST before the trailers", Then::Reset, broken, |conn, id| {
            conn.start_response(id).await?;
            conn.send_message(id, &put_answer()).await?;
        }),
        cut!("FIN within a frame", Then::Close, broken, |conn, id| {
            conn.start_response(id).await?;
            conn.raw(b"\x00\x00\x20\x00\x00").await?;
        }),
        cut!("FIN within a header block", Then::Close, broken, |conn, id| {
            let stream = id.to_be_bytes();
            conn.raw([b"\x00\x00\x01\x01\x00".as_slice(), &stream, b"\x88"].concat()).await?;
        }),
    ])
    .await;
}

/// Answers calls as a healthy member, but for the gets, which it gives back.
async fn next_get(conn: &mut Connection) -> io::Result<Request> {
    loop {
        let call = conn.next_request().await?;
        match support::healthy(&call.path) {
            Some(Answer::Message(message)) if call.path != RANGE => {
                conn.respond(call.stream_id, &message).await?;
            }
            _ => return Ok(call),
        }
    }
}

/// Three gets are under way when the server begins to leave; a fourth comes after that.
async fn drains(retry: RetryPolicy, options: impl Fn(&Peer) -> CallOptions) {
    let leaving = Arc::new(Notify::new());
    let moved = Arc::new(Notify::new());
    let mut peer = Peer::bind().await;
    let (tell, told) = (Arc::clone(&leaving), Arc::clone(&moved));
    let mut connections = 0;
    peer.run(move |mut conn| {
        connections += 1;
        let first = connections == 1;
        let (leaving, moved) = (Arc::clone(&tell), Arc::clone(&told));
        async move {
            conn.handshake(&[]).await?;
            if first {
                let mut held = Vec::new();
                while held.len() < 3 {
                    held.push(next_get(&mut conn).await?.stream_id);
                }
                conn.goaway(ALL, NO_ERROR, b"").await?;
                // The answer to a ping says that the GOAWAY has been read as well.
                conn.ping([1; 8]).await?;
                leaving.notify_one();
                moved.notified().await;
                for stream in held {
                    conn.respond(stream, &support::get_answer()).await?;
                }
                return conn.wait_close().await;
            }
            let call = next_get(&mut conn).await?;
            conn.respond(call.stream_id, &support::get_answer()).await?;
            moved.notify_one();
            conn.wait_close().await
        }
    });
    let client = support::builder([peer.endpoint()]).retry(retry).build().unwrap();
    let client = client.with_options(options(&peer));
    let mut under_way = JoinSet::new();
    for _ in 0..3 {
        let client = client.clone();
        under_way.spawn(async move { client.get("k").await });
    }
    soon("the server's leaving", leaving.notified()).await;
    soon("the call after that", client.get("k")).await.unwrap();
    while let Some(outcome) = soon("the calls under way", under_way.join_next()).await {
        outcome.unwrap().unwrap();
    }
    soon("the end of the old connection", peer.next_outcome()).await.unwrap();
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn calls_under_way_finish_while_new_ones_go_to_a_new_connection() {
    drains(support::quick_retry(), |_| CallOptions::new()).await;
}

#[tokio::test]
async fn without_retries_no_call_fails_because_the_server_leaves() {
    drains(RetryPolicy::off(), |_| CallOptions::new()).await;
}

/// Such an endpoint is connected to only while somebody calls, and a call that finds it failing says so: not this one,
/// whose connection is only being replaced.
#[tokio::test]
async fn a_call_to_an_endpoint_by_name_goes_on_when_its_server_leaves() {
    let by_name = |peer: &Peer| CallOptions::new().endpoint(peer.endpoint().parse().unwrap());
    let at_once = RetryPolicy::off().backoff(Duration::from_nanos(1), Duration::from_nanos(1));
    drains(at_once, by_name).await;
}

/// What a server that is going away still has is waited for like any other call, whether or not another call has found
/// out that it takes no more.
#[tokio::test]
async fn a_slow_write_is_not_given_up_because_its_server_is_going_away() {
    for another_call in [false, true] {
        let mut peer = Peer::bind().await;
        let mut connections = 0;
        peer.run(move |mut conn| {
            connections += 1;
            let first = connections == 1;
            async move {
                conn.handshake(&[]).await?;
                let put = loop {
                    let call = conn.next_request().await?;
                    match support::healthy(&call.path) {
                        Some(Answer::Message(answer)) if !first || call.path != PUT => {
                            conn.respond(call.stream_id, &answer).await?;
                        }
                        _ => break call.stream_id,
                    }
                };
                conn.goaway(ALL, NO_ERROR, b"").await?;
                // Only once the client has begun to doubt.
                conn.wait_frame(|frame| frame.kind == FrameKind::Ping && !frame.has(flag::ACK))
                    .await?;
                conn.respond(put, &support::put_answer()).await?;
                conn.wait_close().await
            }
        });
        let liveness = Liveness::new()
            .doubt_after(Duration::from_millis(50))
            .probe_after(Duration::from_millis(50))
            .probe_timeout(support::PATIENCE);
        let client = support::builder([peer.endpoint()]).liveness(liveness).build().unwrap();
        soon("the member", client.wait_ready()).await.unwrap();
        let mut put = JoinSet::new();
        put.spawn({
            let client = client.clone();
            async move { client.put("k", "v").await }
        });
        if another_call {
            soon("another call", client.get("k")).await.unwrap();
        }
        soon("the put", put.join_next()).await.unwrap().unwrap().unwrap();
    }
}

/// Calls that are given up, by the caller or by a deadline, are reset; that their answers come all the same, and after
/// h2 has forgotten the streams, harms no other call.
#[tokio::test]
async fn late_answers_to_calls_that_were_given_up_are_ignored() {
    const GETS: usize = 1500;
    let arrived = Arc::new(Notify::new());
    let tell = Arc::clone(&arrived);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let arrived = Arc::clone(&tell);
        async move {
            conn.handshake(&[]).await?;
            let mut held = Vec::new();
            while held.len() < GETS {
                held.push(next_get(&mut conn).await?.stream_id);
            }
            arrived.notify_one();
            for stream in &held {
                assert_eq!(conn.wait_reset(*stream).await?, code::CANCEL);
            }
            for stream in held {
                // Flow control is not what this is about.
                let block =
                    hpack::encode(&[(":status", "200"), ("content-type", "application/grpc")]);
                conn.send_frame(&Frame::headers(stream, flag::END_HEADERS, block)).await?;
                let message = grpc_message(&support::get_answer());
                conn.send_frame(&Frame::data(stream, 0, message)).await?;
                let block = hpack::encode(&[("grpc-status", "0")]);
                let flags = flag::END_HEADERS | flag::END_STREAM;
                conn.send_frame(&Frame::headers(stream, flags, block)).await?;
            }
            conn.ping([6; 8]).await?;
            loop {
                let call = next_get(&mut conn).await?;
                conn.respond(call.stream_id, &support::get_answer()).await?;
            }
        }
    });
    // A peer with so much to do on two busy cores is slow, and not frozen.
    let client = support::builder([peer.endpoint()])
        .liveness(Liveness::new().probe_timeout(support::PATIENCE))
        .timeout(support::PATIENCE)
        .build()
        .unwrap();
    let mut gets = JoinSet::new();
    for _ in 0..GETS {
        let client = client.clone();
        gets.spawn(async move { client.get("k").await });
    }
    soon("all gets to arrive", arrived.notified()).await;
    drop(gets);
    soon("the next get", client.get("k")).await.unwrap();
    assert_eq!(peer.connections(), 1);
}
