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
#[repr(Rust, packed(4))]
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

    /// The least order behind its own.
    pub(super) const fn next(self) -> (i64, u32) {
        let (main, sub) = self.order();
        (main, sub + 1)
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
    /// The revision that the entries count from.
    base: i64,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// Where a record ends, and its revision: twelve bytes, as there is one for each record.
#[derive(Clone, Copy, Debug)]
struct Entry {
    after: u32,
    sub: u32,
    end: u32,
}

impl Segment {
    const fn stamp(&self, entry: Entry) -> Stamp {
        Stamp { main: self.base + entry.after as i64, sub: entry.sub }
    }

    /// Whether a record fits in: by its size, and by how far its revision is from the first one.
    fn has_room(&self, stamp: Stamp, size: usize) -> bool {
        self.entries.is_empty()
            || self.bytes.len() + size <= SEGMENT && u32::try_from(stamp.main - self.base).is_ok()
    }

    fn first(&self) -> Option<Stamp> {
        self.entries.first().map(|entry| self.stamp(*entry))
    }

    fn last(&self) -> Option<Stamp> {
        self.entries.last().map(|entry| self.stamp(*entry))
    }

    fn record(&self, index: usize) -> Option<Record<'_>> {
        let entry = self.entries.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => self.entries.get(before)?.end as usize,
            None => 0,
        };
        let stamp = self.stamp(*entry);
        let key = RevisionKey { revision: stamp.revision(), tombstone: stamp.is_tombstone() };
        Some(Record { key, message: self.bytes.get(start..entry.end as usize)? })
    }

    fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.entries.len()).filter_map(|index| self.record(index))
    }

    fn append(&mut self, stamp: Stamp, write: impl FnOnce(&mut Vec<u8>)) {
        if self.entries.is_empty() {
            self.base = stamp.main;
        }
        write(&mut self.bytes);
        // Who appends has asked whether there is room. A segment ends at 256 KiB and holds at most one larger record, which
        // requests limit to 2 GiB.
        let after = u32::try_from(stamp.main - self.base).unwrap_or(u32::MAX);
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.entries.push(Entry { after, sub: stamp.sub, end });
    }

    fn take_over(&mut self, record: &Record<'_>) {
        let stamp = Stamp::new(record.key.revision, record.key.tombstone);
        self.append(stamp, |out| out.extend_from_slice(record.message));
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
        let full = |segment: &Segment| !segment.has_room(stamp, size);
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
        let order = |entry: &Entry| segment.stamp(*entry).order();
        let index = segment.entries.binary_search_by_key(&stamp.order(), order).ok()?;
        segment.record(index)
    }

    /// The records from a revision and a place in it on.
    pub(super) fn from(&self, first: (i64, u32)) -> impl Iterator<Item = Record<'_>> {
        let segments = self.segments.get(self.segment_of(first)..).unwrap_or_default();
        segments.iter().enumerate().flat_map(move |(number, segment)| {
            let is_before = |entry: &Entry| segment.stamp(*entry).order() < first;
            let start = match number {
                0 => segment.entries.partition_point(is_before),
                _ => 0,
            };
            (start..segment.entries.len()).filter_map(|index| segment.record(index))
        })
    }

    /// The revision of the last record; 0 when there is none.
    #[cfg(test)]
    pub(super) fn last(&self) -> i64 {
        self.segments.last().and_then(Segment::last).map_or(0, |stamp| stamp.main)
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

    /// Writes one segment anew with the records that are kept. An empty one stays in its place until
    /// [`drop_empty`](Self::drop_empty).
    pub(super) fn retain(&mut self, segment: usize, mut keep: impl FnMut(&Record<'_>) -> bool) {
        let Some(old) = self.segments.get(segment) else { return };
        let mut new = Segment::default();
        old.records().filter(|record| keep(record)).for_each(|record| new.take_over(&record));
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
            let Some(end) = segment.last() else { continue };
            match joined.last_mut() {
                Some(last) if last.has_room(end, segment.bytes.len()) => {
                    segment.records().for_each(|record| last.take_over(&record));
                }
                _ => joined.push(segment),
            }
        }
        self.firsts = joined.iter().filter_map(Segment::first).map(Stamp::order).collect();
        self.segments = joined;
    }
}
