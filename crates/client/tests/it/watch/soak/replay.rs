//! All that happened, revision by revision, out of reads at single revisions.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicI64, Ordering};

use etcdkit::{Client, Get, KeyRange, Revision};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::wait::eventually;

use super::*;

/// What one revision did to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: String,
    /// The value that was put; `None` for a deletion.
    pub(super) value: Option<String>,
    /// The key was not there before.
    pub(super) create: bool,
    /// Its value at the revision before.
    pub(super) previous: Option<String>,
}

#[derive(Default)]
pub(super) struct Replay {
    /// Up to where it has been read.
    pub(super) read: AtomicI64,
    changes: RwLock<BTreeMap<i64, Vec<Change>>>,
}

impl Replay {
    /// What a watch of `range` sees from `start` to `last`, in the order of keys within a revision.
    pub(super) fn expected(&self, range: &KeyRange, start: i64, last: i64) -> Vec<(i64, Change)> {
        let changes = self.changes.read().unwrap();
        let mut expected = Vec::new();
        if start > last {
            return expected;
        }
        for (revision, changes) in changes.range(start..=last) {
            let inside = changes.iter().filter(|change| range.contains(change.key.as_bytes()));
            expected.extend(inside.map(|change| (*revision, change.clone())));
        }
        expected
    }

    /// The keys and values after `last`.
    fn state(&self, last: i64) -> BTreeMap<String, String> {
        let mut state = BTreeMap::new();
        for change in self.changes.read().unwrap().range(..=last).flat_map(|(_, it)| it) {
            match &change.value {
                Some(value) => state.insert(change.key.clone(), value.clone()),
                None => state.remove(&change.key),
            };
        }
        state
    }
}

/// So many revisions are read at the same time, so that the recorder keeps up with the writers.
const AT_ONCE: i64 = 32;

/// Reads what each revision changed, from the difference to the one before.
pub(super) async fn record(client: Client, first: i64, shared: Arc<Shared>) {
    let replay = &shared.replay;
    let mut state: BTreeMap<String, String> = BTreeMap::new();
    let mut at = first;
    loop {
        let newest = read(&client, Get::new("s/").count_only()).await.revision().get();
        while at <= newest {
            let goal = newest.min(at + AT_ONCE - 1);
            let reads: Vec<_> = (at..=goal)
                .map(|revision| {
                    let client = client.clone();
                    let get = Get::prefix("s/").at_revision(revision);
                    spawn(async move { read(&client, get).await })
                })
                .collect();
            for read in reads {
                let answer = read.await.unwrap();
                let mut changes = Vec::new();
                let mut after = BTreeMap::new();
                for kv in answer.kvs() {
                    let key = kv.key_str().unwrap().to_owned();
                    let value = kv.value_str().unwrap().to_owned();
                    if kv.mod_revision().get() == at {
                        let create = kv.create_revision() == kv.mod_revision();
                        let previous = state.get(&key).cloned();
                        assert_eq!(create, previous.is_none(), "{kv:?}");
                        let value = Some(value.clone());
                        changes.push(Change { key: key.clone(), value, create, previous });
                    }
                    after.insert(key, value);
                }
                for (key, value) in state.iter().filter(|(key, _)| !after.contains_key(*key)) {
                    let (key, previous) = (key.clone(), Some(value.clone()));
                    changes.push(Change { key, value: None, create: false, previous });
                }
                changes.sort_by(|one, other| one.key.cmp(&other.key));
                state = after;
                replay.changes.write().unwrap().insert(at, changes);
                replay.read.store(at, Ordering::Release);
                at += 1;
            }
        }
        let last = shared.over.load(Ordering::Acquire);
        if last != 0 && at > last {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Each member's state, as it says itself, is where the replay ends, and their whole histories are the same.
pub(super) async fn check_members(
    replay: &Replay,
    cluster: &Cluster,
    client: &Client,
    last: Revision,
) {
    let expected = replay.state(last.get());
    let mut hashes = Vec::new();
    for member in cluster.members() {
        let member = client.at(member.client_url()).unwrap();
        let get = Get::prefix("s/").at_revision(last).serializable();
        let answer = eventually("a member to catch up", DEADLINE, async || {
            member.get(get.clone()).await.ok()
        })
        .await;
        let held: BTreeMap<String, String> = answer
            .kvs()
            .iter()
            .map(|kv| (kv.key_str().unwrap().to_owned(), kv.value_str().unwrap().to_owned()))
            .collect();
        assert_eq!(held, expected);
        let hash = eventually("a hash", DEADLINE, async || member.hash_kv(last).await.ok()).await;
        hashes.push((hash.compact_revision(), hash.hash()));
    }
    // A member may still be at compacting; then the hashes can't be compared.
    if hashes.iter().all(|(compacted, _)| *compacted == hashes[0].0) {
        assert!(hashes.iter().all(|(_, hash)| *hash == hashes[0].1), "{hashes:?}");
    }
}
