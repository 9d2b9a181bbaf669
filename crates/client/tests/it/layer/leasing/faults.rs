//! Connections that break, sessions that end, and writes that meet.

use std::time::Duration;

use etcdkit::layer::Leasing;
use etcdkit::maintenance::{Alarm, AlarmKind, RaisedAlarm};
use etcdkit::{
    Client, Compact, Compare, Delete, ErrorKind, Get, KeyRange, Op, Put, ServerError, Txn,
};
use etcdkit_testkit::proxy::Proxy;
use etcdkit_testkit::wait::eventually;
use tokio::task::JoinSet;

use super::{cost, leasing, read};
use crate::auth::users::{add, add_with_prefix, allow, enable, login, quick};
use crate::kv::lost::eager;
use crate::kv::members::*;
use crate::observed::Observed;

/// What a client reads is what is there.
async fn agree(through: &Client<Leasing<Observed>>, client: &Client, key: &str) {
    let read = in_time("a read", through.get(key)).await.unwrap();
    let direct = client.get(key).await.unwrap();
    assert_eq!(read.kvs(), direct.kvs(), "{key}");
}

/// To own a key takes a write. Reads failed for want of room, with which they have nothing to do.
#[tokio::test]
async fn reads_go_on_when_the_store_is_full() {
    on_own_member(async |client, _etcd| {
        client.put("k", "1").await.unwrap();
        let (through, _) = leasing(&client, "l/").await;
        let member = client.status().await.unwrap().member();
        let full = RaisedAlarm::new(member, AlarmKind::NoSpace);
        client.call(Alarm::activate(full)).await.unwrap();
        refused(client.put("k", "2").await, ServerError::NoSpace);
        agree(&through, &client, "k").await;
        client.alarm_disarm(full).await.unwrap();
        agree(&through, &client, "k").await;
    })
    .await;
}

/// Who asks for a key gets it, however often the owner's connection breaks meanwhile.
#[tokio::test]
async fn leasing_reconnect_owner_revoke() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let (owner, _) = leasing(&eager(&proxy).await, "l/").await;
        let (other, _) = leasing(&client, "l/").await;
        for round in 0..3 {
            let key = format!("k{round}");
            read(&owner, &key).await;
            let breaking = async {
                for _ in 0..5 {
                    let next = proxy.connections() + 1;
                    proxy.reset();
                    in_time("another connection", proxy.wait_connections(next)).await;
                }
            };
            let writing = in_time("a write", other.put(&*key, "1"));
            let (written, ()) = tokio::join!(writing, breaking);
            written.unwrap();
            assert_eq!(read(&owner, &key).await.as_deref(), Some("1"));
        }
    })
    .await;
}

/// The same when what the owner was asked has been compacted away before it could read it.
#[tokio::test]
async fn leasing_reconnect_owner_revoke_compact() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let (owner, _) = leasing(&eager(&proxy).await, "l/").await;
        let (other, _) = leasing(&client, "l/").await;
        read(&owner, "k").await;
        proxy.refuse().await;
        proxy.reset();
        let mut writing = Box::pin(other.put("k", "1"));
        let asked = eventually("the owner to be asked", DEADLINE, async || {
            (value(&client, "l/k").await.as_deref() == Some("REVOKE")).then_some(())
        });
        tokio::select! {
            _ = &mut writing => panic!("nobody has given the key back"),
            () = asked => {}
        }
        client.put("elsewhere", "1").await.unwrap();
        client.compact(Compact::new(revision(&client).await)).await.unwrap();
        proxy.listen_again().await;
        in_time("a write", writing).await.unwrap();
        assert_eq!(read(&owner, "k").await.as_deref(), Some("1"));
    })
    .await;
}

/// Whatever becomes of writes whose connection breaks: what is read afterwards is what is there.
#[tokio::test]
async fn leasing_reconnect_owner_consistency() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let (owner, _) = leasing(&eager(&proxy).await, "l/").await;
        let mut random = fastrand::Rng::with_seed(5);
        let mut failed = 0;
        for round in 0..40 {
            read(&owner, "k").await;
            read(&owner, "k2").await;
            let value = round.to_string();
            let writing = async {
                match round % 5 {
                    0 | 1 => owner.put("k", &value).await.map(drop),
                    2 => owner.delete("k").await.map(drop),
                    3 => {
                        let puts = [Put::new("k", &value), Put::new("k2", &value)];
                        let txn = Txn::new().when([Compare::exists("k")]);
                        owner.txn(txn.then(puts.clone()).or_else(puts)).await.map(drop)
                    }
                    _ => owner.call(Delete::prefix("k")).await.map(drop),
                }
            };
            let yields = random.u32(..200);
            let breaking = async {
                for _ in 0..yields {
                    tokio::task::yield_now().await;
                }
                proxy.reset();
            };
            let (written, ()) = in_time("a write", async { tokio::join!(writing, breaking) }).await;
            failed += usize::from(written.is_err());
            for key in ["k", "k2"] {
                agree(&owner, &client, key).await;
            }
        }
        println!("{failed} of 40 writes failed");
    })
    .await;
}

/// A transaction that only reads is repeated until it is answered.
#[tokio::test]
async fn leasing_reconnect_txn() {
    on_own_member(async |client, etcd| {
        client.put("k", "1").await.unwrap();
        let proxy = Proxy::start(etcd.client_addr()).await;
        let (owner, _) = leasing(&eager(&proxy).await, "l/").await;
        for _ in 0..10 {
            let txn = Txn::new().then([Get::new("k")]).then([Get::prefix("k")]);
            let reading = owner.txn(txn);
            let breaking = async { proxy.reset() };
            let (answer, ()) = in_time("a read", async { tokio::join!(reading, breaking) }).await;
            assert_eq!(answer.unwrap().responses()[1].as_get().unwrap().count(), 1);
        }
    })
    .await;
}

/// A read whose answer is lost leaves nothing in memory that is not so.
#[tokio::test]
async fn leasing_reconnect_non_owner_get() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let (through, _) = leasing(&eager(&proxy).await, "l/").await;
        let (other, _) = leasing(&client, "l/").await;
        for round in 0..20 {
            let key = format!("k{round}");
            let hurried = through.with_options(within(Duration::from_millis(50)));
            let (outcome, ()) = tokio::join!(hurried.get(&*key), async { proxy.reset() });
            drop(outcome);
            in_time("a write", other.put(&*key, "1")).await.unwrap();
            agree(&through, &client, &key).await;
        }
    })
    .await;
}

/// Writes of single keys meet deletions of all of them: in the end all agree, and nothing is read that is gone.
async fn contend(client: Client, prefix: &str, delete: impl Fn() -> Op) {
    let (one, _) = leasing(&client, &format!("{prefix}leasing/")).await;
    let (two, _) = leasing(&client, &format!("{prefix}leasing/")).await;
    let keys: Vec<String> = (0..4).map(|n| format!("{prefix}k/{n}")).collect();
    let mut writing = JoinSet::new();
    for (worker, client) in [&one, &two, &one, &two].into_iter().enumerate() {
        let (client, keys) = (client.clone(), keys.clone());
        writing.spawn(async move {
            for round in 0..6 {
                let key = &keys[(worker + round) % keys.len()];
                client.put(&**key, format!("{worker} {round}")).await.unwrap();
                client.get(&**key).await.unwrap();
            }
        });
    }
    for round in 0..6 {
        let by = if round % 2 == 0 { &one } else { &two };
        in_time("a deletion", by.call(delete())).await.unwrap();
    }
    in_time("all of it", writing.join_all()).await;
    for by in [&one, &two] {
        for key in &keys {
            agree(by, &client, key).await;
        }
    }
    in_time("the last deletion", two.call(delete())).await.unwrap();
    for by in [&one, &two] {
        for key in &keys {
            assert_eq!(read(by, key).await, None, "{key} has come back");
        }
    }
}

#[tokio::test]
async fn leasing_delete_range_contend_txn() {
    on_every_version(async |client, _| {
        let prefix = "leasing_contend_txn/";
        contend(client, prefix, || Txn::new().then([Delete::prefix(format!("{prefix}k/"))]).into())
            .await;
    })
    .await;
}

#[tokio::test]
async fn leasing_delete_range_contend_del() {
    on_every_version(async |client, _| {
        let prefix = "leasing_contend_del/";
        contend(client, prefix, || Delete::prefix(format!("{prefix}k/")).into()).await;
    })
    .await;
}

/// An owner that may not delete its proofs any more tried to for ever, and went on to renew the lease that they are on.
#[tokio::test]
async fn an_owner_that_may_not_give_keys_back_does_not_keep_them() {
    on_own_member_with(quick, async |client, etcd| {
        add(&client, "root", "root").await;
        add_with_prefix(&client, "owner", "l/").await;
        allow(&client, "owner", "k").await;
        enable(&client).await;
        let root = login(&etcd, "root").await;
        let ttl = Duration::from_secs(9);
        let owner = login(&etcd, "owner").await.leasing("l/", ttl).await.unwrap();
        let (other, _) = leasing(&root, "l/").await;
        read(&owner, "k").await;
        assert_eq!(owner.service().owned(), 1);
        root.role_revoke_permission("owner", KeyRange::prefix("l/")).await.unwrap();
        at_most(DEADLINE / 2, "a write", other.put("k", "1")).await.unwrap();
        assert_eq!(read(&owner, "k").await.as_deref(), Some("1"));
        assert_eq!(owner.service().owned(), 0);
    })
    .await;
}

/// TestLeasingOwnerDeleteError, TestLeasingNonOwnerPutError: also of what nobody owns.
#[tokio::test]
async fn leasing_writes_fail_without_a_member() {
    on_own_member(async |client, etcd| {
        let (owner, _) = leasing(&client, "l/").await;
        read(&owner, "owned").await;
        etcd.kill().await;
        let hurried = owner.with_options(within(Duration::from_millis(200)));
        for key in ["owned", "other"] {
            assert!(hurried.put(key, "1").await.is_err());
            assert!(hurried.delete(key).await.is_err());
            assert!(hurried.txn(Txn::new().then([Put::new(key, "1")])).await.is_err());
        }
    })
    .await;
}

/// A session that was lost answers nothing from memory, and whatever is asked ends with the deadline.
#[tokio::test]
async fn leasing_session_expire_cancel() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let (owner, calls) = leasing(&eager(&proxy).await, "l/").await;
        client.put("abc", "1").await.unwrap();
        read(&owner, "abc").await;
        let txn = || Txn::new().when([Compare::exists("abc")]).then([Get::new("abc")]);
        assert_eq!(cost(&calls, owner.txn(txn())).await.1, 0);
        let lease = client.get("l/abc").await.unwrap().first().unwrap().lease().unwrap();
        client.revoke(lease).await.unwrap();
        eventually("the loss", DEADLINE, async || (owner.service().owned() == 0).then_some(()))
            .await;
        proxy.refuse().await;
        proxy.reset();
        let ops = [
            Op::from(Get::new("abc")),
            Get::new("abc").serializable().into(),
            Put::new("abc", "2").into(),
            Delete::new("abc").into(),
            txn().into(),
            txn().or_else([Put::new("abc", "2")]).into(),
        ];
        let hurried = owner.with_options(within(Duration::from_millis(100)));
        for op in ops {
            let error = in_time("an end", hurried.call(op.clone())).await.unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable),
                "{op:?}: {error}"
            );
        }
        proxy.listen_again().await;
        assert_eq!(read(&owner, "abc").await.as_deref(), Some("1"));
    })
    .await;
}
