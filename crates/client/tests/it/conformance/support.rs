//! What all files here use: answers as etcd gives them, clients that come back quickly, waits that end.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use etcdkit::config::{Limits, Reconnect, RetryPolicy};
use etcdkit::proto::etcdserverpb::{
    AuthenticateResponse, PutResponse, RangeRequest, RangeResponse, ResponseHeader, StatusResponse,
};
use etcdkit::proto::mvccpb::KeyValue;
use etcdkit::transport::EndpointState;
use etcdkit::{Client, ClientBuilder, Error};
use etcdkit_testkit::clock;
use etcdkit_testkit::peer::{Answer, EtcdLike, Request};
use futures_core::Stream;
use prost::Message;

pub(super) const PUT: &str = "/etcdserverpb.KV/Put";
pub(super) const TXN: &str = "/etcdserverpb.KV/Txn";
pub(super) const RANGE: &str = "/etcdserverpb.KV/Range";
pub(super) const RANGE_STREAM: &str = "/etcdserverpb.KV/RangeStream";
pub(super) const STATUS: &str = "/etcdserverpb.Maintenance/Status";
pub(super) const HEALTH: &str = "/grpc.health.v1.Health/Check";
pub(super) const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";

/// Where nobody listens. The port of a listener that was dropped may be the next one's, of another test.
pub(super) const NOBODY: &str = "http://127.0.0.1:1";

/// The cluster that answers here belong to.
pub(super) const CLUSTER: u64 = 0xc1;
/// The revision in the answers here.
pub(super) const REVISION: i64 = 7;
/// How long anything may take that ought to take milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may take in tests where it never comes up.
pub(super) const CONNECT: Duration = Duration::from_millis(300);
/// The message limit, each way, of clients under test.
pub(super) const LIMIT: usize = 64 << 10;

/// Waits for what ought to happen soon.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("after {PATIENCE:?} still waiting for: {what}"),
    }
}

/// Waits for what has to happen within `limit` on a machine that does not stand still.
pub(super) async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match clock::timeout(limit, future).await {
        Some(output) => output,
        None => panic!("after {limit:?} still waiting for: {what}"),
    }
}

/// A client that repeats and reconnects faster than the defaults, and the same otherwise.
pub(super) fn builder<I>(endpoints: I) -> ClientBuilder
where
    I: IntoIterator,
    I::Item: TryInto<etcdkit::config::Endpoint>,
    <I::Item as TryInto<etcdkit::config::Endpoint>>::Error: Into<Error>,
{
    Client::builder()
        .endpoints(endpoints)
        .reconnect(Reconnect::new().first(Duration::from_millis(10)).max(Duration::from_millis(50)))
        .retry(quick_retry())
}

pub(super) fn quick_retry() -> RetryPolicy {
    RetryPolicy::new().backoff(Duration::from_millis(1), Duration::from_millis(4))
}

pub(super) fn limits() -> Limits {
    Limits::new().max_send_message(LIMIT).max_receive_message(LIMIT)
}

pub(super) fn header() -> ResponseHeader {
    header_at(CLUSTER, REVISION)
}

pub(super) fn header_at(cluster_id: u64, revision: i64) -> ResponseHeader {
    ResponseHeader { cluster_id, member_id: 1, revision, raft_term: 2 }
}

/// A put's success.
pub(super) fn put_answer() -> Bytes {
    PutResponse { header: Some(header()), prev_kv: None }.encode_to_vec().into()
}

/// A get's success: one key.
pub(super) fn get_answer() -> Bytes {
    get_answer_at(CLUSTER, REVISION)
}

pub(super) fn get_answer_at(cluster: u64, revision: i64) -> Bytes {
    let kvs = vec![key_value("k", revision)];
    let header = Some(header_at(cluster, revision));
    RangeResponse { header, kvs, more: false, count: 1 }.encode_to_vec().into()
}

pub(super) fn key_value(key: &str, revision: i64) -> KeyValue {
    KeyValue {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: "v".into(),
        create_revision: revision,
        mod_revision: revision,
        version: 1,
        lease: 0,
    }
}

/// What a member of the version says to Status: without its id, since these are all scripted alike.
pub(super) fn status(cluster: u64, version: &str, learner: bool) -> Bytes {
    status_of(0, cluster, version, learner)
}

/// What the member of that id says to Status.
pub(super) fn status_of(member_id: u64, cluster: u64, version: &str, learner: bool) -> Bytes {
    let status = StatusResponse {
        header: Some(ResponseHeader { member_id, ..header_at(cluster, REVISION) }),
        version: version.into(),
        is_learner: learner,
        ..Default::default()
    };
    status.encode_to_vec().into()
}

pub(super) fn token_answer(token: &str) -> Answer {
    let answer = AuthenticateResponse { header: Some(header()), token: token.into() };
    Answer::message(answer.encode_to_vec())
}

/// A healthy member's answer to the calls made here.
pub(super) fn healthy(path: &str) -> Option<Answer> {
    Some(Answer::Message(match path {
        PUT => put_answer(),
        RANGE => get_answer(),
        STATUS => status(CLUSTER, "3.7.1", false),
        HEALTH => Bytes::from_static(&[0x08, 0x01]),
        _ => return None,
    }))
}

/// A healthy member, whose answers tests change with its queues.
pub(super) async fn etcd() -> EtcdLike {
    etcd_that(|call| healthy(&call.path)).await
}

/// A member that answers by `script`, and healthily where that has no answer.
pub(super) async fn etcd_that(
    script: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
) -> EtcdLike {
    let etcd = EtcdLike::start().await;
    etcd.answer_with(move |call| script(call).or_else(|| healthy(&call.path)));
    etcd
}

/// The range that a call asks for.
pub(super) fn range_request(call: &Request) -> RangeRequest {
    RangeRequest::decode(call.message()).unwrap()
}

/// Fails unless `text` contains `part`.
#[track_caller]
pub(super) fn assert_says(text: &str, part: &str) {
    assert!(text.contains(part), "expected {part:?} in: {text}");
}

/// Waits until every endpoint is ready.
pub(super) async fn all_ready(client: &Client) {
    until(client, |states| states.iter().all(|state| state.is_ready())).await;
}

/// Waits until the states of the endpoints are as wanted.
pub(super) async fn until(client: &Client, wanted: impl Fn(&[EndpointState]) -> bool) {
    client.wait_ready().await.unwrap();
    let mut states = client.watch_endpoint_states();
    loop {
        let now = poll_fn(|cx| Pin::new(&mut states).poll_next(cx)).await;
        if wanted(&now.expect("the client is not closed")) {
            return;
        }
    }
}

/// What the future is ready with, after it was asked once.
pub(super) async fn ask<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
