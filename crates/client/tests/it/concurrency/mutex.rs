//! Locks that one holds.

use std::time::Duration;

use etcdkit::concurrency::{Loss, Mutex, Session};
use etcdkit::{Client, Compact, ErrorKind, Get, LossReason, Put, Txn};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::proxy::{Direction, Proxy};
use tokio::task::JoinSet;

use super::{blocked, count, counted, session, spawn};
use crate::kv::members::*;

/// Five contenders hold the lock one at a time.
async fn one_at_a_time(name: &str, clients: &[Client]) {
    let mut contenders = JoinSet::new();
    for client in clients.iter().cycle().take(5) {
        let (client, name) = (client.clone(), name.to_owned());
        contenders.spawn(async move {
            let session = session(&client).await;
            let guard = in_time("the lock", Mutex::new(&session, &*name).lock()).await.unwrap();
            // Somebody else in here would be seen: only one can create the key.
            let busy = format!("{name}-busy");
            let entered =
                Txn::new().when([etcdkit::Compare::missing(&busy)]).then([Put::new(&busy, "")]);
            assert!(guard.txn(entered).await.unwrap().succeeded(), "two at a time");
            client.delete(&*busy).await.unwrap();
            let token = guard.fencing_token();
            guard.unlock().await.unwrap();
            session.close().await.unwrap();
            token
        });
    }
    let mut tokens = contenders.join_all().await;
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 5, "a token was given twice");
    assert_eq!(count(&clients[0], name).await, 0, "a key was left");
}

#[tokio::test]
async fn mutex_lock_single_node() {
    on_every_version(async |client, _| one_at_a_time("mutex_lock_single_node", &[client]).await)
        .await;
}

#[tokio::test]
async fn mutex_lock_multi_node() {
    let cluster = Cluster::builder(Version::newest()).start().await;
    let clients =
        [connect(&cluster[0]).await, connect(&cluster[1]).await, connect(&cluster[2]).await];
    one_at_a_time("mutex_lock_multi_node", &clients).await;
}

/// Also TestMutexTryLockMultiNode: each try is one transaction of the cluster, whichever member it is sent to.
#[tokio::test]
async fn mutex_try_lock_single_node() {
    on_every_version(async |client, _| {
        let name = "mutex_try_lock_single_node";
        let mut tries = Vec::new();
        for _ in 0..5 {
            let session = session(&client).await;
            let tried = Mutex::new(&session, name).try_lock().await.unwrap();
            tries.push((tried, session));
        }
        assert_eq!(tries.iter().filter(|(guard, _)| guard.is_some()).count(), 1);
        // Those that did not get it left nothing.
        assert_eq!(count(&client, name).await, 1);
        let (guard, _) = tries.swap_remove(0);
        guard.unwrap().unlock().await.unwrap();
        let again = Mutex::new(&tries[0].1, name).try_lock().await.unwrap();
        assert!(again.is_some());
    })
    .await;
}

#[tokio::test]
async fn mutex_session_relock() {
    on_every_version(async |client, _| {
        let name = "mutex_session_relock";
        let (one, other) = (session(&client).await, session(&client).await);
        let first = Mutex::new(&one, name).lock().await.unwrap();
        let second = in_time("the same again", Mutex::new(&one, name).lock()).await.unwrap();
        assert_eq!(first.fencing_token(), second.fencing_token());
        // Giving up one of the two does not free the lock.
        first.unlock().await.unwrap();
        assert!(second.is_held().await.unwrap());
        assert!(Mutex::new(&other, name).try_lock().await.unwrap().is_none());
        second.unlock().await.unwrap();
        assert!(Mutex::new(&other, name).try_lock().await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn mutex_waits_on_current_holder() {
    on_every_version(async |client, _| {
        let name = "mutex_waits_on_current_holder";
        let sessions = [session(&client).await, session(&client).await, session(&client).await];
        let holder = Mutex::new(&sessions[0], name).lock().await.unwrap();
        let middle = Mutex::new(&sessions[1], name);
        let middle = spawn(async move { middle.lock().await });
        counted(&client, name, 2).await;
        let last = Mutex::new(&sessions[2], name);
        let mut last = Box::pin(last.lock());
        blocked("the last", &mut last).await;
        // The one before the last is gone, and the holder is not.
        client.revoke(sessions[1].lease()).await.unwrap();
        let error = in_time("the middle", middle).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        blocked("the last", &mut last).await;
        holder.unlock().await.unwrap();
        in_time("the last", last).await.unwrap().unlock().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn mutex_lock_session_expired() {
    on_every_version(async |client, _| {
        let name = "mutex_lock_session_expired";
        let (one, two) = (session(&client).await, session(&client).await);
        let held = Mutex::new(&one, name).lock().await.unwrap();
        let lease = two.lease();
        let waiting = spawn(async move { Mutex::new(&two, name).lock().await });
        counted(&client, name, 2).await;
        client.revoke(lease).await.unwrap();
        let error = in_time("the waiter", waiting).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("session is expired"), "{error}");
        held.unlock().await.unwrap();
    })
    .await;
}

/// What can't be written here (unlocking before locking, and twice) does not compile; what was lost is told.
#[tokio::test]
async fn mutex_unlock() {
    on_every_version(async |client, _| {
        let session = session(&client).await;
        let guard = Mutex::new(&session, "mutex_unlock").lock().await.unwrap();
        client.delete(guard.key()).await.unwrap();
        assert_eq!(in_time("the loss", guard.lost()).await, Loss::Deleted);
        assert!(!guard.is_held().await.unwrap());
        fails(
            guard.txn(Txn::new().then([Put::new("mutex_unlock_done", "")])).await,
            ErrorKind::NotFound,
        );
        fails(guard.unlock().await, ErrorKind::NotFound);
        assert_eq!(value(&client, "mutex_unlock_done").await, None);
    })
    .await;
}

#[tokio::test]
async fn a_holder_learns_that_its_session_is_lost() {
    on_every_version(async |client, _| {
        let session = session(&client).await;
        let guard = Mutex::new(&session, "a_holder_learns").lock().await.unwrap();
        client.revoke(session.lease()).await.unwrap();
        // Whichever is noticed first.
        let loss = in_time("the loss", guard.lost()).await;
        assert!([Loss::Session(LossReason::Revoked), Loss::Deleted].contains(&loss), "{loss:?}");
    })
    .await;
}

/// A guarded transaction says what became of its own conditions, and is not done by a former holder.
#[tokio::test]
async fn guarded_transactions_are_fenced() {
    on_every_version(async |client, _| {
        let name = "guarded_transactions";
        let (one, two) = (session(&client).await, session(&client).await);
        let key = format!("{name}-protected");
        let write = |value: &str| Txn::new().then([Put::new(&key, value)]);
        let former = Mutex::new(&one, name).lock().await.unwrap();
        let answer = former.txn(write("1")).await.unwrap();
        assert!(answer.succeeded() && answer.revision() > former.fencing_token());
        let failed =
            Txn::new().when([etcdkit::Compare::value(&key).eq("?")]).or_else([Get::new(&key)]);
        let answer = former.txn(failed).await.unwrap();
        assert!(!answer.succeeded());
        assert_eq!(answer.responses()[0].as_get().unwrap().count(), 1);

        client.revoke(one.lease()).await.unwrap();
        let present = in_time("the next", Mutex::new(&two, name).lock()).await.unwrap();
        assert!(present.fencing_token() > former.fencing_token());
        fails(former.txn(write("late")).await, ErrorKind::NotFound);
        present.txn(write("2")).await.unwrap();
        assert_eq!(value(&client, &key).await.as_deref(), Some("2"));
    })
    .await;
}

/// The prefix of one lock's keys holds the keys of the other.
#[tokio::test]
async fn locks_whose_names_begin_alike_are_independent() {
    on_every_version(async |client, _| {
        let name = "locks_alike";
        let (one, two) = (session(&client).await, session(&client).await);
        let inner = Mutex::new(&one, format!("{name}/b")).lock().await.unwrap();
        client.put(format!("{name}/no-lock"), "").await.unwrap();
        let outer = in_time("the outer lock", Mutex::new(&two, name).lock()).await.unwrap();
        let others = [Mutex::new(&one, name), Mutex::new(&two, format!("{name}/b"))];
        for other in others {
            assert!(other.try_lock().await.unwrap().is_none());
        }
        outer.unlock().await.unwrap();
        let tried = Mutex::new(&two, name).try_lock().await.unwrap().expect("it is free");
        tried.unlock().await.unwrap();
        inner.unlock().await.unwrap();
        assert_eq!(keys(&client.get(Get::prefix(name)).await.unwrap()), ["locks_alike/no-lock"]);
    })
    .await;
}

/// Waiting across a compaction goes on: the waiter looks again at what is there.
#[tokio::test]
async fn a_wait_survives_a_compaction() {
    on_own_member(async |client, etcd| {
        let name = "a_wait_survives_a_compaction";
        let proxy = Proxy::start(etcd.client_addr()).await;
        let waiter = crate::kv::lost::eager(&proxy).await;
        let (one, two) = (session(&client).await, session(&waiter).await);
        let guard = Mutex::new(&one, name).lock().await.unwrap();
        let waiting = spawn(async move { Mutex::new(&two, name).lock().await });
        counted(&client, name, 2).await;
        // The release and the compaction over it happen while the waiter's watch is cut off.
        proxy.refuse().await;
        proxy.reset();
        guard.unlock().await.unwrap();
        for value in ["1", "2"] {
            client.put("other", value).await.unwrap();
        }
        client.compact(Compact::new(revision(&client).await)).await.unwrap();
        proxy.listen_again().await;
        let guard = in_time("the lock", waiting).await.unwrap().unwrap();
        assert!(guard.is_held().await.unwrap());
    })
    .await;
}

/// A lock, a try and a wait that are given up at any moment leave no key that blocks others.
#[tokio::test]
async fn what_is_cancelled_leaves_no_key() {
    on_every_version(async |client, _| {
        let name = "what_is_cancelled";
        let (one, two) = (session(&client).await, session(&client).await);
        let held = Mutex::new(&one, name).lock().await.unwrap();
        let mutex = Mutex::new(&two, name);
        for micros in [0, 50, 200, 500, 1000, 2000, 5000, 50_000] {
            let limit = Duration::from_micros(micros);
            let waited = tokio::time::timeout(limit, mutex.lock()).await;
            assert!(waited.is_err(), "locked twice");
            let _ = tokio::time::timeout(limit, mutex.try_lock()).await;
        }
        counted(&client, name, 1).await;
        // Dropping a guard is as good as unlocking, only later.
        drop(held);
        let guard = in_time("the lock", mutex.lock()).await.unwrap();
        // The same session waits until its own former key is gone.
        drop(guard);
        let guard = in_time("the lock again", mutex.lock()).await.unwrap();
        guard.unlock().await.unwrap();
        counted(&client, name, 0).await;
    })
    .await;
}

/// An answer that is lost leaves a key that nobody knows of, unless somebody looks after it.
#[tokio::test]
async fn a_lock_whose_answer_was_lost_leaves_no_key() {
    on_every_version(async |client, etcd| {
        let name = "a_lock_whose_answer_was_lost";
        let proxy = Proxy::start(etcd.client_addr()).await;
        let through = crate::kv::lost::eager(&proxy).await;
        let session: Session = session(&through).await;
        let mutex = Mutex::new(&session, name);
        proxy.drop_direction(Direction::ToClient);
        let waiting = spawn(async move { mutex.lock().await });
        counted(&client, name, 1).await;
        proxy.reset();
        proxy.heal();
        let outcome = in_time("an outcome", waiting).await.unwrap();
        assert!(outcome.unwrap_err().maybe_applied());
        counted(&client, name, 0).await;
        assert!(session.state().is_alive());
    })
    .await;
}
