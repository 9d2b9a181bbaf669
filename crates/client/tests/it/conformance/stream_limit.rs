//! A member that is silent while all the streams that it allows are taken: nothing can be asked of it but a ping.

use std::sync::Arc;
use std::time::Duration;

use etcdkit::service::CallOptions;
use etcdkit::{Cause, Client, ErrorKind, Get, Txn};
use etcdkit_testkit::peer::frame::setting::MAX_CONCURRENT_STREAMS;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::paused::{Member, Seen, pass};
use super::support::{PUT, TXN, assert_says};

const LIMIT: u32 = 3;
/// What etcd allows between two pings.
const ALLOWED: Duration = Duration::from_secs(5);

/// A client, and its server, which runs as long as the set is held and answers all but puts.
fn member(answers_pings: bool) -> (Client, Arc<Seen>, JoinSet<()>) {
    let settings = &[(MAX_CONCURRENT_STREAMS, LIMIT)];
    Member { settings, answers_pings, unanswered: &[PUT, TXN] }.start(|builder| builder)
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
    assert_eq!(seen.pings(), 1);
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
    assert_eq!(seen.connections(), 1);
    // etcd allows one in five seconds.
    let pings = seen.pings();
    assert!((5..=12).contains(&pings), "{pings} pings in {DEADLINE:?}");
    assert!(seen.between_pings() >= Some(ALLOWED), "{:?}", seen.between_pings());
    client.get("k").await.unwrap();
}

/// Nobody waits for them, and they are left to their end all the same: there is no stream for a probe.
#[tokio::test(start_paused = true)]
async fn a_slow_member_with_all_streams_taken_by_transactions_that_were_given_up_is_waited_for() {
    let (client, seen, _server) = member(true);
    client.wait_ready().await.unwrap();
    give_up_transactions(&client, LIMIT).await;
    assert_eq!(seen.unanswered(), LIMIT as usize);
    let slow = client.with_options(CallOptions::new().timeout(Duration::from_secs(60)));
    let error = slow.put("k", "v").await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Timeout, false), "{error}");
    assert_eq!(seen.connections(), 1);
    assert!(seen.pings() > 0);
}

async fn give_up_transactions(client: &Client, count: u32) {
    let hurried = client.with_options(CallOptions::new().timeout(Duration::from_millis(100)));
    for _ in 0..count {
        let error = hurried.txn(Txn::new().then([Get::new("k")])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
}

/// For as long as the member may take for it, and no longer.
#[tokio::test(start_paused = true)]
async fn a_transaction_that_was_given_up_is_left_to_its_end_on_an_endpoint_that_was_removed() {
    let (client, seen, _server) = member(true);
    client.wait_ready().await.unwrap();
    give_up_transactions(&client, 1).await;
    client.set_endpoints(["inprocess:other"]).await.unwrap();
    client.get("k").await.unwrap();
    pass(Duration::from_secs(8)).await;
    assert_eq!((seen.connections(), seen.closed()), (2, 0));
    pass(Duration::from_secs(4)).await;
    assert_eq!((seen.connections(), seen.closed()), (2, 1));
    // One without is closed sooner.
    client.set_endpoints(["inprocess:etcd"]).await.unwrap();
    client.get("k").await.unwrap();
    pass(Duration::from_secs(3)).await;
    assert_eq!((seen.connections(), seen.closed()), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_never_sent_by_its_deadline_is_certainly_not_applied() {
    const PUTS: usize = 20;
    let (client, seen, _server) = member(true);
    client.wait_ready().await.unwrap();
    let mut puts = JoinSet::new();
    for _ in 0..PUTS {
        let client = client.clone();
        puts.spawn(async move { client.put("k", "v").await.unwrap_err() });
    }
    let errors = puts.join_all().await;
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Timeout), "{errors:?}");
    let (unknown, certain): (Vec<_>, Vec<_>) =
        errors.iter().partition(|error| error.maybe_applied());
    // Of those that have left the client's own queue, some may wait in h2's.
    assert!(unknown.len() >= seen.unanswered(), "{} of {}", unknown.len(), seen.unanswered());
    assert!(certain.len() >= PUTS - 2 * LIMIT as usize, "{} of {PUTS}", certain.len());
    for error in certain {
        assert_says(&error.to_string(), "was not sent in time");
    }
}

/// A keep-alive and a probe know of each other: etcd allows both of them together one ping in five seconds.
#[tokio::test(start_paused = true)]
async fn a_keep_alive_and_a_probe_do_not_ping_in_quick_succession() {
    for interval in [ALLOWED, Duration::from_secs(7)] {
        let settings = &[(MAX_CONCURRENT_STREAMS, LIMIT)];
        let member = Member { settings, answers_pings: true, unanswered: &[PUT] };
        let (client, seen, _server) = member.start(|builder| builder.keep_alive(interval));
        let mut pieces = client.get_stream(Get::all()).await.unwrap();
        pieces.next().await.unwrap().unwrap();
        let slow = client.with_options(CallOptions::new().timeout(Duration::from_secs(60)));
        let mut puts = JoinSet::new();
        for _ in 1..LIMIT {
            let client = slow.clone();
            puts.spawn(async move { client.put("k", "v").await });
        }
        for put in puts.join_all().await {
            assert_eq!(put.unwrap_err().kind(), ErrorKind::Timeout);
        }
        assert_eq!(seen.connections(), 1);
        assert!(seen.pings() >= 8, "{} pings", seen.pings());
        assert!(seen.between_pings() >= Some(ALLOWED), "{:?}", seen.between_pings());
    }
}
