//! Reads from memory, named after the tests of etcd's own client that they match.

mod faults;
mod late;
mod txn;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcdkit::layer::Leasing;
use etcdkit::service::Service;
use etcdkit::{Client, Compare, Delete, ErrorKind, Get, KeyRange, Op, Put, Txn};
use etcdkit_testkit::etcd::Etcd;
use etcdkit_testkit::proxy::Proxy;
use tokio::task::JoinSet;

use crate::kv::members::*;
use crate::observed::{Observed, observed};

const TTL: Duration = Duration::from_secs(60);

/// A leasing client, and how many calls it makes.
async fn leasing(client: &Client, prefix: &str) -> (Client<Leasing<Observed>>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let client = observed(client, move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (client.leasing(prefix, TTL).await.expect("a session begins"), calls)
}

async fn read<S: Service>(client: &Client<S>, key: &str) -> Option<String> {
    in_time("a read", value(client, key)).await
}

/// How many calls `future` costs.
async fn cost<F: Future>(calls: &AtomicUsize, future: F) -> (F::Output, usize) {
    let before = calls.load(Ordering::Relaxed);
    let output = future.await;
    (output, calls.load(Ordering::Relaxed) - before)
}

#[tokio::test]
async fn leasing_put_get() {
    on_every_version(async |client, _| {
        let (one, calls) = leasing(&client, "leasing_put_get/").await;
        let (two, _) = leasing(&client, "leasing_put_get/").await;
        let (three, _) = leasing(&client, "leasing_put_get/").await;
        assert_eq!(read(&one, "lpg").await, None);
        // That there is nothing is known too.
        assert_eq!(cost(&calls, read(&one, "lpg")).await, (None, 0));
        in_time("a write", two.put("lpg", "def")).await.unwrap();
        for client in [&one, &two, &three] {
            assert_eq!(read(client, "lpg").await.as_deref(), Some("def"));
        }
        in_time("a deletion", three.delete("lpg")).await.unwrap();
        for client in [&one, &two, &three] {
            assert_eq!(read(client, "lpg").await, None);
        }
        in_time("a write", two.put("lpg", "ghi")).await.unwrap();
        assert_eq!(read(&three, "lpg").await.as_deref(), Some("ghi"));
    })
    .await;
}

/// TestLeasingPutInvalidateNew, TestLeasingPutInvalidateExisting, TestLeasingOwnerPutResponse, TestLeasingPrevKey and
/// TestLeasingGetWithOpts: what is read from memory is what the server would answer.
#[tokio::test]
async fn leasing_put_invalidate_new_and_existing() {
    on_every_version(async |client, _| {
        for existing in [false, true] {
            let key = format!("leasing_put_invalidate_{existing}");
            if existing {
                client.put(&*key, "first").await.unwrap();
            }
            let (owner, calls) = leasing(&client, "leasing_put_invalidate/").await;
            read(&owner, &key).await;
            let put = Put::new(&*key, "second").prev_kv();
            let (answer, cost_of_put) = cost(&calls, owner.call(put)).await;
            let answer = answer.unwrap();
            assert_eq!(cost_of_put, 1);
            assert_eq!(answer.prev_kv().is_some(), existing);
            assert_eq!(
                answer.revision(),
                client.get(&*key).await.unwrap().first().unwrap().mod_revision()
            );
            for get in [Get::new(&*key), Get::new(&*key).count_only(), Get::new(&*key).limit(1)] {
                let direct = client.get(get.clone()).await.unwrap();
                let (cached, cost) = cost(&calls, owner.get(get.clone())).await;
                let cached = cached.unwrap();
                assert_eq!(
                    (cached.kvs(), cached.count()),
                    (direct.kvs(), direct.count()),
                    "{get:?}"
                );
                assert_eq!(cost, 0, "{get:?}");
            }
            let (bare, cost) =
                cost(&calls, owner.get(Get::new(&*key).keys_only().serializable())).await;
            assert_eq!((bare.unwrap().first().unwrap().value(), cost), (&b""[..], 0));
            owner.service().close().await.unwrap();
        }
    })
    .await;
}

/// Upstream does a write of an uncached key twice: the version grows by two, and a deletion counts none.
#[tokio::test]
async fn a_write_of_a_key_that_is_not_owned_is_done_once() {
    on_every_version(async |client, _| {
        let (one, _) = leasing(&client, "leasing_once/").await;
        let (other, _) = leasing(&client, "leasing_once/").await;
        for owned_by_other in [false, true] {
            let key = format!("leasing_once_{owned_by_other}");
            if owned_by_other {
                read(&other, &key).await;
            }
            one.put(&*key, "1").await.unwrap();
            let kv = client.get(&*key).await.unwrap().into_first().unwrap();
            assert_eq!(kv.version(), 1);
            let deleted = one.call(Delete::new(&*key).prev_kv()).await.unwrap();
            assert_eq!((deleted.deleted(), deleted.prev_kvs().len()), (1, 1));
            assert_eq!(one.delete(&*key).await.unwrap().deleted(), 0);
        }
    })
    .await;
}

/// TestLeasingDeleteOwner and TestLeasingDeleteNonOwner: a deletion is seen by who owned the key, by whomever it is made, and
/// the second one deletes nothing.
#[tokio::test]
async fn leasing_delete_owner_and_non_owner() {
    on_every_version(async |client, _| {
        let (owner, calls) = leasing(&client, "leasing_delete/").await;
        let (other, _) = leasing(&client, "leasing_delete/").await;
        for (key, by) in [("leasing_delete_a", &owner), ("leasing_delete_b", &other)] {
            client.put(key, "abc").await.unwrap();
            assert_eq!(read(&owner, key).await.as_deref(), Some("abc"));
            for deleted in [1, 0] {
                let answer = in_time("a deletion", by.delete(key)).await.unwrap();
                assert_eq!(answer.deleted(), deleted, "{key}");
                assert_eq!(read(&owner, key).await, None, "{key}");
            }
        }
        // Its own deletion left the key with the owner.
        assert_eq!(cost(&calls, read(&owner, "leasing_delete_a")).await, (None, 0));
    })
    .await;
}

/// TestLeasingGetNoLeaseTTL; and a key that gets a lease later is not read from memory either.
#[tokio::test]
async fn leasing_get_no_lease_ttl() {
    on_every_version(async |client, _| {
        let lease = grant(&client).await;
        let (owner, calls) = leasing(&client, "leasing_ttl/").await;
        owner.call(Put::new("leasing_ttl_a", "1").lease(lease)).await.unwrap();
        read(&owner, "leasing_ttl_a").await;
        assert_ne!(cost(&calls, read(&owner, "leasing_ttl_a")).await.1, 0);
        read(&owner, "leasing_ttl_b").await;
        owner.call(Put::new("leasing_ttl_b", "1").lease(lease)).await.unwrap();
        client.revoke(lease).await.unwrap();
        for key in ["leasing_ttl_a", "leasing_ttl_b"] {
            assert_eq!(read(&owner, key).await, None);
        }
    })
    .await;
}

/// TestLeasingInterval and TestLeasingRevGet: what is not one key, now, is asked for.
#[tokio::test]
async fn leasing_interval_and_rev_get() {
    on_every_version(async |client, _| {
        let (owner, _) = leasing(&client, "leasing_interval/").await;
        for key in ["leasing_int/a", "leasing_int/b"] {
            owner.put(key, "1").await.unwrap();
        }
        let before = revision(&client).await;
        read(&owner, "leasing_int/a").await;
        client.put("leasing_int/c", "1").await.unwrap();
        owner.put("leasing_int/a", "2").await.unwrap();
        let all = owner.get(Get::prefix("leasing_int/")).await.unwrap();
        assert_eq!(keys(&all), ["leasing_int/a", "leasing_int/b", "leasing_int/c"]);
        let past = owner.get(Get::new("leasing_int/a").at_revision(before)).await.unwrap();
        assert_eq!(past.first().unwrap().value(), b"1");
        assert_eq!(read(&owner, "leasing_int/a").await.as_deref(), Some("2"));
    })
    .await;
}

/// TestLeasingDisconnectedGet, TestLeasingGetSerializable, TestLeasingOwnerPutError.
#[tokio::test]
async fn leasing_disconnected_get() {
    on_own_member(async |client, etcd| {
        client.put("cached", "abc").await.unwrap();
        let proxy = Proxy::start(etcd.client_addr()).await;
        let (owner, _) = leasing(&crate::kv::lost::eager(&proxy).await, "l/").await;
        assert_eq!(read(&owner, "cached").await.as_deref(), Some("abc"));
        proxy.refuse().await;
        proxy.reset();
        assert_eq!(read(&owner, "cached").await.as_deref(), Some("abc"));
        let hurried = owner.with_options(within(Duration::from_millis(300)));
        assert!(hurried.get(Get::new("uncached").serializable()).await.is_err());
        assert!(hurried.put("cached", "def").await.is_err());
        // What became of it nobody knows: it is not read from memory any more.
        proxy.listen_again().await;
        let now = client.get("cached").await.unwrap().into_first().unwrap();
        assert_eq!(read(&owner, "cached").await.as_deref(), Some(now.value_str().unwrap()));
    })
    .await;
}

/// TestLeasingTxnNonOwnerPut, TestLeasingTxnOwnerDelete and their kin.
#[tokio::test]
async fn leasing_txn() {
    on_every_version(async |client, _| {
        let (owner, calls) = leasing(&client, "leasing_txn/").await;
        let (other, _) = leasing(&client, "leasing_txn/").await;
        for key in ["leasing_txn_a", "leasing_txn_b"] {
            owner.put(key, "1").await.unwrap();
            read(&owner, key).await;
        }
        let inner = Txn::new()
            .then([Op::from(Put::new("leasing_txn_b", "2")), Get::new("leasing_txn_a").into()]);
        let txn = Txn::new()
            .when([Compare::value("leasing_txn_a").eq("1")])
            .then([Op::from(inner), Put::new("leasing_txn_a", "2").into()])
            .or_else([Delete::new("leasing_txn_a")]);
        let answer = in_time("a transaction", other.txn(txn.clone())).await.unwrap();
        assert!(answer.succeeded() && answer.responses().len() == 2);
        let [a, b] = ["leasing_txn_a", "leasing_txn_b"].map(|key| owner.get(key));
        let (a, b) = (a.await.unwrap(), b.await.unwrap());
        assert_eq!(a.first().unwrap().mod_revision(), answer.revision());
        assert_eq!(b.first().unwrap().mod_revision(), answer.revision());
        // The other way, by who owns what is written.
        read(&other, "leasing_txn_a").await;
        let (answer, cost) = cost(&calls, owner.txn(txn)).await;
        assert!(!answer.unwrap().succeeded() && cost >= 1);
        assert_eq!(read(&other, "leasing_txn_a").await, None);
    })
    .await;
}

/// TestLeasingOwnerDeletePrefix, TestLeasingOwnerDeleteFrom, TestLeasingDeleteRangeBounds.
#[tokio::test]
async fn leasing_owner_delete_prefix() {
    on_own_member(async |client, _| {
        let (owner, _) = leasing(&client, "0/").await;
        let (other, calls) = leasing(&client, "0/").await;
        for key in ["j", "k/1", "k/2", "k/3", "l"] {
            owner.put(key, "1").await.unwrap();
        }
        read(&owner, "k/1").await;
        for key in ["k/2", "j", "l"] {
            read(&other, key).await;
        }
        let deleted = in_time("a deletion", owner.call(Delete::prefix("k/"))).await.unwrap();
        assert_eq!(deleted.deleted(), 3);
        for client in [&owner, &other] {
            for key in ["k/1", "k/2", "k/3"] {
                assert_eq!(read(client, key).await, None);
            }
        }
        // The neighbours stay owned.
        for key in ["j", "l"] {
            assert_eq!(cost(&calls, read(&other, key)).await, (Some("1".to_owned()), 0));
        }
        let deleted = in_time("a deletion", owner.call(Delete::new(KeyRange::from_key("j")))).await;
        assert_eq!(deleted.unwrap().deleted(), 2);
        assert_eq!((read(&other, "j").await, read(&other, "l").await), (None, None));
    })
    .await;
}

/// TestLeasingConcurrentPut and TestLeasingPutGetDeleteConcurrent: whatever order it was in, all agree in the end.
#[tokio::test]
async fn leasing_put_get_delete_concurrent() {
    on_every_version(async |client, _| {
        let key = "leasing_concurrent";
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(leasing(&client, "leasing_concurrent/").await.0);
        }
        let mut work = JoinSet::new();
        for client in &clients {
            let client = client.clone();
            work.spawn(async move {
                for round in 0..5 {
                    client.put(key, format!("{round}")).await.unwrap();
                    let seen = client.get(key).await.unwrap();
                    // Own writes are seen, unless others wrote or deleted since.
                    assert!(seen.count() <= 1);
                    client.delete(key).await.unwrap();
                }
            });
        }
        in_time("all of it", work.join_all()).await;
        for client in &clients {
            assert_eq!(read(client, key).await, None);
        }
        let written = clients[0].put(key, "last").await.unwrap().revision();
        for client in &clients {
            let seen = client.get(key).await.unwrap().into_first().unwrap();
            assert_eq!((seen.value(), seen.mod_revision()), (&b"last"[..], written));
        }
    })
    .await;
}

/// No read is older than one that came before it, by whichever client: what linearizable means for one key.
#[tokio::test]
async fn reads_never_go_back() {
    on_every_version(async |client, _| {
        let key = "leasing_forward";
        let (one, _) = leasing(&client, "leasing_forward/").await;
        let (two, _) = leasing(&client, "leasing_forward/").await;
        let (writer, _) = leasing(&client, "leasing_forward/").await;
        let writing = async {
            for number in 0..8 {
                writer.put(key, number.to_string()).await.unwrap();
                // Longer than the respite, every now and then, so that keys are owned again.
                let pause = if number % 4 == 3 { 2100 } else { 20 };
                tokio::time::sleep_until(tokio::time::Instant::from_std(later(pause))).await;
            }
        };
        let reading = async {
            let mut last = 0;
            loop {
                for client in [&one, &two] {
                    let seen = client.get(key).await.unwrap();
                    let now = seen.first().map_or(0, |kv| kv.mod_revision().get());
                    assert!(now >= last, "{now} after {last}");
                    last = now;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = writing => {}
            () = reading => {}
        }
    })
    .await;
}

#[expect(clippy::disallowed_methods, reason = "what is tested takes time")]
fn later(millis: u64) -> std::time::Instant {
    std::time::Instant::now() + Duration::from_millis(millis)
}

/// Upstream's owners live on after closing, and nobody answers those who ask.
#[tokio::test]
async fn closing_lets_others_write_at_once() {
    on_every_version(async |client, _| {
        let (owner, _) = leasing(&client, "leasing_closing/").await;
        let (other, calls) = leasing(&client, "leasing_closing/").await;
        read(&owner, "leasing_closing_a").await;
        assert_eq!(owner.service().owned(), 1);
        owner.service().close().await.unwrap();
        let (written, cost) = cost(&calls, other.put("leasing_closing_a", "1")).await;
        written.unwrap();
        assert_eq!(cost, 1, "somebody had to be asked");
        assert_eq!(read(&owner, "leasing_closing_a").await.as_deref(), Some("1"));
        assert_eq!(owner.service().owned(), 0);
    })
    .await;
}

/// A watch that was left of a client kept its session alive, and nobody was there to give its keys back.
#[tokio::test]
async fn a_watch_that_outlives_its_client_keeps_no_keys() {
    on_every_version(async |client, _| {
        let key = "leasing_outlived_a";
        let (owner, _) = leasing(&client, "leasing_outlived/").await;
        let (other, _) = leasing(&client, "leasing_outlived/").await;
        read(&owner, key).await;
        let mut watch = owner.watch(key).await.unwrap();
        drop(owner);
        at_most(DEADLINE / 2, "a write", other.put(key, "1")).await.unwrap();
        let seen = in_time("an event", watch.next()).await.unwrap().unwrap();
        assert_eq!(seen.events()[0].kv().value(), b"1");
    })
    .await;
}

/// TestLeasingSessionExpire: without its session a client owns nothing, and with another it owns again.
#[tokio::test]
async fn leasing_session_expire() {
    on_every_version(async |client, _| {
        let prefix = "leasing_expire/";
        let (owner, calls) = leasing(&client, prefix).await;
        let (other, _) = leasing(&client, prefix).await;
        read(&owner, "leasing_expire_a").await;
        let owned = client.get(format!("{prefix}leasing_expire_a")).await.unwrap();
        client.revoke(owned.first().unwrap().lease().unwrap()).await.unwrap();
        etcdkit_testkit::wait::eventually("the loss", DEADLINE, async || {
            (owner.service().owned() == 0).then_some(())
        })
        .await;
        in_time("a write", other.put("leasing_expire_a", "1")).await.unwrap();
        assert_eq!(read(&owner, "leasing_expire_a").await.as_deref(), Some("1"));
        etcdkit_testkit::wait::eventually("another session", DEADLINE, async || {
            read(&owner, "leasing_expire_a").await;
            (cost(&calls, read(&owner, "leasing_expire_a")).await.1 == 0).then_some(())
        })
        .await;
    })
    .await;
}

/// TestLeasingTxnCancel: an owner that does not answer is waited for until the deadline, and nothing is written.
#[tokio::test]
async fn leasing_txn_cancel() {
    on_own_member(async |client, etcd: Etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let (owner, _) = leasing(&crate::kv::lost::eager(&proxy).await, "l/").await;
        let (other, _) = leasing(&client, "l/").await;
        read(&owner, "a").await;
        proxy.refuse().await;
        proxy.reset();
        let hurried = other.with_options(within(Duration::from_millis(500)));
        let refused = in_time("a refusal", hurried.put("a", "1")).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(value(&client, "a").await, None);
        proxy.listen_again().await;
        in_time("a write", other.put("a", "1")).await.unwrap();
        assert_eq!(read(&owner, "a").await.as_deref(), Some("1"));
    })
    .await;
}
