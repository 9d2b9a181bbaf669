//! Keys in memory on real etcd, each version that is at hand, named after the tests of etcd's own client that they match.
#![cfg(test)]

mod figures;
mod past;

use std::time::Duration;

use etcdkit::cache::{Cache, CacheChange, CacheOptions, Subscription};
use etcdkit::{
    Client, Compact, ErrorKind, Event, KeyRange, KeyValue, Op, Put, Revision, Txn, Watch,
};
use etcdkit_testkit::proxy::Proxy;
use etcdkit_testkit::wait::eventually;

use crate::concurrency::outage::silent;
use crate::kv::members::*;

async fn cache(client: &Client, prefix: &str) -> Cache {
    let made = client.cache(KeyRange::prefix(prefix));
    in_time("the cache", made).await.expect("the range can be read")
}

async fn next(subscription: &mut Subscription) -> CacheChange {
    let next = in_time("a change", subscription.next()).await;
    next.expect("it goes on").expect("the watch goes on")
}

async fn state(subscription: &mut Subscription) -> Vec<String> {
    match next(subscription).await {
        CacheChange::State { kvs, .. } => {
            kvs.iter().map(|kv| kv.key_str().expect("tests use UTF-8").to_owned()).collect()
        }
        other => panic!("{other:?}"),
    }
}

async fn events(subscription: &mut Subscription) -> Vec<Event> {
    match next(subscription).await {
        CacheChange::Events(events) => events,
        other => panic!("{other:?}"),
    }
}

/// Upstream's TestGet with its variants, TestCacheWithPrefixGetInScope among them: what a client would read, from memory.
#[tokio::test]
async fn cache_without_prefix_get() {
    on_own_member(async |client, _| {
        for key in ["a", "b", "b/c"] {
            client.put(key, "1").await.unwrap();
        }
        let cache = client.cache(KeyRange::all()).await.unwrap();
        for range in
            [KeyRange::all(), KeyRange::prefix("b"), KeyRange::key("a"), KeyRange::from_key("b")]
        {
            let direct = client.get(range.clone()).await.unwrap();
            assert_eq!(cache.range(range.clone()).unwrap().kvs, direct.kvs(), "{range:?}");
            assert_eq!(cache.count(range).unwrap() as u64, direct.count());
        }
        let written = client.put("b", "2").await.unwrap().revision();
        in_time("the write", cache.wait_for(written)).await.unwrap();
        assert_eq!(cache.get("b").unwrap(), client.get("b").await.unwrap().into_first());
        client.delete("a").await.unwrap();
        let reached = in_time("the deletion", cache.catch_up()).await.unwrap();
        assert!(reached > written);
        assert_eq!((cache.get("a").unwrap(), cache.len()), (None, 2));
    })
    .await;
}

/// Upstream's TestCacheWithPrefixGetOutOfScope and TestValidateWatchRange.
#[tokio::test]
async fn cache_with_prefix_get_out_of_scope() {
    on_every_version(async |client, _| {
        let cache = cache(&client, "cache_scope/").await;
        let outside = [
            KeyRange::key("cache_scope"),
            KeyRange::prefix("cache_"),
            KeyRange::from_key("cache_scope/a"),
            KeyRange::range("cache_scope/a", "cache_scope1"),
            KeyRange::all(),
        ];
        for range in outside {
            assert_eq!(
                cache.range(range.clone()).unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{range:?}"
            );
            assert!(cache.subscribe(range).is_err());
        }
        assert!(cache.get("cache_scope0").is_err());
        for range in
            [KeyRange::prefix("cache_scope/b"), KeyRange::range("cache_scope/a", "cache_scope0")]
        {
            assert!(cache.range(range).unwrap().kvs.is_empty());
        }
    })
    .await;
}

/// Upstream's TestCacheServerRequestProgress, TestCacheWithProgressNotify, TestConditionalProgressRequestor and
/// TestWaitTillRevisionTriggersProgressRequests: progress is asked for only while somebody waits, and makes an idle cache as fresh as the cluster.
#[tokio::test]
async fn cache_request_progress() {
    on_every_version(async |client, _| {
        let cache = cache(&client, "cache_progress/").await;
        // Something happens, and not here.
        let elsewhere = client.put("cache_progress_elsewhere", "1").await.unwrap().revision();
        let reached = in_time("to catch up", cache.catch_up()).await.unwrap();
        assert!(reached >= elsewhere);
        let inside = client.put("cache_progress/a", "1").await.unwrap().revision();
        in_time("the write", cache.wait_for(inside)).await.unwrap();
        assert!(cache.get("cache_progress/a").unwrap().is_some());
        assert_eq!(cache.disconnected_for(), None);
    })
    .await;
}

/// Upstream's TestCacheWatchAtomicOrderedDelivery: what happens at one revision comes at once, in order.
#[tokio::test]
async fn cache_watch_atomic_ordered_delivery() {
    on_every_version(async |client, _| {
        client.put("cache_watch/old", "1").await.unwrap();
        let cache = cache(&client, "cache_watch/").await;
        let mut all = cache.subscribe(KeyRange::prefix("cache_watch/")).unwrap();
        let mut one = cache.subscribe("cache_watch/b").unwrap();
        assert_eq!(state(&mut all).await, ["cache_watch/old"]);
        assert!(state(&mut one).await.is_empty());
        let ops = [
            Op::from(Put::new("cache_watch/a", "1")),
            Put::new("cache_watch/b", "1").into(),
            etcdkit::Delete::new("cache_watch/old").into(),
        ];
        let at = client.txn(Txn::new().then(ops)).await.unwrap().revision();
        let seen = events(&mut all).await;
        assert!(seen.len() == 3 && seen.iter().all(|event| event.revision() == at), "{seen:?}");
        assert_eq!(seen[2].previous().unwrap().value(), b"1");
        let seen = events(&mut one).await;
        assert_eq!((seen.len(), seen[0].key()), (1, b"cache_watch/b".as_slice()));
        client.put("cache_watch/b", "2").await.unwrap();
        let seen = events(&mut one).await;
        assert_eq!(
            (seen[0].kv().value(), seen[0].previous().unwrap().value()),
            (&b"2"[..], &b"1"[..])
        );
    })
    .await;
}

/// Upstream closes the channels of those who watch, without a word. Here what vanished is told.
#[tokio::test]
async fn cache_compaction_resync() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let through = crate::kv::lost::eager(&proxy).await;
        for key in ["c/stays", "c/goes"] {
            client.put(key, "1").await.unwrap();
        }
        let cache = cache(&through, "c/").await;
        let mut changes = cache.subscribe(KeyRange::prefix("c/")).unwrap();
        assert_eq!(state(&mut changes).await, ["c/goes", "c/stays"]);
        proxy.refuse().await;
        proxy.reset();
        client.delete("c/goes").await.unwrap();
        client.put("c/comes", "1").await.unwrap();
        client.compact(Compact::new(revision(&client).await)).await.unwrap();
        proxy.listen_again().await;
        let seen = events(&mut changes).await;
        let shown: Vec<_> =
            seen.iter().map(|event| (event.kv().key_str().unwrap(), event.is_put())).collect();
        assert_eq!(shown, [("c/comes", true), ("c/goes", false)]);
        assert_eq!(cache.get("c/goes").unwrap(), None);
        assert_eq!(cache.range(KeyRange::prefix("c/")).unwrap().kvs.len(), 2);
    })
    .await;
}

/// Upstream's TestCacheLaggingWatcher and TestSlowWatcherResync.
#[tokio::test]
async fn cache_lagging_watcher() {
    on_every_version(async |client, _| {
        let options = CacheOptions::new(KeyRange::prefix("cache_lag/")).history(3, 1 << 20);
        let cache = client.cache(options).await.unwrap();
        let mut slow = cache.subscribe(KeyRange::prefix("cache_lag/")).unwrap();
        assert!(state(&mut slow).await.is_empty());
        let mut last;
        for number in 0..2 {
            last = client.put(format!("cache_lag/{number}"), "1").await.unwrap().revision();
            in_time("the write", cache.wait_for(last)).await.unwrap();
        }
        assert_eq!(events(&mut slow).await.len(), 1);
        assert_eq!(events(&mut slow).await.len(), 1);
        for number in 2..20 {
            last = client.put(format!("cache_lag/{number:02}"), "1").await.unwrap().revision();
            in_time("the write", cache.wait_for(last)).await.unwrap();
        }
        assert_eq!(state(&mut slow).await.len(), 20);
        client.put("cache_lag/end", "1").await.unwrap();
        assert_eq!(events(&mut slow).await[0].key(), b"cache_lag/end");
    })
    .await;
}

#[tokio::test]
async fn a_cache_that_ends_says_why() {
    on_every_version(async |_, etcd| {
        let client = connect(etcd).await;
        let cache = cache(&client, "cache_ends/").await;
        let mut changes = cache.subscribe(KeyRange::prefix("cache_ends/")).unwrap();
        assert!(state(&mut changes).await.is_empty());
        client.close().await;
        let end = in_time("the end", changes.next()).await.unwrap();
        assert_eq!(end.unwrap_err().kind(), ErrorKind::Closed);
        assert!(changes.next().await.is_none());
        let waiting = cache.wait_for(cache.revision().next());
        fails(in_time("the end", waiting).await, ErrorKind::Closed);
        // What is in memory can still be read.
        assert!(cache.get("cache_ends/a").unwrap().is_none());
    })
    .await;
}

/// The task behind it ends with the last that holds it.
#[tokio::test]
async fn a_subscription_keeps_its_cache_going() {
    on_every_version(async |client, _| {
        let cache = cache(&client, "cache_kept/").await;
        let mut changes = cache.subscribe(KeyRange::prefix("cache_kept/")).unwrap();
        drop(cache);
        assert!(state(&mut changes).await.is_empty());
        client.put("cache_kept/a", "1").await.unwrap();
        assert_eq!(events(&mut changes).await.len(), 1);
        let pause = tokio::time::timeout(Duration::from_millis(50), changes.next()).await;
        assert!(pause.is_err());
    })
    .await;
}

/// After a gap the watch is gone and the range can't be read yet: the cache said that all was well.
#[tokio::test]
async fn a_cache_that_can_not_be_read_again_says_for_how_long() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let (through, calls) = silent(&crate::kv::lost::eager(&proxy).await);
        let cache = in_time("the cache", through.cache(KeyRange::prefix("c/"))).await.unwrap();
        let serves = async || {
            eventually("the watch", DEADLINE, async || {
                cache.disconnected_for().is_none().then_some(())
            })
            .await;
        };
        serves().await;
        proxy.refuse().await;
        proxy.reset();
        for value in ["1", "2"] {
            client.put("c/a", value).await.unwrap();
        }
        client.compact(Compact::new(revision(&client).await)).await.unwrap();
        calls.answer_and_fail(0, usize::MAX);
        proxy.listen_again().await;
        calls.left(usize::MAX - 2).await;
        assert!(cache.disconnected_for().is_some());
        let written = client.put("c/a", "3").await.unwrap().revision();
        calls.answer_and_fail(0, 0);
        in_time("the write", cache.wait_for(written)).await.unwrap();
        assert_eq!(cache.get("c/a").unwrap().unwrap().value(), b"3");
        serves().await;
    })
    .await;
}

/// Upstream's TestCacheWithoutPrefixWatch and TestCacheWithPrefixWatch: what a watch of etcd tells, whatever happens.
#[tokio::test]
async fn cache_with_prefix_watch() {
    on_every_version(async |client, _| {
        let name = "cache_same/";
        let cache = cache(&client, name).await;
        let ranges = [
            KeyRange::prefix(name),
            KeyRange::key("cache_same/b"),
            KeyRange::range("cache_same/b", "cache_same/d"),
        ];
        let mut both = Vec::new();
        for range in ranges {
            let mut local = cache.subscribe(range.clone()).unwrap();
            assert!(state(&mut local).await.is_empty());
            let watch = Watch::new(range).from_revision(cache.revision().next()).prev_kv();
            both.push((local, client.watch(watch).await.unwrap()));
        }
        let mut random = fastrand::Rng::with_seed(11);
        for round in 0..60 {
            let key = |random: &mut fastrand::Rng| {
                format!("{name}{}", ["a", "b", "c", "d"][random.usize(..4)])
            };
            let (one, other) = (key(&mut random), key(&mut random));
            let mut ops = vec![Op::from(Put::new(&*one, round.to_string()))];
            if one != other {
                ops.push(etcdkit::Delete::new(&*other).into());
            }
            client.txn(Txn::new().then(ops)).await.unwrap();
        }
        // The last thing that each is about.
        client.txn(Txn::new().then([Put::new("cache_same/b", "end")])).await.unwrap();
        for (mut local, mut direct) in both {
            let over =
                |seen: &Vec<Event>| seen.last().is_some_and(|event| event.kv().value() == b"end");
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            while !over(&ours) {
                ours.extend(events(&mut local).await);
            }
            while !over(&theirs) {
                let response = in_time("a response", direct.next()).await.unwrap().unwrap();
                theirs.extend(response.into_events());
            }
            assert_eq!(ours, theirs);
        }
    })
    .await;
}

/// Upstream's TestWaitTillRevision: what the cache has is waited for by nobody; a member that does not answer is an error
/// of who asks it, and none of who reads from memory.
#[tokio::test]
async fn wait_till_revision() {
    on_every_version(async |client, _| {
        let (through, calls) = silent(&client);
        client.put("cache_wait/a", "1").await.unwrap();
        let cache =
            in_time("the cache", through.cache(KeyRange::prefix("cache_wait/"))).await.unwrap();
        cache.wait_for(cache.revision()).await.unwrap();
        let hurried = tokio::time::timeout(
            Duration::from_millis(50),
            cache.wait_for(Revision::new(i64::MAX)),
        );
        assert!(hurried.await.is_err());
        calls.answer_and_fail(0, usize::MAX);
        let error = in_time("an end", cache.catch_up()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error}");
        assert_eq!(cache.get("cache_wait/a").unwrap().unwrap().value(), b"1");
        calls.answer_and_fail(0, 0);
        in_time("to catch up", cache.catch_up()).await.unwrap();
    })
    .await;
}

/// A revision that was made outside of the range was waited for without end of members whose notifications can't be relied
/// on.
#[tokio::test]
async fn a_revision_of_elsewhere_is_waited_for_on_every_version() {
    on_every_version(async |client, _| {
        client.put("cache_foreign/a", "1").await.unwrap();
        let cache = cache(&client, "cache_foreign/").await;
        let elsewhere = client.put("cache_foreign_elsewhere", "1").await.unwrap().revision();
        in_time("a revision of elsewhere", cache.wait_for(elsewhere)).await.unwrap();
        let inside = client.put("cache_foreign/a", "2").await.unwrap().revision();
        in_time("the write", cache.wait_for(inside)).await.unwrap();
        assert_eq!(cache.get("cache_foreign/a").unwrap().unwrap().value(), b"2");
    })
    .await;
}

/// The task behind it was gone, and nobody was told: whoever waited did so for ever.
#[tokio::test]
async fn a_cache_whose_index_panics_ends() {
    on_every_version(async |client, _| {
        let panics = || {
            let terms = |kv: &KeyValue| {
                assert_ne!(kv.value(), b"boom", "a panic that is part of the test");
                [kv.value().to_vec()]
            };
            CacheOptions::new(KeyRange::prefix("cache_panic/")).index("value", terms)
        };
        let cache = in_time("the cache", client.cache(panics())).await.unwrap();
        let mut changes = cache.subscribe(KeyRange::prefix("cache_panic/")).unwrap();
        assert!(state(&mut changes).await.is_empty());
        let written = client.put("cache_panic/a", "boom").await.unwrap().revision();
        fails(in_time("the end", cache.wait_for(written)).await, ErrorKind::Internal);
        let end = in_time("the end", changes.next()).await.unwrap();
        assert_eq!(end.unwrap_err().kind(), ErrorKind::Internal);
        fails(in_time("no cache", client.cache(panics())).await.map(drop), ErrorKind::Internal);
        client.delete("cache_panic/a").await.unwrap();
    })
    .await;
}
