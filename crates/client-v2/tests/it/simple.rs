//! One endpoint: what is passed on, what is cancelled, and what takes too long.

use std::time::Duration;

use etcdkit_v2::{Cause, Client, ErrorKind, Watch};
use tokio::time::timeout;

use crate::server::{REFUSING, Reply, SOON, Server, drop_after, patient};

#[tokio::test]
async fn simple_http_client_do_success() {
    let server = Server::always(Reply::key("v", 7)).await;
    let answer = server.client().keys().get("/k").await.unwrap();
    assert_eq!(answer.node().unwrap().value(), Some("v"));
    let request = &server.received()[0];
    assert_eq!(request.line(), "GET /v2/keys/k?quorum=false&recursive=false&sorted=false");
    assert_eq!(request.header("host"), server.url().strip_prefix("http://"));
    assert_eq!(request.header("authorization"), None);
}

#[tokio::test]
async fn simple_http_client_do_error() {
    let closing = Server::always(Reply::Close).await;
    let foreign = Server::always(Reply::Raw("SSH-2.0-OpenSSH\r\n".to_owned())).await;
    for (url, matches) in [
        (REFUSING.to_owned(), (|cause| matches!(cause, Cause::Connect(_))) as fn(&Cause) -> bool),
        (closing.url().to_owned(), |cause| matches!(cause, Cause::Disconnected(_))),
        (foreign.url().to_owned(), |cause| matches!(cause, Cause::Protocol(_))),
        ("http://no-such-host.invalid:1".to_owned(), |cause| matches!(cause, Cause::Connect(_))),
    ] {
        let error =
            patient().endpoints([&url]).build().unwrap().keys().get("/k").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(matches(error.attempts()[0].cause()), "{error:?}");
        assert!(error.to_string().contains(&url), "{error}");
        assert!(!error.maybe_applied() && error.is_retryable());
    }
}

#[tokio::test]
async fn simple_http_client_do_cancel_context() {
    let server = Server::always(Reply::Silence).await;
    let keys = server.client().keys();
    drop_after(keys.set("/k", "v"), &server, 1).await;
    server.wait_closed(1).await;
}

#[tokio::test]
async fn simple_http_client_do_cancel_context_response_body_closed() {
    let server = Server::start(|_| Reply::Part { headers: vec![], body: "{".to_owned() }).await;
    let keys = server.client().keys();
    drop_after(keys.get("/k"), &server, 1).await;
    server.wait_closed(1).await;
}

#[tokio::test]
async fn simple_http_client_do_cancel_context_response_body_closed_with_blocking_body() {
    // The head has been seen, and the body never comes.
    let server = Server::always(Reply::Part { headers: vec![], body: String::new() }).await;
    let keys = server.client().keys();
    let mut watcher = keys.watch("/k");
    drop_after(watcher.next(), &server, 1).await;
    server.wait_closed(1).await;
}

#[tokio::test]
async fn simple_http_client_do_cancel_context_wait_for_round_trip() {
    // Nothing is left that could still act: a call after the dropped one finds a client as new.
    let server = Server::replies([Reply::Silence, Reply::key("v", 7)]).await;
    let keys = server.client().keys();
    drop_after(keys.set("/k", "v"), &server, 1).await;
    server.wait_closed(1).await;
    keys.get("/k").await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn simple_http_client_do_header_timeout() {
    let server = Server::always(Reply::Silence).await;
    let builder = Client::builder().endpoints([server.url()]);
    let client = builder.header_timeout(Duration::from_millis(50)).build().unwrap();
    let error = timeout(SOON, client.keys().get("/k")).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.attempts()[0].cause(), &Cause::HeaderTimeout);
    let error = timeout(SOON, client.keys().set("/k", "v")).await.unwrap().unwrap_err();
    assert!(error.maybe_applied() && error.kind() == ErrorKind::Timeout, "{error}");
}

#[tokio::test]
async fn a_body_that_does_not_go_on_is_left_too() {
    let server = Server::start(|_| Reply::Part { headers: vec![], body: "{".to_owned() }).await;
    let builder = Client::builder().endpoints([server.url()]);
    let client = builder.header_timeout(Duration::from_millis(50)).build().unwrap();
    let error = timeout(SOON, client.keys().get("/k")).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

/// A client that waits for headers much shorter than for anything else.
fn hurried(server: &Server) -> Client {
    let moment = Duration::from_millis(20);
    let builder = Client::builder().endpoints([server.url()]).header_timeout(moment);
    let builder = builder.watch_intervals(moment, Duration::from_secs(60));
    builder.suspect_after(SOON, SOON).build().unwrap()
}

#[tokio::test]
async fn the_header_timeout_does_not_end_a_watch() {
    let server = Server::start(|request| match request.target.as_str() {
        "/version" => Reply::ok("{}"),
        _ => Reply::Silence,
    })
    .await;
    let client = hurried(&server);
    let mut watcher = client.keys().watch(Watch::new("/k"));
    // One poll, and as many signs of life as were asked for meanwhile.
    drop_after(watcher.next(), &server, 5).await;
    let polls = server.lines().iter().filter(|line| line.contains("wait=true")).count();
    assert_eq!(polls, 1);
}

#[tokio::test]
async fn the_header_timeout_does_not_make_a_slow_member_look_frozen() {
    let server = Server::always(Reply::Silence).await;
    let client = hurried(&server);
    let keys = client.keys();
    let mut watcher = keys.watch("/k");
    // A sign of life may take as long as was said of signs of life.
    let waited = timeout(Duration::from_millis(200), watcher.next()).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test]
async fn connections_are_used_again_and_closed_ones_are_not() {
    let server = Server::always(Reply::key("v", 7)).await;
    let keys = server.client().keys();
    for _ in 0..5 {
        keys.get("/k").await.unwrap();
    }
    assert_eq!(server.connections(), 1);

    // A server that ends each connection after its answer: writes are made all the same, once each.
    let answer = Reply::key("v", 7).with("Connection", "close");
    let server = Server::always(answer).await;
    let keys = server.client().keys();
    for _ in 0..3 {
        keys.set("/k", "v").await.unwrap();
    }
    assert_eq!((server.connections(), server.received().len()), (3, 3));
}

#[tokio::test]
async fn answers_that_are_too_large_are_refused() {
    let server = Server::always(Reply::ok("x".repeat(1_001))).await;
    let builder = Client::builder().endpoints([server.url()]).max_response_bytes(1_000);
    let error = builder.build().unwrap().keys().get("/k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
}

#[tokio::test]
async fn credentials_are_sent_as_basic_authentication() {
    let server = Server::always(Reply::key("v", 7)).await;
    let builder = Client::builder().endpoints([server.url()]).user("root", "secret");
    assert!(!format!("{builder:?}").contains("secret"));
    let client = builder.build().unwrap();
    assert!(!format!("{client:?}").contains("secret"));
    client.keys().get("/k").await.unwrap();
    assert_eq!(server.received()[0].header("authorization"), Some("Basic cm9vdDpzZWNyZXQ="));
}

#[test]
fn futures_can_be_sent_to_other_threads() {
    fn check<T: Send + Sync>(_: &T) {}
    fn sendable<T: Send>(_: T) {}
    let client = Client::new(["http://127.0.0.1:1"]).unwrap();
    let keys = client.keys();
    let mut watcher = keys.watch("/k");
    check(&client);
    check(&watcher);
    sendable(keys.set("/k", "v"));
    sendable(keys.get("/k"));
    sendable(watcher.next());
    sendable(client.sync());
    sendable(client.stats().leader());
    sendable(client.auth().users());
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let builder = || Client::builder().endpoints(["http://127.0.0.1:1"]);
    for (builder, text) in [
        (Client::builder(), "no endpoints"),
        (Client::builder().endpoints(["127.0.0.1:1"]), "endpoint `127.0.0.1:1`"),
        (builder().user("", "x"), "user name"),
        (builder().user("a:b", "x"), "user name"),
        (builder().header_timeout(Duration::ZERO), "header timeout is zero"),
        (builder().tls(etcdkit_v2::Tls::new().ca_file("/none")).endpoints(["https://a"]), "/none"),
    ] {
        let error = builder.build().unwrap_err();
        let expected = match text {
            // A build without TLS says that first.
            "/none" if error.kind() == ErrorKind::Unsupported => continue,
            text => text,
        };
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let client = builder().build().unwrap();
    assert!(client.set_endpoints(Vec::<String>::new()).is_err());
    assert!(client.set_endpoints(["http://127.0.0.1:2", "bad"]).is_err());
    assert_eq!(client.endpoints()[0].port(), Some(1));
}
