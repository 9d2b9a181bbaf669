//! What is left on the server when watches end: nothing. And how they end on this side.

use etcdkit::{ErrorKind, Watch};
use etcdkit_testkit::etcd::Etcd;
use etcdkit_testkit::wait::eventually;

use super::*;
use crate::kv::members::{DEADLINE, connect, fails, on_own_member};

/// Waits until the server has so many watchers.
pub(super) async fn wait_watchers(etcd: &Etcd, expected: f64) {
    let mut last = None;
    let found = tokio::time::timeout(
        DEADLINE / 2,
        eventually("watchers", DEADLINE, async || {
            last = etcd.metric("etcd_debugging_mvcc_watcher_total").await;
            (last == Some(expected)).then_some(())
        }),
    )
    .await;
    assert!(found.is_ok(), "{last:?} watchers, and {expected} should be");
}

/// What had come before the cancellation is delivered, and nothing of after.
async fn cancelled_after_one(request: Watch, old: bool) {
    on_own_member(async |client, etcd| {
        if old {
            client.put("a", "1").await.unwrap();
        }
        let mut stream = watch(&client, request.clone()).await;
        if !old {
            client.put("a", "1").await.unwrap();
        }
        wait_watchers(&etcd, 1.0).await;
        let control = stream.control().clone();
        eventually("the event", DEADLINE, async || {
            (control.state().buffered_responses == 1).then_some(())
        })
        .await;
        control.cancel();
        client.put("a", "2").await.unwrap();
        assert_eq!(shown(&ends_with(&mut stream, ErrorKind::Cancelled).await), ["a=1"]);
        wait_watchers(&etcd, 0.0).await;
    })
    .await;
}

/// TestWatchCancelRunning, TestV3WatchCancelSynced.
#[tokio::test]
async fn watch_cancel_running() {
    cancelled_after_one(Watch::new("a"), false).await;
}

#[tokio::test]
async fn v3_watch_cancel_unsynced() {
    cancelled_after_one(Watch::new("a").from_revision(1), true).await;
}

#[tokio::test]
async fn watch_cancel_init() {
    on_own_member(async |client, etcd| {
        let mut stream = watch(&client, "a").await;
        stream.control().cancel();
        ends_with(&mut stream, ErrorKind::Cancelled).await;
        wait_watchers(&etcd, 0.0).await;
        // The stream is gone with its last watch, after a while.
        eventually("the end of the stream", DEADLINE, async || {
            (etcd.metric("etcd_debugging_mvcc_watch_stream_total").await? == 0.0).then_some(())
        })
        .await;
    })
    .await;
}

/// Dropped before it was created, while it is created, and after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_cancel_immediate() {
    on_own_member(async |client, etcd| {
        let keep = watch(&client, "keep").await;
        for round in 0..300 {
            let watching = client.watch(Watch::new("a"));
            let patience = Duration::from_micros(round * 20);
            let _ = tokio::time::timeout(patience, watching).await;
            let from = client.watch(Watch::new("a").from_revision(1)).await.unwrap();
            drop(from);
        }
        wait_watchers(&etcd, 1.0).await;
        drop(keep);
        wait_watchers(&etcd, 0.0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v3_watch_cancellation() {
    on_own_member(async |client, etcd| {
        let mut keep = watch(&client, "/foo").await;
        for _ in 0..1000 {
            drop(watch(&client, Watch::new("/foo").from_revision(1)).await);
        }
        wait_watchers(&etcd, 1.0).await;
        client.put("/foo", "1").await.unwrap();
        assert_eq!(shown(&events(&mut keep, 1).await), ["/foo=1"]);
    })
    .await;
}

#[tokio::test]
async fn watch_cancel_on_server() {
    on_own_member(async |client, etcd| {
        let mut streams = Vec::new();
        for _ in 0..10 {
            streams.push(watch(&client, "a").await);
        }
        wait_watchers(&etcd, 10.0).await;
        streams.truncate(3);
        wait_watchers(&etcd, 3.0).await;
        drop(client);
        wait_watchers(&etcd, 3.0).await;
        drop(streams);
        wait_watchers(&etcd, 0.0).await;
    })
    .await;
}

/// Watches come and go on one stream; none is lost to another's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_overlap_context_cancel() {
    on_own_member(async |client, etcd| {
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let client = client.clone();
                spawn(async move {
                    for round in 0..25 {
                        let key = format!("{task}/{round}");
                        let mut stream = watch(&client, key.as_str()).await;
                        let other = watch(&client, Watch::new("other").from_revision(1)).await;
                        client.put(key.as_str(), "1").await.unwrap();
                        drop(other);
                        assert_eq!(shown(&events(&mut stream, 1).await), [format!("{key}=1")]);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        wait_watchers(&etcd, 0.0).await;
    })
    .await;
}

#[tokio::test]
async fn watch_err_conn_closed() {
    on_own_member(async |client, _| {
        let mut streams = [watch(&client, "foo").await, watch(&client, "bar").await];
        client.put("foo", "1").await.unwrap();
        let control = streams[0].control().clone();
        eventually("the event", DEADLINE, async || {
            (control.state().buffered_responses == 1).then_some(())
        })
        .await;
        in_time("closing", client.close()).await;
        assert_eq!(shown(&ends_with(&mut streams[0], ErrorKind::Closed).await), ["foo=1"]);
        ends_with(&mut streams[1], ErrorKind::Closed).await;
        assert!(control.state().ended);
    })
    .await;
}

/// TestWatchCancelAndCloseClient, TestWatchClose: the first reason counts, and is told once.
#[tokio::test]
async fn watch_cancel_and_close_client() {
    on_own_member(async |client, etcd| {
        let mut streams = Vec::new();
        for _ in 0..10 {
            streams.push(watch(&client, "a").await);
        }
        streams.iter().for_each(|stream| stream.control().cancel());
        in_time("closing", client.close()).await;
        for stream in &mut streams {
            assert!(ends_with(stream, ErrorKind::Cancelled).await.is_empty());
        }
        wait_watchers(&etcd, 0.0).await;
    })
    .await;
}

#[tokio::test]
async fn watch_after_close() {
    on_own_member(async |client, _| {
        client.close().await;
        fails(in_time("the watch", client.watch("a")).await.map(drop), ErrorKind::Closed);
        client.close().await;
    })
    .await;
}

/// Cancelled, dropped and closed in every order, with many at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v3_watch_close_cancel_race() {
    on_own_member(async |first, etcd| {
        for round in 0..10 {
            let client = connect(&etcd).await;
            let mut streams = Vec::new();
            for number in 0..30 {
                streams.push(watch(&client, Watch::new("a").from_revision(number + 1)).await);
            }
            let closing = {
                let client = client.clone();
                spawn(async move { client.close().await })
            };
            if round % 2 == 0 {
                streams.iter().for_each(|stream| stream.control().cancel());
            }
            drop(streams);
            in_time("closing", closing).await.unwrap();
        }
        wait_watchers(&etcd, 0.0).await;
        drop(first);
    })
    .await;
}

/// The client ends with its last stream, and takes everything along.
#[tokio::test]
async fn dropping_everything_leaves_nothing() {
    on_own_member(async |client, etcd| {
        let mut stream = watch(&client, "a").await;
        client.put("a", "1").await.unwrap();
        drop(client);
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=1"]);
        drop(stream);
        wait_watchers(&etcd, 0.0).await;
    })
    .await;
}
