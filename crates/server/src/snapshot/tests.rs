//! Out and in again.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use etcdkit_datadir::bbolt::Bbolt;
use etcdkit_datadir::schema::Backend;
use etcdkit_datadir::{HashKv, Status};
use etcdkit_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, PutRequest,
};

use super::{Copy, read, write};
use crate::clock::Clock;
use crate::config::Config;
use crate::node::Node;
use crate::state::State;
use crate::storage::StorageError;

fn put(state: &mut State, key: &str, value: Vec<u8>) {
    let put = PutRequest { key: key.to_owned().into(), value: value.into(), ..Default::default() };
    state.put(None, &put).unwrap();
    state.applied();
}

/// A state with several pages of keys, some of them deleted or superseded.
fn node() -> Arc<Node> {
    let mut state = State::new(Arc::new(Config::default()), 7);
    state.lease_grant(None, &LeaseGrantRequest { id: 5, ttl: 60 }, Duration::ZERO).unwrap();
    for number in 0..4000 {
        put(&mut state, &format!("key-{:04}", number % 3000), vec![b'v'; 1000]);
    }
    let key = b"key-0100".to_vec().into();
    let delete = DeleteRangeRequest { key, range_end: b"key-0200".to_vec().into(), prev_kv: false };
    state.delete_range(None, &delete).unwrap();
    state.applied();
    put(&mut state, "key-0150", vec![b'w'; 10]);
    let revision = state.store.revision();
    state.publish(revision);
    Arc::new(Node::new(state, Clock::new(), false))
}

/// The file that a copy becomes.
fn file(node: &Node, copy: Copy) -> Vec<u8> {
    let mut image = write(node, copy).unwrap();
    let mut file = Vec::new();
    while image.left() > 0 {
        file.extend_from_slice(&image.next(10_000).unwrap());
    }
    assert!(image.next(10_000).unwrap().is_empty());
    file.extend_from_slice(&image.trailer());
    file
}

fn started_from(file: &[u8]) -> Result<State, StorageError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot.db");
    std::fs::write(&path, file).unwrap();
    let mut state = State::new(Arc::new(Config::default()), 8);
    read(&path, &mut |bucket, key, value| state.import(bucket, key, value, Duration::ZERO))?;
    state.imported();
    Ok(state)
}

#[test]
fn a_snapshot_is_a_database_of_etcd_and_starts_the_same_state() {
    let node = node();
    let file = file(&node, Copy::begin(&node.state(), &node));
    let report = Bbolt::open(Cursor::new(&file)).unwrap().check().unwrap();
    assert!(report.is_sound());
    let mut backend = Backend::open(Cursor::new(&file)).unwrap();
    let status = Status::of(&mut backend).unwrap();
    assert_eq!(status.live_keys, 2901);
    let state = node.state();
    let hash = state.store.hash_kv(0).unwrap();
    assert_eq!(HashKv::newest().compute(&mut backend).unwrap().hash, hash.hash);

    let started = started_from(&file).unwrap();
    assert_eq!(started.store.hash_kv(0).unwrap(), hash);
    assert_eq!(started.export(), state.export());
}

#[test]
fn what_is_compacted_while_it_is_copied_is_still_in_the_copy() {
    let node = node();
    let mut copy = Copy::begin(&node.state(), &node);
    let whole = file(&node, Copy::begin(&node.state(), &node));
    let first = copy.page(&node.state());
    assert!(!first.is_empty());
    {
        let mut state = node.state_mut();
        let revision = state.store.revision();
        state.compact(None, &CompactionRequest { revision, physical: false }).unwrap();
        put(&mut state, "later", Vec::new());
        let before = state.store.bytes();
        while state.compact_some() {}
        assert_eq!(state.store.bytes(), before, "something was removed");
    }
    let mut records = first.len();
    loop {
        let page = copy.page(&node.state());
        if page.is_empty() {
            break;
        }
        records += page.len();
    }
    drop(copy);
    // All 4000 puts, the 100 deletions and the put after them; not the one that came later.
    assert_eq!(records, 4101);
    let mut state = node.state_mut();
    while state.compact_some() {}
    assert!(state.store.bytes() < 3_000_000);
    let started = started_from(&whole).unwrap();
    assert_eq!(started.store.since(0).count(), 4101);
}

#[test]
fn a_copy_that_begins_while_something_is_removed_starts_the_same_state() {
    let node = node();
    let revision = node.state().store.revision();
    let compact = CompactionRequest { revision, physical: false };
    node.state_mut().compact(None, &compact).unwrap();
    let before = node.state().store.bytes();
    while node.state().store.bytes() == before {
        assert!(node.state_mut().compact_some());
    }
    let copy = Copy::begin(&node.state(), &node);
    let mut steps = 0;
    while node.state_mut().compact_some() {
        steps += 1;
    }
    assert!(steps > 3, "{steps}");
    let mut started = started_from(&file(&node, copy)).unwrap();
    while started.compact_some() {}
    let state = node.state();
    assert_eq!(started.store.hash_kv(0), state.store.hash_kv(0));
    assert_eq!(started.store.bytes(), state.store.bytes());
    assert_eq!(started.export(), state.export());
}

#[test]
fn files_that_are_no_whole_snapshot_are_refused() {
    let node = node();
    let file = file(&node, Copy::begin(&node.state(), &node));
    let mut damaged = file.clone();
    damaged[file.len() / 2] ^= 1;
    let without_trailer = &file[..file.len() - 32];
    for (what, bytes) in [
        ("cut off", &file[..file.len() - 600]),
        ("damaged", &damaged),
        ("without its trailer", without_trailer),
        ("empty", &[]),
    ] {
        let error = started_from(bytes).map(|_| ()).unwrap_err();
        assert!(matches!(error, StorageError::Corrupt(_)), "{what}: {error}");
        assert!(error.to_string().contains("snapshot.db"), "{what}: {error}");
    }
}
