//! A state that is copied while it changes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use etcdkit_datadir::schema::RevisionKey;

use crate::node::Node;
use crate::state::State;
use crate::storage::Bucket;

/// Bytes of keys and values that are taken under the lock at once.
const PAGE: usize = 1 << 20;

/// What a record counts as besides its message: about what its place in a page takes.
const RECORD: usize = 64;

/// The copies and long reads that are being made: how many began after the removal for each compaction did.
///
/// Who begins then needs nothing of what is removed, but all of what later compactions remove.
#[derive(Debug, Default)]
pub(crate) struct Copies(Arc<Mutex<BTreeMap<i64, usize>>>);

impl Copies {
    /// Whether one of them needs what a compaction to a revision removes.
    pub(crate) fn need(&self, revision: i64) -> bool {
        lock(&self.0).first_key_value().is_some_and(|(after, _)| *after < revision)
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.0).values().sum()
    }
}

fn lock(copies: &Mutex<BTreeMap<i64, usize>>) -> MutexGuard<'_, BTreeMap<i64, usize>> {
    copies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a state was at one moment: everything small, and how far to read the log.
#[derive(Debug)]
pub(crate) struct Copy {
    /// All entries but those of keys, in order.
    pub(crate) entries: Vec<(Bucket, Vec<u8>, Vec<u8>)>,
    revision: i64,
    /// The last record of the page before.
    last: Option<RevisionKey>,
    _whole: Whole,
}

/// Until this is dropped, nothing is removed from a state but what was being removed already.
#[derive(Debug)]
pub(crate) struct Whole {
    copies: Arc<Mutex<BTreeMap<i64, usize>>>,
    after: i64,
    node: Arc<Node>,
}

impl Whole {
    pub(crate) fn keep(state: &State, node: &Arc<Node>) -> Self {
        let (copies, after) = (Arc::clone(&state.copies.0), state.removing());
        *lock(&copies).entry(after).or_default() += 1;
        Self { copies, after, node: Arc::clone(node) }
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = lock(&self.copies).entry(self.after) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        // Removals may go on.
        self.node.compacted.notify_one();
    }
}

impl Copy {
    /// Begins a copy of a node's state.
    pub(crate) fn begin(state: &State, node: &Arc<Node>) -> Self {
        Self {
            entries: state.export(),
            revision: state.store.revision(),
            last: None,
            _whole: Whole::keep(state, node),
        }
    }

    /// Takes the next records, as entries of the bucket of keys. None are left when there are none.
    pub(crate) fn page(&mut self, state: &State) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut page = Vec::new();
        let mut bytes = 0;
        for record in state.store.behind(self.last) {
            if record.key.revision.main > self.revision || bytes >= PAGE {
                break;
            }
            self.last = Some(record.key);
            // A record without much in it takes its place in the page too.
            bytes += RECORD + record.message.len();
            page.push((record.key.encode(), record.message.to_vec()));
        }
        page
    }
}
