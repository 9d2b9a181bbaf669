//! Which endpoints are connected to and called, when one of them is no good.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcdkit::ErrorKind::Unavailable;
use etcdkit::config::{Address, Balance, Candidate, Endpoint, Limits, Liveness, Pick};
use etcdkit::service::CallOptions;
use etcdkit::transport::{ConnectFuture, Connector, Io};
use etcdkit::{Client, Get, GetResponse, Streaming};
use etcdkit_testkit::peer::frame::code::NO_ERROR;
use etcdkit_testkit::peer::{Answer, EtcdLike, Peer};
use tokio::net::TcpStream;

use super::streams;
use super::support::{self, CLUSTER, PUT, RANGE, STATUS, ask, soon, status, status_of, within};

/// A client that takes the first endpoint that will do.
fn picks_first(endpoints: [String; 2]) -> Client {
    support::builder(endpoints).balance(Balance::PickFirst).build().unwrap()
}

#[tokio::test]
async fn pick_first_goes_on_to_the_next_while_the_first_is_silent() {
    // It takes connections, and says nothing on them: a connection attempt would fail after 5 s.
    let silent = Peer::bind().await;
    let voter = support::etcd().await;
    let client = picks_first([silent.endpoint(), voter.endpoint()]);
    within(Duration::from_secs(3), "the put", client.put("k", "v")).await.unwrap();
    assert_eq!(voter.calls(PUT), 1);
}

#[tokio::test]
async fn pick_first_goes_on_to_the_next_where_the_first_is_a_learner() {
    let learner = support::etcd_that(|call| match &*call.path {
        STATUS => Some(Answer::Message(status(CLUSTER, "3.7.1", true))),
        PUT => Some(Answer::status(9, "etcdserver: rpc not supported for learner")),
        _ => None,
    })
    .await;
    let voter = support::etcd().await;
    let client = picks_first([learner.endpoint(), voter.endpoint()]);
    soon("the put", client.put("k", "v")).await.unwrap();
    assert_eq!((learner.calls(PUT), voter.calls(PUT)), (0, 1));
    soon("a serializable get", client.get(Get::new("k").serializable())).await.unwrap();
    assert_eq!((learner.calls(RANGE), voter.calls(RANGE)), (1, 0));
}

/// It did not say so before it was called.
#[tokio::test]
async fn pick_first_leaves_a_member_that_turns_out_to_be_a_learner() {
    let learner = support::etcd_that(|call| match &*call.path {
        STATUS => Some(Answer::status(7, "etcdserver: permission denied")),
        PUT => Some(Answer::status(9, "etcdserver: rpc not supported for learner")),
        _ => None,
    })
    .await;
    let voter = support::etcd().await;
    let client = picks_first([learner.endpoint(), voter.endpoint()]);
    for _ in 0..2 {
        soon("the put", client.put("k", "v")).await.unwrap();
    }
    assert_eq!((learner.calls(PUT), voter.calls(PUT)), (1, 2));
}

/// Refuses every connection.
#[derive(Debug, Default)]
struct Refusing(AtomicUsize);

impl Connector for Refusing {
    fn connect<'a>(&'a self, _: &'a Address) -> ConnectFuture<'a> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_called_by_name_is_not_tried_for_ever() {
    let refusing = Arc::new(Refusing::default());
    let client =
        support::builder(["inprocess:a"]).connector(Arc::clone(&refusing)).build().unwrap();
    let other: Endpoint = "inprocess:b".parse().unwrap();
    let there = client.with_options(CallOptions::new().endpoint(other));
    for _ in 0..2 {
        let before = refusing.0.load(Ordering::SeqCst);
        assert_eq!(there.get("k").await.unwrap_err().kind(), Unavailable);
        let attempts = refusing.0.load(Ordering::SeqCst) - before;
        assert!((1..=2).contains(&attempts), "{attempts}");
        let before = refusing.0.load(Ordering::SeqCst);
        for _ in 0..3600 {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(refusing.0.load(Ordering::SeqCst), before, "nobody called");
    }
}

/// Leads to the first address once, and to the second from then on.
#[derive(Debug)]
struct Mended(AtomicUsize, [SocketAddr; 2]);

impl Connector for Mended {
    fn connect<'a>(&'a self, _: &'a Address) -> ConnectFuture<'a> {
        Box::pin(async {
            let address = self.1[self.0.fetch_add(1, Ordering::SeqCst).min(1)];
            Ok(Box::new(TcpStream::connect(address).await?) as Box<dyn Io>)
        })
    }
}

/// Nobody has tried in between, so the next call does.
#[tokio::test]
async fn an_endpoint_called_by_name_that_was_mended_serves_the_next_call() {
    let (no_etcd, etcd) = (Peer::http1().await, support::etcd().await);
    let connector = Mended(AtomicUsize::new(0), [no_etcd.addr(), etcd.addr()]);
    let client = support::builder(["inprocess:a"]).connector(connector).build().unwrap();
    let there = client.at("inprocess:b").unwrap();
    let error = soon("a get", there.get("k")).await.unwrap_err();
    assert!(error.to_string().contains("no endpoint can be used"), "{error}");
    soon("a get", there.get("k")).await.unwrap();
}

/// Panics at the first attempt, and connects from then on.
#[derive(Debug)]
struct PanicsOnce(AtomicUsize, SocketAddr);

impl Connector for PanicsOnce {
    fn connect<'a>(&'a self, _: &'a Address) -> ConnectFuture<'a> {
        Box::pin(async {
            assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "a bug of the user's");
            Ok(Box::new(TcpStream::connect(self.1).await?) as Box<dyn Io>)
        })
    }
}

#[tokio::test]
async fn a_connector_that_panics_has_failed_once_and_is_asked_again() {
    let etcd = support::etcd().await;
    let address = etcd.endpoint().trim_start_matches("http://").parse().unwrap();
    let connector = PanicsOnce(AtomicUsize::new(0), address);
    let client = support::builder(["inprocess:a"]).connector(connector).build().unwrap();
    soon("the get", client.get("k")).await.unwrap();
}

/// Nobody has called, so nobody publishes states.
#[tokio::test]
async fn endpoint_states_of_a_client_that_was_never_used_end_with_it() {
    let client = support::builder(["inprocess:a"]).connector(Refusing::default()).build().unwrap();
    let mut states = client.watch_endpoint_states();
    assert_eq!(soon("the first states", states.next()).await.unwrap().len(), 1);
    client.close().await;
    assert!(soon("the end", states.next()).await.is_none());
}

#[tokio::test]
async fn endpoints_are_replaced_even_if_nobody_waits_for_it() {
    let (old, new) = (support::etcd().await, support::etcd().await);
    let client = support::builder([old.endpoint()]).build().unwrap();
    soon("the get", client.get("k")).await.unwrap();
    let mut replacing = Box::pin(client.set_endpoints([new.endpoint()]));
    assert!(ask(&mut replacing).await.is_none(), "the connections take a moment");
    drop(replacing);
    assert_eq!(client.endpoints()[0].to_string(), new.endpoint());
    let replaced = |states: &[etcdkit::transport::EndpointState]| {
        states.iter().all(|state| state.endpoint() == new.endpoint() && state.is_ready())
    };
    soon("the new endpoint", support::until(&client, replaced)).await;
    soon("the get", client.get("k")).await.unwrap();
    assert_eq!((old.calls(RANGE), new.calls(RANGE)), (1, 1));
}

/// Chooses an endpoint where it may.
#[derive(Debug)]
pub(super) struct Prefer(pub(super) String);

impl Pick for Prefer {
    fn pick(&self, candidates: &[Candidate<'_>]) -> usize {
        let preferred = |candidate: &Candidate<'_>| candidate.endpoint().to_string() == self.0;
        candidates.iter().position(preferred).unwrap_or(0)
    }
}

/// A member of that id, which answers reads or not.
async fn member(id: u64, answers: bool) -> EtcdLike {
    support::etcd_that(move |call| match &*call.path {
        STATUS => Some(Answer::Message(status_of(id, CLUSTER, "3.7.1", false))),
        RANGE if !answers => Some(Answer::Hang),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_read_that_waits_is_not_asked_of_the_same_member_by_another_name() {
    let (slow, same, well) =
        (member(5, false).await, member(5, false).await, member(6, true).await);
    let client = support::builder([slow.endpoint(), same.endpoint(), well.endpoint()])
        .liveness(Liveness::new().hedge_after(Duration::from_millis(50)))
        .balance(Balance::custom(Prefer(slow.endpoint())))
        .build()
        .unwrap();
    soon("all members", support::all_ready(&client)).await;
    soon("the get", client.get("k")).await.unwrap();
    assert_eq!((slow.calls(RANGE), same.calls(RANGE), well.calls(RANGE)), (1, 0, 1));
}

#[tokio::test]
async fn calls_are_spread_over_several_connections_to_one_endpoint() {
    const CONNECTIONS: usize = 3;
    let gets: Arc<[AtomicUsize; CONNECTIONS]> = Arc::default();
    let counted = Arc::clone(&gets);
    let mut connections = 0;
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let (number, gets) = (connections, Arc::clone(&counted));
        connections += 1;
        async move {
            conn.handshake(&[]).await?;
            loop {
                let call = conn.next_request().await?;
                if call.path == RANGE {
                    gets[number].fetch_add(1, Ordering::SeqCst);
                }
                if let Some(Answer::Message(answer)) = support::healthy(&call.path) {
                    conn.respond(call.stream_id, &answer).await?;
                }
            }
        }
    });
    let limits = Limits::new().connections_per_endpoint(CONNECTIONS);
    let client = support::builder([peer.endpoint()]).limits(limits).build().unwrap();
    let called = || gets.each_ref().map(|gets| gets.load(Ordering::SeqCst));
    soon("a call on each", async {
        while called().contains(&0) {
            client.get("k").await.unwrap();
        }
    })
    .await;
    let before = called();
    for _ in 0..10 * CONNECTIONS {
        client.get("k").await.unwrap();
    }
    assert_eq!(called(), before.map(|calls| calls + 10));
    assert_eq!(peer.connections(), CONNECTIONS as u64);
}

/// A stream on a member that freezes after the first piece.
async fn rests_on(freezing: &Peer) -> (Client, Streaming<GetResponse>) {
    let quick = Duration::from_millis(100);
    let client = support::builder([freezing.endpoint()])
        .liveness(Liveness::new().probe_after(quick).probe_timeout(quick))
        .build()
        .unwrap();
    let pieces = soon("opening", client.get_stream(Get::all())).await.unwrap();
    (client, pieces)
}

/// The first piece came; what follows does not, and that is noticed.
async fn ends_soon(mut pieces: Streaming<GetResponse>) {
    soon("the first piece", pieces.next()).await.unwrap().unwrap();
    // A stream may be silent for 30 s; a member that does not answer a probe may not.
    let end = within(Duration::from_secs(10), "the end", pieces.next()).await;
    assert_eq!(end.unwrap().unwrap_err().kind(), Unavailable);
}

/// It was begun on a connection that calls do not use any more; nobody read from it when the member froze.
#[tokio::test]
async fn a_stream_on_a_member_that_was_left_does_not_wait_for_ever() {
    let freezing = streams::streaming(|conn, call| {
        Box::pin(async move {
            conn.start_response(call.stream_id).await?;
            conn.send_message(call.stream_id, &streams::piece("a")).await?;
            pending().await
        })
    })
    .await;
    let other = support::etcd().await;
    let (client, pieces) = rests_on(&freezing).await;
    soon("the endpoints", client.set_endpoints([other.endpoint()])).await.unwrap();
    soon("a get elsewhere", client.get("k")).await.unwrap();
    ends_soon(pieces).await;
}

/// The same where it was the server that was leaving, and froze before it had finished.
#[tokio::test]
async fn a_stream_on_a_member_that_was_leaving_does_not_wait_for_ever() {
    let freezing = streams::streaming(|conn, call| {
        Box::pin(async move {
            conn.start_response(call.stream_id).await?;
            conn.send_message(call.stream_id, &streams::piece("a")).await?;
            conn.goaway(0x7fff_ffff, NO_ERROR, b"").await?;
            pending().await
        })
    })
    .await;
    let (client, pieces) = rests_on(&freezing).await;
    soon("a get on another connection", client.get("k")).await.unwrap();
    ends_soon(pieces).await;
}
