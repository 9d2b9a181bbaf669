//! What becomes of calls when the client closes, or their future is dropped.

use std::time::Duration;

use etcdkit::{ErrorKind, Get, Revision};
use etcdkit_testkit::proxy::Proxy;

use super::members::*;

/// A bound within which something that takes no time must be done, on two busy cores.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn kv_get_err_conn_closed() {
    on_every_version(async |_, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let client = tolerant().endpoints([proxy.addr().to_string()]).connect().await.unwrap();
        // So that the answer can't come first.
        proxy.freeze();
        let both = async { tokio::join!(client.get("foo"), client.close()) };
        let (outcome, ()) = at_most(SOON, "closing", both).await;
        fails(outcome, ErrorKind::Closed);
        proxy.unfreeze();
        proxy.wait_active(0).await;
    })
    .await;
}

#[tokio::test]
async fn kv_new_after_close() {
    on_every_version(async |client, _| {
        client.close().await;
        let calls = async {
            fails(client.get("foo").await, ErrorKind::Closed);
            fails(client.get_stream("foo").await, ErrorKind::Closed);
            fails(client.get_all("foo").await, ErrorKind::Closed);
            fails(client.compact(Revision::new(1)).await, ErrorKind::Closed);
            fails(client.set_endpoints(["a:1"]).await, ErrorKind::Closed);
            fails(client.sync().await, ErrorKind::Closed);
            fails(client.wait_ready().await, ErrorKind::Closed);
            let error = client.put("foo", "bar").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed);
            assert!(!error.maybe_applied());
            client.close().await;
            client.closed().await;
        };
        at_most(SOON, "a call after close", calls).await;
    })
    .await;
}

/// `closed` is told to all clones, and streams end with the reason.
#[tokio::test]
async fn closing_is_seen_by_clones_and_streams() {
    on_every_version(async |client, _| {
        let other = client.clone();
        let mut states = client.watch_endpoint_states();
        assert!(states.next().await.is_some());
        let ((), ()) = tokio::join!(client.close(), at_most(SOON, "closed()", other.closed()));
        fails(other.get("foo").await, ErrorKind::Closed);
        at_most(SOON, "the end of the states", async { while states.next().await.is_some() {} })
            .await;
    })
    .await;
}

#[tokio::test]
async fn kv_get_cancel() {
    on_own_member(async |_, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let client = tolerant().endpoints([proxy.addr().to_string()]).connect().await.unwrap();
        let now = client.put("foo", "bar").await.unwrap().revision();
        proxy.freeze();
        let dropped = tokio::time::timeout(Duration::from_millis(50), client.get("foo")).await;
        assert!(dropped.is_err(), "nothing answers");
        proxy.unfreeze();
        // The same connection goes on.
        in_time("a get", client.get("foo")).await.unwrap();
        in_time("a compaction", client.compact(now)).await.unwrap();
        assert_eq!((proxy.connections(), proxy.active()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn dropping_the_last_clone_closes_connections() {
    on_every_version(async |_, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let client = tolerant().endpoints([proxy.addr().to_string()]).connect().await.unwrap();
        let clone = client.clone();
        drop(client);
        clone.get("foo").await.unwrap();
        assert_eq!(proxy.active(), 1);
        // A stream that is still being read keeps its connection.
        let mut stream = clone.get_stream(Get::new("foo")).await.unwrap();
        drop(clone);
        while let Some(piece) = stream.next().await {
            piece.unwrap();
        }
        drop(stream);
        in_time("the connection to close", proxy.wait_active(0)).await;
    })
    .await;
}

/// A call dropped under way leaves nothing behind: a thousand of them do not fill the connection.
#[tokio::test]
async fn dropped_calls_leave_nothing_behind() {
    on_every_version(async |_, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let client = tolerant().endpoints([proxy.addr().to_string()]).connect().await.unwrap();
        for _ in 0..1000 {
            // Polled once, which sends it.
            let sent = tokio::time::timeout(Duration::ZERO, client.get("foo")).await;
            drop(sent);
        }
        in_time("a get", client.get("foo")).await.unwrap();
        assert_eq!(proxy.connections(), 1);
    })
    .await;
}
