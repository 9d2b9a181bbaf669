//! What a cache costs.

use etcdkit::cache::CacheChange;
use etcdkit::{KeyRange, Put, Txn};
use etcdkit_testkit::etcd::{Etcd, Version};
use etcdkit_testkit::wait::eventually;
use tokio::task::JoinSet;

use crate::kv::members::*;

/// Ten thousand who watch share one watch of etcd, and each sees its own key.
#[tokio::test]
async fn ten_thousand_local_watchers_on_one_watch() {
    const WATCHERS: usize = 10_000;
    let etcd = Etcd::builder(Version::newest()).start().await;
    let client = connect(&etcd).await;
    let cache = client.cache(KeyRange::prefix("w/")).await.unwrap();
    let mut watching = JoinSet::new();
    for number in 0..WATCHERS {
        let mut changes = cache.subscribe(format!("w/{number:05}")).unwrap();
        let Some(Ok(CacheChange::State { .. })) = changes.next().await else {
            panic!("a subscription begins with the state");
        };
        watching.spawn(async move {
            match changes.next().await {
                Some(Ok(CacheChange::Events(events))) => events.len(),
                other => panic!("{other:?}"),
            }
        });
    }
    let watchers = async || etcd.metric("etcd_debugging_mvcc_watcher_total").await;
    eventually("one watch", DEADLINE, async || (watchers().await == Some(1.0)).then_some(())).await;
    for chunk in (0..WATCHERS).collect::<Vec<_>>().chunks(100) {
        let puts = chunk.iter().map(|number| Put::new(format!("w/{number:05}"), "1"));
        client.txn(Txn::new().then(puts)).await.unwrap();
    }
    let seen = in_time("all of them", watching.join_all()).await;
    assert_eq!(seen.iter().sum::<usize>(), WATCHERS);
    assert_eq!(watchers().await, Some(1.0));
}
