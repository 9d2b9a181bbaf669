//! A read and a watch as one.

use std::collections::BTreeMap;

use etcdkit::{Client, Delete, ErrorKind, Get, Resync, ResyncWatch, Watch};
use etcdkit_testkit::etcd::{Etcd, Version};
use etcdkit_testkit::proxy::Proxy;
use etcdkit_testkit::wait::eventually;

use super::*;
use crate::kv::members::{DEADLINE, Named, connect, on_own_member, revision, tolerant};

type Copied = BTreeMap<String, String>;

/// Applies the next item to a copy of the range.
async fn apply(stream: &mut ResyncWatch<etcdkit::Channel>, copy: &mut Copied) -> Resync {
    let item = in_time("an item", stream.next()).await.expect("it goes on").unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match &item {
        Resync::State { changed, vanished, .. } => {
            for kv in changed {
                copy.insert(text(kv.key()), text(kv.value()));
            }
            for key in vanished {
                assert!(copy.remove(&text(key)).is_some(), "{key:?} vanished and was not there");
            }
        }
        Resync::Events(events) => {
            for event in events {
                match event.is_delete() {
                    true => assert!(copy.remove(&text(event.key())).is_some(), "{event:?}"),
                    false => drop(copy.insert(text(event.key()), text(event.kv().value()))),
                }
            }
        }
        other => panic!("{other:?}"),
    }
    item
}

async fn store(client: &Client) -> Copied {
    let answer = client.get(Get::prefix("r/")).await.unwrap();
    let pair = |kv: &etcdkit::KeyValue| {
        (kv.key_str().unwrap().to_owned(), kv.value_str().unwrap().to_owned())
    };
    answer.kvs().iter().map(pair).collect()
}

#[tokio::test]
async fn the_state_and_then_what_happens() {
    on_own_member(async |client, _| {
        client.put("r/a", "1").await.unwrap();
        let mut stream = client.watch_resync(Watch::prefix("r/"));
        let mut copy = Copied::new();
        let first = apply(&mut stream, &mut copy).await;
        assert!(matches!(first, Resync::State { changed, .. } if changed.len() == 1));
        client.put("r/b", "2").await.unwrap();
        client.delete("r/a").await.unwrap();
        while copy != store(&client).await {
            assert!(matches!(apply(&mut stream, &mut copy).await, Resync::Events(_)));
        }
        assert_eq!(stream.resyncs(), 1);
    })
    .await;
}

/// What changed and what vanished while it was away, and nothing else.
#[tokio::test]
async fn a_compaction_is_a_gap_and_not_the_end() {
    for version in Version::available() {
        let _named = Named::new(version);
        let etcd = Etcd::builder(version).start().await;
        let proxy = Proxy::start(etcd.client_addr()).await;
        let direct = connect(&etcd).await;
        let client = tolerant().endpoints([format!("http://{}", proxy.addr())]).build().unwrap();
        for key in ["r/same", "r/changed", "r/gone", "r/anew"] {
            direct.put(key, "1").await.unwrap();
        }
        let mut stream = client.watch_resync(Watch::prefix("r/"));
        let mut copy = Copied::new();
        apply(&mut stream, &mut copy).await;

        proxy.refuse().await;
        proxy.reset();
        direct.put("r/changed", "2").await.unwrap();
        direct.delete("r/gone").await.unwrap();
        direct.delete("r/anew").await.unwrap();
        direct.put("r/anew", "2").await.unwrap();
        direct.put("r/new", "2").await.unwrap();
        direct.compact(revision(&direct).await).await.unwrap();
        proxy.listen_again().await;
        let Resync::State { changed, vanished, revision: at } = apply(&mut stream, &mut copy).await
        else {
            panic!("no gap")
        };
        let changed: Vec<&str> = changed.iter().map(|kv| kv.key_str().unwrap()).collect();
        assert_eq!(changed, ["r/anew", "r/changed", "r/new"]);
        assert_eq!(vanished, ["r/gone"]);
        assert_eq!(at, revision(&direct).await);
        assert_eq!(copy, store(&direct).await);
        direct.put("r/new", "3").await.unwrap();
        assert!(matches!(apply(&mut stream, &mut copy).await, Resync::Events(_)));
        assert_eq!((stream.resyncs(), copy), (2, store(&direct).await));
    }
}

/// A reader that lags misses steps, and none of the outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_lags_sees_the_outcome() {
    on_own_member(async |client, _| {
        let mut stream = client.watch_resync(Watch::prefix("r/").buffer(16 << 10, 1000));
        let mut copy = Copied::new();
        apply(&mut stream, &mut copy).await;
        for round in 0..5 {
            for number in 0..60 {
                client.put(format!("r/{}", number + round), "x".repeat(800)).await.unwrap();
            }
            client.delete(Delete::range("r/1", "r/2")).await.unwrap();
        }
        client.put("r/end", "1").await.unwrap();
        eventually("the lag", DEADLINE, async || {
            stream.control().is_some_and(|control| control.state().ended).then_some(())
        })
        .await;
        while copy != store(&client).await {
            apply(&mut stream, &mut copy).await;
        }
        assert!(stream.resyncs() >= 2, "{}", stream.resyncs());
    })
    .await;
}

#[tokio::test]
async fn it_ends_with_the_client() {
    on_own_member(async |client, _| {
        let mut stream = client.watch_resync(Watch::prefix("r/"));
        let mut copy = Copied::new();
        apply(&mut stream, &mut copy).await;
        client.close().await;
        let error = in_time("the end", stream.next()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(stream.next().await.is_none());
    })
    .await;
}

/// A member that lost all its data: the same cluster with another history, whose revisions are taken for nobody's.
#[tokio::test]
async fn a_history_that_went_back_is_read_again() {
    on_own_member(async |client, etcd| {
        let direct = connect(&etcd).await;
        for key in ["r/same-revision", "r/gone"] {
            direct.put(key, "before").await.unwrap();
        }
        let mut stream = client.watch_resync(Watch::prefix("r/"));
        let mut copy = Copied::new();
        apply(&mut stream, &mut copy).await;

        etcd.kill().await;
        std::fs::remove_dir_all(etcd.data_dir()).unwrap();
        etcd.start().await;
        let direct = connect(&etcd).await;
        direct.put("r/same-revision", "after").await.unwrap();
        while copy != store(&direct).await {
            apply(&mut stream, &mut copy).await;
        }
        direct.put("r/new", "1").await.unwrap();
        assert!(matches!(apply(&mut stream, &mut copy).await, Resync::Events(_)));
        assert_eq!(copy, store(&direct).await);
    })
    .await;
}

/// Another cluster is no gap: the reader is told, rather than left waiting for ever.
#[tokio::test]
async fn endpoints_that_lead_to_another_cluster_end_it() {
    let (etcd, other) = (Etcd::start_newest().await, Etcd::start_newest().await);
    let client = connect(&etcd).await;
    let mut stream = client.watch_resync(Watch::prefix("r/"));
    let mut copy = Copied::new();
    apply(&mut stream, &mut copy).await;
    client.set_endpoints([other.client_url()]).await.unwrap();
    let error = in_time("the end", stream.next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClusterChanged, "{error}");
    assert!(stream.next().await.is_none());
}
