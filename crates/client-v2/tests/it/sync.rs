//! Endpoints out of the member list.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use etcdkit_testkit::wait::eventually;
use etcdkit_v2::{Client, ErrorKind, Selection};
use tokio::time::timeout;

use crate::server::{Reply, SOON, Server, patient};

fn members(groups: &[&[&str]]) -> Reply {
    let members: Vec<String> = groups
        .iter()
        .map(|urls| format!(r#"{{"id":"1","name":"n","peerURLs":[],"clientURLs":{urls:?}}}"#))
        .collect();
    Reply::ok(format!(r#"{{"members":[{}]}}"#, members.join(",")))
}

fn leader(url: &str) -> Reply {
    Reply::ok(format!(r#"{{"id":"1","clientURLs":[{url:?}]}}"#))
}

fn shown(client: &Client) -> BTreeSet<String> {
    client.endpoints().iter().map(ToString::to_string).collect()
}

fn set(urls: &[&str]) -> BTreeSet<String> {
    urls.iter().map(|url| (*url).to_owned()).collect()
}

#[tokio::test]
async fn http_cluster_client_sync() {
    let list = members(&[&["http://127.0.0.1:2", "http://127.0.0.1:3"], &["http://127.0.0.1:4"]]);
    let server = Server::always(list).await;
    let client = server.client();
    let clone = client.clone();
    client.sync().await.unwrap();
    let expected = set(&["http://127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:4"]);
    assert_eq!(shown(&client), expected);
    assert_eq!(shown(&clone), expected, "clones share endpoints");
    assert_eq!(server.lines(), ["GET /v2/members"]);

    client.set_endpoints(["http://127.0.0.1:9"]).unwrap();
    assert_eq!(shown(&client), set(&["http://127.0.0.1:9"]));
}

#[tokio::test]
async fn http_cluster_client_sync_fail() {
    for (reply, kind) in [
        (Reply::Close, ErrorKind::Unavailable),
        (Reply::status(502, ""), ErrorKind::Unavailable),
        (Reply::ok("{"), ErrorKind::Internal),
        (members(&[]), ErrorKind::Unavailable),
        (members(&[&["http://0.0.0.0:1", "bad"]]), ErrorKind::Unavailable),
    ] {
        let server = Server::always(reply).await;
        let client = server.client();
        assert_eq!(client.sync().await.unwrap_err().kind(), kind);
        assert_eq!(shown(&client), set(&[server.url()]), "nothing is changed");
    }
}

#[tokio::test]
async fn http_cluster_client_auto_sync_cancel_context() {
    let server = Server::always(members(&[&["http://127.0.0.1:2"]])).await;
    let client = server.client();
    let begun = eventually("it begins at once", SOON, async || {
        (shown(&client) == set(&["http://127.0.0.1:2"])).then_some(())
    });
    tokio::select! {
        error = client.auto_sync(100 * SOON) => panic!("it ends: {error}"),
        () = begun => {}
    }
}

#[tokio::test]
async fn http_cluster_client_auto_sync_fail() {
    let server = Server::always(Reply::Close).await;
    let client = server.client();
    let error = timeout(SOON, client.auto_sync(SOON)).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn automatic_synchronisation_goes_on_after_a_failure_and_ends_with_the_client() {
    let server = Server::start(|_| Reply::Close).await;
    let builder = Client::builder().endpoints([server.url()]);
    let client = builder.auto_sync(Duration::from_millis(5)).build().unwrap();
    server.wait_closed(4).await;
    drop(client);
    // The task ends without a further request: what it had begun is dropped with it.
    tokio::task::yield_now().await;
    let settled = server.connections();
    tokio::time::timeout(Duration::from_millis(100), server.wait_closed(settled + 2))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn http_cluster_client_sync_pin_endpoint() {
    // Whoever answered stays pinned when the endpoints are the same, in whatever order they are listed.
    let known: Arc<OnceLock<[String; 2]>> = Arc::default();
    let server = || {
        let (known, turn) = (known.clone(), AtomicBool::new(false));
        Server::start(move |_| {
            let [a, b] = known.get().expect("both run");
            let swap = turn.fetch_xor(true, Ordering::Relaxed);
            if swap { members(&[&[b], &[a]]) } else { members(&[&[a], &[b]]) }
        })
    };
    let servers = [server().await, server().await];
    known.set([servers[0].url().to_owned(), servers[1].url().to_owned()]).unwrap();
    let client = patient().endpoints([servers[0].url(), servers[1].url()]).build().unwrap();
    let pinned = client.pinned();
    for _ in 0..6 {
        client.sync().await.unwrap();
        assert_eq!(client.pinned(), pinned);
    }
}

#[tokio::test]
async fn http_cluster_client_sync_unpin_endpoint() {
    // Other endpoints than before: the pin goes to one of them.
    let server = Server::always(members(&[&["http://127.0.0.1:2"], &["http://127.0.0.1:3"]])).await;
    let client = server.client();
    client.sync().await.unwrap();
    assert!(shown(&client).contains(&client.pinned().to_string()));
    assert_ne!(client.pinned(), server.endpoint());
}

#[tokio::test]
async fn http_cluster_client_sync_pin_leader_endpoint() {
    let urls = ["http://127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:4"];
    for (leads, pinned) in [
        (Some(urls[0]), Ok(urls[0])),
        (Some(urls[2]), Ok(urls[2])),
        (Some("http://127.0.0.1:9"), Ok(urls[0])),
        (None, Err(ErrorKind::NoLeader)),
    ] {
        let list = members(&[&urls[..1], &urls[1..]]);
        let server = Server::start(move |request| match (request.target.as_str(), leads) {
            ("/v2/members", _) => list.clone(),
            ("/v2/members/leader", Some(url)) => leader(url),
            _ => Reply::status(503, r#"{"message":"During election"}"#),
        })
        .await;
        let builder = Client::builder().selection(Selection::PrioritizeLeader);
        let client = builder.endpoints([server.url()]).build().unwrap();
        let outcome = client.sync().await.map_err(|error| error.kind());
        assert_eq!(outcome, pinned.map(drop));
        assert_eq!(client.pinned().to_string(), pinned.unwrap_or_else(|_| server.url()));
    }
}

#[tokio::test]
async fn http_cluster_client_get_version() {
    let body = r#"{"etcdserver":"3.4.23","etcdcluster":"3.4.0"}"#;
    let server = Server::always(Reply::ok(body)).await;
    let version = server.client().version().await.unwrap();
    assert_eq!((version.server(), version.cluster()), ("3.4.23", "3.4.0"));
    assert_eq!(server.lines(), ["GET /version"]);
}

#[tokio::test]
async fn http_cluster_client_reset_fail() {
    let client = Client::new(["http://127.0.0.1:1"]).unwrap();
    for bad in [vec![], vec![":"], vec!["http://127.0.0.1:2", "127.0.0.1:3"]] {
        assert_eq!(client.set_endpoints(bad).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(client.pinned().to_string(), "http://127.0.0.1:1");
}
