//! What scripts do with a connection, as `h2` sees it.

use std::io;

use bytes::BytesMut;
use h2::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Client, finish, is_eof};
use crate::peer::frame::{PREFACE, code, flag, setting};
use crate::peer::{Connection, Frame, FrameKind, Peer, grpc_message};

#[tokio::test]
async fn a_call_is_read_and_answered() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake(&[(setting::MAX_CONCURRENT_STREAMS, 7)]).await?;
        let call = conn.next_request().await?;
        assert_eq!(call.path, "/etcdserverpb.KV/Range");
        assert_eq!(call.authority, "etcd.test");
        assert_eq!(call.header(":method"), Some("POST"));
        assert_eq!(call.header("grpc-timeout"), Some("5S"));
        assert_eq!(call.header("token"), None);
        assert_eq!(call.body, grpc_message(b"request"));
        conn.respond(call.stream_id, b"answer").await?;
        let call = conn.next_request().await?;
        conn.respond_status(call.stream_id, 14, "no leader, 100% sure\n").await?;
        let kinds: Vec<_> = conn.log().iter().map(|frame| frame.kind).collect();
        assert!(kinds.starts_with(&[FrameKind::Settings]), "{kinds:?}");
        assert!(conn.log().iter().any(|frame| *frame == Frame::settings_ack()));
        conn.wait_close().await
    });
    let mut client = Client::connect(&peer).await;
    let response = client.call("/etcdserverpb.KV/Range", b"request").await.unwrap();
    assert_eq!((response.status, response.body.as_ref()), (200, &grpc_message(b"answer")[..]));
    assert_eq!(response.headers["content-type"], "application/grpc");
    assert_eq!(response.grpc_status(), ("0", ""));
    assert_eq!(client.requests.current_max_send_streams(), 7);
    let response = client.call("/etcdserverpb.KV/Range", b"").await.unwrap();
    assert!(response.trailers.is_none() && response.body.is_empty());
    assert_eq!(response.grpc_status(), ("14", "no leader, 100%25 sure%0A"));
    client.ended().await.unwrap();
    peer.next_outcome().await.unwrap();
}

#[tokio::test]
async fn large_messages_go_both_ways_under_flow_control() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake(&[]).await?;
        let call = conn.next_request().await?;
        conn.respond(call.stream_id, &call.message()).await?;
        conn.wait_close().await
    });
    let mut client = Client::connect(&peer).await;
    let message: Vec<u8> = (0..3_000_000_u32).map(|i| i.to_be_bytes()[3]).collect();
    let response = client.call("/a/B", &message).await.unwrap();
    assert!(response.body == grpc_message(&message), "the message has changed");
    client.ended().await.unwrap();
    peer.next_outcome().await.unwrap();
}

#[tokio::test]
async fn messages_of_a_stream_come_one_by_one() {
    let (mut conn, io) = Connection::duplex(1024);
    let serve = async {
        conn.handshake(&[]).await?;
        let call = conn.next_headers().await?;
        assert!(call.body.is_empty());
        conn.start_response(call.stream_id).await?;
        let mut n = 0;
        while let Some(message) = conn.next_message(call.stream_id).await? {
            assert_eq!(message, format!("request {n}"));
            conn.send_message(call.stream_id, format!("answer {n}").as_bytes()).await?;
            n += 1;
        }
        conn.finish_response(call.stream_id, 0, "").await?;
        conn.wait_close().await
    };
    let call = async {
        let mut client = Client::over(io).await;
        let request = http::Request::post("http://etcd.test/a/B").body(()).unwrap();
        let (response, mut requests) = client.requests.send_request(request, false).unwrap();
        let mut answers = response.await.unwrap().into_body();
        for n in 0..3 {
            requests.send_data(grpc_message(format!("request {n}").as_bytes()), false).unwrap();
            let answer = answers.data().await.unwrap().unwrap();
            assert_eq!(answer, grpc_message(format!("answer {n}").as_bytes()));
        }
        requests.send_data(bytes::Bytes::new(), true).unwrap();
        assert!(answers.data().await.is_none());
        assert_eq!(answers.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        drop((requests, answers));
        client.ended().await.unwrap();
    };
    let (served, ()) = tokio::join!(serve, call);
    served.unwrap();
}

#[tokio::test]
async fn every_byte_may_be_a_write_of_its_own() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.split_writes(1);
        conn.split_headers(3);
        conn.handshake(&[]).await?;
        let call = conn.next_request().await?;
        conn.respond(call.stream_id, b"answer").await?;
        conn.wait_close().await
    });
    let mut client = Client::connect(&peer).await;
    let response = client.call("/a/B", b"").await.unwrap();
    assert_eq!(response.body, grpc_message(b"answer"));
    assert_eq!(response.grpc_status(), ("0", ""));
}

#[tokio::test]
async fn a_client_answers_pings_and_settings() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake(&[]).await?;
        conn.ping(*b"etcdkit!").await?;
        conn.settings(&[(setting::MAX_CONCURRENT_STREAMS, 1)]).await?;
        let call = conn.next_request().await?;
        conn.respond(call.stream_id, b"").await?;
        conn.wait_close().await
    });
    let mut client = Client::connect(&peer).await;
    client.call("/a/B", b"").await.unwrap();
    client.ended().await.unwrap();
    peer.next_outcome().await.unwrap();
}

#[tokio::test]
async fn pings_and_settings_are_answered_until_a_script_ignores_them() {
    let (mut conn, mut client) = Connection::duplex(4096);
    let settings = Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]);
    let pings = [*b"answered", *b"ignored!"].map(Frame::ping);
    let mut sent = PREFACE.to_vec();
    for frame in [&settings, &settings, &pings[0], &settings, &pings[1]] {
        sent.extend_from_slice(&frame.encode());
    }
    client.write_all(&sent).await.unwrap();
    conn.handshake(&[]).await.unwrap();
    conn.wait_frame(|frame| *frame == pings[0]).await.unwrap();
    conn.ignore_settings();
    conn.ignore_pings();
    conn.wait_frame(|frame| *frame == pings[1]).await.unwrap();
    assert_eq!(conn.log().len(), 5);
    conn.close().await.unwrap();

    let mut received = BytesMut::new();
    while client.read_buf(&mut received).await.unwrap() > 0 {}
    let frames: Vec<_> = std::iter::from_fn(|| Frame::decode(&mut received)).collect();
    let ack = Frame::settings_ack();
    let pong = Frame::ping_ack(&b"answered"[..]);
    assert_eq!(frames, [Frame::settings(&[]), ack.clone(), ack, pong]);
}

#[tokio::test]
async fn withheld_windows_stop_a_client() {
    let (mut conn, io) = Connection::duplex(4096);
    let (settled, wait_settled) = tokio::sync::oneshot::channel();
    let serve = async {
        conn.hold_windows();
        conn.handshake(&[(setting::INITIAL_WINDOW_SIZE, 5)]).await?;
        conn.settings(&[(setting::INITIAL_WINDOW_SIZE, 10)]).await?;
        settled.send(()).unwrap();
        let call = conn.next_headers().await?;
        let data = conn.wait_frame(|frame| frame.kind == FrameKind::Data).await?;
        assert_eq!((data.payload.len(), data.has(flag::END_STREAM)), (10, false));
        // h2 answers a PING before it sends DATA, so what it could have sent comes before the second answer.
        conn.ping(*b"the 1st.").await?;
        conn.ping(*b"the 2nd.").await?;
        let data = |frame: &&Frame| frame.kind == FrameKind::Data;
        assert_eq!(conn.log().iter().filter(data).count(), 1);
        conn.send_frame(&Frame::window_update(call.stream_id, 100)).await?;
        conn.wait_end(call.stream_id).await?;
        conn.respond(call.stream_id, b"").await?;
        conn.wait_close().await
    };
    let call = async {
        let mut client = Client::over(io).await;
        wait_settled.await.unwrap();
        client.call("/a/B", &[1; 50]).await.unwrap();
        client.ended().await.unwrap();
    };
    let (served, ()) = tokio::join!(serve, call);
    served.unwrap();
}

#[tokio::test]
async fn resets_and_goaways_arrive() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake(&[]).await?;
        let call = conn.next_request().await?;
        conn.rst(call.stream_id, code::REFUSED_STREAM).await?;
        let first = conn.next_request().await?;
        let second = conn.next_request().await?;
        conn.goaway(first.stream_id, code::NO_ERROR, b"maintenance").await?;
        conn.respond(first.stream_id, b"last").await?;
        assert!(second.stream_id > first.stream_id);
        conn.wait_close().await
    });
    let mut client = Client::connect(&peer).await;
    let error = client.call("/a/B", b"").await.unwrap_err();
    assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::REFUSED_STREAM)));
    let first = client.start("/a/B", b"").await.unwrap();
    let second = client.start("/a/B", b"").await.unwrap();
    assert_eq!(finish(first).await.unwrap().body, grpc_message(b"last"));
    let error = finish(second).await.unwrap_err();
    assert!(error.is_go_away() && error.reason() == Some(Reason::NO_ERROR), "{error:?}");
}

#[tokio::test]
async fn a_client_that_gives_up_is_noticed() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake(&[]).await?;
        let call = conn.next_headers().await?;
        // Far more than the window: it waits until the client has lost interest.
        conn.start_response(call.stream_id).await?;
        conn.send_data(call.stream_id, vec![0; 1_000_000]).await?;
        assert_eq!(conn.wait_reset(call.stream_id).await?, code::CANCEL);
        Err(io::Error::other("seen"))
    });
    let mut client = Client::connect(&peer).await;
    let response = client.start("/a/B", b"").await.unwrap().await.unwrap();
    drop(response);
    assert_eq!(peer.next_outcome().await.unwrap_err().to_string(), "seen");
}

#[tokio::test]
async fn broken_frames_break_the_client() {
    for frame in [
        Frame::data(0, 0, &b"DATA on stream 0"[..]),
        Frame::window_update(0, 0),
        Frame::headers(1, flag::END_HEADERS | flag::END_STREAM, &b"\xff\xff\xff\xff"[..]),
    ] {
        let mut peer = Peer::bind().await;
        let shown = format!("{frame:?}");
        peer.run(move |mut conn| {
            let frame = frame.clone();
            async move {
                conn.handshake(&[]).await?;
                conn.next_request().await?;
                conn.send_frame(&frame).await?;
                conn.wait_frame(|frame| frame.kind == FrameKind::GoAway).await.map(drop)
            }
        });
        let mut client = Client::connect(&peer).await;
        client.call("/a/B", b"").await.expect_err(&shown);
        peer.next_outcome().await.unwrap();
    }
}

#[tokio::test]
async fn no_settings_no_acknowledgement() {
    let (mut conn, io) = Connection::duplex(4096);
    let mut client = Client::over(io).await;
    conn.handshake_silent().await.unwrap();
    let response = client.start("/a/B", b"").await.unwrap();
    conn.next_request().await.unwrap();
    assert!(!conn.log().iter().any(|frame| *frame == Frame::settings_ack()));
    drop(client);
    drop(response);
    let ended = conn.next_request().await.map(drop);
    assert!(is_eof(&ended), "{ended:?}");
}
