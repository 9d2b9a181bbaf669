//! Locks that one holds.

use std::time::Duration;

use etcdkit::concurrency::{Loss, Mutex, Session};
use etcdkit::service::{Service, Streaming};
use etcdkit::{
    AnyRequest, CallOptions, Channel, Client, Compact, Delete, ErrorKind, Get, LossReason, Put,
    Request, Result, Revision, StreamRequest, Txn,
};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::{Etcd, Version};
use etcdkit_testkit::proxy::{Direction, Proxy};
use etcdkit_testkit::wait::eventually;
use tokio::task::JoinSet;

use super::{blocked, count, counted, session, spawn};
use crate::kv::backup::Backup;
use crate::kv::members::*;

/// The lock of a name, for a session.
type Make = fn(&Session, &str) -> Mutex;

/// Both ways to wait: by a watch, and by a call that the server answers.
const WAYS: [(&str, Make); 2] = [
    ("client", |session, name| Mutex::new(session, name)),
    ("server", |session, name| Mutex::on_server(session, name)),
];

/// Runs `test` with both ways to wait, on every version, with names of their own.
async fn each_way(name: &str, test: impl AsyncFn(Client, &Etcd, &'static str, Make)) {
    on_every_version(async |client, etcd| {
        for (way, make) in WAYS {
            let name = &*format!("{name}_{way}").leak();
            test(client.clone(), etcd, name, make).await;
        }
    })
    .await;
}

/// Five contenders hold the lock one at a time.
async fn one_at_a_time(name: &str, mutex: Make, clients: &[Client]) {
    let mut contenders = JoinSet::new();
    for client in clients.iter().cycle().take(5) {
        let (client, name) = (client.clone(), name.to_owned());
        contenders.spawn(async move {
            let session = session(&client).await;
            let guard = in_time("the lock", mutex(&session, &name).lock()).await.unwrap();
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
    each_way("mutex_lock_single_node", async |client, _, name, mutex| {
        one_at_a_time(name, mutex, &[client]).await;
    })
    .await;
}

#[tokio::test]
async fn mutex_lock_multi_node() {
    let cluster = Cluster::builder(Version::newest()).start().await;
    let clients =
        [connect(&cluster[0]).await, connect(&cluster[1]).await, connect(&cluster[2]).await];
    for (way, mutex) in WAYS {
        one_at_a_time(&format!("mutex_lock_multi_node_{way}"), mutex, &clients).await;
    }
}

/// Also TestMutexTryLockMultiNode: each try is one transaction of the cluster, whichever member it is sent to.
#[tokio::test]
async fn mutex_try_lock_single_node() {
    each_way("mutex_try_lock_single_node", async |client, _, name, mutex| {
        let mut tries = Vec::new();
        for _ in 0..5 {
            let session = session(&client).await;
            let tried = mutex(&session, name).try_lock().await.unwrap();
            tries.push((tried, session));
        }
        assert_eq!(tries.iter().filter(|(guard, _)| guard.is_some()).count(), 1);
        // Those that did not get it left nothing.
        assert_eq!(count(&client, name).await, 1);
        let (guard, _) = tries.swap_remove(0);
        guard.unwrap().unlock().await.unwrap();
        let again = mutex(&tries[0].1, name).try_lock().await.unwrap();
        assert!(again.is_some());
    })
    .await;
}

#[tokio::test]
async fn mutex_session_relock() {
    each_way("mutex_session_relock", async |client, _, name, mutex| {
        let (one, other) = (session(&client).await, session(&client).await);
        let first = mutex(&one, name).lock().await.unwrap();
        let second = in_time("the same again", mutex(&one, name).lock()).await.unwrap();
        assert_eq!(first.fencing_token(), second.fencing_token());
        // Giving up one of the two does not free the lock.
        first.unlock().await.unwrap();
        assert!(second.is_held().await.unwrap());
        assert!(mutex(&other, name).try_lock().await.unwrap().is_none());
        second.unlock().await.unwrap();
        assert!(mutex(&other, name).try_lock().await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn mutex_waits_on_current_holder() {
    each_way("mutex_waits_on_current_holder", async |client, _, name, mutex| {
        let sessions = [session(&client).await, session(&client).await, session(&client).await];
        let holder = mutex(&sessions[0], name).lock().await.unwrap();
        let middle = mutex(&sessions[1], name);
        let middle = spawn(async move { middle.lock().await });
        counted(&client, name, 2).await;
        let last = mutex(&sessions[2], name);
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
    each_way("mutex_lock_session_expired", async |client, _, name, mutex| {
        let (one, two) = (session(&client).await, session(&client).await);
        let held = mutex(&one, name).lock().await.unwrap();
        let lease = two.lease();
        let waiting = spawn(async move { mutex(&two, name).lock().await });
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

/// Of two guards of one session the first had lost its key, and its end left that of the second for as long as the session.
#[tokio::test]
async fn no_key_is_left_of_a_lock_that_was_lost_and_taken_again() {
    each_way("lost_and_taken_again", async |client, _, name, mutex| {
        let session = session(&client).await;
        let first = mutex(&session, name).lock().await.unwrap();
        client.delete(first.key()).await.unwrap();
        let second = mutex(&session, name).lock().await.unwrap();
        assert!(second.fencing_token() > first.fencing_token());
        second.unlock().await.unwrap();
        fails(first.unlock().await, ErrorKind::NotFound);
        counted(&client, name, 0).await;
        // And whoever comes next waits until it is gone.
        in_time("the lock", mutex(&session, name).lock()).await.unwrap().unlock().await.unwrap();
        assert_eq!(count(&client, name).await, 0);
    })
    .await;
}

/// Of two sessions with one lease, the one whose lock was lost deleted the key that the other had made since.
#[tokio::test]
async fn a_lock_that_was_lost_takes_none_from_another_session() {
    each_way("lost_and_taken_elsewhere", async |client, _, name, mutex| {
        for unlocks in [true, false] {
            let lease = grant(&client).await;
            let one = client.session(lease).await.unwrap();
            let two = client.session(lease).await.unwrap();
            let first = mutex(&one, name).lock().await.unwrap();
            let shared = in_time("the same", mutex(&two, name).lock()).await.unwrap();
            assert_eq!(shared.fencing_token(), first.fencing_token());
            first.unlock().await.unwrap();
            let again = mutex(&one, name).lock().await.unwrap();
            if unlocks {
                fails(shared.unlock().await, ErrorKind::NotFound);
            } else {
                drop(shared);
            }
            // Which waits until nothing of the same session is left to be deleted.
            let found = in_time("the same", mutex(&two, name).lock()).await.unwrap();
            assert_eq!(found.fencing_token(), again.fencing_token());
            again.unlock().await.unwrap();
            fails(found.unlock().await, ErrorKind::NotFound);
            client.revoke(lease).await.unwrap();
        }
    })
    .await;
}

/// A lock whose key went when a backup was restored was held for ever, if its session was in the backup.
#[tokio::test]
async fn a_holder_learns_that_a_backup_took_its_lock_away() {
    on_own_member(async |client, etcd| {
        let session = session(&client).await;
        let backup = Backup::of(&etcd).await;
        let guard = in_time("the lock", Mutex::new(&session, "l").lock()).await.unwrap();
        let mut lost = Box::pin(guard.lost());
        blocked("the holder", &mut lost).await;
        backup.restore().await;
        assert_eq!(in_time("the loss", lost).await, Loss::Deleted);
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
    each_way("guarded_transactions", async |client, _, name, mutex| {
        let (one, two) = (session(&client).await, session(&client).await);
        let key = format!("{name}-protected");
        let write = |value: &str| Txn::new().then([Put::new(&key, value)]);
        let former = mutex(&one, name).lock().await.unwrap();
        let answer = former.txn(write("1")).await.unwrap();
        assert!(answer.succeeded() && answer.revision() > former.fencing_token());
        let failed =
            Txn::new().when([etcdkit::Compare::value(&key).eq("?")]).or_else([Get::new(&key)]);
        let answer = former.txn(failed).await.unwrap();
        assert!(!answer.succeeded());
        assert_eq!(answer.responses()[0].as_get().unwrap().count(), 1);

        client.revoke(one.lease()).await.unwrap();
        let present = in_time("the next", mutex(&two, name).lock()).await.unwrap();
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
    each_way("locks_alike", async |client, _, name, mutex| {
        let (one, two) = (session(&client).await, session(&client).await);
        let inner = mutex(&one, &format!("{name}/b")).lock().await.unwrap();
        client.put(format!("{name}/no-lock"), "").await.unwrap();
        let outer = in_time("the outer lock", mutex(&two, name).lock()).await.unwrap();
        let others = [mutex(&one, name), mutex(&two, &format!("{name}/b"))];
        for other in others {
            assert!(other.try_lock().await.unwrap().is_none());
        }
        outer.unlock().await.unwrap();
        let tried = mutex(&two, name).try_lock().await.unwrap().expect("it is free");
        tried.unlock().await.unwrap();
        inner.unlock().await.unwrap();
        assert_eq!(
            keys(&client.get(Get::prefix(name)).await.unwrap()),
            [format!("{name}/no-lock")]
        );
    })
    .await;
}

/// Waits until the member has so many watches.
pub(super) async fn watched(etcd: &Etcd, expected: u32) {
    eventually("the watches to be as many as expected", DEADLINE, async || {
        let watches = etcd.metric("etcd_debugging_mvcc_watcher_total").await;
        (watches == Some(expected.into())).then_some(())
    })
    .await;
}

/// Waiting across a compaction goes on: the waiter looks again at what is there.
#[tokio::test]
async fn a_wait_survives_a_compaction() {
    on_own_member(async |client, etcd| {
        for (name, mutex) in WAYS {
            let proxy = Proxy::start(etcd.client_addr()).await;
            let waiter = crate::kv::lost::eager(&proxy).await;
            let (one, two) = (session(&client).await, session(&waiter).await);
            let guard = mutex(&one, name).lock().await.unwrap();
            watched(&etcd, 0).await;
            let waiting = spawn(async move { mutex(&two, name).lock().await });
            // It knows that its key is written.
            watched(&etcd, 1).await;
            // The release and the compaction over it happen while the waiter is cut off.
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
        }
    })
    .await;
}

/// A server that loses whom it waits for deletes the key, and would delete a later one of the same session.
#[tokio::test]
async fn a_wait_of_the_server_that_was_given_up_takes_no_later_lock_away() {
    on_every_version(async |client, _| {
        let name = "a_wait_of_the_server";
        let (one, two) = (session(&client).await, session(&client).await);
        let held = Mutex::new(&one, name).lock().await.unwrap();
        let mutex = Mutex::on_server(&two, name);
        for _ in 0..5 {
            let mut waiting = Box::pin(mutex.lock());
            blocked("the lock", &mut waiting).await;
            drop(waiting);
            assert!(mutex.try_lock().await.unwrap().is_none());
        }
        let mut waiting = Box::pin(mutex.lock());
        blocked("the lock", &mut waiting).await;
        drop(waiting);
        held.unlock().await.unwrap();
        let guard = in_time("the lock", mutex.lock()).await.unwrap();
        blocked("the loss", &mut Box::pin(guard.lost())).await;
        guard.unlock().await.unwrap();
    })
    .await;
}

const MADE_ANEW: &str = "made_by_the_server";

/// Has every key deleted just before a server waits with it.
#[derive(Clone)]
struct Robbed(Channel);

impl Service for Robbed {
    async fn call<R: Request>(&self, request: R, options: &CallOptions) -> Result<R::Response> {
        if let AnyRequest::Lock(lock) = request.clone().into_any() {
            let key = format!("{MADE_ANEW}/{:x}", lock.lease_id().unwrap().get());
            assert_eq!(self.0.call(Delete::new(key), options).await?.deleted(), 1);
        }
        self.0.call(request, options).await
    }

    async fn open<R: StreamRequest>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> Result<Streaming<R::Item, R::Control>> {
        self.0.open(request, options).await
    }
}

/// The server makes a key of its own for the one that is gone, which nobody holds in the end.
#[tokio::test]
async fn a_key_that_the_server_made_anew_is_not_left() {
    on_every_version(async |client, _| {
        let one = session(&client).await;
        let two = client.clone().layer(Robbed).session(Duration::from_secs(60)).await.unwrap();
        let held = Mutex::new(&one, MADE_ANEW).lock().await.unwrap();
        let mutex = Mutex::on_server(&two, MADE_ANEW);
        let mut waiting = Box::pin(mutex.lock());
        blocked("the lock", &mut waiting).await;
        counted(&client, MADE_ANEW, 2).await;
        held.unlock().await.unwrap();
        fails(in_time("the lock", waiting).await, ErrorKind::NotFound);
        counted(&client, MADE_ANEW, 0).await;
    })
    .await;
}

/// How many locks a server was asked to wait for.
const LOCKS: &str = "grpc_server_started_total{grpc_method=\"Lock\",grpc_service=\"v3lockpb.Lock\",grpc_type=\"unary\"}";

/// The member that waits is lost; the next one is asked.
#[tokio::test]
async fn a_wait_on_the_server_survives_a_lost_connection() {
    on_own_member(async |client, etcd| {
        let name = "a_wait_on_the_server_survives";
        let proxy = Proxy::start(etcd.client_addr()).await;
        let through = crate::kv::lost::eager(&proxy).await;
        let (one, two) = (session(&client).await, session(&through).await);
        let held = Mutex::new(&one, name).lock().await.unwrap();
        let key = format!("{name}/{:x}", two.lease().get());
        let waiting = spawn(async move { Mutex::on_server(&two, name).lock().await });
        let made_after = async |before: Revision| {
            eventually("a key in line", DEADLINE, async || {
                let kv = client.get(&*key).await.unwrap().into_first()?;
                Some(kv.create_revision()).filter(|made| *made > before)
            })
            .await
        };
        let first = made_after(Revision::NONE).await;
        eventually("the server to wait", DEADLINE, async || {
            etcd.metric(LOCKS).await.filter(|locks| *locks == 1.0)
        })
        .await;
        proxy.reset();
        // The server takes the key away with the call, and another stands in line.
        made_after(first).await;
        held.unlock().await.unwrap();
        let guard = in_time("the lock", waiting).await.unwrap().unwrap();
        assert!(guard.is_held().await.unwrap());
    })
    .await;
}

/// A lock, a try and a wait that are given up at any moment leave no key that blocks others.
#[tokio::test]
async fn what_is_cancelled_leaves_no_key() {
    each_way("what_is_cancelled", async |client, _, name, mutex| {
        let (one, two) = (session(&client).await, session(&client).await);
        let held = mutex(&one, name).lock().await.unwrap();
        let mutex = mutex(&two, name);
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
    each_way("a_lock_whose_answer_was_lost", async |client, etcd, name, mutex| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let through = crate::kv::lost::eager(&proxy).await;
        let session: Session = session(&through).await;
        let mutex = mutex(&session, name);
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
