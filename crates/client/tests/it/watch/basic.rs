//! What a watch sees: from now, from before, from later; one key, a range, all.

use etcdkit::service::CallOptions;
use etcdkit::{Delete, ErrorKind, EventKind, Metadata, Op, Put, Revision, Txn, Watch};

use super::*;
use crate::kv::members::{fails, on_every_version, on_own_member, revision};

/// TestWatchMultiWatcher, TestV3WatchMultipleWatchersSynced.
#[tokio::test]
async fn watch_multi_watcher() {
    on_every_version(async |client, _| {
        let keys = ["multi/a", "multi/b", "multi/c"];
        let mut single = Vec::new();
        for key in keys {
            single.push(watch(&client, key).await);
        }
        let mut prefix = watch(&client, Watch::prefix("multi/")).await;
        for round in 0..3 {
            for key in keys {
                client.put(key, round.to_string()).await.unwrap();
            }
        }
        for (key, stream) in keys.iter().zip(&mut single) {
            let expected: Vec<String> = (0..3).map(|round| format!("{key}={round}")).collect();
            assert_eq!(shown(&events(stream, 3).await), expected);
        }
        let all = events(&mut prefix, 9).await;
        assert!(all.is_sorted_by_key(etcdkit::Event::revision));
        silent(&mut prefix).await;
    })
    .await;
}

#[tokio::test]
async fn v3_watch_multiple_watchers_unsynced() {
    on_every_version(async |client, _| {
        let from = revision(&client).await.next();
        for key in ["many/foo", "many/other", "many/foo"] {
            client.put(key, "bar").await.unwrap();
        }
        let mut exact = Vec::new();
        for _ in 0..3 {
            exact.push(watch(&client, Watch::new("many/foo").from_revision(from)).await);
        }
        let mut prefix = watch(&client, Watch::prefix("many/").from_revision(from)).await;
        for stream in &mut exact {
            assert_eq!(shown(&events(stream, 2).await), ["many/foo=bar"; 2]);
        }
        let all = shown(&events(&mut prefix, 3).await);
        assert_eq!(all, ["many/foo=bar", "many/other=bar", "many/foo=bar"]);
    })
    .await;
}

/// Five streams to the server, told apart by metadata: each gets the event.
async fn multiple_streams(synced: bool, key: &str) {
    on_every_version(async |client, _| {
        let from = revision(&client).await.next();
        let open = async || {
            let mut streams = Vec::new();
            for number in 0..5 {
                let metadata = Metadata::new().with("number", number.to_string()).unwrap();
                let client = client.with_options(CallOptions::new().metadata(metadata));
                streams.push(watch(&client, Watch::new(key).from_revision(from)).await);
            }
            streams
        };
        let before = if synced { open().await } else { Vec::new() };
        client.put(key, "bar").await.unwrap();
        let mut streams = if synced { before } else { open().await };
        for stream in &mut streams {
            assert_eq!(shown(&events(stream, 1).await), [format!("{key}=bar")]);
        }
    })
    .await;
}

#[tokio::test]
async fn v3_watch_multiple_streams_synced() {
    multiple_streams(true, "streams-synced").await;
}

#[tokio::test]
async fn v3_watch_multiple_streams_unsynced() {
    multiple_streams(false, "streams-unsynced").await;
}

#[tokio::test]
async fn watch_range() {
    on_every_version(async |client, _| {
        let mut range = watch(&client, Watch::range("range/a", "range/c")).await;
        for key in ["range/a", "range/b", "range/bar", "range/c", "range/d"] {
            client.put(key, "1").await.unwrap();
        }
        client.put("range/b", "2").await.unwrap();
        let seen = shown(&events(&mut range, 4).await);
        assert_eq!(seen, ["range/a=1", "range/b=1", "range/bar=1", "range/b=2"]);
    })
    .await;
}

/// Upstream's table: negative, zero, one.
#[tokio::test]
async fn watch_start_revisions() {
    on_own_member(async |client, _| {
        client.put("a", "1").await.unwrap();
        let outcome = client.watch(Watch::new("a").from_revision(-1)).await;
        fails(outcome.map(drop), ErrorKind::InvalidArgument);
        let mut now = watch(&client, "a").await;
        let mut all = watch(&client, Watch::new("a").from_revision(1)).await;
        client.put("a", "2").await.unwrap();
        assert_eq!(shown(&events(&mut now, 1).await), ["a=2"]);
        assert_eq!(shown(&events(&mut all, 2).await), ["a=1", "a=2"]);
    })
    .await;
}

/// What happens after the call is seen, and nothing of before, even if nobody reads yet.
#[tokio::test]
async fn v3_watch_from_current_revision() {
    on_every_version(async |client, _| {
        let cases = [
            (Watch::new("current/foo"), vec!["current/foo"], 1),
            (Watch::new("current/foo"), vec!["current/helloworld"], 0),
            (Watch::prefix("current/foo"), vec!["current/fooLong"], 1),
            (Watch::prefix("current/foo"), vec!["current/helloworld"], 0),
            (Watch::range("current/fo", "current/fooLong"), vec!["current/foo"], 1),
            (Watch::new("current/foo"), vec!["current/foo"; 3], 3),
        ];
        for (request, puts, expected) in cases {
            client.put(puts[0], "before").await.unwrap();
            let mut stream = watch(&client, request.clone()).await;
            for key in puts {
                client.put(key, "bar").await.unwrap();
            }
            let seen = events(&mut stream, expected).await;
            assert!(seen.iter().all(|event| event.kv().value() == b"bar"), "{request:?}");
            silent(&mut stream).await;
        }
    })
    .await;
}

#[tokio::test]
async fn v3_watch_future_revision() {
    on_own_member(async |client, _| {
        let target = Revision::new(revision(&client).await.get() + 5);
        let mut stream = watch(&client, Watch::new("a").from_revision(target)).await;
        loop {
            let put = client.put("a", "1").await.unwrap();
            if put.revision() == target {
                break;
            }
        }
        assert_eq!(events(&mut stream, 1).await[0].revision(), target);
    })
    .await;
}

/// Refused before it is sent; a range without an end is fine.
#[tokio::test]
async fn v3_watch_wrong_range() {
    on_every_version(async |client, _| {
        for wrong in [Watch::range("foo", "foo"), Watch::range("foz", "foo"), Watch::new("")] {
            fails(client.watch(wrong).await.map(drop), ErrorKind::InvalidArgument);
        }
        drop(watch(&client, Watch::from_key("wrong/")).await);
        drop(watch(&client, Watch::from_key("")).await);
    })
    .await;
}

#[tokio::test]
async fn v3_watch_empty_key() {
    on_every_version(async |client, _| {
        let mut stream = watch(&client, "empty/foo").await;
        client.put("empty/foo", "").await.unwrap();
        let seen = events(&mut stream, 1).await;
        assert_eq!(seen[0].kind(), EventKind::Put);
        assert_eq!(seen[0].kv().value(), b"");
    })
    .await;
}

/// All events of a transaction are in one response; in which order is not said.
async fn multiple_events_of_a_txn(synced: bool, name: &str) {
    on_every_version(async |client, _| {
        let before = revision(&client).await;
        let prefix = format!("{name}/");
        let live = watch(&client, Watch::prefix(prefix.clone())).await;
        let puts = (0..3).map(|number| Op::from(Put::new(format!("{prefix}{number}"), "bar")));
        client.txn(Txn::new().then(puts)).await.unwrap();
        let mut stream = match synced {
            true => live,
            false => {
                watch(&client, Watch::prefix(prefix.clone()).from_revision(before.next())).await
            }
        };
        let response = next(&mut stream).await;
        let mut seen = shown(response.events());
        seen.sort();
        let expected: Vec<String> = (0..3).map(|number| format!("{prefix}{number}=bar")).collect();
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test]
async fn v3_watch_multiple_events_txn_synced() {
    multiple_events_of_a_txn(true, "txn-synced").await;
}

#[tokio::test]
async fn v3_watch_multiple_events_txn_unsynced() {
    multiple_events_of_a_txn(false, "txn-unsynced").await;
}

#[tokio::test]
async fn v3_watch_multiple_events_put_unsynced() {
    on_every_version(async |client, _| {
        let before = revision(&client).await;
        let put = async |number: u32| client.put(format!("unsynced/{number}"), "").await.unwrap();
        put(0).await;
        put(1).await;
        let mut stream =
            watch(&client, Watch::prefix("unsynced/").from_revision(before.next())).await;
        put(0).await;
        put(1).await;
        let seen = events(&mut stream, 4).await;
        let versions: Vec<i64> = seen.iter().map(|event| event.kv().version()).collect();
        assert_eq!(versions, [1, 1, 2, 2]);
    })
    .await;
}

/// Watches that begin while others write: none has a gap after its beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v3_watch_current_put_overlap() {
    on_own_member(async |client, _| {
        let writer = {
            let client = client.clone();
            spawn(async move {
                for number in 0..64 {
                    client.put("foo", number.to_string()).await.unwrap();
                }
            })
        };
        let mut streams = Vec::new();
        for _ in 0..32 {
            streams.push(watch(&client, "foo").await);
        }
        writer.await.unwrap();
        let last = client.put("foo", "end").await.unwrap().revision();
        for stream in &mut streams {
            let mut seen: Vec<i64> = Vec::new();
            while seen.last() != Some(&last.get()) {
                let response = next(stream).await;
                seen.extend(response.events().iter().map(|event| event.revision().get()));
            }
            assert!(seen.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{seen:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn watch_event_type() {
    on_every_version(async |client, _| {
        let mut stream = watch(&client, Watch::prefix("types/")).await;
        client.put("types/a", "1").await.unwrap();
        client.put("types/a", "2").await.unwrap();
        client.delete(Delete::new("types/a")).await.unwrap();
        let grant = etcdkit::proto::etcdserverpb::LeaseGrantRequest { ttl: 1, id: 0 };
        let lease = client.raw(etcdkit::proto::method::lease::GRANT, &grant).await.unwrap();
        let lease = etcdkit::LeaseId::new(lease.id).unwrap();
        client.call(Put::new("types/b", "").lease(lease)).await.unwrap();
        let seen = events(&mut stream, 5).await;
        let kinds: Vec<(bool, bool, bool)> = seen
            .iter()
            .map(|event| (event.is_create(), event.is_modify(), event.is_delete()))
            .collect();
        let (create, modify, delete) =
            ((true, false, false), (false, true, false), (false, false, true));
        assert_eq!(kinds, [create, modify, delete, create, delete]);
    })
    .await;
}

/// More watches than fit into one round trip's worth of windows, each with its own key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_watches_share_a_stream() {
    const WATCHES: usize = 3000;
    on_own_member(async |client, etcd| {
        let begun = revision(&client).await.next();
        let mut streams = Vec::new();
        for number in 0..WATCHES {
            let request = Watch::new(format!("k{number}")).from_revision(begun);
            streams.push(watch(&client, request).await);
        }
        let total = WATCHES as f64;
        super::cancel::wait_watchers(&etcd, total).await;
        assert_eq!(etcd.metric("etcd_debugging_mvcc_watch_stream_total").await, Some(1.0));
        for chunk in (0..WATCHES).collect::<Vec<_>>().chunks(100) {
            let puts = chunk.iter().map(|number| Op::from(Put::new(format!("k{number}"), "v")));
            client.txn(Txn::new().then(puts)).await.unwrap();
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            assert_eq!(shown(&events(stream, 1).await), [format!("k{number}=v")]);
        }
    })
    .await;
}

/// A hundred calls at once: what "now" is, is asked for a few times only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_read_serves_many_watches() {
    on_own_member(async |client, etcd| {
        let reads = async || {
            let name = r#"grpc_server_started_total{grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"}"#;
            etcd.metric(name).await.expect("etcd counts calls")
        };
        let before = reads().await;
        let calls: Vec<_> = (0..100)
            .map(|number| {
                let client = client.clone();
                spawn(async move { watch(&client, format!("{number}").as_str()).await })
            })
            .collect();
        let mut streams = Vec::new();
        for call in calls {
            streams.push(call.await.unwrap());
        }
        let reads = reads().await - before;
        assert!(reads <= 20.0, "{reads} reads for {} watches", streams.len());
    })
    .await;
}

/// Through the form of a service that can be stored.
#[tokio::test]
async fn a_boxed_client_watches() {
    on_every_version(async |client, _| {
        let client = client.boxed();
        let mut stream = watch(&client, "boxed").await;
        client.put("boxed", "1").await.unwrap();
        assert_eq!(shown(&events(&mut stream, 1).await), ["boxed=1"]);
        assert!(stream.control().state().bookmark > Revision::NONE);
    })
    .await;
}
