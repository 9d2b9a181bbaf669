//! What readers and watchers are shown while batches are on their way, and compactions come behind them.

use std::collections::VecDeque;
use std::sync::Arc;

use etcdkit_proto::etcdserverpb::{RangeRequest, ResponseHeader, WatchCreateRequest};
use etcdkit_proto::mvccpb::{Event, event::EventType};
use futures_util::FutureExt;
use prost::Message as _;

use super::power::operate;
use crate::apply::{Ranged, Selection};
use crate::clock::Clock;
use crate::config::Config;
use crate::node::Node;
use crate::snapshot::Whole;
use crate::state::State;
use crate::watch::{Message, NewWatch, Outbox, Work};

const ROUNDS: u64 = 150;
const STEPS: usize = 400;

/// A change as a watcher is told of it: its revision, its key, and whether it deletes it.
type Change = (i64, Vec<u8>, bool);

fn all() -> RangeRequest {
    RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..RangeRequest::default() }
}

/// Every key, and when it was changed.
fn keys(found: &Selection<'_>) -> Vec<(Vec<u8>, i64)> {
    let kvs = found.response(ResponseHeader::default()).kvs;
    kvs.into_iter().map(|kv| (kv.key.to_vec(), kv.mod_revision)).collect()
}

fn told(outbox: &Outbox) -> Vec<Change> {
    let mut changes = Vec::new();
    while let Some(work) = outbox.next().now_or_never() {
        let Work::Send(messages) = work else { panic!("{work:?}") };
        for message in messages {
            let Message::Events { events, .. } = message else { continue };
            changes.extend(events.iter().map(|event| {
                let event = Event::decode(event.as_ref()).unwrap();
                let is_delete = event.r#type() == EventType::Delete;
                let kv = event.kv.unwrap();
                (kv.mod_revision, kv.key.to_vec(), is_delete)
            }));
        }
    }
    changes
}

/// What was applied as one revision: its changes, and the keys from then on.
struct Applied {
    changes: Vec<Change>,
    keys: Vec<(Vec<u8>, i64)>,
}

/// A read that takes its time.
struct Reading {
    revision: i64,
    /// What it finds, whenever it is made.
    keys: Vec<(Vec<u8>, i64)>,
    _whole: Whole,
}

/// Has a state go through requests, steps of compactions, and batches and reads that take their time.
fn live(seed: u64, compacted: &mut u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut state = State::new(Arc::new(Config::default()), 7);
    state.keep_journal();
    let node = Arc::new(Node::new(state, Clock::new(), true));
    let mut readings: VecDeque<Reading> = VecDeque::new();
    let mut state = node.state_mut();
    let (stream, outbox) = state.hub.open();
    let request = WatchCreateRequest::default();
    state.hub.create(stream, NewWatch { range: all().range(), request });
    let mut waiting: VecDeque<Applied> = VecDeque::new();
    let mut shown = Vec::new();
    let mut on_its_way = None;
    for step in 0..STEPS {
        let what = format!("seed {seed}, step {step}");
        match random.u8(..10) {
            0..=3 => {
                let before = state.store.revision();
                operate(&mut state, &mut random);
                let now = state.store.revision();
                if now > before {
                    let changes = state
                        .store
                        .since(now)
                        .map(|record| (now, record.kv().key.to_vec(), record.key.tombstone));
                    let changes = changes.collect();
                    let keys = keys(&Selection::find(&state.store, &all(), now));
                    waiting.push_back(Applied { changes, keys });
                }
            }
            4 if on_its_way.is_none() => on_its_way = Some(state.take_batch().1),
            5 => {
                if let Some(revision) = on_its_way.take() {
                    let mut expected = Vec::new();
                    for _ in state.published()..revision {
                        let applied = waiting.pop_front().unwrap();
                        expected.extend(applied.changes);
                        shown = applied.keys;
                    }
                    state.publish(revision);
                    assert_eq!(told(&outbox), expected, "{what}");
                }
            }
            6 if readings.len() < 3 => {
                // Now, or as far back as can be read.
                let (now, first) = (state.published(), state.store.compacted());
                let revision = if random.bool() { now } else { first.clamp(1, now) };
                let keys = keys(&Selection::find(&state.store, &all(), revision));
                let _whole = Whole::keep(&state, &node);
                readings.push_back(Reading { revision, keys, _whole });
            }
            7 => drop(readings.pop_front()),
            _ => drop(state.compact_some()),
        }
        for reading in &readings {
            let found = Selection::find(&state.store, &all(), reading.revision);
            assert_eq!(keys(&found), reading.keys, "{what}: at {}", reading.revision);
        }
        assert_eq!(keys(&state.range(None, &all()).unwrap()), shown, "{what}");
        assert_eq!(told(&outbox), [], "{what}: told too early");
    }
    *compacted += state.totals.removed;
}

/// A compaction that was applied behind a batch on its way removed what that batch was still to show: a key that exists was
/// not found, and its watchers were not told of it.
#[test]
fn what_is_published_later_is_not_compacted_before() {
    let mut compacted = 0;
    (0..ROUNDS).for_each(|seed| live(seed, &mut compacted));
    assert!(compacted > 10 * ROUNDS, "{compacted} records were removed");
}
