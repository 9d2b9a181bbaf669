//! Roles that change while calls are on their way: the server refuses those that it admitted before the change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcdkit::Get;
use etcdkit_testkit::etcd::{Etcd, Version};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::users::{self, login};
use crate::kv::members::*;

#[tokio::test]
async fn v3_auth_old_rev_concurrent() {
    for version in Version::available() {
        let _named = Named::new(version);
        let etcd = &users::quick(Etcd::builder(version)).start().await;
        users::set_up(&connect(etcd).await).await;
        let root = login(etcd, "root").await;
        let changes = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for caller in 0..4 {
            let client = login(etcd, "alice").await.with_options(within(DEADLINE));
            let changes = Arc::clone(&changes);
            callers.spawn(async move {
                let mut number = 0;
                while number < 25 || changes.load(Ordering::Relaxed) < 3 {
                    let key = format!("alice/{caller}/{number}");
                    client.put(key.clone(), "1").await?;
                    let found = client.get(key).await?;
                    assert_eq!(found.first().map(|kv| kv.version()), Some(1));
                    number += 1;
                }
                Ok::<u64, etcdkit::Error>(number)
            });
        }
        // Every change makes a new revision of users and roles, until all callers are done.
        let mut put = 0;
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let all = async {
            loop {
                tokio::select! {
                    biased;
                    outcome = callers.join_next() => match outcome {
                        Some(outcome) => put += outcome.expect("no caller panics").unwrap(),
                        None => return,
                    },
                    _ = tick.tick() => {
                        let change = changes.load(Ordering::Relaxed);
                        users::allow(&root, "alice", &format!("other/{change}/")).await;
                        changes.store(change + 1, Ordering::Relaxed);
                    }
                }
            }
        };
        in_time("all callers", all).await;
        let found = root.get(Get::prefix("alice/").count_only()).await.unwrap();
        assert_eq!(found.count(), put);
    }
}
