//! Connections that break below a watch.

use etcdkit::{Client, ErrorKind, Revision, Watch};
use etcdkit_testkit::etcd::{Etcd, Version};
use etcdkit_testkit::proxy::Proxy;
use etcdkit_testkit::wait::eventually;

use super::*;
use crate::kv::members::{DEADLINE, Named, connect, revision, tolerant};

/// Runs `test` on a member of its own of every version: with a client that goes through a proxy, and one around it.
async fn through_proxy(test: impl AsyncFn(Client, &Proxy, Client, &Etcd)) {
    for version in Version::available() {
        let _named = Named::new(version);
        let etcd = Etcd::builder(version).start().await;
        let proxy = Proxy::start(etcd.client_addr()).await;
        let client = tolerant().endpoints([format!("http://{}", proxy.addr())]).build().unwrap();
        test(client, &proxy, connect(&etcd).await, &etcd).await;
    }
}

async fn wait_connected(stream: &Watching) {
    eventually("a connection", DEADLINE, async || stream.control().state().connected_to.map(drop))
        .await;
}

#[tokio::test]
async fn watch_reconn_init() {
    through_proxy(async |client, proxy, direct, _| {
        let mut stream = watch(&client, "a").await;
        wait_connected(&stream).await;
        proxy.reset();
        direct.put("a", "1").await.unwrap();
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=1"]);
    })
    .await;
}

#[tokio::test]
async fn watch_reconn_running() {
    through_proxy(async |client, proxy, direct, _| {
        let mut stream = watch(&client, "a").await;
        for number in 0..5 {
            direct.put("a", number.to_string()).await.unwrap();
            assert_eq!(shown(&events(&mut stream, 1).await), [format!("a={number}")]);
            proxy.reset();
            direct.put("a", "down").await.unwrap();
            assert_eq!(shown(&events(&mut stream, 1).await), ["a=down"]);
        }
        let state = stream.control().state();
        assert!(state.reconnects >= 5, "{state:?}");
        assert_eq!(state.bookmark, revision(&direct).await);
    })
    .await;
}

/// Asked for while connections break all the time.
#[tokio::test]
async fn watch_reconn_request() {
    through_proxy(async |client, proxy, direct, _| {
        let asking = spawn(async move { (watch(&client, "a").await, client) });
        for _ in 0..20 {
            proxy.reset();
            tokio::task::yield_now().await;
        }
        let (mut stream, _client) = asking.await.unwrap();
        direct.put("a", "1").await.unwrap();
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=1"]);
    })
    .await;
}

/// "Created" is said once.
#[tokio::test]
async fn watch_with_created_notification_drop_conn() {
    through_proxy(async |client, proxy, direct, _| {
        let mut stream = watch(&client, Watch::new("a").created_notify()).await;
        assert!(next(&mut stream).await.is_created());
        proxy.reset();
        direct.put("a", "1").await.unwrap();
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=1"]);
    })
    .await;
}

#[tokio::test]
async fn watch_resume_after_disconnect() {
    through_proxy(async |client, proxy, direct, _| {
        direct.put("b", "2").await.unwrap();
        direct.put("a", "3").await.unwrap();
        direct.put("a", "4").await.unwrap();
        let mut stream = watch(&client, Watch::new("a").from_revision(1).created_notify()).await;
        assert!(next(&mut stream).await.is_created());
        proxy.refuse().await;
        direct.put("a", "5").await.unwrap();
        direct.put("a", "6").await.unwrap();
        proxy.reset();
        proxy.listen_again().await;
        let seen: Vec<i64> =
            events(&mut stream, 4).await.iter().map(|event| event.revision().get()).collect();
        assert_eq!(seen, [3, 4, 5, 6]);
    })
    .await;
}

/// Compacted while it was away: everything up to the gap, then the reason, and the revision.
#[tokio::test]
async fn watch_resume_compacted() {
    through_proxy(async |client, proxy, direct, _| {
        let mut stream = watch(&client, "foo").await;
        let first = direct.put("foo", "before").await.unwrap().revision();
        assert_eq!(shown(&events(&mut stream, 1).await), ["foo=before"]);
        proxy.refuse().await;
        proxy.reset();
        let mut last = first;
        for number in 0..10 {
            last = direct.put("foo", number.to_string()).await.unwrap().revision();
        }
        direct.compact(last).await.unwrap();
        proxy.listen_again().await;
        let (seen, error) = end(&mut stream).await;
        assert_eq!(error.kind(), ErrorKind::Compacted, "{error:?}");
        assert_eq!(error.compact_revision(), Some(last));
        assert!(seen.is_empty(), "{seen:?}");
        assert_eq!(stream.control().state().bookmark, first);
    })
    .await;
}

#[tokio::test]
async fn watch_compact_revision() {
    through_proxy(async |client, _, direct, _| {
        for number in 0..5 {
            direct.put("foo", number.to_string()).await.unwrap();
        }
        let now = revision(&direct).await;
        direct.compact(now).await.unwrap();
        let mut stream = watch(&client, Watch::new("foo").from_revision(2)).await;
        let (seen, error) = end(&mut stream).await;
        assert!(seen.is_empty());
        assert_eq!((error.kind(), error.compact_revision()), (ErrorKind::Compacted, Some(now)));
        // Exactly there it may begin.
        let mut there = watch(&client, Watch::new("foo").from_revision(now)).await;
        assert_eq!(events(&mut there, 1).await[0].revision(), now);
    })
    .await;
}

/// Events before the break, during it and after it; the connection breaks at any byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v3_watch_close_at_every_byte() {
    through_proxy(async |client, proxy, direct, _| {
        let from = revision(&direct).await.next();
        let mut stream = watch(&client, Watch::prefix("cut/").from_revision(from)).await;
        let mut sent: Vec<Revision> = Vec::new();
        let mut seen: Vec<Revision> = Vec::new();
        for round in 0..60 {
            proxy.cut_after(etcdkit_testkit::proxy::Direction::ToClient, 200 + round * 7);
            for number in 0..3 {
                let put = direct.put(format!("cut/{number}"), "x".repeat(50)).await.unwrap();
                sent.push(put.revision());
            }
            while seen.len() < sent.len() {
                let response = next(&mut stream).await;
                seen.extend(response.events().iter().map(etcdkit::Event::revision));
            }
        }
        assert_eq!(seen, sent);
    })
    .await;
}

/// Cancelled while the server is away.
#[tokio::test]
async fn watch_cancel_disconnected() {
    through_proxy(async |client, _, _, etcd| {
        let mut stream = watch(&client, "a").await;
        wait_connected(&stream).await;
        etcd.kill().await;
        stream.control().cancel();
        let cancelled = ends_with(&mut stream, ErrorKind::Cancelled);
        tokio::time::timeout(Duration::from_secs(1), cancelled).await.unwrap();
    })
    .await;
}

/// Two thousand watches, disconnected, cancelled, closed: no leak, no hang.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_stress_resume_close() {
    through_proxy(async |client, proxy, direct, etcd| {
        let mut streams = Vec::new();
        for number in 0..2000 {
            let request = Watch::new(format!("{number}")).from_revision(1);
            streams.push(watch(&client, request).await);
        }
        super::cancel::wait_watchers(etcd, 2000.0).await;
        proxy.reset();
        super::cancel::wait_watchers(etcd, 2000.0).await;
        direct.put("1999", "1").await.unwrap();
        assert_eq!(shown(&events(&mut streams[1999], 1).await), ["1999=1"]);
        proxy.reset();
        streams.truncate(1000);
        in_time("closing", client.close()).await;
        for stream in &mut streams {
            ends_with(stream, ErrorKind::Closed).await;
        }
        super::cancel::wait_watchers(etcd, 0.0).await;
    })
    .await;
}

/// Watches come and go while connections break: none is lost to another's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_overlap_drop_conn_context_cancel() {
    through_proxy(async |client, proxy, direct, etcd| {
        let (turn, mut turns) = tokio::sync::mpsc::channel(1);
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (client, direct, turn) = (client.clone(), direct.clone(), turn.clone());
                spawn(async move {
                    for round in 0..5 {
                        let key = format!("{task}/{round}");
                        let mut stream = watch(&client, key.as_str()).await;
                        let other = watch(&client, Watch::new("other").from_revision(1)).await;
                        turn.send(()).await.unwrap();
                        direct.put(key.as_str(), "1").await.unwrap();
                        drop(other);
                        assert_eq!(shown(&events(&mut stream, 1).await), [format!("{key}=1")]);
                    }
                })
            })
            .collect();
        drop(turn);
        while turns.recv().await.is_some() {
            proxy.reset();
        }
        for task in tasks {
            task.await.unwrap();
        }
        super::cancel::wait_watchers(etcd, 0.0).await;
    })
    .await;
}

/// Answers to reads, however large, are not in the way of events.
#[tokio::test]
async fn watches_have_a_connection_of_their_own() {
    through_proxy(async |client, proxy, _, _| {
        client.put("a", "1").await.unwrap();
        assert_eq!(proxy.connections(), 1);
        let mut streams = Vec::new();
        for _ in 0..10 {
            streams.push(watch(&client, "a").await);
        }
        client.put("a", "2").await.unwrap();
        for stream in &mut streams {
            assert_eq!(shown(&events(stream, 1).await), ["a=2"]);
        }
        assert_eq!(proxy.connections(), 2, "one for calls, one for streams");
    })
    .await;
}
