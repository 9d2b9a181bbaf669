//! Many connections at once, and those among them that want too much.
#![cfg(test)]

use std::path::Path;
use std::process::Command;

use etcdkit_proto::etcdserverpb::{PutRequest, RangeRequest};
use etcdkit_proto::method;
use etcdkit_server::Server;
use prost::Message;
use tokio::net::TcpStream;

use crate::durable::crash::Process;
use crate::peer::{Peer, framed};

const CONNECTIONS: usize = 10_000;
const LARGE: usize = 1 << 20;

/// In bytes, as Linux counts it.
fn anonymous_memory(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
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
