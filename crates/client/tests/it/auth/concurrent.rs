//! Roles that change while calls are on their way: the server refuses those that it admitted before the change.

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
        let mut callers = JoinSet::new();
        for caller in 0..4 {
            let client = login(etcd, "alice").await.with_options(within(DEADLINE));
            callers.spawn(async move {
                for number in 0..25 {
                    let key = format!("alice/{caller}/{number}");
                    client.put(key.clone(), "1").await?;
                    let found = client.get(key).await?;
                    assert_eq!(found.first().map(|kv| kv.version()), Some(1));
                }
                Ok::<(), etcdkit::Error>(())
            });
        }
        // Every change makes a new revision of users and roles, until all callers are done.
        let mut changes = 0;
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let all = async {
            loop {
                tokio::select! {
                    biased;
                    outcome = callers.join_next() => match outcome {
                        Some(outcome) => outcome.expect("no caller panics").unwrap(),
                        None => return,
                    },
                    _ = tick.tick() => {
                        users::allow(&root, "alice", &format!("other/{changes}/")).await;
                        changes += 1;
                    }
                }
            }
        };
        in_time("all callers", all).await;
        assert!(changes >= 3, "{changes} changes");
        let found = root.get(Get::prefix("alice/").count_only()).await.unwrap();
        assert_eq!(found.count(), 100);
    }
}
