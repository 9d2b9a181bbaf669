//! Power cuts: every acknowledged write is there, none is torn, revisions never go back.

use std::sync::Arc;
use std::time::Duration;

use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::{
    AuthRoleAddRequest, CompactionRequest, DeleteRangeRequest, LeaseGrantRequest,
    LeaseRevokeRequest, PutRequest, RequestOp, TxnRequest,
};

use super::medium::{Drive, Loss};
use crate::config::Config;
use crate::state::State;
use crate::storage::{Bucket, Storage};

/// A thousand power cuts are what is promised; each round has several.
const ROUNDS: u64 = 130;
const CUTS: u64 = 8;

type Entries = Vec<(Bucket, Vec<u8>, Vec<u8>)>;

pub(super) fn entries(state: &State) -> Entries {
    let mut entries = state.export();
    let keys = state.store.since(0);
    entries.extend(keys.map(|key| (Bucket::Key, key.key.encode(), key.message.to_vec())));
    entries.sort_unstable();
    entries
}

/// The state that a storage holds.
pub(super) fn load(disk: &mut impl Storage) -> State {
    let mut state = State::new(Arc::new(Config::default()), 7);
    disk.load(&mut |bucket, key, value| state.import(bucket, key, value, Duration::ZERO)).unwrap();
    state.imported();
    state.keep_journal();
    state
}

fn put(random: &mut fastrand::Rng) -> PutRequest {
    PutRequest {
        key: vec![b'a' + random.u8(..16)].into(),
        value: vec![random.u8(..); random.usize(..2000)].into(),
        lease: i64::from(random.u8(..4)),
        ..PutRequest::default()
    }
}

/// Any request. Whether it is refused does not matter here.
pub(super) fn operate(state: &mut State, random: &mut fastrand::Rng) {
    match random.u8(..12) {
        0..=4 => drop(state.put(None, &put(random))),
        5 | 6 => {
            let operation = |request| RequestOp { request: Some(request) };
            let mut success: Vec<RequestOp> =
                (0..4).map(|_| operation(Request::Put(put(random)))).collect();
            success.dedup_by_key(|operation| match &operation.request {
                Some(Request::Put(put)) => put.key.clone(),
                _ => bytes::Bytes::new(),
            });
            drop(state.txn(None, &TxnRequest { success, ..TxnRequest::default() }));
        }
        7 => {
            let key = vec![b'a' + random.u8(..16)].into();
            let range_end = vec![b'a' + random.u8(..16)].into();
            let delete = DeleteRangeRequest { key, range_end, prev_kv: false };
            drop(state.delete_range(None, &delete));
        }
        8 => {
            let id = i64::from(random.u8(1..4));
            drop(state.lease_grant(None, &LeaseGrantRequest { id, ttl: 60 }, Duration::ZERO));
        }
        9 => drop(state.lease_revoke(None, &LeaseRevokeRequest { id: random.u8(1..4).into() })),
        10 => {
            let revision = state.store.revision() - random.i64(0..5);
            drop(state.compact(None, &CompactionRequest { revision, physical: false }));
        }
        _ => {
            let name = format!("role-{}", random.u8(..8));
            drop(state.role_add(None, &AuthRoleAddRequest { name }));
        }
    }
    state.applied();
}

/// What was counted in a run.
#[derive(Debug, Default)]
struct Count {
    cuts: u64,
    writes: u64,
    batches: u64,
    /// Cuts after which the batch was there that nobody was told of.
    ahead: u64,
    /// Records that compactions removed.
    removed: u64,
}

/// Has a state live through power cuts, each with another loss.
fn live(seed: u64, count: &mut Count) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut drive = Drive::formatted();
    for cut in 0..CUTS {
        let mut disk = drive.disk();
        let mut state = load(&mut disk);
        let mut acknowledged = entries(&state);
        let mut revision = state.store.revision();
        drive.cut_after(random.u64(..120));
        let in_flight = loop {
            let writes = random.u64(1..12);
            for _ in 0..writes {
                operate(&mut state, &mut random);
                if random.bool() {
                    state.compact_some();
                }
            }
            let (batch, reached) = state.take_batch();
            if batch.is_empty() {
                continue;
            }
            if disk.commit(&batch).is_err() {
                break entries(&state);
            }
            count.batches += 1;
            count.writes += writes;
            state.publish(reached);
            acknowledged = entries(&state);
            revision = reached;
        };
        // What failed once must fail for good, whatever the drive says.
        assert!(disk.commit(&state.take_batch().0).is_err());
        drop(disk);
        let losses = [Loss::Everything, Loss::Writes, Loss::Sectors, Loss::Tail];
        let loss = losses[random.usize(..losses.len())];
        drive = drive.after(loss, &mut random);
        let found = load(&mut drive.disk());
        let what = format!("seed {seed}, cut {cut}, {loss:?}");
        assert!(found.store.revision() >= revision, "{what}: revisions went back");
        let found = entries(&found);
        if found != acknowledged {
            assert!(
                found == in_flight,
                "{what}: neither what was acknowledged nor all of the rest"
            );
            count.ahead += 1;
        }
        count.cuts += 1;
        count.removed += state.totals.removed;
    }
}

#[test]
fn every_acknowledged_write_survives_a_power_cut() {
    let mut count = Count::default();
    (0..ROUNDS).for_each(|seed| live(seed, &mut count));
    assert!(count.cuts >= 1000, "{count:?}");
    // The cuts hit what they are meant to: commits on their way, before and after they were whole.
    assert!(count.ahead > 0 && count.batches > count.cuts, "{count:?}");
    assert!(count.removed > count.cuts, "{count:?}");
}

#[test]
fn a_batch_costs_one_sync() {
    let drive = Drive::formatted();
    let mut disk = drive.disk();
    let mut state = load(&mut disk);
    let mut random = fastrand::Rng::with_seed(1);
    let before = disk.syncs();
    for _ in 0..50 {
        (0..20).for_each(|_| operate(&mut state, &mut random));
        let (batch, revision) = state.take_batch();
        disk.commit(&batch).unwrap();
        state.publish(revision);
        state.compact_some();
    }
    assert_eq!(disk.syncs() - before, 50);
    assert_eq!(drive.syncs() - before, 50);
}
