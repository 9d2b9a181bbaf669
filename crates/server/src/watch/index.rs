//! Finds the watchers of a key.

use std::collections::HashMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::mvcc::KeyRange;

/// A watcher's number; no two ever have the same.
pub(super) type Id = u64;

/// Ranges that are scanned one by one, beside an eighth of all, before they are sorted in.
const RECENT: usize = 64;

/// Watchers by what they watch.
#[derive(Debug, Default)]
pub(super) struct Index {
    singles: HashMap<Bytes, Vec<Id>>,
    /// Ranges by their start, as an implicit tree: the middle of a slice is its root.
    sorted: Vec<(KeyRange, Option<Id>)>,
    /// For each root, which range of its slice ends last.
    furthest: Vec<usize>,
    recent: Vec<(KeyRange, Id)>,
    removed: usize,
}

impl Index {
    pub(super) fn insert(&mut self, range: &KeyRange, id: Id) {
        if range.is_single() {
            self.singles.entry(range.start().clone()).or_default().push(id);
            return;
        }
        self.recent.push((range.clone(), id));
        if self.recent.len() > RECENT + self.sorted.len() / 8 {
            self.sort();
        }
    }

    pub(super) fn remove(&mut self, range: &KeyRange, id: Id) {
        if range.is_single() {
            if let Some(ids) = self.singles.get_mut(range.start()) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.singles.remove(range.start());
                }
            }
            return;
        }
        if let Some(place) = self.recent.iter().position(|(_, other)| *other == id) {
            self.recent.swap_remove(place);
            return;
        }
        let first = self.sorted.partition_point(|(other, _)| other < range);
        let same = self.sorted.iter_mut().skip(first).take_while(|(other, _)| other == range);
        for (_, slot) in same {
            if *slot == Some(id) {
                *slot = None;
                self.removed += 1;
            }
        }
        if self.removed > RECENT + self.sorted.len() / 2 {
            self.sort();
        }
    }

    fn sort(&mut self) {
        self.sorted.retain(|(_, id)| id.is_some());
        self.removed = 0;
        self.sorted.extend(self.recent.drain(..).map(|(range, id)| (range, Some(id))));
        self.sorted.sort_by(|a, b| a.0.cmp(&b.0));
        self.furthest = vec![0; self.sorted.len()];
        furthest(&self.sorted, &mut self.furthest, 0, self.sorted.len());
    }

    /// Calls `found` with each watcher of the key.
    pub(super) fn find(&self, key: &[u8], mut found: impl FnMut(Id)) {
        if let Some(ids) = self.singles.get(key) {
            ids.iter().for_each(|id| found(*id));
        }
        for (range, id) in &self.recent {
            if range.contains(key) {
                found(*id);
            }
        }
        self.find_in(0, self.sorted.len(), key, &mut found);
    }

    fn find_in(&self, low: usize, high: usize, key: &[u8], found: &mut impl FnMut(Id)) {
        if low >= high {
            return;
        }
        let root = low.midpoint(high);
        let last = self.furthest.get(root).and_then(|index| self.sorted.get(*index));
        let Some((range, id)) = self.sorted.get(root) else { return };
        if last.is_none_or(|(last, _)| ends_before(last, key)) {
            return;
        }
        self.find_in(low, root, key, found);
        if range.start() <= key {
            if let Some(id) = id.filter(|_| range.contains(key)) {
                found(id);
            }
            self.find_in(root + 1, high, key, found);
        }
    }
}

/// Fills in which range of each slice ends last, and returns that of the whole.
fn furthest(
    sorted: &[(KeyRange, Option<Id>)],
    out: &mut [usize],
    low: usize,
    high: usize,
) -> Option<usize> {
    if low >= high {
        return None;
    }
    let root = low.midpoint(high);
    let sides = [furthest(sorted, out, low, root), furthest(sorted, out, root + 1, high)];
    let later = |best: usize, other: usize| match (sorted.get(best), sorted.get(other)) {
        (Some(a), Some(b)) if end(&a.0) < end(&b.0) => other,
        _ => best,
    };
    let last = sides.into_iter().flatten().fold(root, later);
    if let Some(slot) = out.get_mut(root) {
        *slot = last;
    }
    Some(last)
}

fn ends_before(range: &KeyRange, key: &[u8]) -> bool {
    end(range) <= End::Before(key)
}

/// A range's end; none is later than `Never`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum End<'a> {
    Before(&'a [u8]),
    Never,
}

fn end(range: &KeyRange) -> End<'_> {
    match range.bounds() {
        Some((_, Bound::Unbounded)) => End::Never,
        Some((_, Bound::Excluded(end) | Bound::Included(end))) => End::Before(end),
        None => End::Before(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn it_finds_what_a_list_finds(
            steps in proptest::collection::vec((any::<bool>(), 0..30u8, 0..32u8), 0..400),
            keys in proptest::collection::vec(0..34u8, 1..10),
        ) {
            let mut index = Index::default();
            let mut list: BTreeMap<Id, KeyRange> = BTreeMap::new();
            for (number, (insert, start, length)) in steps.into_iter().enumerate() {
                if insert {
                    let end = match length { 0 => vec![], 31 => vec![0], n => vec![start + n] };
                    let range = KeyRange::new(vec![start].into(), end.into());
                    let id = number as Id;
                    index.insert(&range, id);
                    list.insert(id, range);
                } else if let Some(id) = list.keys().nth(usize::from(start)).copied() {
                    index.remove(&list.remove(&id).unwrap(), id);
                }
            }
            for key in keys {
                let expected: BTreeSet<Id> =
                    list.iter().filter(|(_, range)| range.contains(&[key])).map(|(id, _)| *id).collect();
                let mut found = Vec::new();
                index.find(&[key], |id| found.push(id));
                prop_assert_eq!(found.len(), expected.len());
                prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
            }
        }
    }
}
