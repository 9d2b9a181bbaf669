//! Copies of ranges on real etcd, each version that is at hand, named after the tests of etcd's own client that they match.
#![cfg(test)]

mod late;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcdkit::auth::{Permission, UserAdd};
use etcdkit::mirror::{Mirror, MirrorProgress, Syncer};
use etcdkit::{Client, Compact, Delete, ErrorKind, Get, KeyRange, Put, Txn};
use etcdkit_testkit::etcd::Etcd;
use etcdkit_testkit::proxy::{Direction, Proxy};
use etcdkit_testkit::wait::eventually;

use crate::auth::users::{login, quick};
use crate::kv::backup::Backup;
use crate::kv::members::*;

#[tokio::test]
async fn mirror_sync() {
    on_every_version(async |client, _| {
        client.put("mirror_sync/foo", "bar").await.unwrap();
        let mut syncer = Syncer::new(&client, "mirror_sync/");
        fails(syncer.updates().await, ErrorKind::InvalidArgument);
        let (base, _) = collect(syncer.base().await.unwrap()).await.unwrap();
        assert_eq!(keys(&base), ["mirror_sync/foo"]);
        let mut updates = syncer.updates().await.unwrap();
        client.put("mirror_sync/foo", "baz").await.unwrap();
        let seen = in_time("an update", updates.next()).await.unwrap().unwrap();
        assert_eq!((seen.events().len(), seen.events()[0].kv().value()), (1, b"baz".as_slice()));
    })
    .await;
}

async fn fill(client: &Client, prefix: &str, count: usize) {
    for chunk in (0..count).collect::<Vec<_>>().chunks(100) {
        let puts = chunk.iter().map(|number| Put::new(format!("{prefix}{number:05}"), "v"));
        client.txn(Txn::new().then(puts)).await.unwrap();
    }
}

/// All keys are of one revision, however many pages they take and whatever is written meanwhile.
#[tokio::test]
async fn mirror_sync_base() {
    on_own_member(async |client, _| {
        fill(&client, "test", 2000).await;
        let mut syncer = Syncer::new(&client, "");
        let mut base = syncer.base().await.unwrap();
        let mut count = base.next().await.unwrap().unwrap().kvs().len();
        client.call(Delete::all()).await.unwrap();
        fill(&client, "late", 10).await;
        while let Some(page) = base.next().await {
            let page = page.unwrap();
            count += page.kvs().iter().filter(|kv| kv.key().starts_with(b"test")).count();
            assert!(page.kvs().iter().all(|kv| !kv.key().starts_with(b"late")));
        }
        assert_eq!(count, 2000);
        let mut updates = syncer.updates().await.unwrap();
        let first = in_time("an update", updates.next()).await.unwrap().unwrap();
        assert_eq!(first.events()[0].revision(), syncer.revision().unwrap().next());
    })
    .await;
}

/// Upstream reads the key `foo` to learn the revision, which takes a permission of its own.
#[tokio::test]
async fn mirror_sync_authenticated() {
    on_own_member_with(quick, async |client, etcd| {
        client.put("syncpath/1", "1").await.unwrap();
        for user in ["root", "syncer"] {
            client.user_add(UserAdd::new(user, user)).await.unwrap();
            client.role_add(user).await.unwrap();
            client.user_grant_role(user, user).await.unwrap();
        }
        let range = KeyRange::prefix("syncpath/");
        client.role_grant_permission("syncer", range, Permission::ReadWrite).await.unwrap();
        client.auth_enable().await.unwrap();
        let user = login(&etcd, "syncer").await;
        let mut syncer = Syncer::new(&user, "syncpath/");
        let (base, _) = collect(syncer.base().await.unwrap()).await.unwrap();
        assert_eq!(keys(&base), ["syncpath/1"]);
        let mut updates = syncer.updates().await.unwrap();
        user.put("syncpath/2", "2").await.unwrap();
        let seen = in_time("an update", updates.next()).await.unwrap().unwrap();
        assert_eq!(seen.events()[0].key(), b"syncpath/2");
    })
    .await;
}

/// Runs a mirror until `done`, which sees what it told, and returns that.
async fn until<S>(
    mirror: &Mirror<S>,
    done: impl AsyncFn(&[MirrorProgress]) -> bool,
) -> Vec<MirrorProgress>
where
    S: etcdkit::Service + Clone,
{
    let told = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&told);
    let run = Box::pin(mirror.run(move |progress| written.lock().unwrap().push(progress)));
    let so_far = || told.lock().unwrap().clone();
    let done = eventually("the copy", DEADLINE, async || done(&so_far()).await.then_some(()));
    tokio::select! {
        outcome = run => panic!("{:?}", outcome.unwrap_err()),
        () = done => {}
    }
    so_far()
}

/// Whether the copy is as the source.
async fn equal(source: &Client, from: &str, destination: &Client, to: &str) -> bool {
    let read = async |client: &Client, prefix: &str| -> Vec<(String, Vec<u8>)> {
        let answer = client.get(Get::prefix(prefix)).await.unwrap();
        let key = |kv: &etcdkit::KeyValue| kv.key_str().unwrap()[prefix.len()..].to_owned();
        answer.kvs().iter().map(|kv| (key(kv), kv.value().to_vec())).collect()
    };
    read(source, from).await == read(destination, to).await
}

#[tokio::test]
async fn a_copy_follows_and_resumes() {
    on_own_member(async |client, _| {
        fill(&client, "from/", 300).await;
        // What the destination has too much, and what it has already.
        client.put("to/00007", "other").await.unwrap();
        client.put("to/zzz", "too much").await.unwrap();
        client.put("to/00001", "v").await.unwrap();
        let mirror =
            Mirror::new(&client, "from/", &client, "to/").delete_extra().checkpoint("mark");
        // The copy is there a moment before the answer that says so.
        let whole = |told: &[MirrorProgress]| {
            told.last().is_some_and(|told| told.complete || told.written >= 300)
        };
        let told = until(&mirror, async |told| {
            whole(told) && equal(&client, "from/", &client, "to/").await
        })
        .await;
        assert_eq!(told.last().unwrap().compared, 300);
        let kv = client.get("to/00001").await.unwrap().into_first().unwrap();
        assert_eq!(kv.version(), 1, "what was equal was written again");

        // It follows: puts, deletions, and the end of a lease.
        let lease = grant(&client).await;
        let changes = async {
            client.call(Put::new("from/leased", "1").lease(lease)).await.unwrap();
            client.call(Delete::prefix("from/0000")).await.unwrap();
            client
                .txn(Txn::new().then([Put::new("from/a", "1"), Put::new("from/b", "1")]))
                .await
                .unwrap();
            client.revoke(lease).await.unwrap();
            client.put("from/last", "1").await.unwrap();
        };
        changes.await;
        let told = until(&mirror, async |_| equal(&client, "from/", &client, "to/").await).await;
        // It went on where it was: nothing was compared again.
        assert!(told[0].complete && told[0].written == 0, "{told:?}");
        let [a, b] = ["to/a", "to/b"].map(|key| client.get(key));
        let (a, b) = (a.await.unwrap(), b.await.unwrap());
        let revision = |answer: &etcdkit::GetResponse| answer.first().unwrap().mod_revision();
        assert_eq!(revision(&a), revision(&b), "a transaction was torn");
        assert!(client.get("mark").await.unwrap().first().is_some());
    })
    .await;
}

/// Many small keys and then a large one went into one transaction, which was more than etcd takes in a request.
#[tokio::test]
async fn a_large_value_after_many_small_ones_is_copied() {
    on_own_member(async |client, _| {
        for number in 0..110 {
            client.put(format!("from/{number:03}"), vec![b'v'; 6600]).await.unwrap();
        }
        client.put("from/large", vec![b'v'; 1_000_000]).await.unwrap();
        let mirror = Mirror::new(&client, "from/", &client, "to/");
        until(&mirror, async |_| equal(&client, "from/", &client, "to/").await).await;
    })
    .await;
}

/// What was deleted in a gap of the history is deleted in the copy.
#[tokio::test]
async fn a_copy_survives_a_compaction() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let source = crate::kv::lost::eager(&proxy).await;
        fill(&client, "from/", 20).await;
        let mirror =
            Mirror::new(&source, "from/", &client, "to/").delete_extra().checkpoint("mark");
        until(&mirror, async |_| equal(&client, "from/", &client, "to/").await).await;
        client.delete("from/00003").await.unwrap();
        client.put("from/new", "1").await.unwrap();
        client.compact(Compact::new(revision(&client).await)).await.unwrap();
        until(&mirror, async |_| equal(&client, "from/", &client, "to/").await).await;
    })
    .await;
}

/// A copy into a prefix where others had keys deleted them.
#[tokio::test]
async fn keys_that_the_source_never_had_are_left_alone() {
    on_own_member(async |client, _| {
        let there = Etcd::start_newest().await;
        let there = connect(&there).await;
        for key in ["other", "stale", "x"] {
            there.put(key, "mine").await.unwrap();
        }
        client.put("from/x", "copied").await.unwrap();
        client.put("from/y", "copied").await.unwrap();
        let all = async || -> Vec<(String, String)> {
            let answer = there.get(Get::all()).await.unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            answer.kvs().iter().map(|kv| (text(kv.key()), text(kv.value()))).collect()
        };
        let expected = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let mirror = Mirror::new(&client, "from/", &there, "");
        let copied = [("other", "mine"), ("stale", "mine"), ("x", "copied"), ("y", "copied")];
        let told = until(&mirror, async |told| told.last().is_some_and(|told| told.complete)).await;
        assert_eq!(told.last().unwrap().written, 2);
        assert_eq!(all().await, expected(&copied));

        // Deletions are copied as they happen.
        let mirror = mirror.from_revision(revision(&client).await);
        client.delete("from/x").await.unwrap();
        until(&mirror, async |told| told.iter().any(|told| told.written == 1)).await;
        let [other, stale, _, y] = copied;
        assert_eq!(all().await, expected(&[other, stale, y]));

        // An exact copy, where nobody else writes.
        let mirror = Mirror::new(&client, "from/", &there, "").delete_extra();
        until(&mirror, async |told| told.last().is_some_and(|told| told.complete)).await;
        assert_eq!(all().await, expected(&[y]));
    })
    .await;
}

/// Who deletes nothing can't make up for deletions that nobody tells of any more.
#[tokio::test]
async fn a_copy_that_deletes_nothing_ends_where_history_is_missing() {
    on_own_member(async |client, _| {
        client.put("from/1", "1").await.unwrap();
        let begin = revision(&client).await;
        let mirror = Mirror::new(&client, "from/", &client, "to/").checkpoint("mark");
        until(&mirror, async |_| equal(&client, "from/", &client, "to/").await).await;
        until(&mirror, async |told| told.first().is_some_and(|told| told.complete)).await;
        client.delete("from/1").await.unwrap();
        client.compact(Compact::new(revision(&client).await)).await.unwrap();
        let ends = async |mirror: &Mirror| {
            in_time("the end", mirror.run(|_| {})).await.unwrap_err().kind()
        };
        assert_eq!(ends(&mirror).await, ErrorKind::Compacted);
        let from = Mirror::new(&client, "from/", &client, "to/").from_revision(begin);
        assert_eq!(ends(&from).await, ErrorKind::Compacted);
        assert_eq!(value(&client, "to/1").await.as_deref(), Some("1"));

        // Nor can it know what another source has not.
        client.put("mark", format!("{begin} abc")).await.unwrap();
        assert_eq!(ends(&mirror).await, ErrorKind::ClusterChanged);
    })
    .await;
}

#[tokio::test]
async fn a_copy_keeps_to_its_rate() {
    on_own_member(async |client, _| {
        fill(&client, "from/", 500).await;
        let mirror = Mirror::new(&client, "from/", &client, "to/").keys_per_second(500);
        let begun = tokio::time::timeout(Duration::from_millis(400), mirror.run(|_| {})).await;
        assert!(begun.is_err());
        let written = client.get(Get::prefix("to/").count_only()).await.unwrap().count();
        assert!(written <= 254, "{written} keys in 0.4 s");
    })
    .await;
}

/// What the source lost when it was restored stayed in the copy, and what it was given then did not come.
#[tokio::test]
async fn a_source_that_was_restored_is_copied_anew() {
    on_own_member(async |client, etcd| {
        let destination = Etcd::start_newest().await;
        let copy = connect(&destination).await;
        fill(&client, "from/", 10).await;
        let backup = Backup::of(&etcd).await;
        let client = connect(&etcd).await;
        for number in 0..20 {
            client.put(format!("from/lost/{number}"), "1").await.unwrap();
        }
        let mirror = Mirror::new(&client, "from/", &copy, "to/").delete_extra().checkpoint("mark");
        until(&mirror, async |told| told.last().is_some_and(|told| told.complete)).await;
        assert!(value(&copy, "mark").await.is_some());

        backup.restore().await;
        let client = connect(&etcd).await;
        client.put("from/new", "1").await.unwrap();
        let mirror = Mirror::new(&client, "from/", &copy, "to/").delete_extra().checkpoint("mark");
        let told = until(&mirror, async |told| {
            !told.is_empty() && equal(&client, "from/", &copy, "to/").await
        })
        .await;
        assert!(!told[0].complete, "{told:?}");
    })
    .await;
}

/// A checkpoint of one cluster was taken for one of another.
#[tokio::test]
async fn another_source_is_copied_anew() {
    on_own_member(async |client, _| {
        let other = Etcd::start_newest().await;
        let other = connect(&other).await;
        fill(&client, "from/", 10).await;
        let mirror =
            Mirror::new(&client, "from/", &client, "to/").delete_extra().checkpoint("mark");
        until(&mirror, async |_| equal(&client, "from/", &client, "to/").await).await;
        // It has come further.
        for number in 0..30 {
            other.put("from/other", number.to_string()).await.unwrap();
        }
        let mirror = Mirror::new(&other, "from/", &client, "to/").delete_extra().checkpoint("mark");
        until(&mirror, async |_| equal(&other, "from/", &client, "to/").await).await;
    })
    .await;
}

/// A lost connection or a change of the leader ended a mirror, if a write was under way.
#[tokio::test]
async fn a_copy_survives_a_write_whose_answer_is_lost() {
    on_own_member(async |client, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        let destination = crate::kv::lost::eager(&proxy).await;
        let mirror = Mirror::new(&client, "from/", &destination, "to/");
        let mirror = mirror.from_revision(revision(&client).await);
        let copied = async |key: &str| {
            eventually("the copy", DEADLINE, async || value(&client, key).await).await;
        };
        let losing = async {
            proxy.drop_direction(Direction::ToClient);
            client.put("from/1", "1").await.unwrap();
            copied("to/1").await;
            proxy.reset();
            proxy.heal();
            client.put("from/2", "1").await.unwrap();
            copied("to/2").await;
        };
        tokio::select! {
            outcome = mirror.run(|_| {}) => panic!("{:?}", outcome.unwrap_err()),
            () = losing => {}
        }
    })
    .await;
}
