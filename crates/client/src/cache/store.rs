//! Keys in memory, by key. Without I/O.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;

use super::index::{Index, Rule};
use crate::request::KeyRange;
use crate::response::{Event, KeyValue};
use crate::revision::{LeaseId, Revision};

/// A key with its value: one buffer for both, since there may be millions.
#[derive(Debug)]
struct Entry {
    both: Bytes,
    key: u32,
    created: i64,
    modified: i64,
    version: i64,
    lease: i64,
}

impl Entry {
    /// A copy, so that no response is kept in memory for one of its keys.
    fn new(kv: &KeyValue) -> Self {
        let both = Bytes::from([kv.key(), kv.value()].concat());
        Self {
            both,
            // etcd takes requests of some MiB at most.
            key: u32::try_from(kv.key().len()).unwrap_or(u32::MAX),
            created: kv.create_revision().get(),
            modified: kv.mod_revision().get(),
            version: kv.version(),
            lease: kv.lease().map_or(0, LeaseId::get),
        }
    }

    /// Whether it is the same state of the key, on whichever cluster.
    fn is_same(&self, other: &Self) -> bool {
        let numbers = |entry: &Self| (entry.created, entry.modified, entry.version, entry.lease);
        numbers(self) == numbers(other) && self.key == other.key && self.both == other.both
    }

    fn key(&self) -> &[u8] {
        self.both.get(..self.key as usize).unwrap_or(&self.both)
    }

    /// Shares the buffer.
    fn kv(&self) -> KeyValue {
        let mut value = self.both.clone();
        let key = value.split_to(self.key().len());
        let kv = KeyValue::new(key, value).with_revisions(self.created, self.modified);
        LeaseId::new(self.lease)
            .into_iter()
            .fold(kv.with_version(self.version), KeyValue::with_lease)
    }
}

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key())
    }
}

/// Keys that are being read, in order: a set that is made of them at once has no room to spare, while one that grew in order
/// is half empty.
#[derive(Debug, Default)]
pub(super) struct Loading(Vec<Entry>);

impl Loading {
    pub(super) fn add(&mut self, kv: &KeyValue) {
        self.0.push(Entry::new(kv));
    }
}

/// The keys of a range at one revision.
#[derive(Debug, Default)]
pub(super) struct Store {
    entries: BTreeSet<Entry>,
    revision: Revision,
    indexes: Vec<Index>,
}

impl Store {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        Self { indexes: rules.into_iter().map(Index::new).collect(), ..Self::default() }
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// Nothing has happened up to `revision` that is not here.
    pub(super) fn advance(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<KeyValue> {
        self.entries.get(key).map(Entry::kv)
    }

    pub(super) fn range(&self, range: &KeyRange) -> impl Iterator<Item = KeyValue> + '_ {
        self.entries_of(range).map(Entry::kv)
    }

    pub(super) fn count(&self, range: &KeyRange) -> usize {
        self.entries_of(range).count()
    }

    /// The keys that have a term in an index, in order; `None` if there is no such index.
    pub(super) fn indexed(&self, name: &str, term: &[u8]) -> Option<Vec<KeyValue>> {
        let index = self.indexes.iter().find(|index| index.is(name))?;
        Some(index.find(term).filter_map(|key| self.get(key)).collect())
    }

    fn entries_of(&self, range: &KeyRange) -> impl Iterator<Item = &Entry> + '_ {
        let start = range.start().to_vec();
        let end = match range.end() {
            [] => Bound::Included(start.clone()),
            [0] => Bound::Unbounded,
            end => Bound::Excluded(end.to_vec()),
        };
        // One that ends before it begins holds nothing; the set would panic.
        let empty = matches!(&end, Bound::Excluded(end) if *end <= start);
        let bounds = (Bound::Included(&*start), end.as_ref().map(|end| &**end));
        (!empty).then(|| self.entries.range::<[u8], _>(bounds)).into_iter().flatten()
    }

    /// When the key that was changed last was changed; costs a look at each.
    pub(super) fn latest(&self) -> Revision {
        Revision::new(self.entries.iter().map(|entry| entry.modified).max().unwrap_or_default())
    }

    /// Takes a key in: as it is now, and as it was.
    pub(super) fn put(&mut self, kv: &KeyValue) -> (KeyValue, Option<KeyValue>) {
        let entry = Entry::new(kv);
        let now = entry.kv();
        let before = self.entries.replace(entry).map(|before| before.kv());
        self.indexes.iter_mut().for_each(|index| index.change(before.as_ref(), Some(&now)));
        (now, before)
    }

    /// Becomes what was read at `revision`: what that changes, by key. If nothing was known before, nobody is told.
    pub(super) fn replace(&mut self, read: Loading, revision: Revision) -> Vec<Event> {
        let first = std::mem::replace(&mut self.revision, revision) == Revision::NONE;
        let before = std::mem::replace(&mut self.entries, read.0.into_iter().collect());
        for index in &mut self.indexes {
            index.clear();
            self.entries.iter().for_each(|entry| index.change(None, Some(&entry.kv())));
        }
        if first {
            return Vec::new();
        }
        let gone = before.iter().filter(|entry| !self.entries.contains(entry.key())).map(|entry| {
            let kv = KeyValue::new(Bytes::copy_from_slice(entry.key()), "");
            Event::delete(kv.with_revisions(0, revision)).with_prev_kv(entry.kv())
        });
        let changed = self.entries.iter().filter_map(|entry| {
            let before = before.get(entry.key());
            if before.is_some_and(|before| before.is_same(entry)) {
                return None;
            }
            let before = before.map(Entry::kv);
            Some(before.into_iter().fold(Event::put(entry.kv()), Event::with_prev_kv))
        });
        changed.chain(gone).collect()
    }

    /// Leaves a key out: as it was.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<KeyValue> {
        let before = self.entries.take(key).map(|before| before.kv());
        self.indexes.iter_mut().for_each(|index| index.change(before.as_ref(), None));
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    fn kv(key: &str, at: i64) -> KeyValue {
        let kv = KeyValue::new(key, format!("v{at}")).with_revisions(1, at).with_version(2);
        kv.with_lease(LeaseId::new(7).unwrap())
    }

    /// Upstream's TestStoreGet and TestStoreApply.
    #[test]
    fn keys_come_as_they_went() {
        let mut store = Store::default();
        assert_eq!(store.put(&kv("b", 5)), (kv("b", 5), None));
        assert_eq!(store.put(&kv("b", 6)), (kv("b", 6), Some(kv("b", 5))));
        store.put(&kv("a", 3));
        store.put(&kv("b/c", 4));
        assert_eq!(store.get(b"b"), Some(kv("b", 6)));
        let keys = |range: KeyRange| -> Vec<String> {
            store.range(&range).map(|kv| kv.key_str().unwrap().to_owned()).collect()
        };
        let table = [
            (KeyRange::all(), vec!["a", "b", "b/c"]),
            (KeyRange::key("b"), vec!["b"]),
            (KeyRange::key("c"), vec![]),
            (KeyRange::prefix("b"), vec!["b", "b/c"]),
            (KeyRange::range("a", "b"), vec!["a"]),
            (KeyRange::from_key("b\0"), vec!["b/c"]),
            (KeyRange::range("b", "a"), vec![]),
            (KeyRange::range("b", "b"), vec![]),
        ];
        for (range, expected) in table {
            assert_eq!(keys(range.clone()), expected, "{range:?}");
            assert_eq!(store.count(&range), expected.len(), "{range:?}");
        }
        assert_eq!(store.latest(), Revision::new(6));
        assert_eq!(store.remove(b"b"), Some(kv("b", 6)));
        assert_eq!(store.remove(b"b"), None);
        assert_eq!((store.latest(), store.len()), (Revision::new(4), 2));
    }

    /// Upstream's TestStoreRestore.
    #[test]
    fn what_is_read_again_is_compared() {
        let load = |kvs: &[KeyValue]| {
            let mut loading = Loading::default();
            kvs.iter().for_each(|kv| loading.add(kv));
            loading
        };
        let mut store = Store::default();
        let first = [kv("a", 3), kv("b", 4), kv("c", 4)];
        assert_eq!(store.replace(load(&first), Revision::new(5)), []);
        let second = [kv("b", 4), kv("c", 7), kv("d", 8)];
        let gone = Event::delete(KeyValue::new("a", "").with_revisions(0, 9));
        let expected = [
            Event::put(kv("c", 7)).with_prev_kv(kv("c", 4)),
            Event::put(kv("d", 8)),
            gone.with_prev_kv(kv("a", 3)),
        ];
        assert_eq!(store.replace(load(&second), Revision::new(9)), expected);
        // Another cluster, whose revisions are lower and whose numbers may be the same.
        let other = kv("b", 4);
        let (key, _) = other.clone().into_parts();
        let other = KeyValue::new(key, "other").with_revisions(1, 4).with_version(2);
        assert_eq!(store.replace(load(&[other]), Revision::new(2)).len(), 3);
        assert_eq!((store.len(), store.revision()), (1, Revision::new(2)));
    }

    #[test]
    fn an_entry_stays_small() {
        // Beyond key and value. A set that is two thirds full takes half as much again.
        assert!(size_of::<Entry>() <= 72, "{}", size_of::<Entry>());
    }

    #[test]
    fn a_revision_never_goes_back() {
        let mut store = Store::default();
        for (to, at) in [(5, 5), (3, 5), (7, 7)] {
            store.advance(Revision::new(to));
            assert_eq!(store.revision(), Revision::new(at));
        }
    }
}
