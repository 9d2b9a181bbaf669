//! The end of a client: whoever still waits learns of it at once, and nothing is sent any more.

use std::sync::Arc;
use std::time::Duration;

use etcdkit::config::RetryPolicy;
use etcdkit::{Client, Error, ErrorKind, Get};
use etcdkit_testkit::peer::frame::code::NO_ERROR;
use etcdkit_testkit::peer::{Answer, Peer, Request};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::case::Then;
use super::streams;
use super::support::{self, AUTHENTICATE, PUT, RANGE, ask, assert_says, healthy, soon, within};

/// How long it may take until those that wait have learnt of it: far less than any of their deadlines.
const SOON: Duration = Duration::from_secs(2);

/// What `future` comes to without waiting for anything.
async fn at_once<T>(what: &str, future: impl Future<Output = T>) -> T {
    ask(&mut Box::pin(future)).await.unwrap_or_else(|| panic!("{what} waits"))
}

fn assert_closed(what: &str, error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Closed, "{what}: {error}");
    assert_says(&error.to_string(), "the client is closed");
}

#[tokio::test]
async fn after_closing_every_call_fails_at_once_and_nothing_is_sent() {
    let etcd = support::etcd().await;
    let client = support::builder([etcd.endpoint()]).user("alice", "pw").build().unwrap();
    etcd.queue(AUTHENTICATE, support::token_answer("t"));
    soon("the put", client.put("k", "v")).await.unwrap();
    let copy = client.clone();
    soon("closing", client.close()).await;
    soon("closing twice", copy.close()).await;
    soon("being closed", copy.closed()).await;
    let before = etcd.all_requests().len();
    for client in [&client, &copy] {
        let put = at_once("put", client.put("k", "v")).await.unwrap_err();
        assert_closed("put", &put);
        assert!(!put.maybe_applied());
        assert!(!put.is_retryable());
        let get = at_once("get", client.get("k")).await;
        assert_closed("get", &get.unwrap_err());
        let stream = at_once("stream", client.get_stream(Get::all())).await;
        assert_closed("stream", &stream.unwrap_err());
        let ready = at_once("ready", client.wait_ready()).await;
        assert_closed("ready", &ready.unwrap_err());
        let sync = at_once("sync", client.sync()).await;
        assert_closed("sync", &sync.unwrap_err());
        let set = at_once("set", client.set_endpoints([etcd.endpoint()])).await;
        assert_closed("set", &set.unwrap_err());
    }
    assert_eq!(etcd.all_requests().len(), before);
    assert_eq!(etcd.peer().connections(), 1);
}

/// Before its first call it has no connection either.
#[tokio::test]
async fn close_ctx_client() {
    let peer = Peer::silent().await;
    let client = support::builder([peer.endpoint()]).build().unwrap();
    at_once("closing", client.close()).await;
    let put = at_once("put", client.put("k", "v")).await;
    assert_closed("put", &put.unwrap_err());
    assert_eq!(peer.connections(), 0);
}

/// Makes a put and a get, waits until they are where they ought to be, closes, and returns how they ended.
async fn closed_while(
    client: Client,
    under_way: impl Future<Output = ()>,
) -> (Result<(), Error>, Result<(), Error>) {
    let mut calls = JoinSet::new();
    let (putting, getting) = (client.clone(), client.clone());
    calls.spawn(async move { (true, putting.put("k", "v").await.map(drop)) });
    calls.spawn(async move { (false, getting.get("k").await.map(drop)) });
    soon("the calls to be under way", under_way).await;
    let mut outcomes = (Ok(()), Ok(()));
    let ended = async {
        client.close().await;
        while let Some(outcome) = calls.join_next().await {
            match outcome.unwrap() {
                (true, put) => outcomes.0 = put,
                (false, get) => outcomes.1 = get,
            }
        }
    };
    within(SOON, "the calls to end", ended).await;
    outcomes
}

fn hang(call: &Request) -> Option<Answer> {
    matches!(&*call.path, PUT | RANGE).then_some(Answer::Hang)
}

#[tokio::test]
async fn calls_that_wait_for_an_answer_end_with_the_client() {
    let etcd = support::etcd_that(hang).await;
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    let (put, get) = closed_while(client, async {
        etcd.wait_calls(PUT, 1).await;
        etcd.wait_calls(RANGE, 1).await;
    })
    .await;
    let put = put.unwrap_err();
    assert_closed("put", &put);
    assert!(put.maybe_applied(), "it has been sent");
    let get = get.unwrap_err();
    assert_closed("get", &get);
    assert!(!get.maybe_applied());
}

#[tokio::test]
async fn calls_that_wait_for_a_connection_end_with_the_client() {
    let peer = Peer::silent().await;
    let client = support::builder([peer.endpoint()])
        .connect_timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    let (put, get) = closed_while(client, peer.wait_connections(1)).await;
    let put = put.unwrap_err();
    assert_closed("put", &put);
    assert!(!put.maybe_applied());
    assert_closed("get", &get.unwrap_err());
}

#[tokio::test]
async fn calls_that_wait_for_a_token_end_with_the_client() {
    let etcd = support::etcd_that(|call| (call.path == AUTHENTICATE).then_some(Answer::Hang)).await;
    let client = support::builder([etcd.endpoint()]).user("alice", "pw").build().unwrap();
    let (put, get) = closed_while(client, etcd.wait_calls(AUTHENTICATE, 1)).await;
    let put = put.unwrap_err();
    assert_closed("put", &put);
    assert!(!put.maybe_applied(), "{put}");
    assert_closed("get", &get.unwrap_err());
    assert_eq!(etcd.calls(PUT) + etcd.calls(RANGE), 0);
}

/// Refuses puts and gets in ways that have the client try again, and tells once it has read that.
async fn refusing() -> (Peer, Arc<Semaphore>) {
    let refused = Arc::new(Semaphore::new(0));
    let tell = Arc::clone(&refused);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let tell = Arc::clone(&tell);
        async move {
            conn.handshake(&[]).await?;
            loop {
                let call = conn.next_request().await?;
                match (&*call.path, healthy(&call.path)) {
                    (PUT, _) => {
                        let text = "etcdserver: too many requests";
                        conn.respond_status(call.stream_id, 2, text).await?;
                    }
                    (RANGE, _) => {
                        let text = "etcdserver: leader changed";
                        conn.respond_status(call.stream_id, 14, text).await?;
                    }
                    (_, Some(Answer::Message(message))) => {
                        conn.respond(call.stream_id, &message).await?;
                        continue;
                    }
                    (path, _) => panic!("{path} was called"),
                }
                // The calls wake with the first answer, and are on their way to the next attempt with the second.
                conn.ping([3; 8]).await?;
                conn.ping([4; 8]).await?;
                tell.add_permits(1);
            }
        }
    });
    (peer, refused)
}

/// The pauses between attempts are as long as a minute here.
#[tokio::test]
async fn calls_that_wait_for_their_next_attempt_end_with_the_client() {
    let (peer, refused) = refusing().await;
    let minute = Duration::from_secs(60);
    let client = support::builder([peer.endpoint()])
        .retry(RetryPolicy::new().backoff(minute, minute))
        .timeout(minute * 5)
        .build()
        .unwrap();
    let (put, get) =
        closed_while(client, async { drop(refused.acquire_many(2).await.unwrap()) }).await;
    let put = put.unwrap_err();
    assert_closed("put", &put);
    assert!(!put.maybe_applied());
    assert_eq!(put.attempts().len(), 1, "{put}");
    assert_closed("get", &get.unwrap_err());
}

/// The server has said that it is going away, so that the client has begun another connection.
#[tokio::test]
async fn calls_on_a_connection_that_drains_end_with_the_client() {
    let came = Arc::new(Semaphore::new(0));
    let tell = Arc::clone(&came);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let tell = Arc::clone(&tell);
        async move {
            conn.handshake(&[]).await?;
            loop {
                let call = conn.next_request().await?;
                match healthy(&call.path) {
                    Some(Answer::Message(message)) if call.path != PUT && call.path != RANGE => {
                        conn.respond(call.stream_id, &message).await?;
                    }
                    _ => {
                        conn.goaway(call.stream_id, NO_ERROR, b"").await?;
                        conn.ping([2; 8]).await?;
                        tell.add_permits(1);
                    }
                }
            }
        }
    });
    let client = support::builder([peer.endpoint()]).build().unwrap();
    let mut calls = JoinSet::new();
    for connection in 1..=3 {
        let client = client.clone();
        calls.spawn(async move { client.put("k", "v").await });
        soon("the put to arrive", came.acquire()).await.unwrap().forget();
        assert_eq!(peer.connections(), connection);
    }
    let ended = async {
        client.close().await;
        while let Some(put) = calls.join_next().await {
            let error = put.unwrap().unwrap_err();
            assert_closed("put", &error);
            assert!(error.maybe_applied());
        }
    };
    within(SOON, "the calls to end", ended).await;
}

/// What was taken out of the endpoints finishes its calls, unless the client is closed.
#[tokio::test]
async fn calls_on_an_endpoint_that_was_removed_end_with_the_client() {
    let (removed, kept) = (support::etcd_that(hang).await, support::etcd_that(hang).await);
    let client = support::builder([removed.endpoint()]).build().unwrap();
    let changing = client.clone();
    let (put, get) = closed_while(client, async {
        removed.wait_calls(PUT, 1).await;
        removed.wait_calls(RANGE, 1).await;
        changing.set_endpoints([kept.endpoint()]).await.unwrap();
        changing.wait_ready().await.unwrap();
        support::until(&changing, |states| {
            states.len() == 1 && states[0].endpoint() == kept.endpoint() && states[0].is_ready()
        })
        .await;
    })
    .await;
    assert_closed("put", &put.unwrap_err());
    assert_closed("get", &get.unwrap_err());
}

#[tokio::test]
async fn a_stream_ends_with_the_client() {
    let peer = streams::streaming(|conn, call| {
        Box::pin(async move {
            conn.start_response(call.stream_id).await?;
            conn.send_message(call.stream_id, &streams::piece("a")).await?;
            Ok(Then::Serve)
        })
    })
    .await;
    let client = support::builder([peer.endpoint()]).build().unwrap();
    let mut pieces = soon("opening", client.get_stream(Get::all())).await.unwrap();
    soon("a piece", pieces.next()).await.unwrap().unwrap();
    soon("closing", client.close()).await;
    let end = within(SOON, "the end", pieces.next()).await.unwrap();
    assert_closed("stream", &end.unwrap_err());
    assert!(at_once("after the end", pieces.next()).await.is_none());
}

#[tokio::test]
async fn dropping_the_last_client_closes_its_connections() {
    let mut peer = Peer::bind().await;
    peer.run(|mut conn| async move {
        conn.handshake(&[]).await?;
        for _ in 0..3 {
            let call = conn.next_request().await?;
            if let Some(Answer::Message(message)) = healthy(&call.path) {
                conn.respond(call.stream_id, &message).await?;
            }
        }
        conn.wait_close().await
    });
    let client = support::builder([peer.endpoint()]).build().unwrap();
    let copy = client.clone();
    soon("the put", client.put("k", "v")).await.unwrap();
    drop(client);
    assert!(copy.endpoint_states()[0].is_ready());
    drop(copy);
    soon("the end of the connection", peer.next_outcome()).await.unwrap();
}
