//! Log and index together: reads at a revision, and writes at the next one.

use bytes::Bytes;
use etcdkit_datadir::schema::{KeyValueRef, Revision, RevisionKey};
use etcdkit_proto::ServerError;

use super::index::Index;
use super::log::{Log, Record, Stamp};
use super::range::KeyRange;

/// All keys at all revisions that were not compacted.
///
/// A write transaction is the calls of [`put`](Self::put) and [`delete`](Self::delete) between two of
/// [`finish`](Self::finish): all of them get the same revision.
#[derive(Debug)]
pub(crate) struct Store {
    pub(super) log: Log,
    pub(super) index: Index,
    revision: i64,
    compacted: i64,
    /// Changes since the last `finish`.
    changes: i64,
    /// Keys that exist.
    alive: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            log: Log::default(),
            index: Index::default(),
            revision: 1,
            compacted: -1,
            changes: 0,
            alive: 0,
        }
    }
}

impl Store {
    /// The revision of the last finished transaction; 1 in a store that was never written to.
    pub(crate) const fn revision(&self) -> i64 {
        self.revision
    }

    /// The revision that the store is compacted to; -1 if it never was.
    pub(crate) const fn compacted(&self) -> i64 {
        self.compacted
    }

    /// The revision that a read within the present transaction is made at: it sees what the transaction did.
    pub(crate) const fn present(&self) -> i64 {
        if self.changes > 0 { self.revision + 1 } else { self.revision }
    }

    /// The bytes of all records.
    pub(crate) const fn bytes(&self) -> usize {
        self.log.bytes()
    }

    /// How many keys exist.
    pub(crate) const fn alive(&self) -> usize {
        self.alive
    }

    /// The key as it was at `revision`.
    pub(crate) fn get(&self, key: &[u8], revision: i64) -> Option<Record<'_>> {
        self.log.get(self.index.get(key, revision)?)
    }

    /// Whether the key existed at `revision`.
    pub(crate) fn contains(&self, key: &[u8], revision: i64) -> bool {
        self.index.get(key, revision).is_some()
    }

    /// The keys of a range as they were at `revision`, in their order.
    pub(crate) fn range(
        &self,
        range: &KeyRange,
        revision: i64,
    ) -> impl Iterator<Item = Record<'_>> {
        self.index.range(range, revision).filter_map(|(_, stamp)| self.log.get(stamp))
    }

    /// The names of the keys of a range at `revision`, in their order.
    pub(crate) fn keys(&self, range: &KeyRange, revision: i64) -> impl Iterator<Item = &[u8]> {
        self.index.range(range, revision).map(|(key, _)| key)
    }

    /// How many keys of a range there were at `revision`.
    pub(crate) fn count(&self, range: &KeyRange, revision: i64) -> usize {
        self.index.range(range, revision).count()
    }

    /// All records from a revision on, deletions too.
    pub(crate) fn since(&self, revision: i64) -> impl Iterator<Item = Record<'_>> {
        self.log.from((revision, 0))
    }

    /// All records behind one, or all that there are: where a walk in pieces goes on.
    pub(crate) fn behind(&self, last: Option<RevisionKey>) -> impl Iterator<Item = Record<'_>> {
        self.log.from(last.map_or((i64::MIN, 0), |last| Stamp::new(last.revision, false).next()))
    }

    /// The record that a key had before `revision`, if the key existed then and it was not compacted.
    pub(crate) fn before(&self, key: &[u8], revision: i64) -> Option<Record<'_>> {
        if revision - 1 < self.compacted { None } else { self.get(key, revision - 1) }
    }

    /// The revision that a request for `revision` reads at; 0 means the present one.
    pub(crate) fn readable(&self, revision: i64) -> Result<i64, ServerError> {
        match revision {
            ..=0 => Ok(self.present()),
            _ if revision > self.revision => Err(ServerError::FutureRevision),
            _ if revision < self.compacted => Err(ServerError::Compacted),
            _ => Ok(revision),
        }
    }

    /// Puts a key within the present transaction. Returns the record's key in the bucket.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8], lease: i64) -> RevisionKey {
        let revision = self.next();
        let before = self.get(key, revision.main).map(|record| record.kv());
        let mut kv = KeyValueRef::default();
        kv.key = key;
        kv.value = value;
        kv.lease = lease;
        kv.mod_revision = revision.main;
        kv.create_revision = before.as_ref().map_or(revision.main, |kv| kv.create_revision);
        kv.version = before.as_ref().map_or(1, |kv| kv.version + 1);
        let is_new = before.is_none();
        let stamp = Stamp::new(revision, false);
        self.log.append(stamp, &kv);
        self.index.push(key, stamp);
        self.alive += usize::from(is_new);
        RevisionKey { revision, tombstone: false }
    }

    /// Deletes a key that exists within the present transaction.
    pub(crate) fn delete(&mut self, key: &[u8]) -> RevisionKey {
        let revision = self.next();
        let mut kv = KeyValueRef::default();
        kv.key = key;
        let stamp = Stamp::new(revision, true);
        self.log.append(stamp, &kv);
        self.index.push(key, stamp);
        self.alive -= 1;
        RevisionKey { revision, tombstone: true }
    }

    fn next(&mut self) -> Revision {
        let revision = Revision { main: self.revision + 1, sub: self.changes };
        self.changes += 1;
        revision
    }

    /// Ends the present transaction. One that changed something becomes the store's revision.
    pub(crate) const fn finish(&mut self) -> bool {
        let changed = self.changes > 0;
        if changed {
            self.revision += 1;
            self.changes = 0;
        }
        changed
    }

    /// Makes `revision` the oldest one that can be read. What it supersedes is removed by a
    /// [`Compaction`](super::Compaction).
    pub(crate) fn compact(&mut self, revision: i64) -> Result<(), ServerError> {
        if revision <= self.compacted {
            return Err(ServerError::Compacted);
        }
        if revision > self.revision {
            return Err(ServerError::FutureRevision);
        }
        self.compacted = revision;
        Ok(())
    }

    /// Takes over a record of a file. They come in the order of revisions.
    pub(crate) fn load(
        &mut self,
        key: RevisionKey,
        message: &[u8],
    ) -> Result<(), etcdkit_datadir::Error> {
        let kv = KeyValueRef::decode(message)?;
        let stamp = Stamp::new(key.revision, key.tombstone);
        self.index.push(kv.key, stamp);
        self.log.append_encoded(stamp, message);
        self.revision = self.revision.max(key.revision.main);
        Ok(())
    }

    /// Ends loading: what a file says about compactions that were finished, and begun.
    pub(crate) fn loaded(&mut self, compacted: Option<i64>) {
        if let Some(compacted) = compacted {
            self.compacted = compacted;
            self.revision = self.revision.max(compacted);
        }
        let all = KeyRange::new(Bytes::new(), Bytes::from_static(&[0]));
        self.alive = self.count(&all, self.revision);
    }

    /// The last record's revision; what a restart would find.
    #[cfg(test)]
    pub(super) fn last(&self) -> i64 {
        self.log.last()
    }
}
