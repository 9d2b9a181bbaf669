//! A member that is silent while all the streams that it allows are taken: nothing can be asked of it but a ping.
//!
//! tokio's clock is paused: seconds pass as soon as nobody has anything to do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcdkit::service::CallOptions;
use etcdkit::transport::{DuplexListener, duplex};
use etcdkit::{Cause, Client, ErrorKind};
use etcdkit_testkit::peer::frame::flag;
use etcdkit_testkit::peer::frame::setting::MAX_CONCURRENT_STREAMS;
use etcdkit_testkit::peer::{Answer, Connection, FrameKind};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::support::{PUT, healthy};

const LIMIT: u32 = 3;

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    pings: AtomicUsize,
}

/// Answers all but puts.
async fn serve(mut conn: Connection, answers_pings: bool, seen: Arc<Seen>) -> io::Result<()> {
    conn.handshake(&[(MAX_CONCURRENT_STREAMS, LIMIT)]).await?;
    if !answers_pings {
        conn.ignore_pings();
    }
    let mut logged = 0;
    loop {
        // Whatever ends the wait: a call, or a while without any.
        let call = timeout(Duration::from_secs(1), conn.next_request()).await;
        let pings = conn.log()[logged..]
            .iter()
            .filter(|frame| frame.kind == FrameKind::Ping && !frame.has(flag::ACK))
            .count();
        logged = conn.log().len();
        seen.pings.fetch_add(pings, Ordering::SeqCst);
        let Ok(call) = call else { continue };
        let call = call?;
        if let Some(Answer::Message(message)) = healthy(&call.path)
            && call.path != PUT
        {
            conn.respond(call.stream_id, &message).await?;
        }
    }
}

async fn accept(mut listener: DuplexListener, answers_pings: bool, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    while let Some(stream) = listener.accept().await {
        seen.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(serve(Connection::new(stream), answers_pings, Arc::clone(&seen)));
    }
}

/// A client, and its server, which runs as long as the set is held.
fn member(answers_pings: bool) -> (Client, Arc<Seen>, JoinSet<()>) {
    let (connector, listener) = duplex();
    let seen = Arc::default();
    let mut server = JoinSet::new();
    server.spawn(accept(listener, answers_pings, Arc::clone(&seen)));
    let client =
        Client::builder().endpoints(["inprocess:etcd"]).connector(connector).build().unwrap();
    (client, seen, server)
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_with_all_streams_taken_is_given_up() {
    let (client, seen, _server) = member(false);
    client.wait_ready().await.unwrap();
    let mut puts = JoinSet::new();
    for _ in 0..LIMIT {
        let client = client.clone();
        puts.spawn(async move { client.put("k", "v").await });
    }
    // Half a second of silence, and one for the ping.
    let soon = timeout(Duration::from_secs(2), puts.join_all());
    for put in soon.await.expect("the member is given up") {
        let error = put.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(error.attempts()[0].cause(), &Cause::Frozen, "{error}");
        assert!(error.maybe_applied());
    }
    assert_eq!(seen.pings.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_member_with_all_streams_taken_is_waited_for_and_not_pinged_too_often() {
    const DEADLINE: Duration = Duration::from_secs(60);
    let (client, seen, _server) = member(true);
    client.wait_ready().await.unwrap();
    let slow = client.with_options(CallOptions::new().timeout(DEADLINE));
    let mut puts = JoinSet::new();
    // More than the member allows: the others wait for their turn.
    for _ in 0..2 * LIMIT {
        let client = slow.clone();
        puts.spawn(async move { client.put("k", "v").await });
    }
    while let Some(put) = puts.join_next().await {
        let error = put.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    assert_eq!(seen.connections.load(Ordering::SeqCst), 1);
    // etcd allows one in five seconds.
    let pings = seen.pings.load(Ordering::SeqCst);
    assert!((5..=12).contains(&pings), "{pings} pings in {DEADLINE:?}");
    client.get("k").await.unwrap();
}
