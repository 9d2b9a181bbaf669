//! Removing what a compaction made unreadable, a little at a time.

use etcdkit_datadir::schema::RevisionKey;

use super::hash::{HashKv, Hashing};
use super::log::Stamp;
use super::store::Store;

/// Keys of the index looked at in one step, about: well below a millisecond under the lock.
const KEYS: usize = 1000;

/// A compaction under way: first the hash of what it leaves, then the records, then the index.
///
/// Between its steps the store can be read and written. Two must not run at a time.
#[derive(Debug)]
pub(crate) struct Compaction {
    revision: i64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Hash(Hashing),
    /// The next segment.
    Log(usize),
    /// Where the next keys begin.
    Index(Box<[u8]>),
    Done,
}

impl Compaction {
    /// The removal of what [`Store::compact`] made unreadable, with the hash of what it leaves in a store that was compacted
    /// to `before`.
    pub(crate) fn new(revision: i64, before: i64) -> Self {
        Self { revision, phase: Phase::Hash(Hashing::new(revision, before)) }
    }

    /// The rest of a removal that was cut off. What it had removed, no hash can tell.
    pub(crate) const fn resumed(revision: i64) -> Self {
        Self { revision, phase: Phase::Log(0) }
    }

    pub(crate) const fn revision(&self) -> i64 {
        self.revision
    }

    /// Whether its hash is done, so that its next step removes something.
    pub(crate) const fn removes(&self) -> bool {
        !matches!(self.phase, Phase::Hash(_))
    }

    /// The hash that is still on its way.
    pub(crate) const fn hashing(&self) -> Option<&Hashing> {
        match &self.phase {
            Phase::Hash(hashing) => Some(hashing),
            _ => None,
        }
    }

    /// Does a part of it; `removed` hears of each record that goes. Returns what is done.
    pub(crate) fn step(&mut self, store: &mut Store, mut removed: impl FnMut(RevisionKey)) -> Step {
        let revision = self.revision;
        self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Hash(mut hashing) => {
                if !hashing.add(store) {
                    self.phase = Phase::Log(0);
                    return Step::Hashed(hashing.hash());
                }
                Phase::Hash(hashing)
            }
            Phase::Log(segment) => {
                let last = store.log.segment_of((revision, u32::MAX));
                let Store { log, index, .. } = store;
                log.retain(segment, |record| {
                    let main = record.key.revision.main;
                    let stamp = Stamp::new(record.key.revision, record.key.tombstone);
                    let keep = main > revision
                        || (!record.key.tombstone || main == revision)
                            && index.needs(record.kv().key, stamp, revision);
                    if !keep {
                        removed(record.key);
                    }
                    keep
                });
                if segment < last && segment + 1 < log.segments() {
                    Phase::Log(segment + 1)
                } else {
                    log.drop_empty();
                    Phase::Index(Box::default())
                }
            }
            Phase::Index(start) => match store.index.compact(&start, revision, KEYS) {
                Some(next) => Phase::Index(next),
                None => Phase::Done,
            },
            Phase::Done => Phase::Done,
        };
        if matches!(self.phase, Phase::Done) { Step::Done } else { Step::Part }
    }
}

/// What a step of a compaction was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Part,
    /// The last one of the hash of what is left.
    Hashed(HashKv),
    /// The last one.
    Done,
}
