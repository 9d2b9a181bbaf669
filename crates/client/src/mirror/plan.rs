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
mod tests {
    use super::*;

    fn translation() -> Translation {
        Translation { from: "a/".into(), to: "b/".into() }
    }

    fn put(key: &str, value: &str, at: i64) -> Event {
        Event::put(KeyValue::new(format!("a/{key}"), value).with_revisions(at, at))
    }

    fn ops(batch: Batch) -> Vec<Op> {
        batch.into_txn(None).success().collect()
    }

    #[test]
    fn revisions_share_a_batch_and_the_last_write_counts() {
        let gone = Event::delete(KeyValue::new("a/y", "").with_revisions(0, 7));
        let events = [put("x", "1", 5), put("y", "1", 5), put("x", "2", 6), gone];
        let mut made = batches(&events, &translation(), MAX_OPS);
        assert_eq!(made.len(), 1);
        let batch = made.remove(0);
        assert_eq!(batch.complete, Some(Revision::new(7)));
        assert_eq!(ops(batch), [Op::from(Put::new("b/x", "2")), Delete::new("b/y").into()]);
    }

    #[test]
    fn a_batch_ends_with_a_revision() {
        // 100 and 100 do not fit into one; 200 of one revision do not fit at all.
        let many =
            |count: i64, at| (0..count).map(move |key| put(&format!("{at}/{key:03}"), "", at));
        let events: Vec<Event> = many(100, 5).chain(many(100, 6)).chain(many(200, 7)).collect();
        let made: Vec<_> = batches(&events, &translation(), MAX_OPS)
            .into_iter()
            .map(|batch| (batch.len(), batch.complete.map(Revision::get)))
            .collect();
        assert_eq!(made, [(100, Some(5)), (100, Some(6)), (127, None), (73, Some(7))]);
    }

    #[test]
    fn the_checkpoint_goes_with_the_last_of_a_revision() {
        let batch = || batches(&[put("x", "1", 5)], &translation(), MAX_OPS).remove(0);
        let key = Bytes::from("mark");
        let txn = batch().into_txn(Some(&key));
        assert_eq!(txn.success().last(), Some(Put::new("mark", "5").into()));
        assert_eq!(batch().into_txn(None).success().count(), 1);
    }

    #[test]
    fn what_differs_is_written_and_what_is_too_much_deleted() {
        let source = [("a/1", "same"), ("a/2", "new"), ("a/4", "added")];
        let there =
            [("b/1", "same"), ("b/2", "old"), ("b/3", "gone"), ("b/5", "gone"), ("b/mark", "")];
        let kvs = |list: &[(&str, &str)]| -> Vec<KeyValue> {
            list.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect()
        };
        let (source, there) = (kvs(&source), kvs(&there));
        let mut merge = Merge::new(translation(), MAX_OPS, [Bytes::from("b/mark")]);
        let (mut left, mut right) = (0, 0);
        loop {
            let (next_left, next_right) = merge.step(source.get(left), there.get(right));
            left += usize::from(next_left);
            right += usize::from(next_right);
            if !next_left && !next_right {
                break;
            }
        }
        let expected = [
            Op::from(Put::new("b/2", "new")),
            Delete::new("b/3").into(),
            Put::new("b/4", "added").into(),
            Delete::new("b/5").into(),
        ];
        assert_eq!(ops(merge.take(true).unwrap()), expected);
        assert!(merge.take(true).is_none());
    }
}
