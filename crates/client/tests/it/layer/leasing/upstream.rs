//! What etcd's own leasing client does wrong, each defect by its symptom. Those that concern conditions, sessions and ranges
//! stand with what else is tested of them.

use std::time::Duration;

use etcdkit::{Compare, Get, Op, Put, Txn};
use etcdkit_testkit::proxy::{Direction, Proxy};
use etcdkit_testkit::wait::eventually;

use super::{cost, leasing, read};
use crate::kv::lost::eager;
use crate::kv::members::*;

/// Upstream goes on counting a key that was deleted, keeps an empty value where a put kept the old one, and does not learn
/// of a lease.
#[tokio::test]
async fn what_is_known_of_a_key_follows_every_write() {
    on_every_version(async |client, _| {
        let key = "leasing_follows";
        let (owner, calls) = leasing(&client, "leasing_follows/").await;
        let lease = grant(&client).await;
        let same = async |what: &str, from_memory: bool| {
            for get in [Get::new(key), Get::new(key).count_only(), Get::new(key).keys_only()] {
                let direct = client.get(get.clone()).await.unwrap();
                let (read, cost) = cost(&calls, owner.get(get)).await;
                let read = read.unwrap();
                assert_eq!((read.kvs(), read.count()), (direct.kvs(), direct.count()), "{what}");
                assert_eq!(cost == 0, from_memory, "{what}");
            }
        };
        read(&owner, key).await;
        same("nothing", true).await;
        owner.put(key, "1").await.unwrap();
        same("a put", true).await;
        owner.call(Put::new(key, "2").prev_kv()).await.unwrap();
        same("another put", true).await;
        owner.delete(key).await.unwrap();
        same("a deletion", true).await;
        owner.put(key, "3").await.unwrap();
        owner.call(Put::keep_value(key)).await.unwrap();
        same("a put that keeps the value", true).await;
        owner.call(Put::new(key, "4").lease(lease)).await.unwrap();
        same("a put with a lease", false).await;
        owner.call(Put::new(key, "5").keep_lease()).await.unwrap();
        same("a put that keeps the lease", false).await;
        client.revoke(lease).await.unwrap();
        assert_eq!(read(&owner, key).await, None);
    })
    .await;
}

/// Upstream watches each key that it owns under the context of the read that took it: once that is over, nobody answers who
/// asks for the key.
#[tokio::test]
async fn a_read_that_is_given_up_keeps_no_key_from_others() {
    on_every_version(async |client, _| {
        let (reader, _) = leasing(&client, "leasing_given_up/").await;
        let (writer, _) = leasing(&client, "leasing_given_up/").await;
        for (round, micros) in [0, 100, 300, 700, 1500, 3000, 10_000].into_iter().enumerate() {
            let key = format!("leasing_given_up_{round}");
            let limit = Duration::from_micros(micros);
            drop(tokio::time::timeout(limit, reader.get(&*key)).await);
            in_time("a write", writer.put(&*key, "1")).await.unwrap();
            assert_eq!(read(&reader, &key).await.as_deref(), Some("1"));
        }
    })
    .await;
}

/// Upstream has a watch for each key.
#[tokio::test]
async fn all_keys_share_one_watch() {
    on_own_member(async |client, etcd| {
        let (owner, calls) = leasing(&client, "l/").await;
        for number in 0..50 {
            read(&owner, &format!("k{number}")).await;
        }
        assert_eq!(owner.service().owned(), 50);
        eventually("one watch", DEADLINE, async || {
            let watchers = etcd.metric("etcd_debugging_mvcc_watcher_total").await;
            (watchers == Some(1.0)).then_some(())
        })
        .await;
        assert_eq!(cost(&calls, read(&owner, "k7")).await, (None, 0));
    })
    .await;
}

/// Upstream makes a write again that failed, whether or not it had been made.
#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_made_again() {
    on_own_member(async |client, etcd| {
        for owned in [false, true] {
            let key = if owned { "owned" } else { "foreign" };
            let proxy = Proxy::start(etcd.client_addr()).await;
            let (through, _) = leasing(&eager(&proxy).await, "l/").await;
            if owned {
                read(&through, key).await;
            }
            proxy.drop_direction(Direction::ToClient);
            let applied = eventually("the write", DEADLINE, async || {
                client.get(key).await.unwrap().into_first()
            });
            let breaking = async {
                let kv = applied.await;
                proxy.reset();
                proxy.heal();
                kv
            };
            let put = in_time("an end", through.put(key, "1"));
            let (outcome, kv) = tokio::join!(put, breaking);
            assert!(outcome.unwrap_err().maybe_applied());
            assert_eq!(read(&through, key).await.as_deref(), Some("1"));
            assert_eq!(client.get(key).await.unwrap().into_first(), Some(kv));
        }
    })
    .await;
}

/// Upstream can't stream through it.
#[tokio::test]
async fn ranges_can_be_streamed() {
    on_every_version(async |client, _| {
        let (owner, _) = leasing(&client, "leasing_streams/").await;
        for number in 0..3 {
            owner.put(format!("leasing_streamed_{number}"), "1").await.unwrap();
        }
        read(&owner, "leasing_streamed_1").await;
        let streamed = owner.get_stream(Get::prefix("leasing_streamed_")).await.unwrap();
        let (streamed, _) = collect(streamed).await.unwrap();
        let direct = client.get(Get::prefix("leasing_streamed_")).await.unwrap();
        assert_eq!(streamed.kvs(), direct.kvs());
    })
    .await;
}

/// Upstream adds a condition for each key that is written: transactions that etcd takes were refused as too large.
#[tokio::test]
async fn large_transactions_are_not_too_large_for_the_layer() {
    const LARGE: usize = 127;
    on_every_version(async |client, _| {
        let name = "leasing_large";
        let (owner, _) = leasing(&client, &format!("{name}/")).await;
        let (other, _) = leasing(&client, &format!("{name}/")).await;
        let key = |number: usize| format!("{name}-{number:03}");
        let puts = |from: usize, count: usize, value: &str| -> Vec<Op> {
            (from..from + count).map(|number| Put::new(key(number), value).into()).collect()
        };
        let missing = |count: usize| (0..count).map(|_| Compare::missing(key(LARGE)));
        let txns = [
            (&owner, Txn::new().then(puts(0, LARGE, "1")).or_else(puts(LARGE, LARGE, "1")), "1"),
            (&other, Txn::new().when(missing(LARGE)).then(puts(0, 40, "2")), "2"),
            (&owner, Txn::new().then([Txn::new().then(puts(0, 60, "3"))]), "3"),
        ];
        for number in 0..LARGE {
            let by = if number % 2 == 0 { &owner } else { &other };
            read(by, &key(number)).await;
        }
        for (by, txn, value) in txns {
            assert!(in_time("all of it", by.txn(txn)).await.unwrap().succeeded());
            for by in [&owner, &other] {
                assert_eq!(read(by, &key(0)).await.as_deref(), Some(value));
                assert_eq!(read(by, &key(LARGE - 1)).await.as_deref(), Some("1"));
                assert_eq!(read(by, &key(LARGE)).await, None);
            }
        }
    })
    .await;
}
