//! What requests to the key space look like, and what becomes of the answers.

use std::time::Duration;

use etcdkit_v2::{Action, Client, CreateInOrder, Delete, ErrorCode, ErrorKind, Get, Keys, Set};

use crate::server::{Reply, Server, event};

async fn keys(reply: Reply) -> (Server, Keys) {
    let server = Server::always(reply).await;
    let keys = server.client().keys();
    (server, keys)
}

/// Sends each request and compares what was sent.
macro_rules! check {
    ($($request:expr => $line:expr, $body:expr;)*) => {{
        let (server, keys) = keys(Reply::key("v", 7)).await;
        let mut expected = Vec::new();
        $(
            keys.call($request).await.unwrap();
            expected.push(($line.to_owned(), $body.to_owned()));
        )*
        let sent: Vec<(String, String)> =
            server.received().iter().map(|sent| (sent.line(), sent.body.clone())).collect();
        assert_eq!(sent, expected);
        server
    }};
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn get_action() {
    let server = check! {
        Get::new("/foo/bar") => "GET /v2/keys/foo/bar?quorum=false&recursive=false&sorted=false", "";
        Get::new("foo").recursive() => "GET /v2/keys/foo?quorum=false&recursive=true&sorted=false", "";
        Get::new("/").sorted() => "GET /v2/keys/?quorum=false&recursive=false&sorted=true", "";
        Get::new("").quorum() => "GET /v2/keys?quorum=true&recursive=false&sorted=false", "";
        Get::new("/a b/ü?#%") => "GET /v2/keys/a%20b/%C3%BC%3F%23%25?quorum=false&recursive=false&sorted=false", "";
    };
    assert!(server.received().iter().all(|request| request.header("content-type").is_none()));
}

#[tokio::test]
async fn set_action() {
    let server = check! {
        Set::new("/foo", "baz") => "PUT /v2/keys/foo", "value=baz";
        Set::new("/foo", "") => "PUT /v2/keys/foo", "value=";
        Set::new("/foo", "a b&c=d\n") => "PUT /v2/keys/foo", "value=a+b%26c%3Dd%0A";
        Set::new("/foo", "v").prev_value("bar baz") => "PUT /v2/keys/foo?prevValue=bar+baz", "value=v";
        Set::new("/foo", "v").prev_index(12) => "PUT /v2/keys/foo?prevIndex=12", "value=v";
        Set::new("/foo", "v").must_exist() => "PUT /v2/keys/foo?prevExist=true", "value=v";
        Set::new("/foo", "v").must_not_exist() => "PUT /v2/keys/foo?prevExist=false", "value=v";
        Set::new("/foo", "v").ttl(180 * SECOND) => "PUT /v2/keys/foo", "ttl=180&value=v";
        Set::new("/foo", "v").remove_ttl() => "PUT /v2/keys/foo", "ttl=&value=v";
        Set::refresh("/foo", 5 * SECOND) => "PUT /v2/keys/foo", "refresh=true&ttl=5";
        Set::directory("/foo") => "PUT /v2/keys/foo?dir=true", "";
        Set::directory("/foo").must_exist().ttl(SECOND) => "PUT /v2/keys/foo?dir=true&prevExist=true", "ttl=1";
        Set::new("/foo", "v").no_value_on_success() => "PUT /v2/keys/foo?noValueOnSuccess=true", "value=v";
        Set::new("/foo", "v").prev_value("w").prev_index(3).must_exist()
            => "PUT /v2/keys/foo?prevExist=true&prevIndex=3&prevValue=w", "value=v";
    };
    let form = Some("application/x-www-form-urlencoded");
    assert!(server.received().iter().all(|request| request.header("content-type") == form));
}

#[tokio::test]
async fn create_in_order_action() {
    check! {
        CreateInOrder::new("/jobs", "v") => "POST /v2/keys/jobs", "value=v";
        CreateInOrder::new("/jobs/", "v").ttl(9 * SECOND) => "POST /v2/keys/jobs/", "ttl=9&value=v";
    };
}

#[tokio::test]
async fn delete_action() {
    let server = check! {
        Delete::new("/foo") => "DELETE /v2/keys/foo", "";
        Delete::new("/foo").recursive() => "DELETE /v2/keys/foo?recursive=true", "";
        Delete::new("/foo").directory() => "DELETE /v2/keys/foo?dir=true", "";
        Delete::new("/foo").prev_value("bar") => "DELETE /v2/keys/foo?prevValue=bar", "";
        Delete::new("/foo").prev_index(7) => "DELETE /v2/keys/foo?prevIndex=7", "";
    };
    let form = Some("application/x-www-form-urlencoded");
    assert!(server.received().iter().all(|request| request.header("content-type") == form));
}

#[tokio::test]
async fn http_keys_api_set_action() {
    let (server, keys) = keys(Reply::key("v", 7)).await;
    keys.set("/foo", "bar").await.unwrap();
    assert_eq!(server.lines(), ["PUT /v2/keys/foo"]);
}

#[tokio::test]
async fn http_keys_api_create_action() {
    let (server, keys) = keys(Reply::key("v", 7)).await;
    keys.create("/foo", "bar").await.unwrap();
    keys.create_directory("/dir").await.unwrap();
    let lines = ["PUT /v2/keys/foo?prevExist=false", "PUT /v2/keys/dir?dir=true&prevExist=false"];
    assert_eq!(server.lines(), lines);
}

#[tokio::test]
async fn http_keys_api_create_in_order_action() {
    let (server, keys) = keys(Reply::key("v", 7)).await;
    keys.create_in_order("/foo", "bar").await.unwrap();
    assert_eq!(server.lines(), ["POST /v2/keys/foo"]);
}

#[tokio::test]
async fn http_keys_api_update_action() {
    let (server, keys) = keys(Reply::key("v", 7)).await;
    keys.update("/foo", "bar").await.unwrap();
    assert_eq!(server.lines(), ["PUT /v2/keys/foo?prevExist=true"]);
}

#[tokio::test]
async fn http_keys_api_get_action() {
    let (server, keys) = keys(Reply::key("v", 7)).await;
    keys.get("/foo").await.unwrap();
    assert_eq!(server.lines(), ["GET /v2/keys/foo?quorum=false&recursive=false&sorted=false"]);
}

#[tokio::test]
async fn http_keys_api_delete_action() {
    let (server, keys) = keys(Reply::key("v", 7)).await;
    keys.delete("/foo").await.unwrap();
    assert_eq!(server.lines(), ["DELETE /v2/keys/foo"]);
}

#[tokio::test]
async fn v2_keys_url_helper() {
    // An endpoint's own path comes first, and another prefix can be used.
    let server = Server::always(Reply::key("v", 7)).await;
    let endpoint = format!("{}/etcd/", server.url());
    let client = Client::new([&endpoint]).unwrap();
    client.keys().delete("a//b/").await.unwrap();
    client.keys_at("/v2/other/").delete("/a").await.unwrap();
    client.keys_at("").delete("a").await.unwrap();
    let lines = ["DELETE /etcd/v2/keys/a/b/", "DELETE /etcd/v2/other/a", "DELETE /etcd/a"];
    assert_eq!(server.lines(), lines);
    let error = client.keys().get("../members").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn http_keys_api_set_response() {
    let body = r#"{"action":"set","node":{"key":"/k","value":"n","modifiedIndex":22,"createdIndex":22},
        "prevNode":{"key":"/k","value":"o","modifiedIndex":19,"createdIndex":19}}"#;
    for status in [200, 201] {
        let (_server, keys) = keys(Reply::status(status, body).with("X-Etcd-Index", 22)).await;
        let response = keys.set("/k", "n").await.unwrap();
        assert_eq!((response.action(), response.index()), (&Action::Set, 22));
        assert_eq!(response.node().unwrap().modified_index(), 22);
        assert_eq!(response.prev_node().unwrap().value(), Some("o"));
    }
}

#[tokio::test]
async fn http_keys_api_get_response() {
    let (_server, keys) = keys(Reply::ok(event("get", "v", 19)).with("X-Etcd-Index", 42)).await;
    let response = keys.get("/k").await.unwrap();
    assert_eq!((response.action(), response.index()), (&Action::Get, 42));
    assert_eq!(response.node().unwrap().modified_index(), 19);
}

#[tokio::test]
async fn http_keys_api_delete_response() {
    let body = r#"{"action":"delete","node":{"key":"/k","modifiedIndex":22,"createdIndex":19},
        "prevNode":{"key":"/k","value":"o","modifiedIndex":19,"createdIndex":19}}"#;
    let (_server, keys) = keys(Reply::ok(body)).await;
    let response = keys.delete("/k").await.unwrap();
    assert_eq!(response.action(), &Action::Delete);
    assert_eq!(response.node().unwrap().value(), None);
    assert_eq!(response.prev_node().unwrap().value(), Some("o"));
}

/// What every call makes of failures.
async fn errors(call: impl AsyncFn(Keys) -> etcdkit_v2::Result<()>, write: bool) {
    let refused = r#"{"errorCode":101,"message":"Compare failed","cause":"[1 != 2]","index":9}"#;
    for (reply, kind, applied) in [
        (Reply::Close, ErrorKind::Unavailable, write),
        (Reply::status(504, ""), ErrorKind::Unavailable, write),
        (Reply::status(412, refused), ErrorKind::Conflict, false),
        (Reply::status(418, ""), ErrorKind::Internal, false),
        // It was made, and what it returned can't be read.
        (Reply::ok(r#"{"action":7}"#), ErrorKind::Internal, write),
        (Reply::ok(""), ErrorKind::Internal, write),
    ] {
        let (_server, keys) = keys(reply).await;
        let error = call(keys).await.unwrap_err();
        assert_eq!((error.kind(), error.maybe_applied()), (kind, applied), "{error}");
        if kind == ErrorKind::Conflict {
            assert_eq!(error.error_code(), Some(ErrorCode::COMPARE_FAILED));
            assert_eq!((error.cause(), error.index()), (Some("[1 != 2]"), Some(9)));
        }
    }
}

#[tokio::test]
async fn http_keys_api_set_error() {
    errors(async |keys| keys.set("/k", "v").await.map(drop), true).await;
}

#[tokio::test]
async fn http_keys_api_get_error() {
    errors(async |keys| keys.get("/k").await.map(drop), false).await;
}

#[tokio::test]
async fn http_keys_api_delete_error() {
    errors(async |keys| keys.delete("/k").await.map(drop), true).await;
}

#[tokio::test]
async fn an_answer_without_a_key_is_no_failure() {
    let (_server, keys) = keys(Reply::ok(r#"{"action":"set"}"#).with("X-Etcd-Index", 9)).await;
    let response = keys.call(Set::new("/k", "v").no_value_on_success()).await.unwrap();
    assert!(response.node().is_none() && response.prev_node().is_none());
    assert_eq!(response.index(), 9);
}

#[tokio::test]
async fn what_etcd_would_silently_change_is_refused() {
    let (server, keys) = keys(Reply::key("v", 7)).await;
    let set = || Set::new("/k", "v");
    for request in [
        set().ttl(Duration::from_millis(999)),
        set().ttl(Duration::from_millis(1_500)),
        set().ttl(Duration::ZERO),
        Set::refresh("/k", Duration::from_millis(1)),
        Set::refresh("/k", SECOND).remove_ttl(),
        set().prev_value(""),
        set().prev_index(0),
        Set::directory("/k").prev_value("v"),
        set().must_not_exist().prev_index(3),
        set().must_exist().repeatable(),
        set().prev_value("w").repeatable(),
    ] {
        let error = keys.call(request.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{request:?}");
    }
    let order = CreateInOrder::new("/k", "v").ttl(Duration::from_nanos(1));
    assert_eq!(keys.call(order).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    for delete in [Delete::new("/k").prev_value(""), Delete::new("/k").prev_index(0)] {
        assert_eq!(keys.delete(delete).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert!(server.received().is_empty());
}
