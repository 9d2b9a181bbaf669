//! The options of a watch, one by one.

use etcdkit::service::CallOptions;
use etcdkit::{ErrorKind, Metadata, Revision, Watch};

use super::*;
use crate::kv::members::{fails, on_every_version, on_own_member};

#[tokio::test]
async fn watch_with_filter() {
    on_every_version(async |client, _| {
        let mut puts = watch(&client, Watch::new("filter/a").only_puts()).await;
        let mut deletes = watch(&client, Watch::new("filter/a").only_deletes()).await;
        client.put("filter/a", "abc").await.unwrap();
        client.delete("filter/a").await.unwrap();
        assert_eq!(shown(&events(&mut puts, 1).await), ["filter/a=abc"]);
        assert_eq!(shown(&events(&mut deletes, 1).await), ["!filter/a"]);
        silent(&mut puts).await;
    })
    .await;
}

#[tokio::test]
async fn v3_watch_with_prev_kv() {
    on_every_version(async |client, _| {
        for request in [Watch::new("prev/foo"), Watch::prefix("prev/f")] {
            client.put("prev/foo", "old").await.unwrap();
            let mut with = watch(&client, request.clone().prev_kv()).await;
            let mut without = watch(&client, request).await;
            client.put("prev/foo", "new").await.unwrap();
            client.delete("prev/foo").await.unwrap();
            let seen = events(&mut with, 2).await;
            let before: Vec<_> =
                seen.iter().map(|event| event.previous().unwrap().value()).collect();
            assert_eq!(before, [b"old".as_slice(), b"new"]);
            let seen = events(&mut without, 2).await;
            assert!(seen.iter().all(|event| event.previous().is_none()));
        }
    })
    .await;
}

/// Streams of their own, told apart by metadata: each watch gets what it asked for, and all see everything.
#[tokio::test]
async fn watch_mixed_prev_kv_on_same_key_separate_streams() {
    on_own_member(async |client, etcd| {
        let mut streams = Vec::new();
        for number in 0..10 {
            let metadata = Metadata::new().with("number", number.to_string()).unwrap();
            let client = client.with_options(CallOptions::new().metadata(metadata));
            let request = Watch::new("foo");
            let request = if number % 2 == 0 { request.prev_kv() } else { request };
            streams.push(watch(&client, request).await);
        }
        super::cancel::wait_watchers(&etcd, 10.0).await;
        assert_eq!(etcd.metric("etcd_debugging_mvcc_watch_stream_total").await, Some(10.0));
        for number in 0..5 {
            client.put("foo", number.to_string()).await.unwrap();
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            let seen = events(stream, 5).await;
            let previous = seen.iter().filter(|event| event.previous().is_some()).count();
            assert_eq!(previous, if number % 2 == 0 { 4 } else { 0 });
            assert!(seen.is_sorted_by_key(etcdkit::Event::revision));
        }
    })
    .await;
}

#[tokio::test]
async fn watch_with_created_notification() {
    on_every_version(async |client, _| {
        let mut stream = watch(&client, Watch::new("created/a").created_notify()).await;
        let first = next(&mut stream).await;
        assert!(first.is_created() && !first.is_progress() && first.events().is_empty());
        assert_ne!(first.header().revision, Revision::NONE);
    })
    .await;
}

#[tokio::test]
async fn a_watch_goes_by_the_id_that_it_was_given() {
    on_every_version(async |client, _| {
        let request = Watch::new("id/a").watch_id(77).created_notify();
        let mut stream = watch(&client, request.clone()).await;
        assert_eq!(next(&mut stream).await.watch_id(), 77);
        fails(
            client.watch(request.clone().from_revision(1)).await.map(drop),
            ErrorKind::InvalidArgument,
        );
        client.put("id/a", "1").await.unwrap();
        assert_eq!(next(&mut stream).await.watch_id(), 77);
        // The id is free again.
        drop(stream);
        let mut again = watch(&client, request).await;
        assert_eq!(next(&mut again).await.watch_id(), 77);
        client.put("id/a", "2").await.unwrap();
        assert_eq!(shown(&events(&mut again, 1).await), ["id/a=2"]);
    })
    .await;
}

/// A client that no server answers does not wait for ever.
#[tokio::test]
async fn a_watch_from_now_has_a_deadline() {
    let client = Client::builder().endpoints(["http://127.0.0.1:1"]).build().unwrap();
    let client = client.with_options(CallOptions::new().timeout(Duration::from_millis(300)));
    fails(client.watch("a").await.map(drop), ErrorKind::Timeout);
    // One that begins with a revision is there at once, and says what it waits for.
    let stream = watch(&client, Watch::new("a").from_revision(1)).await;
    tokio::time::timeout(Duration::from_millis(100), std::future::pending::<()>())
        .await
        .unwrap_err();
    let state = stream.control().state();
    assert!(state.connected_to.is_none() && state.disconnected_for.is_some(), "{state:?}");
}

#[tokio::test]
async fn a_limit_on_attempts_is_kept() {
    let timeouts = etcdkit::config::Timeouts::new().connect(Duration::from_millis(50));
    let builder = Client::builder().endpoints(["http://127.0.0.1:1"]).timeouts(timeouts);
    let client = builder.build().unwrap();
    let mut stream = watch(&client, Watch::new("a").from_revision(1).max_attempts(3)).await;
    ends_with(&mut stream, ErrorKind::Unavailable).await;
}
