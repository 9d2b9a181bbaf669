//! The store against a list of everything that ever happened, and its hash against that of a file with the same records.

use std::collections::BTreeMap;
use std::io::Cursor;

use bytes::Bytes;
use etcdkit_datadir::HashKv as FileHash;
use etcdkit_datadir::bbolt::Writer;
use etcdkit_datadir::schema::{Backend, Revision, RevisionKey};
use etcdkit_proto::ServerError;
use proptest::prelude::*;

use super::log::Stamp;
use super::{Compaction, HashKv, Hashing, KeyRange, Step as Part, Store};

#[derive(Clone, Debug)]
enum Step {
    /// One transaction: a key and its value, or its deletion.
    Txn(Vec<(u8, Option<u8>)>),
    /// A compaction so far behind the present.
    Compact(i64),
    /// A part of the removal of what was compacted.
    Remove,
}

fn step() -> impl Strategy<Value = Step> {
    let change = (0..6u8, proptest::option::weighted(0.7, any::<u8>()));
    prop_oneof![
        6 => proptest::collection::vec(change, 1..4).prop_map(Step::Txn),
        1 => (0..6i64).prop_map(Step::Compact),
        2 => Just(Step::Remove),
    ]
}

/// Key, create revision, mod revision, version, value.
type Row = (Vec<u8>, i64, i64, i64, Vec<u8>);

#[derive(Default)]
struct Model {
    /// What could be read at each revision.
    states: BTreeMap<i64, BTreeMap<u8, Row>>,
}

fn all() -> KeyRange {
    KeyRange::new(Bytes::from_static(&[0]), Bytes::from_static(&[0]))
}

fn rows(store: &Store, range: &KeyRange, revision: i64) -> Vec<Row> {
    let row = |record: super::Record<'_>| {
        let kv = record.kv();
        let (key, value) = (kv.key.to_vec(), kv.value.to_vec());
        (key, kv.create_revision, kv.mod_revision, kv.version, value)
    };
    store.range(range, revision).map(row).collect()
}

fn check(store: &Store, model: &Model) {
    assert_eq!(store.alive(), store.count(&all(), store.revision()));
    for (&revision, state) in &model.states {
        if store.readable(revision).is_err() {
            assert!(revision < store.compacted());
            continue;
        }
        let expected: Vec<Row> = state.values().cloned().collect();
        assert_eq!(rows(store, &all(), revision), expected, "at {revision}");
        assert_eq!(store.count(&all(), revision), expected.len());
        let part = KeyRange::new(vec![b'b'].into(), vec![b'd'].into());
        let some: Vec<Row> = expected.into_iter().filter(|row| part.contains(&row.0)).collect();
        assert_eq!(rows(store, &part, revision), some, "b to d at {revision}");
    }
}

/// The hash of a file that holds what the store holds.
fn file_hash(store: &Store) -> u32 {
    let mut writer = Writer::new(Cursor::new(Vec::new())).unwrap();
    writer.begin_bucket(b"key").unwrap();
    for record in store.since(0) {
        writer.put(&record.key.encode(), record.message).unwrap();
    }
    writer.end_bucket().unwrap();
    writer.begin_bucket(b"meta").unwrap();
    if store.compacted() > 0 {
        let revision = Revision { main: store.compacted(), sub: 0 };
        let key = RevisionKey { revision, tombstone: false }.encode();
        writer.put(b"finishedCompactRev", &key).unwrap();
        writer.put(b"scheduledCompactRev", &key).unwrap();
    }
    writer.end_bucket().unwrap();
    let mut backend = Backend::open(writer.finish().unwrap()).unwrap();
    FileHash::newest().compute(&mut backend).unwrap().hash
}

/// The same as [`Hashing`], in one walk.
fn hash_at_once(store: &Store, revision: i64, compacted: i64) -> HashKv {
    let survivors = store.range(&all(), revision).next().is_some();
    let mut hash = crc32c::crc32c(b"key");
    for record in store.since(i64::MIN) {
        let Revision { main, .. } = record.key.revision;
        let stamp = Stamp::new(record.key.revision, record.key.tombstone);
        let is_left = !survivors || store.index.get(record.kv().key, revision) == Some(stamp);
        let is_deletion = main == compacted && record.key.tombstone;
        if main <= revision && (main > compacted || is_left) && !is_deletion {
            hash = crc32c::crc32c_append(hash, &record.key.encode());
            hash = crc32c::crc32c_append(hash, record.message);
        }
    }
    HashKv { hash, revision, compacted }
}

#[test]
fn a_hash_in_pieces_is_that_of_one_walk_whatever_is_written_meanwhile() {
    let mut store = Store::default();
    let key = |number: u32| format!("{:05}", number * 1009 % 5000).into_bytes();
    for number in 0..5000 {
        store.put(&key(number), &[7; 200], 0);
        store.finish();
    }
    // A revision longer than a piece, and one that is compacted.
    for number in 0..3000 {
        store.delete(&key(number));
    }
    store.finish();
    for number in 0..2000 {
        store.put(&key(number), b"again", 0);
    }
    store.finish();
    let deleted = store.revision() - 1;
    for (revision, compacted) in [
        (deleted + 1, -1),
        (deleted + 1, 4000),
        (deleted, 4000),
        (deleted, deleted),
        (deleted + 1, deleted),
        (3000, 2000),
    ] {
        let expected = hash_at_once(&store, revision, compacted);
        let mut hashing = Hashing::new(revision, compacted);
        let mut pieces = 1;
        while hashing.add(&store) {
            pieces += 1;
            store.put(&key(pieces), b"meanwhile", 0);
            store.finish();
        }
        assert_eq!(hashing.hash(), expected, "{revision} of {compacted}");
        assert!(pieces > 2, "{pieces}");
    }
    // Without a key that exists, nothing is left out.
    let keys: Vec<Vec<u8>> = store.keys(&all(), store.revision()).map(<[u8]>::to_vec).collect();
    for key in keys {
        store.delete(&key);
    }
    store.finish();
    let expected = hash_at_once(&store, store.revision(), 4000);
    let mut hashing = Hashing::new(store.revision(), 4000);
    while hashing.add(&store) {}
    assert_eq!(hashing.hash(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn it_agrees_with_a_list_of_all_changes(steps in proptest::collection::vec(step(), 1..60)) {
        let mut store = Store::default();
        let mut model = Model::default();
        model.states.insert(1, BTreeMap::new());
        let mut compaction: Option<Compaction> = None;
        for step in steps {
            match step {
                Step::Txn(changes) => {
                    let mut state = model.states[&store.revision()].clone();
                    let revision = store.revision() + 1;
                    // A key changes once in a transaction. etcd's own hash is at odds with its index otherwise.
                    let changes: BTreeMap<u8, Option<u8>> = changes.into_iter().collect();
                    for (key, value) in changes {
                        let name = vec![b'a' + key];
                        match value {
                            Some(value) => {
                                store.put(&name, &[value], 0);
                                let before = state.get(&key).map(|row| (row.1, row.3));
                                let (create, version) = before.unwrap_or((revision, 0));
                                state.insert(key, (name, create, revision, version + 1, vec![value]));
                            }
                            None if state.remove(&key).is_some() => {
                                store.delete(&name);
                            }
                            None => assert!(!store.contains(&name, store.present())),
                        }
                    }
                    if store.finish() {
                        model.states.insert(store.revision(), state);
                    }
                }
                Step::Compact(behind) if compaction.is_none() => {
                    let revision = store.revision() - behind;
                    let was = store.compacted();
                    match store.compact(revision) {
                        Ok(()) => compaction = Some(Compaction::new(revision, was)),
                        Err(error) => {
                            assert_eq!(error, ServerError::Compacted);
                            assert!(revision <= was);
                        }
                    }
                }
                Step::Compact(_) => {}
                Step::Remove => {
                    let hash = store.hash_kv(0).unwrap();
                    assert_eq!(hash, hash_at_once(&store, store.revision(), store.compacted()));
                    let alive = store.count(&all(), store.revision()) > 0;
                    if let Some(mut running) = compaction.take() {
                        let mut gone = Vec::new();
                        match running.step(&mut store, |key| gone.push(key)) {
                            Part::Done => {}
                            Part::Part => compaction = Some(running),
                            Part::Hashed(hash) => {
                                assert_eq!(hash, hash_at_once(&store, hash.revision, hash.compacted));
                                compaction = Some(running);
                            }
                        }
                        assert!(gone.iter().all(|key| key.revision.main <= store.compacted()));
                    }
                    // Only a store without a living key tells what was removed from what was not.
                    if alive {
                        assert_eq!(store.hash_kv(0).unwrap(), hash);
                    }
                }
            }
            check(&store, &model);
        }
        assert_eq!(store.hash_kv(0).unwrap().hash, file_hash(&store));
        assert!(store.last() <= store.revision());
    }
}

#[test]
fn a_compaction_leaves_what_can_be_read_and_nothing_else() {
    let mut store = Store::default();
    let value = vec![7; 1000];
    for round in 0..10_u8 {
        for key in 0..100_u8 {
            store.put(&[key, round % 2], &value, 0);
            store.finish();
        }
    }
    let full = store.bytes();
    let now = store.revision();
    store.compact(now).unwrap();
    let mut compaction = Compaction::new(now, -1);
    let mut removed = 0;
    while compaction.step(&mut store, |_| removed += 1) != Part::Done {}
    assert_eq!(removed, 800);
    assert_eq!(store.count(&all(), now), 200);
    assert_eq!(store.since(0).count(), 200);
    assert!(store.bytes() < full / 4, "{} of {full}", store.bytes());
    assert_eq!(store.compact(now), Err(ServerError::Compacted));
    assert_eq!(store.compact(now + 1), Err(ServerError::FutureRevision));
    assert_eq!(store.readable(now - 1), Err(ServerError::Compacted));
}

#[test]
fn a_deletion_at_the_compacted_revision_stays_until_the_next() {
    let mut store = Store::default();
    store.put(b"a", b"1", 0);
    store.finish();
    store.delete(b"a");
    store.finish();
    store.put(b"b", b"1", 0);
    store.finish();
    for (revision, left) in [(3, 2), (4, 1)] {
        store.compact(revision).unwrap();
        let mut compaction = Compaction::resumed(revision);
        while compaction.step(&mut store, |_| {}) != Part::Done {}
        assert_eq!(store.since(0).count(), left, "compacted to {revision}");
    }
}

#[test]
fn ranges_are_those_of_etcd() {
    let range = |key: &'static [u8], end: &'static [u8]| {
        KeyRange::new(Bytes::from_static(key), Bytes::from_static(end))
    };
    for (range, inside, outside) in [
        (range(b"b", b""), vec!["b"], vec!["a", "ba"]),
        (range(b"b", b"\0"), vec!["b", "ba", "z"], vec!["a"]),
        (range(b"b", b"d"), vec!["b", "c", "cz"], vec!["a", "d"]),
        (range(b"d", b"b"), vec![], vec!["a", "b", "c", "d"]),
        (KeyRange::prefix(&Bytes::from_static(b"b")), vec!["b", "bz"], vec!["a", "c"]),
    ] {
        assert!(inside.iter().all(|key| range.contains(key.as_bytes())), "{range:?}");
        assert!(!outside.iter().any(|key| range.contains(key.as_bytes())), "{range:?}");
    }
    let last = KeyRange::prefix(&Bytes::from_static(b"\xff"));
    assert!(last.contains(b"\xff\xff\xff") && !last.contains(b"\xfe"));
}

#[test]
fn keys_of_every_length_are_kept_in_order() {
    let mut store = Store::default();
    let keys: Vec<Vec<u8>> = (1..60).map(|length| vec![b'k'; length]).collect();
    for key in keys.iter().rev() {
        store.put(key, key, 0);
        store.finish();
    }
    let now = store.revision();
    let found: Vec<Vec<u8>> =
        store.range(&all(), now).map(|record| record.kv().key.to_vec()).collect();
    assert_eq!(found, keys);
    for key in &keys {
        assert_eq!(
            store.get(key, now).map(|record| record.kv().value.to_vec()).as_ref(),
            Some(key)
        );
    }
}

#[test]
fn revisions_may_lie_far_apart() {
    let mut store = Store::default();
    let far = i64::from(u32::MAX) * 3;
    for (main, key) in [(2, "a"), (far, "b"), (far + 1, "c")] {
        let revision = Revision { main, sub: 0 };
        let message = [&[0x0a, 1][..], key.as_bytes()].concat();
        store.load(RevisionKey { revision, tombstone: false }, &message).unwrap();
    }
    store.loaded(None);
    let revisions: Vec<i64> = store.since(0).map(|record| record.key.revision.main).collect();
    assert_eq!(revisions, [2, far, far + 1]);
    assert_eq!(store.since(far).count(), 2);
    assert!(store.get(b"b", far).is_some() && store.get(b"b", far - 1).is_none());
    assert_eq!(store.revision(), far + 1);
}
