//! What has to be written. Without I/O.

use std::collections::{BTreeMap, HashSet};
use std::mem;

use bytes::Bytes;

use crate::request::{Delete, Op, Put, Txn};
use crate::response::{Event, KeyValue};
use crate::revision::Revision;

/// What etcd takes in one transaction, unless it is set up otherwise; one is left for the checkpoint.
pub(super) const MAX_OPS: usize = 127;
/// Half of what etcd takes in one request, unless it is set up otherwise.
const MAX_BYTES: usize = 768 << 10;

/// Where keys lie on the other side.
#[derive(Clone, Debug)]
pub(super) struct Translation {
    pub(super) from: Bytes,
    pub(super) to: Bytes,
}

impl Translation {
    /// `None` for a key that is not under the prefix, which no server sends.
    pub(super) fn key(&self, key: &[u8]) -> Option<Bytes> {
        let rest = key.strip_prefix(&self.from[..])?;
        Some(Bytes::from([&self.to, rest].concat()))
    }
}

/// Writes that are done at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The last write of each key.
    ops: BTreeMap<Bytes, Op>,
    bytes: usize,
    /// Everything up to this revision is in this batch or the ones before.
    pub(super) complete: Option<Revision>,
}

impl Batch {
    fn put(&mut self, key: Bytes, value: Bytes) {
        self.bytes += key.len() + value.len();
        self.ops.insert(key.clone(), Op::Put(Put::new(key, value)));
    }

    fn delete(&mut self, key: Bytes) {
        self.bytes += key.len();
        self.ops.insert(key.clone(), Op::Delete(Delete::new(key)));
    }

    pub(super) fn is_full(&self, max_ops: usize) -> bool {
        self.ops.len() >= max_ops || self.bytes >= MAX_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.complete.is_none()
    }

    pub(super) fn len(&self) -> u64 {
        self.ops.len() as u64
    }

    /// The transaction, with the revision that is complete by it written down.
    pub(super) fn into_txn(self, checkpoint: Option<&Bytes>) -> Txn {
        let txn = Txn::new().then(self.ops.into_values());
        match (checkpoint, self.complete) {
            (Some(key), Some(revision)) => txn.then([Put::new(key, revision.to_string())]),
            _ => txn,
        }
    }
}

/// Makes batches of events. A batch ends with a revision, unless one revision alone is more than a batch.
pub(super) fn batches(events: &[Event], translation: &Translation, max_ops: usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut batch = Batch::default();
    let revisions = events.chunk_by(|one, other| one.revision() == other.revision());
    for revision in revisions {
        let (count, bytes) = (revision.len(), revision.iter().map(size).sum::<usize>());
        let fits = batch.ops.len() + count <= max_ops && batch.bytes + bytes <= MAX_BYTES;
        if !fits && !batch.is_empty() {
            batches.push(mem::take(&mut batch));
        }
        for event in revision {
            // Of one revision that is more than a batch, what comes before the last is not complete.
            if batch.is_full(max_ops) {
                batch.complete = None;
                batches.push(mem::take(&mut batch));
            }
            let Some(key) = translation.key(event.key()) else { continue };
            if event.is_delete() {
                batch.delete(key);
            } else {
                batch.put(key, event.kv().value_bytes());
            }
        }
        batch.complete = revision.first().map(Event::revision);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

fn size(event: &Event) -> usize {
    event.key().len() + event.kv().value().len()
}

/// Walks the source and the destination, both by key, and finds what differs.
#[derive(Debug)]
pub(super) struct Merge {
    max_ops: usize,
    translation: Translation,
    batch: Batch,
    /// Keys of the destination that are not to be touched.
    spared: HashSet<Bytes>,
}

impl Merge {
    pub(super) fn new(
        translation: Translation,
        max_ops: usize,
        spared: impl IntoIterator<Item = Bytes>,
    ) -> Self {
        let spared = spared.into_iter().collect();
        Self { max_ops, translation, batch: Batch::default(), spared }
    }

    /// A key of the source and one of the destination, the next of each, as far as there are any. Returns of which of the
    /// two the next one is wanted.
    pub(super) fn step(
        &mut self,
        source: Option<&KeyValue>,
        destination: Option<&KeyValue>,
    ) -> (bool, bool) {
        // What lies outside of the prefix has no place on the other side.
        let source = match source.map(|kv| (self.translation.key(kv.key()), kv)) {
            Some((None, _)) => return (true, false),
            Some((Some(key), kv)) => Some((key, kv)),
            None => None,
        };
        match (source, destination) {
            (None, None) => (false, false),
            (Some((key, kv)), there) if there.is_none_or(|there| key < there.key()) => {
                self.batch.put(key, kv.value_bytes());
                (true, false)
            }
            (Some((key, kv)), Some(there)) if key == there.key() => {
                if kv.value() != there.value() {
                    self.batch.put(key, kv.value_bytes());
                }
                (true, true)
            }
            (_, Some(there)) => {
                if !self.spared.contains(there.key()) {
                    self.batch.delete(there.key_bytes());
                }
                (false, true)
            }
            (Some(_), None) => (true, false),
        }
    }

    /// What is to be written now: what is full, or whatever there is.
    pub(super) fn take(&mut self, everything: bool) -> Option<Batch> {
        (self.batch.is_full(self.max_ops) || (everything && !self.batch.is_empty()))
            .then(|| mem::take(&mut self.batch))
    }
}

#[cfg(test)]
mod tests;
