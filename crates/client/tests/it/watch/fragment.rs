//! Responses that the server cuts into pieces.

use etcdkit::config::Limits;
use etcdkit::{Client, Delete, ErrorKind, Watch};
use etcdkit_testkit::etcd::Etcd;

use super::*;
use crate::kv::members::{on_own_member, on_own_member_with, revision, tolerant};

const MIB: usize = 1 << 20;
const LIMIT: u32 = 3 << 19;

/// Ten values of a MiB each, read from the beginning by a watch that may or may not get pieces.
async fn check(fragment: bool, limited: bool) {
    on_own_member_with(
        |etcd| etcd.max_request_bytes(LIMIT),
        async |client, etcd| {
            let begun = revision(&client).await;
            for number in 0..10 {
                client.put(format!("foo{number}"), vec![b'x'; MIB]).await.unwrap();
            }
            let client = limited_client(&etcd, limited);
            let request = Watch::prefix("foo").from_revision(begun.next()).fragment(fragment);
            let mut stream = watch(&client, request.buffer(64 << 20, 1000)).await;
            if limited && !fragment {
                ends_with(&mut stream, ErrorKind::ResourceExhausted).await;
                return;
            }
            let seen = events(&mut stream, 10).await;
            assert!(seen.iter().all(|event| event.kv().value().len() == MIB));
            assert!(seen.is_sorted_by_key(etcdkit::Event::revision));
        },
    )
    .await;
}

fn limited_client(etcd: &Etcd, limited: bool) -> Client {
    let builder = tolerant().endpoints([etcd.client_url()]);
    let builder = match limited {
        true => builder.limits(Limits::new().max_receive_message(LIMIT as usize + MIB / 2)),
        false => builder,
    };
    builder.build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_fragment_disable() {
    check(false, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_fragment_disable_with_grpc_limit() {
    check(false, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_fragment_enable() {
    check(true, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_fragment_enable_with_grpc_limit() {
    check(true, true).await;
}

/// One revision with more than fits into a message: pieces on the wire, one response here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_in_pieces_is_delivered_whole() {
    on_own_member(async |client, _| {
        for number in 0..8 {
            client.put(format!("big/{number}"), vec![b'x'; MIB]).await.unwrap();
        }
        let mut stream = watch(&client, Watch::prefix("big/").prev_kv().buffer(64 << 20, 10)).await;
        client.delete(Delete::prefix("big/")).await.unwrap();
        let response = next(&mut stream).await;
        assert_eq!(response.events().len(), 8);
        assert!(response.events().iter().all(|event| event.previous().is_some()));
    })
    .await;
}
