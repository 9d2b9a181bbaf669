//! Which revisions each key has.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::log::Stamp;
use super::range::KeyRange;

/// The revisions of one key, oldest first. Between two deletions lies what etcd calls a generation.
#[derive(Debug)]
pub(super) struct History {
    newest: Stamp,
    #[expect(
        clippy::box_collection,
        reason = "most keys have one revision: a pointer is a third of an empty list"
    )]
    older: Option<Box<Vec<Stamp>>>,
}

impl History {
    const fn new(stamp: Stamp) -> Self {
        Self { newest: stamp, older: None }
    }

    fn push(&mut self, stamp: Stamp) {
        let before = std::mem::replace(&mut self.newest, stamp);
        self.older.get_or_insert_default().push(before);
    }

    /// The newest one up to a revision, be it a deletion or not.
    fn at(&self, revision: i64) -> Option<Stamp> {
        if self.newest.main <= revision {
            return Some(self.newest);
        }
        let older = self.older.as_deref()?;
        let after = older.partition_point(|stamp| stamp.main <= revision);
        older.get(after.checked_sub(1)?).copied()
    }

    /// Forgets what is superseded at `revision`, and deletions before it. Tells whether nothing is left.
    fn compact(&mut self, revision: i64) -> bool {
        let Some(floor) = self.at(revision) else { return false };
        let gone = floor.is_tombstone() && floor.main < revision;
        if floor == self.newest {
            self.older = None;
            return gone;
        }
        if let Some(older) = &mut self.older {
            older.retain(|stamp| stamp.main > revision || *stamp == floor && !gone);
            older.shrink_to_fit();
            if older.is_empty() {
                self.older = None;
            }
        }
        false
    }
}

/// Bytes of a key that take no allocation of their own.
const SHORT: usize = 22;

/// A key; short ones lie where the key is.
#[derive(Clone, Debug)]
pub(super) enum Key {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl Key {
    fn new(key: &[u8]) -> Self {
        let mut short = [0; SHORT];
        match (u8::try_from(key.len()), short.get_mut(..key.len())) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(key);
                Self::Short(length, short)
            }
            _ => Self::Long(key.into()),
        }
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        match self {
            Self::Short(length, key) => key.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(key) => key,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, other): (&[u8], &[u8]) = (self.borrow(), other.borrow());
        own.cmp(other)
    }
}

#[derive(Debug, Default)]
pub(super) struct Index {
    keys: BTreeMap<Key, History>,
}

impl Index {
    /// Adds the newest revision of a key.
    pub(super) fn push(&mut self, key: &[u8], stamp: Stamp) {
        // A second look at the map is cheaper than a copy of the key for each put.
        if let Some(history) = self.keys.get_mut(key) {
            return history.push(stamp);
        }
        match self.keys.entry(Key::new(key)) {
            Entry::Vacant(vacant) => {
                vacant.insert(History::new(stamp));
            }
            Entry::Occupied(mut history) => history.get_mut().push(stamp),
        }
    }

    /// The revision of a key that a reader at `revision` sees; `None` if it does not exist there.
    pub(super) fn get(&self, key: &[u8], revision: i64) -> Option<Stamp> {
        self.keys.get(key)?.at(revision).filter(|stamp| !stamp.is_tombstone())
    }

    /// The keys that exist at `revision`, in order.
    pub(super) fn range<'a>(
        &'a self,
        range: &KeyRange,
        revision: i64,
    ) -> impl Iterator<Item = (&'a [u8], Stamp)> {
        let bounds = range.bounds();
        let keys = bounds.map(|bounds| self.keys.range::<[u8], _>(bounds));
        keys.into_iter().flatten().filter_map(move |(key, history)| {
            let stamp = history.at(revision).filter(|stamp| !stamp.is_tombstone())?;
            Some((key.borrow(), stamp))
        })
    }

    /// Whether a record up to the compacted revision is still needed by who reads at it or later.
    pub(super) fn needs(&self, key: &[u8], stamp: Stamp, compacted: i64) -> bool {
        self.keys.get(key).and_then(|history| history.at(compacted)) == Some(stamp)
    }

    /// Compacts the keys from `start` on, so many at most. Returns where to go on; `None` at the end.
    pub(super) fn compact(&mut self, start: &[u8], revision: i64, limit: usize) -> Option<Key> {
        let mut gone = Vec::new();
        let mut next = None;
        let from = (std::ops::Bound::Included(start), std::ops::Bound::Unbounded);
        for (count, (key, history)) in self.keys.range_mut::<[u8], _>(from).enumerate() {
            if count == limit {
                next = Some(key.clone());
                break;
            }
            if history.compact(revision) {
                gone.push(key.clone());
            }
        }
        for key in gone {
            self.keys.remove::<[u8]>(key.borrow());
        }
        next
    }
}
