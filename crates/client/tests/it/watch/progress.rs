//! Progress notifications, and what they are good for.

use etcdkit::{Revision, Watch};
use etcdkit_testkit::etcd::{Builder, Etcd, Version};
use etcdkit_testkit::wait::eventually;

use super::*;
use crate::kv::members::{
    DEADLINE, Named, connect, on_every_version, on_own_member, revision, tolerant,
};

const INTERVAL: Duration = Duration::from_millis(200);

/// etcd 3.4 has the flag under another name.
fn quick(etcd: Builder<Etcd>, version: Version) -> Builder<Etcd> {
    let name = if version.at_least(3, 6) { "" } else { "experimental-" };
    etcd.argument(format!("--{name}watch-progress-notify-interval={}ms", INTERVAL.as_millis()))
}

/// Versions whose interval can be set.
fn configurable() -> impl Iterator<Item = Version> {
    Version::available().into_iter().filter(|version| version.at_least(3, 5))
}

async fn progress(stream: &mut Watching) -> WatchResponse {
    let response = next(stream).await;
    assert!(response.is_progress(), "{response:?}");
    response
}

/// TestConfigurableWatchProgressNotifyInterval, TestWatchWithProgressNotify2, TestWatchWithProgressNotify: who asked for
/// notifications gets them, beside events; who did not, gets none.
#[tokio::test]
async fn configurable_watch_progress_notify_interval() {
    for version in configurable() {
        let _named = Named::new(version);
        let etcd = quick(Etcd::builder(version), version).start().await;
        let client = connect(&etcd).await;
        let mut with = watch(&client, Watch::new("a").progress_notify()).await;
        let mut without = watch(&client, "a").await;
        let put = client.put("a", "1").await.unwrap().revision();
        assert_eq!(shown(&events(&mut with, 1).await), ["a=1"]);
        for _ in 0..2 {
            assert_eq!(progress(&mut with).await.header().revision, put);
        }
        assert_eq!(shown(&events(&mut without, 1).await), ["a=1"]);
        silent(&mut without).await;
    }
}

/// With none, one and two watches; each that asks hears the present revision.
#[tokio::test]
async fn watch_request_progress() {
    on_every_version(async |client, _| {
        let mut one = watch(&client, "ask/a").await;
        let mut two = watch(&client, Watch::prefix("ask/")).await;
        let put = client.put("ask/b", "1").await.unwrap().revision();
        assert_eq!(shown(&events(&mut two, 1).await), ["ask/b=1"]);
        one.control().request_progress();
        two.control().request_progress();
        assert!(progress(&mut one).await.header().revision >= put);
        assert!(progress(&mut two).await.header().revision >= put);
        // It need not be there yet.
        let mut early = watch(&client, Watch::new("ask/c").from_revision(1)).await;
        early.control().request_progress();
        assert!(progress(&mut early).await.header().revision >= put);
    })
    .await;
}

/// etcd keeps a watch that it ended because of a compaction until it is cancelled, and answers no request for progress on
/// its stream for as long: the other watches would not keep up any more.
#[tokio::test]
async fn a_compacted_watch_does_not_silence_the_progress_of_others() {
    on_own_member(async |client, _| {
        let mut idle = watch(&client, "idle").await;
        client.put("idle", "1").await.unwrap();
        assert_eq!(shown(&events(&mut idle, 1).await), ["idle=1"]);
        for number in 0..5 {
            client.put("busy", number.to_string()).await.unwrap();
        }
        let last = revision(&client).await;
        client.compact(last).await.unwrap();
        let mut late = watch(&client, Watch::new("busy").from_revision(2)).await;
        ends_with(&mut late, ErrorKind::Compacted).await;
        idle.control().request_progress();
        assert!(progress(&mut idle).await.header().revision >= last);
    })
    .await;
}

/// From etcd 3.6 on, no request for progress is answered as long as a watch of the stream has yet to begin: the other
/// watches would not keep up any more.
#[tokio::test]
async fn a_watch_from_a_future_revision_does_not_silence_the_progress_of_others() {
    on_own_member(async |client, _| {
        let mut idle = watch(&client, "idle").await;
        let begun = revision(&client).await;
        let after = |count| Revision::new(begun.get() + count);
        let mut future = watch(&client, Watch::new("busy").from_revision(after(4))).await;
        assert_eq!(future.control().state().bookmark, after(3));
        for number in 1..=2 {
            client.put("busy", number.to_string()).await.unwrap();
            idle.control().request_progress();
            assert!(progress(&mut idle).await.header().revision >= after(number));
        }
        client.compact(after(2)).await.unwrap();
        for number in 3..=5 {
            client.put("busy", number.to_string()).await.unwrap();
        }
        assert_eq!(shown(&events(&mut future, 2).await), ["busy=4", "busy=5"]);
    })
    .await;
}

/// The answer comes after all that it vouches for, also where that is nothing. Older servers promise it and don't keep
/// it.
async fn progress_waits_for_sync(watched: &str, expected: usize) {
    for version in configurable().filter(|version| version.at_least(3, 6)) {
        let etcd = Etcd::builder(version).start().await;
        let client = connect(&etcd).await;
        for number in 0..1001 {
            client.put("a", number.to_string()).await.unwrap();
        }
        let last = revision(&client).await;
        let mut stream = watch(&client, Watch::new(watched).from_revision(2)).await;
        stream.control().request_progress();
        let mut seen = 0;
        loop {
            let response = next(&mut stream).await;
            if response.is_progress() {
                assert_eq!(response.header().revision, last);
                break;
            }
            seen += response.events().len();
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn v3_watch_progress_waits_for_sync() {
    progress_waits_for_sync("a", 1001).await;
}

#[tokio::test]
async fn v3_watch_progress_waits_for_sync_no_events() {
    progress_waits_for_sync("b", 0).await;
}

/// A watch to which nothing happens keeps up: a compaction and a lost connection don't end it.
#[tokio::test]
async fn an_idle_watch_survives_compaction() {
    for version in configurable().filter(|version| version.at_least(3, 6)) {
        let _named = Named::new(version);
        let etcd = Etcd::builder(version).start().await;
        let liveness = etcdkit::config::Liveness::new()
            .probe_timeout(DEADLINE / 2)
            .watch_probe_interval(Duration::from_millis(100));
        let client = tolerant().liveness(liveness).endpoints([etcd.client_url()]).build().unwrap();
        let mut stream = watch(&client, "idle").await;
        for number in 0..20 {
            client.put("busy", number.to_string()).await.unwrap();
        }
        let last = revision(&client).await;
        eventually("the bookmark", DEADLINE, async || {
            (stream.control().state().bookmark >= last).then_some(())
        })
        .await;
        client.compact(last).await.unwrap();
        etcd.restart().await;
        client.put("idle", "1").await.unwrap();
        assert_eq!(shown(&events(&mut stream, 1).await), ["idle=1"]);
    }
}

/// After a notification and a restart no event comes twice.
#[tokio::test]
async fn v3_watch_progress_on_member_restart() {
    on_own_member(async |client, etcd| {
        let mut stream = watch(&client, Watch::new("a").progress_notify()).await;
        let put = client.put("a", "1").await.unwrap().revision();
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=1"]);
        stream.control().request_progress();
        assert!(progress(&mut stream).await.header().revision >= put);
        etcd.restart().await;
        client.put("a", "2").await.unwrap();
        assert_eq!(shown(&events(&mut stream, 1).await), ["a=2"]);
        assert!(stream.control().state().reconnects >= 1);
    })
    .await;
}

/// The same without events of its own before it.
#[tokio::test]
async fn watch_with_progress_notify_no_event() {
    for version in configurable() {
        let etcd = quick(Etcd::builder(version), version).start().await;
        let client = connect(&etcd).await;
        let mut stream = watch(&client, Watch::new("a").progress_notify()).await;
        // From etcd 3.6 on, none is sent as long as nothing at all was written since the watch began.
        client.put("b", "1").await.unwrap();
        progress(&mut stream).await;
    }
}
