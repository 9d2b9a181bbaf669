//! Members, health and statistics, against a script.

use etcdkit_v2::{Client, ErrorKind};

use crate::server::{Received, Reply, Server};

async fn client(reply: Reply) -> (Server, Client) {
    let server = Server::always(reply).await;
    let client = server.client();
    (server, client)
}

fn only(server: &Server) -> Received {
    let received = server.received();
    assert_eq!(received.len(), 1);
    received.into_iter().next().unwrap()
}

const MEMBER: &str =
    r#"{"id":"94088180e21eb87b","name":"n","peerURLs":["http://a:1"],"clientURLs":["http://a:2"]}"#;

#[tokio::test]
async fn members_api_action_list() {
    let (server, client) = client(Reply::ok(r#"{"members":[]}"#)).await;
    client.members().list().await.unwrap();
    assert_eq!(only(&server).line(), "GET /v2/members");
}

#[tokio::test]
async fn http_members_api_list_success() {
    let (_server, client) = client(Reply::ok(format!(r#"{{"members":[{MEMBER}]}}"#))).await;
    let members = client.members().list().await.unwrap();
    assert_eq!((members[0].id(), members[0].name()), ("94088180e21eb87b", "n"));
    assert_eq!(
        (members[0].peer_urls(), members[0].client_urls()),
        (&["http://a:1".to_owned()][..], &["http://a:2".to_owned()][..])
    );
}

#[tokio::test]
async fn member_collection_unmarshal() {
    for (body, count) in [
        ("{}", 0),
        (r#"{"members":null}"#, 0),
        (r#"{"members":[]}"#, 0),
        (r#"{"members":[{},{"id":"a","peerURLs":null}]}"#, 2),
    ] {
        let (_server, client) = client(Reply::ok(body)).await;
        assert_eq!(client.members().list().await.unwrap().len(), count, "{body}");
    }
}

#[tokio::test]
async fn member_collection_unmarshal_fail() {
    for body in ["", "7", r#"{"members":{}}"#, "{"] {
        let (_server, client) = client(Reply::ok(body)).await;
        assert_eq!(
            client.members().list().await.unwrap_err().kind(),
            ErrorKind::Internal,
            "{body}"
        );
    }
}

#[tokio::test]
async fn member_unmarshal() {
    // A member that has not started yet, and fields in another case.
    let body = r#"{"id":"2","PeerURLs":["x"],"peerURLs":["http://b:1"],"clientURLs":null}"#;
    let (_server, client) = client(Reply::ok(body)).await;
    let member = client.members().leader().await.unwrap();
    assert_eq!((member.id(), member.name()), ("2", ""));
    assert_eq!(member.peer_urls(), ["http://b:1"]);
    assert!(member.client_urls().is_empty());
}

#[tokio::test]
async fn http_members_api_list_error() {
    for (reply, kind) in [
        (Reply::Close, ErrorKind::Unavailable),
        (Reply::status(418, ""), ErrorKind::Internal),
        (Reply::status(404, "404 page not found"), ErrorKind::Unsupported),
    ] {
        let (_server, client) = client(reply).await;
        assert_eq!(client.members().list().await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn members_api_action_add() {
    let (server, client) = client(Reply::status(201, MEMBER)).await;
    client.members().add(["https://127.0.0.1:8081", "http://127.0.0.1:8080"]).await.unwrap();
    let request = only(&server);
    assert_eq!(request.line(), "POST /v2/members");
    assert_eq!(request.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn member_create_request_marshal() {
    let (server, client) = client(Reply::status(201, MEMBER)).await;
    client.members().add(["http://127.0.0.1:8081", "https://127.0.0.1:8080"]).await.unwrap();
    let body = r#"{"peerURLs":["http://127.0.0.1:8081","https://127.0.0.1:8080"]}"#;
    assert_eq!(only(&server).body, body);
}

#[tokio::test]
async fn http_members_api_add_success() {
    let (_server, client) = client(Reply::status(201, MEMBER)).await;
    let member = client.members().add(["http://a:1"]).await.unwrap();
    assert_eq!(member.id(), "94088180e21eb87b");
}

#[tokio::test]
async fn http_members_api_add_error() {
    for (reply, kind, text, applied) in [
        (Reply::Close, ErrorKind::Unavailable, "connection lost", true),
        (Reply::status(409, r#"{"message":"it exists"}"#), ErrorKind::Conflict, "it exists", false),
        (Reply::status(409, ""), ErrorKind::Conflict, "409", false),
        (Reply::status(418, ""), ErrorKind::Internal, "unexpected status code 418", false),
        (Reply::status(201, "{"), ErrorKind::Internal, "JSON", true),
    ] {
        let (_server, client) = client(reply).await;
        let error = client.members().add(["http://a:1"]).await.unwrap_err();
        assert_eq!((error.kind(), error.maybe_applied()), (kind, applied), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn members_api_action_update() {
    let (server, client) = client(Reply::status(204, "")).await;
    client.members().update("0xabcd", ["https://127.0.0.1:8081"]).await.unwrap();
    let request = only(&server);
    assert_eq!(request.line(), "PUT /v2/members/0xabcd");
    assert_eq!(request.body, r#"{"peerURLs":["https://127.0.0.1:8081"]}"#);

    for (status, kind) in [(404, ErrorKind::NotFound), (409, ErrorKind::Conflict)] {
        let (_server, client) = self::client(Reply::status(status, r#"{"message":"m"}"#)).await;
        let error = client.members().update("1", ["http://a:1"]).await.unwrap_err();
        assert_eq!(error.kind(), kind);
    }
}

#[tokio::test]
async fn members_api_action_remove() {
    let (server, client) = client(Reply::status(204, "")).await;
    client.members().remove("94088180e21eb87b").await.unwrap();
    assert_eq!(only(&server).line(), "DELETE /v2/members/94088180e21eb87b");
    // A name is one part of the path, whatever it holds.
    client.members().remove("a/../b").await.unwrap();
    assert_eq!(server.lines()[1], "DELETE /v2/members/a%2F..%2Fb");
    assert_eq!(client.members().remove("").await.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn http_members_api_remove_success() {
    for status in [204, 410] {
        let (_server, client) = client(Reply::status(status, "")).await;
        client.members().remove("1").await.unwrap();
    }
}

#[tokio::test]
async fn http_members_api_remove_fail() {
    for (reply, kind) in [
        (Reply::Close, ErrorKind::Unavailable),
        (Reply::status(500, ""), ErrorKind::NoLeader),
        (Reply::status(404, r#"{"message":"No such member"}"#), ErrorKind::NotFound),
    ] {
        let (_server, client) = client(reply).await;
        assert_eq!(client.members().remove("1").await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn members_api_action_leader() {
    let (server, client) = client(Reply::ok(MEMBER)).await;
    client.members().leader().await.unwrap();
    assert_eq!(only(&server).line(), "GET /v2/members/leader");
}

#[tokio::test]
async fn http_members_api_leader_success() {
    let (_server, client) = client(Reply::ok(MEMBER)).await;
    assert_eq!(client.members().leader().await.unwrap().name(), "n");
}

#[tokio::test]
async fn http_members_api_leader_error() {
    for (reply, kind) in [
        (Reply::Close, ErrorKind::Unavailable),
        (Reply::status(503, r#"{"message":"During election"}"#), ErrorKind::NoLeader),
        (Reply::status(418, ""), ErrorKind::Internal),
        (Reply::ok("{"), ErrorKind::Internal),
    ] {
        let (_server, client) = client(reply).await;
        assert_eq!(client.members().leader().await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn assert_status_code() {
    let (_server, client) = client(Reply::status(400, "")).await;
    let error = client.version().await.unwrap_err();
    assert_eq!((error.status(), error.kind()), (Some(400), ErrorKind::InvalidArgument));
    assert_eq!(error.to_string(), "unexpected status code 400: no reason given");
}

#[tokio::test]
async fn v2_members_url() {
    let server = Server::always(Reply::ok("{}")).await;
    let client = Client::new([format!("{}/proxy/", server.url())]).unwrap();
    client.members().list().await.unwrap();
    assert_eq!(server.lines(), ["GET /proxy/v2/members"]);
}

#[tokio::test]
async fn health_is_a_string_or_a_flag() {
    for (reply, expected) in [
        (Reply::ok(r#"{"health":"true"}"#), Ok(true)),
        (Reply::ok(r#"{"health":true}"#), Ok(true)),
        (Reply::ok(r#"{"health":"false"}"#), Ok(false)),
        (Reply::ok("ok"), Ok(false)),
        (Reply::status(503, r#"{"health":"false"}"#), Err(ErrorKind::NoLeader)),
    ] {
        let (server, client) = client(reply).await;
        let health = client.is_healthy().await.map_err(|error| error.kind());
        assert_eq!(health, expected);
        let all = client.health().await;
        assert_eq!((all.len(), &all[0].0), (1, &server.endpoint()));
    }
}

#[tokio::test]
async fn a_client_can_be_confined_to_one_endpoint() {
    let (good, client) = client(Reply::ok(r#"{"etcdserver":"1","etcdcluster":"2"}"#)).await;
    let other = Server::always(Reply::Close).await;
    let confined = client.only(other.url()).unwrap();
    assert!(confined.version().await.is_err());
    assert_eq!(confined.endpoints(), [other.endpoint()]);
    assert_eq!(client.endpoints(), [good.endpoint()]);
    assert!(good.received().is_empty());
    assert!(client.only("bad").is_err());
}
