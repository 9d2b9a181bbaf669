//! Pings for those who ask for them: only with a stream open, and an end to the connection that answers none.
//!
//! tokio's clock is paused: seconds pass as soon as nobody has anything to do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcdkit::transport::{DuplexListener, duplex};
use etcdkit::{Client, ErrorKind, Get};
use etcdkit_testkit::peer::frame::flag;
use etcdkit_testkit::peer::{Answer, Connection, FrameKind};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::support::{RANGE_STREAM, assert_says, healthy};

const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a server in this process saw.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    pings: AtomicUsize,
}

/// Serves calls, counts pings, and answers them or not; a stream gets one piece and then rests.
async fn serve(mut conn: Connection, answers_pings: bool, seen: Arc<Seen>) -> io::Result<()> {
    conn.handshake(&[]).await?;
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
        match healthy(&call.path) {
            Some(Answer::Message(message)) => conn.respond(call.stream_id, &message).await?,
            _ => {
                assert_eq!(call.path, RANGE_STREAM);
                conn.start_response(call.stream_id).await?;
                conn.send_message(call.stream_id, &super::streams::piece("a")).await?;
            }
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

/// A client that pings, and its server, which runs as long as the set is held.
fn pinging(answers_pings: bool) -> (Client, Arc<Seen>, JoinSet<()>) {
    let (connector, listener) = duplex();
    let seen = Arc::default();
    let mut server = JoinSet::new();
    server.spawn(accept(listener, answers_pings, Arc::clone(&seen)));
    let client = Client::builder()
        .endpoints(["inprocess:etcd"])
        .connector(connector)
        .keep_alive(INTERVAL)
        .keep_alive_timeout(TIMEOUT)
        .timeouts(etcdkit::config::Timeouts::new().stream_idle(Duration::from_secs(3600)))
        .build()
        .unwrap();
    (client, seen, server)
}

/// Lets time pass.
async fn pass(duration: Duration) {
    let _ = timeout(duration, std::future::pending::<()>()).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_pinged_only_while_a_stream_is_open() {
    let (client, seen, _server) = pinging(true);
    client.get("k").await.unwrap();
    pass(INTERVAL * 10).await;
    assert_eq!(seen.pings.load(Ordering::SeqCst), 0, "etcd counts such pings as offences");

    let mut pieces = client.get_stream(Get::all()).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    pass(INTERVAL * 10 + INTERVAL / 2).await;
    let pings = seen.pings.load(Ordering::SeqCst);
    assert!((9..=11).contains(&pings), "{pings} pings in {:?}", INTERVAL * 10);

    drop(pieces);
    pass(INTERVAL * 2).await;
    let pings = seen.pings.load(Ordering::SeqCst);
    pass(INTERVAL * 10).await;
    assert_eq!(seen.pings.load(Ordering::SeqCst), pings);
    assert_eq!(seen.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_ping_without_an_answer_ends_the_connection() {
    let (client, seen, _server) = pinging(false);
    let mut pieces = client.get_stream(Get::all()).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    let lost = (INTERVAL + TIMEOUT) * 2;
    let end = timeout(lost, pieces.next()).await.expect("the connection is given up").unwrap();
    let error = end.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_says(&error.to_string(), "a ping was not answered within 10s");
    assert_eq!(seen.pings.load(Ordering::SeqCst), 1);
    client.get("k").await.unwrap();
    assert_eq!(seen.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn an_interval_that_etcd_would_punish_is_refused() {
    let builder = Client::builder().endpoints(["http://127.0.0.1:1"]);
    let error = builder.keep_alive(Duration::from_millis(4999)).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_says(&error.to_string(), "more often than every 5s");
}
