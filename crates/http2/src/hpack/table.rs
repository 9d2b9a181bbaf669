//! The entries that a connection has gathered (RFC 7541, sections 2.3.2 and 4).

use std::collections::VecDeque;
use std::fmt;

/// What each entry counts beyond its name and value.
pub(super) const OVERHEAD: usize = 32;

/// Entries in the order of their age; when they get too large, the oldest ones go.
///
/// Names and values stand one after the other in one run of bytes, so that an entry is lent and not copied. A new one is
/// drafted behind the others, where it can be made of parts of them, and then taken in. What went leaves a gap at the
/// start, which is closed once it is larger than all that is behind it: each byte is moved once, on average.
pub(super) struct Table {
    bytes: Vec<u8>,
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
}

/// Where it stands in the bytes. Its value ends where the next one's name begins.
#[derive(Clone, Copy)]
struct Entry {
    name: usize,
    value: usize,
    end: usize,
}

impl Entry {
    const fn size(self) -> usize {
        self.end - self.name + OVERHEAD
    }
}

/// A new entry in the making.
#[derive(Clone, Copy)]
pub(super) struct Draft {
    start: usize,
}

impl fmt::Debug for Table {
    /// Without what stands in it: that may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, size, max, .. } = self;
        f.debug_struct("Table")
            .field("entries", &entries.len())
            .field("size", size)
            .field("max", max)
            .finish()
    }
}

impl Table {
    pub(super) const fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), entries: VecDeque::new(), size: 0, max }
    }

    /// How large it may get.
    pub(super) const fn max(&self) -> usize {
        self.max
    }

    /// Lets it become so large and no larger.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        self.make_room(0);
    }

    /// The entry after so many that are newer.
    pub(super) fn get(&self, newer: usize) -> Option<(&[u8], &[u8])> {
        let oldest_first = self.entries.len().checked_sub(newer + 1)?;
        self.entries.get(oldest_first).map(|&entry| self.text(entry))
    }

    /// All entries, the newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().rev().map(|&entry| self.text(entry))
    }

    fn text(&self, entry: Entry) -> (&[u8], &[u8]) {
        (&self.bytes[entry.name..entry.value], &self.bytes[entry.value..entry.end])
    }

    /// Begins a new entry, whose name and then value are appended to [`draft_bytes`](Self::draft_bytes).
    pub(super) fn draft(&mut self) -> Draft {
        let start = self.entries.back().map_or(0, |entry| entry.end);
        self.bytes.truncate(start);
        Draft { start }
    }

    /// What a draft is appended to, and nothing taken from.
    pub(super) const fn draft_bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends the name of the entry after so many newer ones. Says whether there is one.
    #[must_use]
    pub(super) fn draft_name_of(&mut self, newer: usize) -> bool {
        let oldest_first = self.entries.len().checked_sub(newer + 1);
        let Some(&entry) = oldest_first.and_then(|index| self.entries.get(index)) else {
            return false;
        };
        self.bytes.extend_from_within(entry.name..entry.value);
        true
    }

    /// How long a draft is by now.
    pub(super) const fn drafted(&self, draft: Draft) -> usize {
        self.bytes.len() - draft.start
    }

    /// Name and value of a draft, of which the first `name` bytes are the name.
    pub(super) fn drafted_text(&self, draft: Draft, name: usize) -> (&[u8], &[u8]) {
        self.bytes[draft.start..].split_at(name)
    }

    /// Takes a draft in. Older entries go for it; if it does not fit into an empty table, it goes too.
    pub(super) fn take_in(&mut self, draft: Draft, name: usize) {
        let (start, end) = (draft.start, self.bytes.len());
        let entry = Entry { name: start, value: start + name, end };
        if entry.size() > self.max {
            // Its bytes may be many more than the table ever needs.
            *self = Self::new(self.max);
            return;
        }
        self.make_room(entry.size());
        self.size += entry.size();
        self.entries.push_back(entry);
        self.close_gap();
    }

    /// Has entries go until one of that size fits in.
    fn make_room(&mut self, size: usize) {
        while self.size + size > self.max {
            let Some(entry) = self.entries.pop_front() else { return };
            self.size -= entry.size();
        }
    }

    /// How many bytes it holds on to.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    fn close_gap(&mut self) {
        let gap = self.entries.front().map_or(0, |entry| entry.name);
        if gap <= self.bytes.len() - gap {
            return;
        }
        self.bytes.drain(..gap);
        for entry in &mut self.entries {
            entry.name -= gap;
            entry.value -= gap;
            entry.end -= gap;
        }
    }
}
