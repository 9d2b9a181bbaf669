//! Many connections at once, and those among them that want too much.
#![cfg(test)]

use std::path::Path;
use std::process::Command;

use etcdkit_proto::etcdserverpb::watch_request::RequestUnion;
use etcdkit_proto::etcdserverpb::{PutRequest, RangeRequest, WatchCreateRequest, WatchRequest};
use etcdkit_proto::method;
use etcdkit_server::Server;
use futures_util::future::join_all;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::durable::crash::Process;
use crate::peer::{Messages, Peer, framed};

const CONNECTIONS: usize = 10_000;
const LARGE: usize = 1 << 20;

/// In bytes, as Linux counts it.
fn memory(process: u32, of: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(of)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn anonymous_memory(process: u32) -> usize {
    memory(process, "RssAnon:")
}

/// A server in a process of its own with twelve keys of a megabyte each, and the most memory that it had from then on.
struct Watched {
    server: Process,
    before: usize,
}

impl Watched {
    async fn start() -> Self {
        let server = Process::start(Path::new(""));
        let watched = Self { server, before: 0 };
        let peer = watched.connect(65_535).await;
        for number in 0..12_u8 {
            let value = vec![b'v'; 1_000_000].into();
            let put = PutRequest { key: vec![b'a', number].into(), value, ..Default::default() };
            peer.call(method::kv::PUT, &put).await.unwrap();
        }
        let id = watched.server.id();
        std::fs::write(format!("/proc/{id}/clear_refs"), "5").unwrap();
        Self { before: memory(id, "VmHWM:"), ..watched }
    }

    async fn stream(&self) -> TcpStream {
        TcpStream::connect(self.server.url.strip_prefix("http://").unwrap()).await.unwrap()
    }

    async fn connect(&self, window: u32) -> Peer {
        Peer::with_window(self.stream().await, window).await
    }

    /// How many bytes more it had at most than in the beginning.
    fn peak(&self) -> usize {
        memory(self.server.id(), "VmHWM:").saturating_sub(self.before)
    }
}

/// What a connection may have held for it, and some room for the rest.
const BOUND: usize = 200 << 20;

/// Asks for all keys so often before anything is read, and then reads it all.
async fn reads_nothing_for_long(path: &str, calls: usize) {
    let server = Watched::start().await;
    let mut peer = server.connect(65_535).await;
    let everything = RangeRequest { key: "a".into(), range_end: "b".into(), ..Default::default() };
    let mut open = Vec::new();
    for _ in 0..calls {
        let (mut body, answer) = peer.open(path).await;
        body.send_data(framed(&everything.encode_to_vec()), true).unwrap();
        open.push(answer);
    }
    // The server has read everything before this.
    assert!(peer.ping().await);
    let reading = open.into_iter().map(async |answer| {
        let mut messages = Messages::new(answer.await.unwrap().into_body());
        let mut bytes = 0;
        while let Some(message) = messages.next().await.unwrap() {
            bytes += message.len();
        }
        bytes
    });
    for bytes in join_all(reading).await {
        assert!(bytes > 12_000_000, "{bytes}");
    }
    let peak = server.peak();
    println!("{calls} calls of {path}: {} MiB more", peak >> 20);
    assert!(peak < BOUND, "{} MiB more", peak >> 20);
}

#[tokio::test]
async fn answers_that_nobody_reads_are_not_made_all_at_once_and_none_is_refused() {
    reads_nothing_for_long(method::kv::RANGE.path(), 60).await;
}

#[tokio::test]
async fn pieces_that_nobody_reads_are_not_made_all_at_once_and_none_is_refused() {
    reads_nothing_for_long(method::kv::RANGE_STREAM.path(), 60).await;
}

#[tokio::test]
async fn events_that_nobody_reads_are_not_gathered_for_all_streams_at_once() {
    let server = Watched::start().await;
    let mut peer = server.connect(65_535).await;
    let create = WatchCreateRequest {
        key: "a".into(),
        range_end: "b".into(),
        start_revision: 2,
        ..Default::default()
    };
    let create = WatchRequest { request_union: Some(RequestUnion::Create(create)) };
    let mut open = Vec::new();
    for _ in 0..150 {
        let (mut body, answer) = peer.open(method::watch::WATCH.path()).await;
        body.send_data(framed(&create.encode_to_vec()), false).unwrap();
        open.push((body, answer));
    }
    // The server has read all requests before it answers the first, and served them before the second.
    assert!(peer.ping().await && peer.ping().await);
    let peak = server.peak();
    println!("{} watches: {} MiB more", open.len(), peak >> 20);
    assert!(peak < BOUND, "{} MiB more", peak >> 20);
}

#[tokio::test]
async fn bodies_that_nobody_wants_are_not_kept() {
    const SIZE: usize = 3_900_000;
    let server = Watched::start().await;
    let mut streams = Vec::new();
    let begun = ["POST /health", "POST /v3/kv/put", "POST /v3/nothing", "GET /metrics"];
    for number in 0..100 {
        let mut stream = server.stream().await;
        let first = begun[number % begun.len()];
        let head = format!("{first} HTTP/1.1\r\nHost: elsewhere\r\nContent-Length: {SIZE}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; SIZE - 1]).await.unwrap();
        streams.push(stream);
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(b"x").await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        let expected = ["405", "403", "403", "200"][number % begun.len()];
        assert_eq!(status, *format!("HTTP/1.1 {expected}").as_bytes());
    }
    let peak = server.peak();
    println!("{} bodies of {SIZE}: {} MiB more", streams.len(), peak >> 20);
    assert!(peak < 100 << 20, "{} MiB more", peak >> 20);
}

/// Every tenth connection asks for sixteen MiB and reads nothing, another tenth sends half of a large request, and another
/// one that is too large. The others are served, and what all of this takes is far less than what was asked for.
///
/// The process is that of the server. Returns how many bytes more it has in the end.
async fn crowd(process: u32, connect: impl AsyncFn(u32) -> Peer) -> usize {
    let first = connect(1 << 20).await;
    for number in 0..16_u8 {
        let put = PutRequest {
            key: vec![b'a', number].into(),
            value: vec![b'v'; LARGE].into(),
            ..Default::default()
        };
        first.call(method::kv::PUT, &put).await.unwrap();
    }
    let before = anonymous_memory(process);
    let get = RangeRequest { key: "b".into(), ..Default::default() };
    let everything = RangeRequest { key: "a".into(), range_end: "b".into(), ..Default::default() };
    let large =
        PutRequest { key: "b".into(), value: vec![b'v'; LARGE].into(), ..Default::default() };
    let half = framed(&large.encode_to_vec()).split_to(LARGE / 2);
    let (mut peers, mut open, mut refused) = (Vec::new(), Vec::new(), 0);
    for number in 0..CONNECTIONS {
        let peer = connect(65_535).await;
        match number % 10 {
            0 => {
                let (mut body, answer) = peer.open(method::kv::RANGE.path()).await;
                body.send_data(framed(&everything.encode_to_vec()), true).unwrap();
                let answer = answer.await.unwrap();
                refused += usize::from(answer.headers().contains_key("grpc-status"));
                open.push((body, Some(answer)));
            }
            1 => {
                let (mut body, _) = peer.open(method::kv::PUT.path()).await;
                body.send_data(half.clone(), false).unwrap();
                open.push((body, None));
            }
            2 => {
                let (mut body, answer) = peer.open(method::kv::PUT.path()).await;
                body.send_data(bytes::Bytes::from_static(&[0, 0x7f, 0xff, 0xff, 0xff]), false)
                    .unwrap();
                let answer = answer.await.unwrap();
                assert_eq!(answer.headers()["grpc-status"], "8");
            }
            _ => drop(peer.call(method::kv::RANGE, &get).await.unwrap()),
        }
        peers.push(peer);
    }
    for peer in peers.iter().skip(3).step_by(10) {
        peer.call(method::kv::RANGE, &get).await.unwrap();
    }
    let grown = anonymous_memory(process).saturating_sub(before);
    let asked = CONNECTIONS / 10 * 16 * LARGE;
    println!("{CONNECTIONS} connections: {} MiB more, {refused} refused", grown >> 20);
    assert!(grown < asked / 5, "{} MiB of {} MiB", grown >> 20, asked >> 20);
    grown
}

#[tokio::test]
#[ignore = "long: cargo xtask soak"]
async fn soak_ten_thousand_connections_are_served_whatever_some_of_them_want() {
    let server = Server::start_ephemeral().await.unwrap();
    let connect = async |window| Peer::with_window(server.connect(), window).await;
    crowd(std::process::id(), connect).await;
}

/// With the server in a process of its own, so that what is measured is what it takes.
#[tokio::test]
#[ignore = "long: cargo xtask soak"]
async fn soak_ten_thousand_connections_over_tcp_are_served_whatever_some_of_them_want() {
    let files = format!("--nofile={}", CONNECTIONS + 1000);
    let id = format!("--pid={}", std::process::id());
    let raised = Command::new("prlimit").args([&id, &files]).status();
    assert!(raised.is_ok_and(|status| status.success()), "{files} must be allowed");
    let server = Process::start(Path::new(""));
    let address = server.url.strip_prefix("http://").unwrap();
    let connect = async |window| {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer::with_window(stream, window).await
    };
    let grown = crowd(server.id(), connect).await;
    // Half of it is held for clients; the rest are a hundred KiB for each connection.
    assert!(grown < 2 << 30, "{} MiB", grown >> 20);
}
