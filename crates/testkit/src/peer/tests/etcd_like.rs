//! The stand-in for an etcd member.

use bytes::Bytes;
use h2::Reason;
use tokio::net::TcpStream;

use super::{Client, finish};
use crate::peer::frame::code;
use crate::peer::{Answer, EtcdLike, grpc_message};

const RANGE: &str = "/etcdserverpb.KV/Range";
const PUT: &str = "/etcdserverpb.KV/Put";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

async fn start() -> (EtcdLike, Client) {
    let etcd = EtcdLike::start().await;
    let client = Client::connect(etcd.peer()).await;
    (etcd, client)
}

#[tokio::test]
async fn looks_healthy_and_knows_no_other_method() {
    let (etcd, mut client) = start().await;
    let response = client.call(HEALTH, b"").await.unwrap();
    assert_eq!(response.body, &[0, 0, 0, 0, 2, 8, 1][..]);
    let response = client.call(STATUS, b"").await.unwrap();
    // The prefix, a header of six bytes, a version of five, and three numbers.
    assert_eq!(response.body.len(), 5 + (2 + 6) + (2 + 5) + 3 * 2);
    assert!(response.body.windows(5).any(|window| window == b"3.7.1"));
    let response = client.call(PUT, b"").await.unwrap();
    assert_eq!(response.grpc_status(), ("12", &*format!("unknown method {PUT}")));
    assert_eq!((etcd.calls(HEALTH), etcd.calls(STATUS), etcd.calls(PUT)), (1, 1, 1));
    assert_eq!((etcd.calls(RANGE), etcd.all_requests().len()), (0, 3));
}

#[tokio::test]
async fn queues_come_before_the_closure_and_it_before_the_defaults() {
    let (etcd, mut client) = start().await;
    etcd.queue(HEALTH, Answer::status(14, "first"));
    etcd.queue(HEALTH, Answer::StatusAfterHeaders(13, "second".to_owned()));
    etcd.answer_with(|call| (call.message() != "pass").then(|| Answer::message(&b"closure"[..])));
    let response = client.call(HEALTH, b"").await.unwrap();
    assert_eq!((response.grpc_status(), response.trailers.is_none()), (("14", "first"), true));
    let response = client.call(HEALTH, b"").await.unwrap();
    assert_eq!((response.grpc_status(), response.trailers.is_some()), (("13", "second"), true));
    let response = client.call(HEALTH, b"").await.unwrap();
    assert_eq!(response.body, grpc_message(b"closure"));
    let response = client.call(HEALTH, b"pass").await.unwrap();
    assert_eq!(response.body, grpc_message(&[8, 1]));
}

#[tokio::test]
async fn calls_are_counted_and_recorded() {
    let (etcd, mut client) = start().await;
    etcd.queue(RANGE, Answer::Hang);
    let hanging = client.start(RANGE, b"question").await.unwrap();
    etcd.wait_calls(RANGE, 1).await;
    // One call that hangs holds up no other.
    client.call(RANGE, b"another").await.unwrap();
    let calls = etcd.requests(RANGE);
    assert_eq!(
        calls.iter().map(super::super::Request::message).collect::<Vec<_>>(),
        ["question", "another"]
    );
    assert_eq!(calls[0].header("grpc-timeout"), Some("5S"));
    assert_eq!(etcd.calls(RANGE), 2);
    drop(hanging);
}

#[tokio::test]
async fn an_unread_answer_holds_up_no_other() {
    let etcd = EtcdLike::start().await;
    let stream = TcpStream::connect(etcd.addr()).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let built = builder.initial_window_size(50).handshake(stream).await;
    let mut client = Client::driven(built.unwrap());
    etcd.queue(RANGE, Answer::message(vec![7; 60]));
    // Its last bytes wait for a window that reading alone would give.
    let unread = client.start(RANGE, b"").await.unwrap().await.unwrap();
    etcd.queue(PUT, Answer::message(&b"small"[..]));
    assert_eq!(client.call(PUT, b"").await.unwrap().body, grpc_message(b"small"));

    let mut body = unread.into_body();
    let first = body.data().await.unwrap().unwrap();
    assert_eq!(first.len(), 50);
    body.flow_control().release_capacity(first.len()).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap().len(), 15);
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn streams_and_connections_end_as_told() {
    let (etcd, mut client) = start().await;
    etcd.queue(PUT, Answer::Rst(code::ENHANCE_YOUR_CALM));
    etcd.queue(PUT, Answer::Headers(vec![(":status".to_owned(), "502".to_owned())]));
    etcd.queue(PUT, Answer::MessageThenHang(Bytes::from_static(b"half")));
    etcd.queue(
        PUT,
        Answer::GoAway { last_stream: None, code: code::NO_ERROR, debug: Bytes::new() },
    );
    let error = client.call(PUT, b"").await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    assert_eq!(client.call(PUT, b"").await.unwrap().status, 502);
    let half = client.start(PUT, b"").await.unwrap();
    let mut half = half.await.unwrap().into_body();
    assert_eq!(half.data().await.unwrap().unwrap(), grpc_message(b"half"));
    let refused = client.start(PUT, b"").await.unwrap();
    assert!(finish(refused).await.unwrap_err().is_go_away());

    for (answer, reset) in [(Answer::CloseConnection, false), (Answer::ResetConnection, true)] {
        let mut client = Client::connect(etcd.peer()).await;
        etcd.queue(PUT, answer);
        let error = client.call(PUT, b"").await.unwrap_err();
        let kind = error.get_io().map(std::io::Error::kind);
        assert_eq!(kind == Some(std::io::ErrorKind::ConnectionReset), reset, "{error:?}");
    }
    assert_eq!(etcd.peer().connections(), 3);
}
