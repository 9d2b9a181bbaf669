//! Go's packages, as etcd's own services run them, and ours on one cluster.

use std::time::Duration;

use etcdkit::concurrency::{Election, Mutex};
use etcdkit::lock::Lock;
use etcdkit::{Compare, Put, Revision, Txn};
use tokio::task::JoinSet;

use super::{blocked, counted, session};
use crate::kv::members::*;

const ROUNDS: usize = 30;

/// Three of ours and three of theirs take a lock in turn, and the store checks that tokens only grow.
#[tokio::test]
async fn our_locks_and_theirs_exclude_each_other() {
    on_every_version(async |client, _| {
        let name = "our_locks_and_theirs";
        let register = format!("{name}-register");
        client.put(&*register, "0 0").await.unwrap();
        let mut contenders = JoinSet::new();
        for ours in [true, true, true, false, false, false] {
            let (client, register) = (client.clone(), register.clone());
            contenders.spawn(async move {
                let session = session(&client).await;
                for _ in 0..ROUNDS {
                    if ours {
                        let guard = Mutex::new(&session, name).lock().await.unwrap();
                        add_one(&client, &register, guard.held(), guard.fencing_token()).await;
                        guard.unlock().await.unwrap();
                    } else {
                        let patient = client.with_options(within(Duration::from_secs(120)));
                        let held = patient.lock(Lock::new(name, session.lease())).await.unwrap();
                        let kv = client.get(held.key()).await.unwrap().into_first().unwrap();
                        let token = kv.create_revision();
                        let condition = Compare::create_revision(held.key()).eq(token);
                        add_one(&client, &register, condition, token).await;
                        client.unlock(held.key()).await.unwrap();
                    }
                }
            });
        }
        in_time("all rounds", contenders.join_all()).await;
        let total = value(&client, &register).await.unwrap();
        assert!(total.starts_with(&format!("{} ", 6 * ROUNDS)), "{total}");
        counted(&client, &format!("{name}/"), 0).await;
    })
    .await;
}

/// Reads, adds one and writes; only a lock keeps others from doing the same in between. The register also keeps the
/// youngest token that it has seen, and the write fails if the lock is not held.
async fn add_one(client: &etcdkit::Client, register: &str, held: Compare, token: Revision) {
    let before = client.get(register).await.unwrap().into_first().unwrap();
    let (count, last) = before.value_str().unwrap().split_once(' ').unwrap();
    let (count, last): (usize, i64) = (count.parse().unwrap(), last.parse().unwrap());
    assert!(last < token.get(), "a younger holder was here before");
    let put = Put::new(register, format!("{} {token}", count + 1));
    let answer = client.txn(Txn::new().when([held]).then([put])).await.unwrap();
    assert!(answer.succeeded(), "the lock was not held");
}

#[tokio::test]
async fn our_leaders_and_theirs_follow_each_other() {
    on_every_version(async |client, _| {
        let name = "our_leaders_and_theirs";
        let ours = session(&client).await;
        let election = Election::new(&ours, name);
        let mut leaders = election.observe();
        let lease = grant(&client).await;
        let theirs = client.campaign(name, lease, "theirs").await.unwrap().into_leader();
        let seen = in_time("a leader", leaders.next()).await.unwrap().unwrap();
        assert_eq!((seen.key(), seen.value()), (&theirs.key()[..], b"theirs".as_slice()));
        assert_eq!(election.leader().await.unwrap().unwrap(), seen);
        let mut campaign = Box::pin(election.campaign("ours"));
        blocked("ours", &mut campaign).await;
        client.resign(theirs).await.unwrap();
        let leadership = in_time("ours", campaign).await.unwrap();
        assert_eq!(client.leader(name).await.unwrap().kv().unwrap().value(), b"ours");
        let mut observed = client.observe(name).await.unwrap();
        let mut waiting = Box::pin(client.campaign(name, lease, "theirs again"));
        blocked("theirs", &mut waiting).await;
        let seen = in_time("a leader", observed.next()).await.unwrap().unwrap();
        assert_eq!(seen.kv().unwrap().value(), b"ours");
        leadership.resign().await.unwrap();
        let theirs = in_time("theirs", waiting).await.unwrap().into_leader();
        for expected in ["ours", "theirs again"] {
            let leader = in_time("a leader", leaders.next()).await.unwrap().unwrap();
            assert_eq!(leader.value_str(), Ok(expected));
        }
        client.resign(theirs).await.unwrap();
    })
    .await;
}
