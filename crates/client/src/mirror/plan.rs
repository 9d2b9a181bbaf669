//! What has to be written. Without I/O.

use std::collections::{BTreeMap, HashSet};
use std::{mem, slice};

use bytes::Bytes;

use crate::request::{Compare, Delete, Op, Put, Txn};
use crate::response::{Event, KeyValue, ResponseHeader};
use crate::revision::Revision;

/// What is written at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) ops: usize,
    /// Of values, and of keys twice, as the conditions name them too. One write alone may be more.
    bytes: usize,
}

impl Default for Limits {
    /// What etcd takes in one transaction, unless it is set up otherwise, with one left for the checkpoint; and half of what it
    /// takes in one request.
    fn default() -> Self {
        Self { ops: 127, bytes: 768 << 10 }
    }
}

/// Where it is written down how far a copy has come, and of which cluster it is one.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) key: Bytes,
    cluster: u64,
}

impl Mark {
    pub(super) fn new(key: Bytes, source: ResponseHeader) -> Self {
        Self { key, cluster: source.cluster_id }
    }

    /// Writes it down; [`Revision::NONE`] is that the copy is to be made anew.
    pub(super) fn put(&self, revision: Revision) -> Put {
        Put::new(&self.key, format!("{revision} {:x}", self.cluster))
    }

    /// The revision that was written down, if the copy can go on there: [`Revision::NONE`] if not, because the source is
    /// another cluster, or has come less far, as `source` says it has. `None` if it says nothing of the kind.
    pub(super) fn read(kv: &KeyValue, source: ResponseHeader) -> Option<Revision> {
        let text = kv.value_str().ok()?;
        // The cluster is not told by everyone who wrote one.
        let (revision, cluster) = text.split_once(' ').unwrap_or((text, "0"));
        let revision = Revision::new(revision.parse().ok()?);
        let cluster = u64::from_str_radix(cluster, 16).ok()?;
        let same = cluster == 0 || cluster == source.cluster_id;
        let goes_on = same && revision > Revision::NONE && revision <= source.revision;
        Some(if goes_on { revision } else { Revision::NONE })
    }
}

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

    fn write(&self, event: &Event) -> Option<Write> {
        let value = (!event.is_delete()).then(|| event.kv().value_bytes());
        Some(Write { key: self.key(event.key())?, value })
    }
}

/// What one key becomes.
#[derive(Debug)]
struct Write {
    key: Bytes,
    /// `None` for a key that is deleted.
    value: Option<Bytes>,
}

impl Write {
    fn bytes(&self) -> usize {
        2 * self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }

    fn into_op(self) -> Op {
        match self.value {
            Some(value) => Put::new(self.key, value).into(),
            None => Delete::new(self.key).into(),
        }
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
    /// What was in it, if it has no room for `writes` as well.
    fn make_room(&mut self, limits: Limits, writes: &[Write]) -> Option<Self> {
        let bytes = writes.iter().map(Write::bytes).sum::<usize>();
        let fits =
            self.ops.len() + writes.len() <= limits.ops && self.bytes + bytes <= limits.bytes;
        (!fits && !self.is_empty()).then(|| mem::take(self))
    }

    fn add(&mut self, write: Write) {
        self.bytes += write.bytes();
        self.ops.insert(write.key.clone(), write.into_op());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.complete.is_none()
    }

    pub(super) fn len(&self) -> u64 {
        self.ops.len() as u64
    }

    /// Nothing but a revision that is complete, to be written down.
    pub(super) fn complete(revision: Revision) -> Self {
        Self { complete: Some(revision), ..Self::default() }
    }

    /// The transaction, with the revision that is complete by it written down. It does nothing if one of its keys, or the mark,
    /// has changed since the destination was at the revision `seen`.
    pub(super) fn txn(&self, mark: Option<&Mark>, seen: Revision) -> Txn {
        let keys = self.ops.keys().chain(mark.map(|mark| &mark.key));
        let unchanged = keys.map(|key| Compare::mod_revision(key).lt(seen.next()));
        let txn = Txn::new().when(unchanged).then(self.ops.values().cloned());
        match (mark, self.complete) {
            (Some(mark), Some(revision)) => txn.then([mark.put(revision)]),
            _ => txn,
        }
    }
}

/// Makes batches of events. A batch ends with a revision, unless one revision alone is more than a batch.
pub(super) fn batches(events: &[Event], translation: &Translation, limits: Limits) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut batch = Batch::default();
    let revisions = events.chunk_by(|one, other| one.revision() == other.revision());
    for revision in revisions {
        let writes: Vec<Write> =
            revision.iter().filter_map(|event| translation.write(event)).collect();
        batches.extend(batch.make_room(limits, &writes));
        for write in writes {
            // Of one revision that is more than a batch, what comes before the last is not complete.
            batches.extend(batch.make_room(limits, slice::from_ref(&write)));
            batch.add(write);
        }
        batch.complete = revision.first().map(Event::revision);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// What becomes of keys of the destination that the source has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    Kept,
    Deleted,
}

/// Walks the source and the destination, both by key, and finds what differs.
#[derive(Debug)]
pub(super) struct Merge {
    limits: Limits,
    translation: Translation,
    batch: Batch,
    /// What was in the batch before the last write, if it had no room for that.
    full: Option<Batch>,
    extra: Extra,
    /// Keys of the destination that are not to be touched.
    spared: HashSet<Bytes>,
}

impl Merge {
    pub(super) fn new(
        translation: Translation,
        limits: Limits,
        extra: Extra,
        spared: impl IntoIterator<Item = Bytes>,
    ) -> Self {
        let spared = spared.into_iter().collect();
        Self { limits, translation, batch: Batch::default(), full: None, extra, spared }
    }

    /// A key of the source and one of the destination, the next of each, as far as there are any. Returns of which of the
    /// two the next one is wanted. After each step comes a [`take`](Self::take).
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
                self.add(Write { key, value: Some(kv.value_bytes()) });
                (true, false)
            }
            (Some((key, kv)), Some(there)) if key == there.key() => {
                if kv.value() != there.value() {
                    self.add(Write { key, value: Some(kv.value_bytes()) });
                }
                (true, true)
            }
            (_, Some(there)) => {
                if self.extra == Extra::Deleted && !self.spared.contains(there.key()) {
                    self.add(Write { key: there.key_bytes(), value: None });
                }
                (false, true)
            }
            (Some(_), None) => (true, false),
        }
    }

    fn add(&mut self, write: Write) {
        self.full = self.batch.make_room(self.limits, slice::from_ref(&write));
        self.batch.add(write);
    }

    /// What is to be written now: what is full, or whatever there is.
    pub(super) fn take(&mut self, everything: bool) -> Option<Batch> {
        let full = self.full.take();
        full.or_else(|| (everything && !self.batch.is_empty()).then(|| mem::take(&mut self.batch)))
    }
}

#[cfg(test)]
mod tests;
