//! Reads of the past, and by other things than the key.

use etcdkit::cache::CacheOptions;
use etcdkit::{Compact, Delete, ErrorKind, Get, KeyRange, KeyValue, Op, Put, Revision, Txn};
use etcdkit_testkit::proxy::Proxy;

use super::cache;
use crate::kv::members::*;

/// At every revision since the cache was made, it shows what the cluster shows.
/// Upstream's TestRestoreAppendCloneImmutability.
#[tokio::test]
async fn the_past_is_what_the_cluster_says_it_was() {
    on_every_version(async |client, _| {
        let name = "cache_past/";
        let all = || KeyRange::prefix(name);
        for key in ["a", "b"] {
            client.put(format!("{name}{key}"), "0").await.unwrap();
        }
        let cache = cache(&client, name).await;
        let first = cache.revision();
        let mut random = fastrand::Rng::with_seed(3);
        let mut last = first;
        for round in 0..30 {
            let mut key = || format!("{name}{}", ["a", "b", "c", "d"][random.usize(..4)]);
            let (one, other, gone) = (key(), key(), key());
            let mut txn = Txn::new().then([Put::new(&*one, format!("{round}"))]);
            if other != one {
                txn = txn.then([Put::new(&*other, format!("{round}"))]);
            }
            if gone != one && gone != other {
                txn = txn.then([Op::from(Delete::new(&*gone))]);
            }
            last = client.txn(txn).await.unwrap().revision();
        }
        in_time("the writes", cache.wait_for(last)).await.unwrap();
        for revision in first.get()..=last.get() {
            let direct = client.get(Get::new(all()).at_revision(revision)).await.unwrap();
            let past = cache.range_at(all(), revision).unwrap();
            assert_eq!(
                (past.kvs.as_slice(), past.revision),
                (direct.kvs(), Revision::new(revision))
            );
            for key in ["a", "b", "c", "d"] {
                let key = format!("{name}{key}");
                let then = direct.kvs().iter().find(|kv| kv.key() == key.as_bytes());
                assert_eq!(cache.get_at(&key, revision).unwrap().as_ref(), then);
            }
        }
        fails(cache.range_at(all(), first.get() - 1), ErrorKind::Compacted);
        fails(cache.get_at(format!("{name}a"), cache.revision().next()), ErrorKind::FutureRevision);
        fails(cache.get_at("elsewhere", last), ErrorKind::InvalidArgument);
    })
    .await;
}

/// Beyond what is held, and beyond a gap, it says so instead of guessing.
#[tokio::test]
async fn a_past_that_is_not_held_is_refused() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let through = crate::kv::lost::eager(&proxy).await;
        let options = CacheOptions::new(KeyRange::prefix("p/")).history(3, 1 << 20);
        let cache = in_time("the cache", through.cache(options)).await.unwrap();
        let mut written = Vec::new();
        for number in 0..6 {
            let put = client.put("p/a", number.to_string()).await.unwrap();
            written.push(put.revision());
            in_time("the write", cache.wait_for(put.revision())).await.unwrap();
        }
        let text = fails(cache.get_at("p/a", written[1]), ErrorKind::Compacted);
        assert!(text.contains(&format!("from revision {} on", written[2])), "{text}");
        assert_eq!(cache.get_at("p/a", written[2]).unwrap().unwrap().value(), b"2");

        proxy.refuse().await;
        proxy.reset();
        client.put("p/a", "unseen").await.unwrap();
        let last = client.put("p/a", "seen").await.unwrap().revision();
        client.compact(Compact::new(last)).await.unwrap();
        proxy.listen_again().await;
        in_time("the state", cache.wait_for(last)).await.unwrap();
        assert_eq!(cache.get_at("p/a", last).unwrap().unwrap().value(), b"seen");
        fails(cache.get_at("p/a", written[5]), ErrorKind::Compacted);
    })
    .await;
}

/// Keys are found by what their values say, whatever happens to them.
#[tokio::test]
async fn keys_are_found_by_an_index() {
    on_every_version(async |client, _| {
        let name = "cache_index/";
        client.put(format!("{name}1"), "eu ssd").await.unwrap();
        let words = |kv: &KeyValue| -> Vec<String> {
            kv.value_str().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let options = CacheOptions::new(KeyRange::prefix(name)).index("words", words);
        let cache = in_time("the cache", client.cache(options)).await.unwrap();
        let found = |term: &str| -> Vec<String> {
            let read = cache.indexed("words", term).unwrap();
            assert_eq!(read.revision, cache.revision());
            let last = |kv: &KeyValue| kv.key_str().unwrap()[name.len()..].to_owned();
            read.kvs.iter().map(last).collect()
        };
        assert_eq!((found("eu"), found("hdd")), (vec!["1".to_owned()], vec![]));
        let steps: [(Op, &[&str], &[&str]); 4] = [
            (Put::new(format!("{name}2"), "eu hdd").into(), &["1", "2"], &["2"]),
            (Put::new(format!("{name}0"), "us hdd").into(), &["1", "2"], &["0", "2"]),
            (Put::new(format!("{name}2"), "hdd").into(), &["1"], &["0", "2"]),
            (Delete::prefix(format!("{name}1")).into(), &[], &["0", "2"]),
        ];
        for (op, eu, hdd) in steps {
            client.call(Txn::new().then([op])).await.unwrap();
            in_time("the write", cache.catch_up()).await.unwrap();
            assert_eq!(found("eu"), eu);
            assert_eq!(found("hdd"), hdd);
        }
        fails(cache.indexed("zone", "eu"), ErrorKind::InvalidArgument);
    })
    .await;
}
