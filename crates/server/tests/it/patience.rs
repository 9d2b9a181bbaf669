//! Clients that ping too often, that never finish what they begin, and that are gone without a word.
#![cfg(test)]

use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::watch_request::RequestUnion;
use etcdkit_proto::etcdserverpb::{
    PutRequest, RangeRequest, WatchCreateRequest, WatchRequest, WatchResponse,
};
use etcdkit_proto::method;
use etcdkit_server::Server;
use etcdkit_testkit::etcd::{Etcd, Version};
use h2::SendStream;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::peer::{Messages, Peer, Refused, framed};

const TOO_MANY: &str =
    r#"connection error received: detected excessive load generating behavior (b"too_many_pings")"#;

fn watch_request() -> Bytes {
    let create = WatchCreateRequest { key: "a".into(), ..WatchCreateRequest::default() };
    framed(&WatchRequest { request_union: Some(RequestUnion::Create(create)) }.encode_to_vec())
}

/// Opens a watch, and waits until it is there.
async fn watch(peer: &Peer) -> (SendStream<Bytes>, Messages) {
    let (mut requests, response) = peer.open(method::watch::WATCH.path()).await;
    requests.send_data(watch_request(), false).unwrap();
    let mut messages = Messages::new(response.await.unwrap().into_body());
    created(&mut messages).await.unwrap();
    (requests, messages)
}

async fn created(messages: &mut Messages) -> Result<WatchResponse, Refused> {
    let response = WatchResponse::decode(messages.next().await?.unwrap()).unwrap();
    assert!(response.created, "{response:?}");
    Ok(response)
}

async fn get(peer: &Peer) {
    let get = RangeRequest { key: "a".into(), ..RangeRequest::default() };
    peer.call(method::kv::RANGE, &get).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_pings_every_second_is_cut_off_and_who_pings_every_ten_is_not() {
    let server = Server::start_ephemeral().await.unwrap();
    let mut peer = Peer::over(server.connect()).await;
    let _watch = watch(&peer).await;
    for _ in 0..30 {
        assert!(peer.ping().await);
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    for _ in 0..3 {
        peer.ping().await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    peer.ping().await;
    assert_eq!(peer.ended().await, TOO_MANY);
}

/// The rule is gRPC's, so that etcd has the same: three pings at once are taken, one of them for an answer, the others are
/// strikes. With no call there need not be any either.
#[tokio::test]
async fn pings_are_too_many_where_they_are_for_etcd() {
    let etcd = Etcd::builder(Version::newest()).start().await;
    let server = Server::start_ephemeral().await.unwrap();
    for watching in [true, false] {
        for (pings, too_many) in [(3, false), (5, true)] {
            let real = TcpStream::connect(etcd.client_addr()).await.unwrap();
            for mut peer in [Peer::over(real).await, Peer::over(server.connect()).await] {
                let watch = if watching { Some(watch(&peer).await) } else { None };
                for _ in 0..pings {
                    peer.ping().await;
                }
                if too_many {
                    assert_eq!(peer.ended().await, TOO_MANY, "{pings} pings, watch: {watching}");
                } else {
                    get(&peer).await;
                }
                drop(watch);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_arrives_ends_after_a_minute() {
    let server = Server::start_ephemeral().await.unwrap();
    let peer = Peer::over(server.connect()).await;
    let put = PutRequest { key: "a".into(), ..PutRequest::default() };
    let put = framed(&put.encode_to_vec());
    let half = put.slice(..put.len() / 2);
    for (path, sent) in [
        (method::kv::PUT.path(), Bytes::new()),
        (method::kv::PUT.path(), half.clone()),
        (method::kv::RANGE_STREAM.path(), Bytes::new()),
        (method::watch::WATCH.path(), half.clone()),
        (method::lease::KEEP_ALIVE.path(), half),
    ] {
        let before = server.clock().elapsed();
        let (mut body, answer) = peer.open(path).await;
        body.send_data(sent, false).unwrap();
        let answer = answer.await.unwrap();
        let (code, text) = match answer.headers().get("grpc-status") {
            Some(code) => {
                let text = answer.headers()["grpc-message"].to_str().unwrap().to_owned();
                (code.to_str().unwrap().parse().unwrap(), text)
            }
            None => Messages::new(answer.into_body()).next().await.unwrap_err(),
        };
        assert_eq!((code, text.as_str()), (4, "the request did not arrive within 60 s"), "{path}");
        let took = (server.clock().elapsed() - before).as_secs();
        assert_eq!(took, 60, "{path}");
        get(&peer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_silent_between_its_messages() {
    let server = Server::start_ephemeral().await.unwrap();
    let peer = Peer::over(server.connect()).await;
    let (mut requests, mut messages) = watch(&peer).await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    requests.send_data(watch_request(), false).unwrap();
    assert_eq!(created(&mut messages).await.unwrap().watch_id, 1);
    // What comes in pieces is whole in the end, and the next message has its time again.
    for _ in 0..3 {
        let request = watch_request();
        for byte in 0..request.len() {
            requests.send_data(request.slice(byte..=byte), false).unwrap();
            tokio::time::advance(Duration::from_secs(3)).await;
        }
        created(&mut messages).await.unwrap();
    }
}

/// What a client sends before it says nothing more.
#[tokio::test(start_paused = true)]
async fn half_a_frame_ends_its_connection_after_a_minute() {
    let server = Server::start_ephemeral().await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let begun = [&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    for (what, sent) in [
        ("nothing", Vec::new()),
        ("half a preface", preface[..10].to_vec()),
        ("half a frame's head", [&begun[..], &[0, 0]].concat()),
        ("half a frame", [&begun[..], &[0, 1, 0, 0, 0, 0, 0, 0, 1, 7]].concat()),
        ("headers without an end", [&begun[..], &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x83]].concat()),
        ("half a request of HTTP/1.1", b"GET /health HTTP/1.1\r\nHost: a".to_vec()),
    ] {
        let before = server.clock().elapsed();
        let mut io = server.connect();
        io.write_all(&sent).await.unwrap();
        let mut answer = Vec::new();
        // It may also be reset.
        let _ = io.read_to_end(&mut answer).await;
        assert_eq!((server.clock().elapsed() - before).as_secs(), 60, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_pings_is_given_up() {
    let server = Server::builder()
        .grpc_keepalive_interval(Duration::from_secs(100))
        .grpc_keepalive_timeout(Duration::from_secs(5))
        .start()
        .await
        .unwrap();
    let alive = Peer::over(server.connect()).await;
    let before = server.clock().elapsed();
    let mut io = server.connect();
    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let _ = io.read_to_end(&mut Vec::new()).await;
    assert_eq!((server.clock().elapsed() - before).as_secs(), 105);
    get(&alive).await;
}

#[tokio::test(start_paused = true)]
async fn answers_do_not_pile_up_for_a_watch_stream_that_nobody_reads() {
    const WATCHES: usize = 30_000;
    let server = Server::start_ephemeral().await.unwrap();
    let peer = Peer::with_window(server.connect(), 65_535).await;
    let (mut requests, response) = peer.open(method::watch::WATCH.path()).await;
    for _ in 0..WATCHES {
        requests.send_data(watch_request(), false).unwrap();
    }
    // The paused clock goes on once nobody has anything to do.
    let rest = tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
    assert!(rest.is_err());
    let mut http = server.connect();
    let get = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    http.write_all(get).await.unwrap();
    let mut metrics = String::new();
    http.read_to_string(&mut metrics).await.unwrap();
    let name = "etcd_debugging_mvcc_watcher_total ";
    let begun = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let begun: usize = begun.parse().unwrap();
    assert!((1..10_000).contains(&begun), "{begun} watches, of which nobody took the answers");
    let mut messages = Messages::new(response.await.unwrap().into_body());
    for _ in 0..WATCHES {
        created(&mut messages).await.unwrap();
    }
}
