//! The span of keys that a request names by `key` and `range_end`.

use std::ops::Bound;

use bytes::Bytes;

/// The first and the last key, as ordered maps want them.
pub(crate) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// A key, or all keys from one to before another, or from one on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct KeyRange {
    start: Bytes,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum End {
    /// The range is one key.
    Single,
    Before(Bytes),
    Infinity,
}

impl KeyRange {
    /// The range that etcd's pair of fields means: no end is a single key, a zero byte is no bound.
    pub(crate) fn new(key: Bytes, range_end: Bytes) -> Self {
        let end = match range_end.as_ref() {
            [] => End::Single,
            [0] => End::Infinity,
            _ => End::Before(range_end),
        };
        Self { start: key, end }
    }

    pub(crate) const fn single(key: Bytes) -> Self {
        Self { start: key, end: End::Single }
    }

    /// Everything that begins with `prefix`.
    pub(crate) fn prefix(prefix: &Bytes) -> Self {
        let mut end = prefix.to_vec();
        while end.last() == Some(&0xff) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => {
                *last += 1;
                Self { start: prefix.clone(), end: End::Before(end.into()) }
            }
            None => Self { start: prefix.clone(), end: End::Infinity },
        }
    }

    pub(crate) const fn start(&self) -> &Bytes {
        &self.start
    }

    pub(crate) const fn is_single(&self) -> bool {
        matches!(self.end, End::Single)
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match &self.end {
            End::Single => key == self.start,
            End::Before(end) => self.start <= key && key < end,
            End::Infinity => self.start <= key,
        }
    }

    /// Whether no key can lie in it.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.end, End::Before(end) if self.start >= end)
    }

    /// The bounds for an ordered map; `None` for an empty range, which such maps refuse.
    pub(crate) fn bounds(&self) -> Option<Bounds<'_>> {
        let end = match &self.end {
            End::Single => Bound::Included(self.start.as_ref()),
            End::Before(end) if self.start < *end => Bound::Excluded(end.as_ref()),
            End::Before(_) => return None,
            End::Infinity => Bound::Unbounded,
        };
        Some((Bound::Included(self.start.as_ref()), end))
    }

    /// Its first key and the one before which it ends; `None` if it has no end, or no key.
    pub(crate) fn span(&self) -> Option<(Bytes, Bytes)> {
        let end = match &self.end {
            End::Single => [self.start.as_ref(), &[0]].concat().into(),
            End::Before(end) if self.start < *end => end.clone(),
            End::Before(_) | End::Infinity => return None,
        };
        Some((self.start.clone(), end))
    }

    /// What is left of it after `key`.
    pub(crate) fn after(&self, key: &[u8]) -> Self {
        let mut start = Vec::with_capacity(key.len() + 1);
        start.extend_from_slice(key);
        start.push(0);
        let end = match &self.end {
            End::Single => End::Before(Bytes::copy_from_slice(key)),
            end => end.clone(),
        };
        Self { start: start.into(), end }
    }
}
