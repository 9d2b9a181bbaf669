//! Every record in the order of revisions.
//!
//! Records lie one behind the other in segments of a few hundred KiB: a million of them cost no allocation each, and what
//! is compacted leaves with its segment, which is written anew without it. A record is found by its revision.

use etcdkit_datadir::schema::{KeyValueRef, Revision, RevisionKey};

use super::record;

/// When a segment is full. One larger record fills one alone.
const SEGMENT: usize = 256 * 1024;

/// Marks a deletion in a packed sub-revision. No transaction has 2³¹ changes.
const TOMBSTONE: u32 = 1 << 31;

/// A revision in twelve bytes, with whether it is a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) main: i64,
    sub: u32,
}

impl Stamp {
    pub(super) fn new(revision: Revision, tombstone: bool) -> Self {
        let sub = u32::try_from(revision.sub).unwrap_or(u32::MAX) & !TOMBSTONE;
        Self { main: revision.main, sub: sub | if tombstone { TOMBSTONE } else { 0 } }
    }

    pub(super) const fn revision(self) -> Revision {
        Revision { main: self.main, sub: (self.sub & !TOMBSTONE) as i64 }
    }

    pub(super) const fn is_tombstone(self) -> bool {
        self.sub & TOMBSTONE != 0
    }

    const fn order(self) -> (i64, u32) {
        (self.main, self.sub & !TOMBSTONE)
    }
}

/// One change of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// When, and whether it deleted the key.
    pub(crate) key: RevisionKey,
    /// The encoded `KeyValue`.
    pub(crate) message: &'a [u8],
}

impl<'a> Record<'a> {
    /// The message's fields.
    pub(crate) fn kv(&self) -> KeyValueRef<'a> {
        // What is in the log was encoded here or checked when it was loaded.
        KeyValueRef::decode(self.message).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct Log {
    /// The first revision of each segment; apart, so that a search touches little memory.
    firsts: Vec<(i64, u32)>,
    segments: Vec<Segment>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Segment {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    stamp: Stamp,
    end: u32,
}

impl Segment {
    fn record(&self, index: usize) -> Option<Record<'_>> {
        let entry = self.entries.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => self.entries.get(before)?.end as usize,
            None => 0,
        };
        let key =
            RevisionKey { revision: entry.stamp.revision(), tombstone: entry.stamp.is_tombstone() };
        Some(Record { key, message: self.bytes.get(start..entry.end as usize)? })
    }

    fn append(&mut self, stamp: Stamp, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        // A segment ends at 256 KiB and holds at most one larger record, which requests limit to 2 GiB.
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry { stamp, end });
    }
}

impl Log {
    /// Appends a record, which must be later than all others.
    pub(super) fn append(&mut self, stamp: Stamp, kv: &KeyValueRef<'_>) {
        self.append_with(stamp, kv.key.len() + kv.value.len(), |out| record::encode(kv, out));
    }

    /// Appends a record that is encoded already.
    pub(super) fn append_encoded(&mut self, stamp: Stamp, message: &[u8]) {
        self.append_with(stamp, message.len(), |out| out.extend_from_slice(message));
    }

    fn append_with(&mut self, stamp: Stamp, size: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let full = |segment: &Segment| segment.bytes.len() + size > SEGMENT;
        if self.segments.last().is_none_or(full) {
            if let Some(last) = self.segments.last_mut() {
                last.entries.shrink_to_fit();
                last.bytes.shrink_to_fit();
            }
            self.segments.push(Segment::default());
            self.firsts.push(stamp.order());
        }
        if let Some(last) = self.segments.last_mut() {
            let before = last.bytes.len();
            last.append(stamp, write);
            self.bytes += last.bytes.len() - before;
        }
    }

    /// The record with this revision.
    pub(super) fn get(&self, stamp: Stamp) -> Option<Record<'_>> {
        let segment = self.segments.get(self.segment_of(stamp.order()))?;
        let index = segment
            .entries
            .binary_search_by_key(&stamp.order(), |entry| entry.stamp.order())
            .ok()?;
        segment.record(index)
    }

    /// The records from a revision on.
    pub(super) fn since(&self, main: i64) -> impl Iterator<Item = Record<'_>> {
        let first = self.segment_of((main, 0));
        self.segments.get(first..).unwrap_or_default().iter().enumerate().flat_map(
            move |(number, segment)| {
                let start = match number {
                    0 => segment.entries.partition_point(|entry| entry.stamp.main < main),
                    _ => 0,
                };
                (start..segment.entries.len()).filter_map(|index| segment.record(index))
            },
        )
    }

    /// The revision of the last record; 0 when there is none.
    pub(super) fn last(&self) -> i64 {
        self.segments.last().and_then(|segment| segment.entries.last()).map_or(0, |e| e.stamp.main)
    }

    /// The bytes of all records.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The number of the segment that a revision lies in, if it lies in one.
    pub(super) fn segment_of(&self, order: (i64, u32)) -> usize {
        self.firsts.partition_point(|first| *first <= order).saturating_sub(1)
    }

    /// The records of one segment.
    pub(super) fn records_of(&self, segment: usize) -> impl Iterator<Item = Record<'_>> {
        let segment = self.segments.get(segment);
        let count = segment.map_or(0, |segment| segment.entries.len());
        (0..count).filter_map(move |index| segment?.record(index))
    }

    /// Writes one segment anew with the records that are kept. An empty one stays in its place until
    /// [`drop_empty`](Self::drop_empty).
    pub(super) fn retain(&mut self, segment: usize, mut keep: impl FnMut(&Record<'_>) -> bool) {
        let Some(old) = self.segments.get(segment) else { return };
        let mut new = Segment::default();
        for record in (0..old.entries.len()).filter_map(|index| old.record(index)) {
            if keep(&record) {
                let stamp = Stamp::new(record.key.revision, record.key.tombstone);
                new.append(stamp, |out| out.extend_from_slice(record.message));
            }
        }
        if new.entries.len() == old.entries.len() {
            return;
        }
        self.bytes -= old.bytes.len() - new.bytes.len();
        new.entries.shrink_to_fit();
        new.bytes.shrink_to_fit();
        if let Some(slot) = self.segments.get_mut(segment) {
            *slot = new;
        }
    }

    /// Joins what [`retain`](Self::retain) left: no segment is empty, and small ones become one.
    pub(super) fn drop_empty(&mut self) {
        let mut joined: Vec<Segment> = Vec::with_capacity(self.segments.len());
        for segment in std::mem::take(&mut self.segments) {
            match joined.last_mut() {
                _ if segment.entries.is_empty() => {}
                Some(last) if last.bytes.len() + segment.bytes.len() <= SEGMENT => {
                    for record in (0..segment.entries.len()).filter_map(|i| segment.record(i)) {
                        let stamp = Stamp::new(record.key.revision, record.key.tombstone);
                        last.append(stamp, |out| out.extend_from_slice(record.message));
                    }
                }
                _ => joined.push(segment),
            }
        }
        self.firsts =
            joined.iter().filter_map(|s| s.entries.first()).map(|e| e.stamp.order()).collect();
        self.segments = joined;
    }
}
