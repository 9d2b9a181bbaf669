//! Watching, against a script.

use std::time::Duration;

use etcdkit_v2::{Action, Client, ErrorCode, ErrorKind, Watch};
use tokio::time::timeout;

use crate::server::{Reply, SOON, Server, event};

fn poll(recursive: bool, index: u64) -> String {
    format!("GET /v2/keys/k?recursive={recursive}&wait=true&waitIndex={index}")
}

fn seen(action: &str, at: u64) -> Reply {
    Reply::ok(event(action, "v", at)).with("X-Etcd-Index", 3)
}

const CLEARED: &str = r#"{"errorCode":401,"message":"The event in requested index is outdated and cleared","cause":"c","index":2000}"#;

#[tokio::test]
async fn wait_action() {
    let server = Server::always(seen("set", 9)).await;
    let keys = server.client().keys();
    keys.watch("k").next().await.unwrap();
    keys.watch(Watch::new("/k").recursive().after_index(12)).next().await.unwrap();
    keys.watch(Watch::new("/k").after_index(0)).next().await.unwrap();
    assert_eq!(server.lines(), [poll(false, 0), poll(true, 13), poll(false, 1)]);
}

#[tokio::test]
async fn http_watcher_next_wait_action() {
    let server = Server::replies([seen("update", 21), seen("delete", 25), seen("set", 22)]).await;
    let keys = server.client().keys();
    let mut watcher = keys.watch(Watch::new("/k").after_index(19));
    assert_eq!(watcher.after_index(), Some(19));
    let first = watcher.next().await.unwrap();
    assert_eq!((first.action(), first.node().unwrap().modified_index()), (&Action::Update, 21));
    assert_eq!(watcher.after_index(), Some(21));
    assert_eq!(watcher.next().await.unwrap().action(), &Action::Delete);
    watcher.next().await.unwrap();
    assert_eq!(server.lines(), [poll(false, 20), poll(false, 22), poll(false, 26)]);
}

#[tokio::test]
async fn http_watcher_next_fail() {
    for (reply, kind) in [
        (Reply::Close, ErrorKind::Unavailable),
        (Reply::status(503, ""), ErrorKind::NoLeader),
        (Reply::status(400, CLEARED), ErrorKind::IndexCleared),
        (Reply::ok(r#"{"#), ErrorKind::Internal),
    ] {
        let server = Server::always(reply).await;
        let keys = server.client().keys();
        let mut watcher = keys.watch(Watch::new("/k").after_index(5));
        assert_eq!(watcher.next().await.unwrap_err().kind(), kind);
        assert_eq!(watcher.after_index(), Some(5), "another call goes on from there");
    }
}

#[tokio::test]
async fn http_keys_api_watcher_action() {
    let server = Server::always(seen("set", 9)).await;
    let client = server.client();
    client.keys_at("/other").watch(Watch::from("k")).next().await.unwrap();
    assert_eq!(server.lines(), ["GET /other/k?recursive=false&wait=true&waitIndex=0"]);
}

#[tokio::test]
async fn a_poll_that_ends_without_an_event_is_followed_by_another() {
    // The first says up to where there was nothing; the events behind that are not asked for again.
    let nothing = Reply::ok("").with("X-Etcd-Index", 40);
    let server = Server::replies([nothing.clone(), nothing, seen("set", 41)]).await;
    let keys = server.client().keys();
    let mut watcher = keys.watch(Watch::new("/k").after_index(5));
    watcher.next().await.unwrap();
    assert_eq!(server.lines(), [poll(false, 6), poll(false, 41), poll(false, 41)]);
}

#[tokio::test]
async fn a_watch_from_now_on_misses_nothing_when_it_is_cut() {
    // The head has come, and said that now is 7; then the member hangs, and the watch is begun anew.
    let part = Reply::Part { headers: vec![("X-Etcd-Index", "7".to_owned())], body: "".to_owned() };
    let server = Server::start(move |request| match request.line() == poll(false, 0) {
        true => part.clone(),
        false => seen("set", 8),
    })
    .await;
    let builder = Client::builder().endpoints([server.url()]);
    let client = builder.watch_intervals(SOON, Duration::from_millis(50)).build().unwrap();
    let mut watcher = client.keys().watch("/k");
    assert_eq!(watcher.after_index(), None);
    timeout(SOON, watcher.next()).await.unwrap().unwrap();
    // A poll may be cut before it was answered, and is made again.
    let mut polls = server.lines();
    polls.dedup();
    assert_eq!(polls, [poll(false, 0), poll(false, 8)]);
}

#[tokio::test]
async fn a_watch_leaves_an_endpoint_that_gives_no_sign_of_life() {
    let frozen = || async {
        let part = Reply::Part { headers: vec![("X-Etcd-Index", "7".to_owned())], body: "".into() };
        Server::start(move |request| match request.line().contains("wait=true") {
            true => part.clone(),
            false => Reply::Silence,
        })
        .await
    };
    let (first, good) = (frozen().await, Server::always(seen("set", 8)).await);
    let client = Client::builder()
        .endpoints([first.url(), good.url()])
        .watch_intervals(Duration::from_millis(30), SOON)
        .suspect_after(SOON, Duration::from_millis(300))
        .build()
        .unwrap();
    for _ in 0..3 {
        timeout(SOON, client.keys().watch("/k").next()).await.unwrap().unwrap();
        assert_eq!(client.pinned(), good.endpoint());
    }
}

#[tokio::test]
async fn lost_events_are_an_error_or_a_look_at_the_present() {
    let missing = r#"{"errorCode":100,"message":"Key not found","cause":"/k","index":2100}"#;
    let present = Reply::ok(event("get", "now", 1500)).with("X-Etcd-Index", 2050);
    for (state, index, value) in
        [(present, 2050, Some("now")), (Reply::status(404, missing), 2100, None)]
    {
        let replies =
            [Reply::status(400, CLEARED), Reply::status(400, CLEARED), state, seen("set", 3000)];
        let server = Server::replies(replies).await;
        let keys = server.client().keys();
        let watch = Watch::new("/k").after_index(5).recursive();
        let error = keys.watch(watch.clone()).next().await.unwrap_err();
        assert_eq!(error.error_code(), Some(ErrorCode::EVENT_INDEX_CLEARED));
        assert_eq!(error.index(), Some(2000));

        let mut watcher = keys.watch(watch.resync());
        let resynced = watcher.next().await.unwrap();
        assert_eq!((resynced.action(), resynced.index()), (&Action::Get, index));
        assert_eq!(resynced.node().and_then(|node| node.value()), value);
        assert_eq!(watcher.next().await.unwrap().action(), &Action::Set);
        let read = "GET /v2/keys/k?quorum=true&recursive=true&sorted=false".to_owned();
        let lines = [poll(true, 6), poll(true, 6), read, poll(true, index + 1)];
        assert_eq!(server.lines(), lines);
    }
}

#[tokio::test]
async fn a_watch_that_requires_a_leader_leaves_a_member_that_is_not_healthy() {
    let isolated = Server::start(|request| match request.target.as_str() {
        "/health" => Reply::status(503, r#"{"health":"false"}"#),
        "/version" => Reply::ok("{}"),
        _ => Reply::Silence,
    })
    .await;
    let good = Server::always(seen("set", 8)).await;
    let client = Client::builder()
        .endpoints([isolated.url(), good.url()])
        .watch_intervals(Duration::from_millis(30), SOON)
        .build()
        .unwrap();
    for _ in 0..3 {
        let mut watcher = client.keys().watch(Watch::new("/k").require_leader());
        timeout(SOON, watcher.next()).await.unwrap().unwrap();
    }
}
