//! A state that is copied while it changes.

use std::sync::Arc;

use etcdkit_datadir::schema::RevisionKey;

use crate::node::Node;
use crate::state::State;
use crate::storage::Bucket;

/// Bytes of keys and values that are taken under the lock at once.
const PAGE: usize = 1 << 20;

/// What a record counts as besides its message: about what its place in a page takes.
const RECORD: usize = 64;

/// Counts the copies and long reads that are being made. Nothing is removed meanwhile, so that each is whole.
#[derive(Debug, Default)]
pub(crate) struct Copies(Arc<()>);

impl Copies {
    pub(crate) fn any(&self) -> bool {
        self.len() > 0
    }

    pub(crate) fn len(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
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

/// Nothing is removed from a state until this is dropped.
#[derive(Debug)]
pub(crate) struct Whole {
    _count: Arc<()>,
    _wake: Wake,
}

impl Whole {
    pub(crate) fn keep(state: &State, node: &Arc<Node>) -> Self {
        Self { _count: Arc::clone(&state.copies.0), _wake: Wake(Arc::clone(node)) }
    }
}

/// Lets removals go on. It is dropped after the count.
#[derive(Debug)]
struct Wake(Arc<Node>);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.compacted.notify_one();
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
