//! Calls of one connection that wait, and hold up nobody by what they hold themselves.
#![cfg(test)]

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::watch_request::RequestUnion;
use etcdkit_proto::etcdserverpb::{
    PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest, WatchRequest,
    WatchResponse,
};
use etcdkit_proto::method;
use etcdkit_proto::v3electionpb::CampaignRequest;
use etcdkit_server::Server;
use futures_util::future::join_all;
use h2::SendStream;
use prost::Message;

use crate::peer::{Messages, Peer, framed};

/// Time passes once nobody has anything to do.
async fn served<F: Future>(call: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), call).await.expect("it waits for itself")
}

/// Calls whose requests all arrive before the first of them is whole. Returns the bytes that each was answered with.
async fn at_once(peer: &mut Peer, path: &str, request: &impl Message, calls: usize) -> Vec<usize> {
    let mut begun = framed(&request.encode_to_vec());
    let end = begun.split_off(begun.len() - 1);
    let mut open = Vec::new();
    for _ in 0..calls {
        let (mut body, answer) = peer.open(path).await;
        body.send_data(begun.clone(), false).unwrap();
        open.push((body, answer));
    }
    assert!(peer.ping().await);
    for (body, _) in &mut open {
        body.send_data(end.clone(), true).unwrap();
    }
    let read = open.into_iter().map(async |(_body, answer)| {
        let mut messages = Messages::new(answer.await.unwrap().into_body());
        let mut bytes = 0;
        while let Some(message) = messages.next().await.unwrap() {
            bytes += message.len();
        }
        bytes
    });
    served(join_all(read)).await
}

/// A key of nearly the largest request.
fn long_key() -> Vec<u8> {
    vec![b'k'; (2 << 20) - 100]
}

#[tokio::test(start_paused = true)]
async fn streams_with_large_requests_do_not_wait_for_each_other_for_ever() {
    let server = Server::start_ephemeral().await.unwrap();
    let mut peer = Peer::over(server.connect()).await;
    let range = RangeRequest { key: long_key().into(), ..RangeRequest::default() };
    let answers = at_once(&mut peer, method::kv::RANGE_STREAM.path(), &range, 17).await;
    assert!(answers.iter().all(|bytes| (1..100).contains(bytes)), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn long_answers_to_large_requests_do_not_wait_for_each_other_for_ever() {
    const KEYS: usize = 1100;
    let server = Server::start_ephemeral().await.unwrap();
    let mut peer = Peer::over(server.connect()).await;
    for number in 0..KEYS {
        let put = PutRequest { key: format!("a{number:04}").into(), ..PutRequest::default() };
        peer.call(method::kv::PUT, &put).await.unwrap();
    }
    let all = RangeRequest { key: "a".into(), range_end: "b".into(), ..RangeRequest::default() };
    let none = RangeRequest { key: long_key().into(), ..RangeRequest::default() };
    let operation = |range| RequestOp { request: Some(Request::Range(range)) };
    let txn = TxnRequest { success: vec![operation(all), operation(none)], ..Default::default() };
    let answers = at_once(&mut peer, method::kv::TXN.path(), &txn, 40).await;
    assert!(answers.iter().all(|bytes| *bytes > 10 * KEYS), "{answers:?}");
}

/// The events of the keys that begin so. The stream is open as long as its first half is there.
async fn watch(peer: &Peer, prefix: &str) -> (SendStream<Bytes>, Messages) {
    let end = format!("{prefix}\u{7f}");
    let create = WatchCreateRequest {
        key: prefix.to_owned().into(),
        range_end: end.into(),
        ..WatchCreateRequest::default()
    };
    let create = WatchRequest { request_union: Some(RequestUnion::Create(create)) };
    let (mut requests, answer) = peer.open(method::watch::WATCH.path()).await;
    requests.send_data(framed(&create.encode_to_vec()), false).unwrap();
    let mut messages = Messages::new(answer.await.unwrap().into_body());
    assert_eq!(events(&mut messages).await, 0, "it is created");
    (requests, messages)
}

async fn events(messages: &mut Messages) -> usize {
    let message = served(messages.next()).await.unwrap().unwrap();
    WatchResponse::decode(message).unwrap().events.len()
}

#[tokio::test(start_paused = true)]
async fn candidates_that_wait_do_not_silence_the_watches_of_their_connection() {
    const CANDIDATES: usize = 33;
    let server = Server::start_ephemeral().await.unwrap();
    let (peer, other) = (Peer::over(server.connect()).await, Peer::over(server.connect()).await);
    let (_watch, mut told) = watch(&peer, "a").await;
    let (_joining, mut joined) = watch(&other, "n/").await;
    let campaign = CampaignRequest {
        name: "n".into(),
        value: vec![b'v'; 5 << 18].into(),
        ..CampaignRequest::default()
    };
    let campaign = framed(&campaign.encode_to_vec());
    let mut candidates = Vec::new();
    for _ in 0..CANDIDATES {
        let (mut body, answer) = peer.open(method::election::CAMPAIGN.path()).await;
        body.send_data(campaign.clone(), true).unwrap();
        candidates.push(answer);
    }
    let mut waiting = 0;
    while waiting < CANDIDATES {
        waiting += events(&mut joined).await;
    }
    let put = PutRequest { key: "a".into(), ..PutRequest::default() };
    peer.call(method::kv::PUT, &put).await.unwrap();
    assert_eq!(events(&mut told).await, 1);
}

/// Each came in one frame, and was not counted.
#[tokio::test(start_paused = true)]
async fn many_waiting_calls_of_one_connection_hold_up_its_next_ones() {
    const VALUE: usize = 60 << 10;
    // The first is the leader, and does not wait.
    const CANDIDATES: usize = 1 + (64 << 20) / VALUE + 1;
    let server = Server::start_ephemeral().await.unwrap();
    let (peer, other) = (Peer::over(server.connect()).await, Peer::over(server.connect()).await);
    let (_joining, mut joined) = watch(&other, "n/").await;
    let value = vec![b'v'; VALUE].into();
    let campaign = CampaignRequest { name: "n".into(), value, ..CampaignRequest::default() };
    let campaign = framed(&campaign.encode_to_vec());
    let (mut open, mut waiting) = (Vec::new(), 0);
    while waiting < CANDIDATES {
        let (mut body, answer) = peer.open(method::election::CAMPAIGN.path()).await;
        body.send_data(campaign.clone(), true).unwrap();
        open.push((body, answer));
        waiting += events(&mut joined).await;
    }
    let put = PutRequest { key: "a".into(), ..PutRequest::default() };
    let second = Duration::from_secs(1);
    assert!(tokio::time::timeout(second, peer.call(method::kv::PUT, &put)).await.is_err());
    other.call(method::kv::PUT, &put).await.unwrap();
    open.clear();
    served(peer.call(method::kv::PUT, &put)).await.unwrap();
}
