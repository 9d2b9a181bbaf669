//! What connections of HTTP/1.1 may have held for them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::serve;
use crate::clock::Clock;
use crate::config::Config;
use crate::front::Offer;
use crate::node::Node;
use crate::state::State;
use crate::task::{Task, spawn};

/// Bytes for all connections.
const ALL: usize = 1 << 30;

/// A node with a key that has a megabyte.
fn node() -> Arc<Node> {
    let mut state = State::new(Arc::new(Config::default()), 7);
    state.store.put(b"key", &[7; 1 << 20], 0);
    state.store.finish();
    let revision = state.store.revision();
    state.publish(revision);
    Arc::new(Node::new(state, Clock::new(), false))
}

fn connect(node: &Arc<Node>) -> (DuplexStream, Task) {
    let (ours, theirs) = duplex(1024);
    let node = Arc::clone(node);
    (ours, spawn(async move { serve(theirs, node, true, Offer::Everything).await }))
}

fn held(node: &Node) -> usize {
    node.held.bytes.load(Ordering::Relaxed)
}

async fn ask(io: &mut DuplexStream, request: &str, host: &str, body: &str) {
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
    // A refusal does not wait for all of it.
    let _ = io.write_all(body.as_bytes()).await;
}

/// Head and body of an answer.
async fn answer(io: &mut DuplexStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    io.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn bodies_are_held_for_who_may_send_them_and_for_no_other() {
    let node = node();
    let (mut io, _task) = connect(&node);
    let body = format!("{{\"key\":\"{}\"}}", "A".repeat(100_000));
    for (request, host, status, kept) in [
        ("POST /health", "localhost", "405", false),
        ("GET /version", "localhost", "200", false),
        ("POST /v3/kv/put", "elsewhere", "403", false),
        ("POST /v3/kv/nothing", "localhost", "404", false),
        ("POST /v3/kv/put", "localhost", "200", true),
    ] {
        let (first, last) = body.split_at(body.len() - 1);
        let length = body.len();
        let head =
            format!("{request} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        io.write_all(head.as_bytes()).await.unwrap();
        io.write_all(first.as_bytes()).await.unwrap();
        // All but what the pipe has was read.
        let expected = if kept { first.len() - 1024 } else { 0 };
        assert!(
            held(&node) >= expected && (kept || held(&node) == 0),
            "{request}: {}",
            held(&node)
        );
        io.write_all(last.as_bytes()).await.unwrap();
        let (head, _) = answer(&mut io).await;
        assert_eq!(head.split(' ').nth(1), Some(status), "{request}");
        assert_eq!(held(&node), 0, "{request}");
    }
}

#[tokio::test]
async fn bodies_are_refused_when_too_much_is_held() {
    let node = node();
    node.held.bytes.fetch_add(ALL, Ordering::Relaxed);
    let (mut io, _task) = connect(&node);
    let body = format!("{{\"key\":\"{}\"}}", "A".repeat(100_000));
    // Who asks how the member is gets an answer all the same, whatever he sends along.
    ask(&mut io, "GET /version", "localhost", &body).await;
    assert!(answer(&mut io).await.0.starts_with("HTTP/1.1 200"));
    ask(&mut io, "POST /v3/kv/put", "localhost", &body).await;
    let (head, text) = answer(&mut io).await;
    assert!(head.starts_with("HTTP/1.1 429") && text.contains("too many requests"), "{text}");
    assert_eq!(held(&node), ALL);
}

#[tokio::test]
async fn what_a_client_of_the_gateway_does_not_read_is_held_until_it_does() {
    let node = node();
    let (mut io, _task) = connect(&node);
    ask(&mut io, "POST /v3/kv/range", "localhost", r#"{"key":"a2V5"}"#).await;
    // What begins to come is all there.
    let first = io.read_u8().await.unwrap();
    assert!(held(&node) > 1 << 20, "{}", held(&node));
    let (head, body) = answer(&mut io).await;
    assert!(first == b'H' && head.starts_with("TTP/1.1 200") && body.len() > 1 << 20);
    // A next one is not read before this one is let go.
    ask(&mut io, "GET /version", "localhost", "").await;
    answer(&mut io).await;
    assert_eq!(held(&node), 0);

    node.held.bytes.fetch_add(ALL, Ordering::Relaxed);
    ask(&mut io, "POST /v3/kv/range", "localhost", r#"{"key":"a2V5"}"#).await;
    let (head, body) = answer(&mut io).await;
    assert!(head.starts_with("HTTP/1.1 500"), "{head}");
    assert!(body.contains("etcdserver: too many requests"), "{body}");
    // What is little is served.
    ask(&mut io, "POST /v3/kv/range", "localhost", r#"{"key":"bm9uZQ=="}"#).await;
    assert!(answer(&mut io).await.0.starts_with("HTTP/1.1 200"));
    // What was done is not said to be refused.
    let put = r#"{"key":"a2V5","prev_kv":true}"#;
    ask(&mut io, "POST /v3/kv/put", "localhost", put).await;
    let (head, body) = answer(&mut io).await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(body.contains("etcdserver: request timed out"), "{body}");
    assert_eq!(node.state().published(), 3);
}
