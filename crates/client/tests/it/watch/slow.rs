//! Readers that are slower than the writers.

use etcdkit::{Client, ErrorKind, Watch, WhenFull};
use etcdkit_testkit::wait::eventually;

use super::*;
use crate::kv::members::{DEADLINE, on_own_member, revision};

const PUTS: i64 = 300;

/// Far more than the buffer takes.
async fn flood(client: &Client) {
    for _ in 0..PUTS {
        client.put("slow", "x".repeat(1000)).await.unwrap();
    }
}

fn small(policy: WhenFull) -> Watch {
    Watch::new("slow").buffer(32 << 10, 1000).when_full(policy)
}

/// Nothing is lost, little is held, and the neighbour on the same stream notices nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_paused_and_goes_on() {
    on_own_member(async |client, etcd| {
        let first = revision(&client).await.get() + 1;
        let mut slow = watch(&client, small(WhenFull::Pause)).await;
        let mut neighbour = watch(&client, "slow").await;
        super::cancel::wait_watchers(&etcd, 2.0).await;
        flood(&client).await;
        let expected: Vec<i64> = (first..first + PUTS).collect();
        let seen = events(&mut neighbour, expected.len()).await;
        assert_eq!(seen.iter().map(|event| event.revision().get()).collect::<Vec<_>>(), expected);

        let state = slow.control().state();
        assert!(state.paused && state.buffered_bytes < 48 << 10, "{state:?}");
        super::cancel::wait_watchers(&etcd, 1.0).await;
        let seen = events(&mut slow, expected.len()).await;
        assert_eq!(seen.iter().map(|event| event.revision().get()).collect::<Vec<_>>(), expected);
        assert!(!slow.control().state().paused);
        super::cancel::wait_watchers(&etcd, 2.0).await;
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_may_be_told_that_it_lags() {
    on_own_member(async |client, etcd| {
        let mut slow = watch(&client, small(WhenFull::Fail)).await;
        super::cancel::wait_watchers(&etcd, 1.0).await;
        flood(&client).await;
        eventually("the end", DEADLINE, async || slow.control().state().ended.then_some(())).await;
        super::cancel::wait_watchers(&etcd, 0.0).await;
        let seen = ends_with(&mut slow, ErrorKind::Lagged).await;
        assert!(!seen.is_empty() && seen.len() < 40, "{}", seen.len());
        let bookmark = slow.control().state().bookmark;
        assert_eq!(Some(bookmark), seen.last().map(etcdkit::Event::revision));
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_may_want_nothing_of_it() {
    on_own_member(async |client, etcd| {
        let mut slow = watch(&client, small(WhenFull::Discard)).await;
        super::cancel::wait_watchers(&etcd, 1.0).await;
        flood(&client).await;
        super::cancel::wait_watchers(&etcd, 0.0).await;
        assert!(ends_with(&mut slow, ErrorKind::Lagged).await.is_empty());
    })
    .await;
}

/// Overtaken by a compaction while it was paused: what was buffered, without a gap, then the reason.
#[tokio::test]
async fn v3_no_events_lost_on_compact() {
    on_own_member(async |client, etcd| {
        let first = revision(&client).await.get() + 1;
        let mut slow = watch(&client, small(WhenFull::Pause)).await;
        super::cancel::wait_watchers(&etcd, 1.0).await;
        flood(&client).await;
        super::cancel::wait_watchers(&etcd, 0.0).await;
        let now = revision(&client).await;
        client.compact(now).await.unwrap();
        let (seen, error) = end(&mut slow).await;
        assert_eq!((error.kind(), error.compact_revision()), (ErrorKind::Compacted, Some(now)));
        let seen: Vec<i64> = seen.iter().map(|event| event.revision().get()).collect();
        let expected: Vec<i64> = (first..first + seen.len() as i64).collect();
        assert_eq!(seen, expected);
    })
    .await;
}
