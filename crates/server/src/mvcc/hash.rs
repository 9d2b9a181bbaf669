//! The hash of the keys at a revision, equal to that of any etcd with the same history.

use etcdkit_datadir::schema::{Revision, RevisionKey};
use etcdkit_proto::ServerError;

use super::log::Stamp;
use super::store::Store;

/// Records of a piece, and bytes from which on a piece ends.
const RECORDS: usize = 1000;
const BYTES: usize = 256 * 1024;

/// A hash, and what it is the hash of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HashKv {
    pub(crate) hash: u32,
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
}

/// A hash on its way, piece by piece.
///
/// Between two pieces the store can be written, and what the compaction removes that is named here. Nothing else may be
/// removed from it that was there at the first one.
#[derive(Clone, Debug)]
pub(crate) struct Hashing {
    revision: i64,
    compacted: i64,
    /// The last record that was looked at.
    last: Option<RevisionKey>,
    /// Of all records, and of those that a compaction leaves.
    all: u32,
    left: u32,
    /// Whether a key exists at the revision, as far as was looked.
    survives: bool,
}

impl Hashing {
    /// The hash at a revision of a store that is compacted to another one. Records that such a compaction removes do not
    /// count, be they removed yet or not.
    pub(crate) fn new(revision: i64, compacted: i64) -> Self {
        let name = crc32c::crc32c(b"key");
        Self { revision, compacted, last: None, all: name, left: name, survives: false }
    }

    pub(crate) const fn revision(&self) -> i64 {
        self.revision
    }

    /// Takes in the next records. Returns whether there may be others.
    pub(crate) fn add(&mut self, store: &Store) -> bool {
        let (mut records, mut bytes) = (0, 0);
        for record in store.behind(self.last) {
            let Revision { main, .. } = record.key.revision;
            if main > self.revision {
                return false;
            }
            self.last = Some(record.key);
            records += 1;
            bytes += record.message.len();
            let is_old = main <= self.compacted;
            let mut is_left = true;
            if is_old || !self.survives {
                let stamp = Stamp::new(record.key.revision, record.key.tombstone);
                let is_seen = store.index.get(record.kv().key, self.revision) == Some(stamp);
                self.survives |= is_seen;
                is_left = is_seen || !is_old;
            }
            if main != self.compacted || !record.key.tombstone {
                let with = |hash: u32| {
                    let hash = crc32c::crc32c_append(hash, &record.key.encode());
                    crc32c::crc32c_append(hash, record.message)
                };
                if !self.survives {
                    self.all = with(self.all);
                }
                if is_left {
                    self.left = with(self.left);
                }
            }
            if records == RECORDS || bytes >= BYTES {
                return true;
            }
        }
        false
    }

    /// What was taken in.
    pub(crate) const fn hash(&self) -> HashKv {
        // etcd applies its list of survivors only if it is not empty.
        let hash = if self.survives { self.left } else { self.all };
        HashKv { hash, revision: self.revision, compacted: self.compacted }
    }
}

impl Store {
    /// Begins the hash at a revision; 0 is the present one, and below lies nothing.
    pub(crate) fn hashing(&self, revision: i64) -> Result<Hashing, ServerError> {
        if revision > 0 && revision < self.compacted() {
            return Err(ServerError::Compacted);
        }
        if revision > self.revision() {
            return Err(ServerError::FutureRevision);
        }
        let revision = if revision == 0 { self.revision() } else { revision };
        Ok(Hashing::new(revision, self.compacted()))
    }

    /// The hash at a revision.
    #[cfg(test)]
    pub(crate) fn hash_kv(&self, revision: i64) -> Result<HashKv, ServerError> {
        let mut hashing = self.hashing(revision)?;
        while hashing.add(self) {}
        Ok(hashing.hash())
    }
}
