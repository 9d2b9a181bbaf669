//! Several endpoints: which one is asked next, and which calls may ask another.

use std::time::Duration;

use etcdkit_v2::{Cause, Client, ClientBuilder, Delete, ErrorKind, Selection, Set};
use tokio::time::timeout;

use crate::server::{REFUSING, Reply, SOON, Server, drop_after, patient};

/// A client that turns to `urls` in this order: by way of a leader, which is the first.
async fn ordered(urls: &[&str]) -> Client {
    ordered_by(patient(), urls).await
}

async fn ordered_by(builder: ClientBuilder, urls: &[&str]) -> Client {
    let list: Vec<String> = urls.iter().map(|url| format!("{url:?}")).collect();
    let members = format!(r#"{{"members":[{{"id":"1","clientURLs":[{}]}}]}}"#, list.join(","));
    let leader = format!(r#"{{"id":"1","clientURLs":[{:?}]}}"#, urls[0]);
    let seed = Server::start(move |request| match request.target.as_str() {
        "/v2/members" => Reply::ok(members.clone()),
        _ => Reply::ok(leader.clone()),
    })
    .await;
    let builder = builder.selection(Selection::PrioritizeLeader);
    let client = builder.endpoints([seed.url()]).build().unwrap();
    client.sync().await.unwrap();
    assert_eq!(client.endpoints().len(), urls.len());
    client
}

fn write_or_read(client: &Client, write: bool) -> impl Future<Output = etcdkit_v2::Result<()>> {
    let keys = client.keys();
    async move {
        match write {
            true => keys.set("/k", "v").await.map(drop),
            false => keys.get("/k").await.map(drop),
        }
    }
}

#[tokio::test]
async fn http_cluster_client_do() {
    let good = Reply::key("v", 7);
    let missing =
        Reply::status(404, r#"{"errorCode":100,"message":"Key not found","cause":"/k","index":1}"#);
    let teapot = Reply::status(418, "");
    let broken = Reply::status(502, "");
    let leaderless = Reply::status(503, "");
    // First, second, write; what comes of it; requests at the second; who is turned to next.
    for (first, second, write, result, asked, pinned) in [
        (&good, &good, false, Ok(()), 0, 0),
        (&good, &good, true, Ok(()), 0, 0),
        (&broken, &good, false, Ok(()), 1, 1),
        (&leaderless, &good, false, Ok(()), 1, 1),
        (&Reply::Close, &good, false, Ok(()), 1, 1),
        (&missing, &good, false, Err(ErrorKind::NotFound), 0, 0),
        (&teapot, &good, false, Err(ErrorKind::Internal), 0, 0),
        (&broken, &broken, false, Err(ErrorKind::Unavailable), 1, 0),
        (&leaderless, &broken, false, Err(ErrorKind::NoLeader), 1, 0),
        (&broken, &good, true, Err(ErrorKind::Unavailable), 0, 1),
        (&leaderless, &good, true, Err(ErrorKind::NoLeader), 0, 1),
        (&Reply::Close, &good, true, Err(ErrorKind::Unavailable), 0, 1),
    ] {
        let servers = [Server::always(first.clone()).await, Server::always(second.clone()).await];
        let client = ordered(&[servers[0].url(), servers[1].url()]).await;
        let scenario = format!("{first:?}, {second:?}, write: {write}");
        let outcome = write_or_read(&client, write).await;
        assert_eq!(outcome.as_ref().map_err(|error| error.kind()).copied(), result, "{scenario}");
        assert_eq!(servers[1].received().len(), asked, "{scenario}");
        assert_eq!(client.pinned(), servers[pinned].endpoint(), "{scenario}");
        if let Err(error) = outcome {
            let failed = !error.attempts().is_empty();
            assert_eq!(error.maybe_applied(), write && failed, "{scenario}");
        }
    }
}

#[tokio::test]
async fn a_cluster_error_lists_the_failure_of_each_endpoint() {
    let broken = Server::always(Reply::status(502, "gateway")).await;
    let leaderless = Server::always(Reply::status(
        500,
        r#"{"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: request timed out","index":0}"#,
    ))
    .await;
    let client = ordered(&[broken.url(), leaderless.url(), REFUSING]).await;
    let error = client.keys().get("/k").await.unwrap_err();
    let causes: Vec<&Cause> = error.attempts().iter().map(|attempt| attempt.cause()).collect();
    assert!(
        matches!(causes[..], [Cause::Server(502, _), Cause::NoLeader(_), Cause::Connect(_)]),
        "{causes:?}"
    );
    let text = error.to_string();
    assert!(text.contains(REFUSING) && text.contains("gateway"), "{text}");
    assert!(text.contains("etcdserver: request timed out"), "{text}");
}

#[tokio::test]
async fn http_cluster_client_do_deadline_exceed_context() {
    // The caller's own deadline is a timer around the future: nothing goes on behind it.
    let server = Server::always(Reply::Silence).await;
    let client = Client::new([server.url()]).unwrap();
    let call = timeout(Duration::from_millis(50), client.keys().set("/k", "v")).await;
    assert!(call.is_err());
    server.wait_closed(server.connections()).await;
}

#[tokio::test]
async fn http_cluster_client_do_canceled_context() {
    // A future that is never polled sends nothing.
    let server = Server::always(Reply::key("v", 7)).await;
    let client = Client::new([server.url()]).unwrap();
    drop(client.keys().set("/k", "v"));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn v2_no_retry_eof() {
    // As in Go: no destructive call is made again when the connection ends.
    let closing = Server::always(Reply::Close).await;
    let other = Server::always(Reply::key("v", 7)).await;
    let calls: Vec<Set> = vec![
        Set::new("/k", "v"),
        Set::new("/k", "v").must_not_exist(),
        Set::new("/k", "v").prev_value("w"),
        Set::new("/k", "v").prev_index(3),
        Set::directory("/k"),
        Set::refresh("/k", Duration::from_secs(1)),
    ];
    for (index, call) in calls.into_iter().enumerate() {
        let client = ordered(&[closing.url(), other.url()]).await;
        let error = client.keys().call(call).await.unwrap_err();
        assert!(error.maybe_applied(), "{error}");
        assert_eq!(closing.received().len(), index + 1);
        assert!(other.received().is_empty());
    }
    let client = ordered(&[closing.url(), other.url()]).await;
    assert!(client.keys().delete("/k").await.unwrap_err().maybe_applied());
    let client = ordered(&[closing.url(), other.url()]).await;
    let delete = Delete::new("/k").recursive();
    assert!(client.keys().delete(delete).await.unwrap_err().maybe_applied());
    let client = ordered(&[closing.url(), other.url()]).await;
    assert!(client.members().add(["http://a:1"]).await.unwrap_err().maybe_applied());
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn post_is_not_replayed_after_a_lost_answer() {
    let closing = Server::always(Reply::Close).await;
    let other = Server::always(Reply::key("v", 7)).await;
    let client = ordered(&[closing.url(), other.url()]).await;
    let error = client.keys().create_in_order("/jobs", "v").await.unwrap_err();
    assert!(error.maybe_applied());
    assert_eq!(closing.lines(), ["POST /v2/keys/jobs"]);
    assert!(other.received().is_empty());
    // The next one goes to the other endpoint.
    client.keys().create_in_order("/jobs", "v").await.unwrap();
    assert_eq!(other.lines(), ["POST /v2/keys/jobs"]);
}

#[tokio::test]
async fn v2_no_retry_no_leader() {
    let leaderless = Server::always(Reply::status(503, "")).await;
    let other = Server::always(Reply::key("v", 7)).await;
    let client = ordered(&[leaderless.url(), other.url()]).await;
    let error = client.keys().create("/k", "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoLeader);
    assert_eq!(leaderless.received().len(), 1);
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn v2_retry_refuse() {
    let other = Server::always(Reply::key("v", 7)).await;
    let client = ordered(&[REFUSING, other.url()]).await;
    client.keys().create("/k", "v").await.unwrap();
    assert_eq!(other.lines(), ["PUT /v2/keys/k?prevExist=false"]);
    let client = ordered(&[REFUSING, other.url()]).await;
    client.keys().delete("/k").await.unwrap();

    // Everywhere refused is certainly not applied.
    let client = ordered(&[REFUSING]).await;
    let error = client.keys().create_in_order("/k", "v").await.unwrap_err();
    assert!(!error.maybe_applied() && error.kind() == ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_write_that_is_declared_repeatable_goes_on() {
    let closing = Server::always(Reply::Close).await;
    let other = Server::always(Reply::key("v", 7)).await;
    let client = ordered(&[closing.url(), other.url()]).await;
    client.keys().call(Set::new("/k", "v").repeatable()).await.unwrap();
    assert_eq!(other.received().len(), 1);

    let client = ordered(&[closing.url()]).await;
    let error = client.keys().call(Set::new("/k", "v").repeatable()).await.unwrap_err();
    assert!(error.maybe_applied(), "{error}");
}

#[tokio::test]
async fn a_read_does_not_wait_for_a_silent_endpoint() {
    let silent = Server::always(Reply::Silence).await;
    let other = Server::always(Reply::key("v", 7)).await;
    let builder = patient().hedge_after(Duration::from_millis(500));
    let client = ordered_by(builder, &[silent.url(), other.url()]).await;
    timeout(SOON, client.keys().get("/k")).await.unwrap().unwrap();
    assert_eq!(client.pinned(), other.endpoint());
    // The next one turns to the other endpoint at once: a write is not made at two.
    client.keys().set("/k", "v").await.unwrap();
    assert!(!silent.lines().is_empty());
    assert!(!silent.lines().contains(&"PUT /v2/keys/k".to_owned()), "{:?}", silent.lines());
}

#[tokio::test]
async fn a_write_leaves_a_silent_endpoint_that_gives_no_sign_of_life() {
    let silent = Server::always(Reply::Silence).await;
    let other = Server::always(Reply::key("v", 7)).await;
    let second = Duration::from_secs(1);
    let builder = patient().suspect_after(second, second);
    let client = ordered_by(builder, &[silent.url(), other.url()]).await;
    let error = timeout(SOON, client.keys().set("/k", "v")).await.unwrap().unwrap_err();
    assert_eq!(error.attempts()[0].cause(), &Cause::Frozen);
    assert!(error.maybe_applied());
    assert!(other.received().is_empty());
    client.keys().set("/k", "v").await.unwrap();
}

#[tokio::test]
async fn a_write_waits_for_a_slow_endpoint_that_lives() {
    let server = Server::start(|request| match request.target.as_str() {
        "/version" => Reply::ok("{}"),
        _ => Reply::Silence,
    })
    .await;
    let builder = patient().suspect_after(Duration::from_millis(20), SOON);
    let client = builder.endpoints([server.url()]).build().unwrap();
    // The write, and the signs of life that were asked for meanwhile.
    drop_after(client.keys().set("/k", "v"), &server, 4).await;
    assert_eq!(server.lines().iter().filter(|line| line.starts_with("PUT")).count(), 1);
}

#[tokio::test]
async fn one_endpoint_that_is_slow_is_asked_again_on_a_new_connection() {
    let server = Server::replies([Reply::key("v", 1), Reply::Silence, Reply::key("v", 7)]).await;
    let client = Client::new([server.url()]).unwrap();
    client.keys().get("/k").await.unwrap();
    assert_eq!(client.keys().get("/k").await.unwrap().index(), 7);
    assert_eq!(server.connections(), 2);
}
