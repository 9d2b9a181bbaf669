//! Pings for those who ask for them: only with a stream open, and an end to the connection that answers none.

use std::sync::Arc;
use std::time::Duration;

use etcdkit::config::Timeouts;
use etcdkit::{Client, ErrorKind, Get};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::paused::{Member, Seen, pass};
use super::support::assert_says;

const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client that pings, and its server, which runs as long as the set is held.
fn pinging(answers_pings: bool) -> (Client, Arc<Seen>, JoinSet<()>) {
    Member { settings: &[], answers_pings, unanswered: &[] }.start(|builder| {
        builder
            .keep_alive(INTERVAL)
            .keep_alive_timeout(TIMEOUT)
            .timeouts(Timeouts::new().stream_idle(Duration::from_secs(3600)))
    })
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_pinged_only_while_a_stream_is_open() {
    let (client, seen, _server) = pinging(true);
    client.get("k").await.unwrap();
    pass(INTERVAL * 10).await;
    assert_eq!(seen.pings(), 0, "etcd counts such pings as offences");

    let mut pieces = client.get_stream(Get::all()).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    pass(INTERVAL * 10 + INTERVAL / 2).await;
    let pings = seen.pings();
    assert!((9..=11).contains(&pings), "{pings} pings in {:?}", INTERVAL * 10);

    drop(pieces);
    pass(INTERVAL * 2).await;
    let pings = seen.pings();
    pass(INTERVAL * 10).await;
    assert_eq!(seen.pings(), pings);
    assert_eq!(seen.connections(), 1);
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
    assert_eq!(seen.pings(), 1);
    client.get("k").await.unwrap();
    assert_eq!(seen.connections(), 2);
}

#[test]
fn an_interval_that_etcd_would_punish_is_refused() {
    let builder = Client::builder().endpoints(["http://127.0.0.1:1"]);
    let error = builder.keep_alive(Duration::from_millis(4999)).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_says(&error.to_string(), "more often than every 5s");
}
