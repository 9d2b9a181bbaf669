//! Keys next to each other with their revisions, packed: a few of these pieces of memory hold a thousand keys.

use std::cmp::Ordering;
use std::ops::Bound;

use super::log::Stamp;
use super::range::Bounds;

/// Keys of a full chunk.
const KEYS: usize = 128;

/// Bytes of keys in a full chunk. A longer key fills one alone.
const BYTES: usize = 64 * 1024;

/// Keys that room is made for at once: a chunk has little to spare, and is moved four times before it is full.
const GROWTH: usize = 32;

/// A key's end in the chunk, and its newest revision.
#[derive(Clone, Copy, Debug)]
struct Entry {
    newest: Stamp,
    end: u32,
}

/// The revisions of a key before the newest, the oldest first. Between two deletions lies what etcd calls a generation. Most
/// keys have none: a pointer is a third of an empty list.
type Older = Option<Box<Vec<Stamp>>>;

/// Keys in their order.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    entries: Vec<Entry>,
    /// The keys, one behind the other.
    bytes: Vec<u8>,
    /// In the order of the keys; nothing at all while no key has more than one revision.
    older: Vec<Older>,
}

impl Chunk {
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The revision of a key that a reader at `revision` sees, be it a deletion or not.
    pub(super) fn at(&self, key: &[u8], revision: i64) -> Option<Stamp> {
        self.seen(self.find(key).ok()?, revision)
    }

    fn seen(&self, at: usize, revision: i64) -> Option<Stamp> {
        let older = self.older.get(at).and_then(Option::as_deref);
        seen(self.entries.get(at)?.newest, older, revision)
    }

    /// The keys within the bounds, with the revision that a reader at `revision` sees.
    pub(super) fn range(
        &self,
        (start, end): Bounds<'_>,
        revision: i64,
    ) -> impl Iterator<Item = (&[u8], Stamp)> {
        let position = |key: &[u8]| self.find(key).unwrap_or_else(|at| at);
        let after = |key: &[u8]| self.find(key).map_or_else(|at| at, |at| at + 1);
        let from = match start {
            Bound::Included(key) => position(key),
            Bound::Excluded(key) => after(key),
            Bound::Unbounded => 0,
        };
        let to = match end {
            Bound::Included(key) => after(key),
            Bound::Excluded(key) => position(key),
            Bound::Unbounded => self.entries.len(),
        };
        (from..to).filter_map(move |at| Some((self.key(at), self.seen(at, revision)?)))
    }

    /// Adds the newest revision of a key.
    ///
    /// # Errors
    ///
    /// If the key is not there and there is no room for it: the place where it would be.
    pub(super) fn push(&mut self, key: &[u8], stamp: Stamp) -> Result<(), usize> {
        match self.find(key) {
            Ok(at) => self.push_at(at, stamp),
            Err(at) if self.has_room(1, key.len()) => self.insert(at, key, stamp),
            Err(at) => return Err(at),
        }
        Ok(())
    }

    fn push_at(&mut self, at: usize, stamp: Stamp) {
        self.older.resize_with(self.entries.len(), Older::default);
        if let (Some(entry), Some(older)) = (self.entries.get_mut(at), self.older.get_mut(at)) {
            let before = std::mem::replace(&mut entry.newest, stamp);
            older.get_or_insert_default().push(before);
        }
    }

    fn has_room(&self, keys: usize, bytes: usize) -> bool {
        self.entries.is_empty()
            || self.entries.len() + keys <= KEYS && self.bytes.len() + bytes <= BYTES
    }

    fn insert(&mut self, at: usize, key: &[u8], newest: Stamp) {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(GROWTH);
        }
        if self.bytes.len() + key.len() > self.bytes.capacity() {
            self.bytes.reserve_exact(GROWTH * key.len());
        }
        let start = self.start(at);
        self.bytes.extend_from_slice(key);
        if let Some(moved) = self.bytes.get_mut(start..) {
            moved.rotate_right(key.len());
        }
        self.entries.insert(at, Entry { newest, end: offset(start) });
        for entry in self.entries.iter_mut().skip(at) {
            entry.end += offset(key.len());
        }
        if !self.older.is_empty() {
            self.older.insert(at, None);
        }
    }

    /// Makes room for a key at a place: what is behind it, or a half, becomes a chunk of its own. Returns that with a bound
    /// between the two: all keys of this chunk, those to come as well, are before it, and those of the new one are not.
    ///
    /// Keys that come in order leave full chunks behind them, wherever they go.
    pub(super) fn split(&mut self, place: usize) -> (Box<[u8]>, Self) {
        let last = self.entries.len();
        let at = if place == 0 || place == last { place } else { last / 2 };
        let bound = if at == last {
            [self.key(at.saturating_sub(1)), &[0]].concat().into()
        } else {
            self.key(at).into()
        };
        let start = self.start(at);
        let mut rest = Self {
            entries: self.entries.split_off(at),
            bytes: self.bytes.split_off(start),
            older: self.older.split_off(at.min(self.older.len())),
        };
        for entry in &mut rest.entries {
            entry.end -= offset(start);
        }
        self.shrink();
        (bound, rest)
    }

    /// Compacts every key.
    pub(super) fn compact(&mut self, revision: i64) {
        let Self { entries, bytes, older } = self;
        let mut olders = older.iter_mut();
        let mut gone = Vec::new();
        let (mut start, mut kept) = (0, 0);
        entries.retain_mut(|entry| {
            let key = start..entry.end as usize;
            start = key.end;
            let is_gone = compact(entry.newest, olders.next(), revision);
            gone.push(is_gone);
            if is_gone {
                return false;
            }
            let length = key.len();
            bytes.copy_within(key, kept);
            kept += length;
            entry.end = offset(kept);
            true
        });
        if older.iter().all(Option::is_none) {
            *older = Vec::new();
        } else {
            let mut gone = gone.into_iter();
            older.retain(|_| gone.next() == Some(false));
        }
        if kept < start {
            bytes.truncate(kept);
            self.shrink();
        }
    }

    /// Whether most of the chunk is empty.
    pub(super) const fn is_sparse(&self) -> bool {
        self.entries.len() < KEYS / 4 && self.bytes.len() < BYTES / 4
    }

    /// Takes over the keys of a chunk behind this one, if there is room.
    pub(super) fn join(&mut self, next: &mut Self) {
        if !self.has_room(next.entries.len(), next.bytes.len()) {
            return;
        }
        if !self.older.is_empty() || !next.older.is_empty() {
            self.older.resize_with(self.entries.len(), Older::default);
            next.older.resize_with(next.entries.len(), Older::default);
            self.older.append(&mut next.older);
        }
        let start = offset(self.bytes.len());
        self.bytes.append(&mut next.bytes);
        let moved = next.entries.drain(..).map(|entry| Entry { end: start + entry.end, ..entry });
        self.entries.extend(moved);
        self.shrink();
    }

    fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.bytes.shrink_to_fit();
        self.older.shrink_to_fit();
    }

    /// Where a key is, or would be.
    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    fn key(&self, at: usize) -> &[u8] {
        let end = self.entries.get(at).map_or(0, |entry| entry.end as usize);
        self.bytes.get(self.start(at)..end).unwrap_or_default()
    }

    /// Where the key at a place begins.
    fn start(&self, at: usize) -> usize {
        let before = at.checked_sub(1).and_then(|before| self.entries.get(before));
        before.map_or(0, |entry| entry.end as usize)
    }
}

/// A place in the bytes. A chunk holds 64 KiB, or one longer key, which requests limit to 2 GiB.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The newest revision of a key up to one, be it a deletion or not.
fn seen(newest: Stamp, older: Option<&Vec<Stamp>>, revision: i64) -> Option<Stamp> {
    if newest.main <= revision {
        return Some(newest);
    }
    let older = older?;
    let after = older.partition_point(|stamp| stamp.main <= revision);
    older.get(after.checked_sub(1)?).copied()
}

/// Forgets of a key what is superseded at `revision`, and deletions before it. Tells whether nothing is left.
fn compact(newest: Stamp, slot: Option<&mut Older>, revision: i64) -> bool {
    let older = slot.as_ref().and_then(|older| older.as_deref());
    let Some(floor) = seen(newest, older, revision) else { return false };
    let gone = floor.is_tombstone() && floor.main < revision;
    let Some(slot) = slot else { return gone };
    if floor == newest {
        *slot = None;
        return gone;
    }
    if let Some(older) = slot {
        older.retain(|stamp| stamp.main > revision || *stamp == floor && !gone);
        older.shrink_to_fit();
        if older.is_empty() {
            *slot = None;
        }
    }
    false
}
