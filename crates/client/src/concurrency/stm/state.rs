//! What a transaction in memory has read and written. Without I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::{Isolation, READS};
use crate::request::{Compare, Get, Op, Txn};
use crate::response::KeyValue;
use crate::revision::Revision;

/// What was found under a key, if there was something.
type Found = (Bytes, Option<KeyValue>);

#[derive(Debug, Default)]
pub(super) struct State {
    reads: BTreeMap<Bytes, Option<KeyValue>>,
    writes: BTreeMap<Bytes, Op>,
    /// What is known and was not asked for yet, and of which revision it is.
    prefetched: HashMap<Bytes, Option<KeyValue>>,
    prefetched_at: Revision,
    /// What all reads see.
    revision: Option<Revision>,
    /// That was compacted.
    overtaken: bool,
}

impl State {
    pub(super) fn revision(&self) -> Option<Revision> {
        self.revision
    }

    pub(super) fn overtake(&mut self) {
        self.overtaken = true;
    }

    pub(super) fn is_overtaken(&self) -> bool {
        self.overtaken
    }

    pub(super) fn write(&mut self, key: Bytes, op: Op) {
        self.writes.insert(key, op);
    }

    /// What was written to a key: a value, or `None` inside if it was deleted.
    pub(super) fn written(&self, key: &Bytes) -> Option<Option<Bytes>> {
        match self.writes.get(key)? {
            // Such a put does not say what the value is.
            Op::Put(put) if put.keeps_value() => None,
            Op::Put(put) => Some(Some(put.value_bytes())),
            _ => Some(None),
        }
    }

    /// What was read of a key.
    pub(super) fn seen(&self, key: &Bytes) -> Option<Option<&KeyValue>> {
        self.reads.get(key).map(Option::as_ref)
    }

    /// Which of `keys` have to be asked for; the others are seen from here on.
    pub(super) fn missing(&mut self, keys: &[Bytes], isolation: Isolation) -> Vec<Bytes> {
        let mut missing = BTreeSet::new();
        for key in keys {
            if self.reads.contains_key(key) {
                continue;
            }
            // What is of another revision than all else that was read is of no use.
            let fits = !isolation.is_snapshot()
                || self.revision.is_none_or(|revision| revision == self.prefetched_at);
            match self.prefetched.remove(key) {
                Some(found) if fits => {
                    if isolation.is_snapshot() {
                        self.revision = Some(self.prefetched_at);
                    }
                    self.reads.insert(key.clone(), found);
                }
                _ => drop(missing.insert(key.clone())),
            }
        }
        missing.into_iter().collect()
    }

    /// Takes over what was read: `at` a revision, if one was named, and else at that of the answer. `false` if meanwhile
    /// another read has fixed another revision.
    pub(super) fn read(
        &mut self,
        found: Vec<Found>,
        at: Option<Revision>,
        answered: Revision,
        isolation: Isolation,
    ) -> bool {
        if isolation.is_snapshot() {
            let of = at.unwrap_or(answered);
            if *self.revision.get_or_insert(of) != of {
                return false;
            }
        }
        for (key, kv) in found {
            // Two reads at once: the first counts.
            self.reads.entry(key).or_insert(kv);
        }
        true
    }

    /// What was read, as what the first attempt begins with.
    pub(super) fn as_prefetched(&mut self) -> Self {
        Self {
            prefetched: std::mem::take(&mut self.reads).into_iter().collect(),
            prefetched_at: self.revision.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The transaction that writes everything, with the keys that it reads if others came between; `None` if nothing has
    /// to be done.
    pub(super) fn commit(&self, isolation: Isolation) -> Option<(Txn, Vec<Bytes>)> {
        // All of one revision: that is a serializable transaction as it stands.
        if self.writes.is_empty() && (isolation.is_snapshot() || self.reads.is_empty()) {
            return None;
        }
        let unchanged = |(key, kv): (&Bytes, &Option<KeyValue>)| {
            let seen = kv.as_ref().map(KeyValue::mod_revision).unwrap_or_default();
            Compare::mod_revision(key).eq(seen)
        };
        let mut txn = Txn::new().then(self.writes.values().cloned());
        if isolation != Isolation::ReadCommitted {
            txn = txn.when(self.reads.iter().map(unchanged));
        }
        let mut asked: Vec<Bytes> = self.reads.keys().cloned().collect();
        if let (Isolation::SerializableSnapshot, Some(revision)) = (isolation, self.revision) {
            let unread = || self.writes.keys().filter(|key| !self.reads.contains_key(*key));
            txn = txn.when(unread().map(|key| Compare::mod_revision(key).lt(revision.next())));
            asked.extend(unread().cloned());
        }
        asked.truncate(READS);
        let txn = txn.or_else(asked.iter().map(Get::new));
        Some((txn, asked))
    }

    /// What the next attempt begins with, and which keys others have changed.
    pub(super) fn conflict(&self, found: Vec<Found>, revision: Revision) -> (Self, Vec<Bytes>) {
        let changed = |(key, kv): &&Found| {
            let now = kv.as_ref().map(KeyValue::mod_revision).unwrap_or_default();
            match self.reads.get(key) {
                Some(seen) => seen.as_ref().map(KeyValue::mod_revision).unwrap_or_default() != now,
                None => self.revision.is_some_and(|revision| now > revision),
            }
        };
        let conflicts = found.iter().filter(changed).map(|(key, _)| key.clone()).collect();
        let next = Self {
            prefetched: found.into_iter().collect(),
            prefetched_at: revision,
            ..Self::default()
        };
        (next, conflicts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Delete, Put};

    fn key(key: &'static str) -> Bytes {
        Bytes::from_static(key.as_bytes())
    }

    fn kv(name: &'static str, modified: i64) -> Found {
        (key(name), Some(KeyValue::new(name, "1").with_revisions(1, modified)))
    }

    /// `a` was last changed at 3, `b` is missing; `a` and `c` are written. All of it at revision 5.
    fn state(isolation: Isolation) -> State {
        let mut state = State::default();
        let read = vec![kv("a", 3), (key("b"), None)];
        assert!(state.read(read, None, Revision::new(5), isolation));
        state.write(key("a"), Put::new("a", "2").into());
        state.write(key("c"), Put::new("c", "2").into());
        state.write(key("c"), Delete::new("c").into());
        state
    }

    #[test]
    fn what_is_compared_at_each_level() {
        use Isolation as I;
        let a = || Compare::mod_revision("a").eq(3);
        let b = || Compare::mod_revision("b").eq(0);
        let c = || Compare::mod_revision("c").lt(6);
        let table = [
            (I::SerializableSnapshot, vec![a(), b(), c()], vec!["a", "b", "c"]),
            (I::Serializable, vec![a(), b()], vec!["a", "b"]),
            (I::RepeatableReads, vec![a(), b()], vec!["a", "b"]),
            (I::ReadCommitted, vec![], vec!["a", "b"]),
        ];
        for (isolation, compares, asked) in table {
            let (txn, keys) = state(isolation).commit(isolation).unwrap();
            let expected = Txn::new()
                .when(compares)
                .then([Op::from(Put::new("a", "2")), Delete::new("c").into()])
                .or_else(asked.iter().map(|key| Get::new(*key)));
            assert_eq!(txn, expected, "{isolation:?}");
            assert_eq!(keys, asked, "{isolation:?}");
        }
    }

    #[test]
    fn a_transaction_that_wrote_nothing_is_sent_only_if_its_reads_may_not_fit() {
        use Isolation as I;
        let table = [
            (I::SerializableSnapshot, false),
            (I::Serializable, false),
            (I::RepeatableReads, true),
            (I::ReadCommitted, true),
        ];
        for (isolation, sent) in table {
            let mut state = State::default();
            assert!(state.commit(isolation).is_none());
            state.read(vec![kv("a", 3)], None, Revision::new(5), isolation);
            assert_eq!(state.commit(isolation).is_some(), sent, "{isolation:?}");
        }
    }

    #[test]
    fn two_reads_at_once_see_one_revision() {
        let isolation = Isolation::default();
        let mut state = State::default();
        assert!(state.read(vec![kv("a", 3)], None, Revision::new(5), isolation));
        assert!(!state.read(vec![kv("b", 6)], None, Revision::new(6), isolation));
        assert_eq!(state.missing(&[key("a"), key("b"), key("b")], isolation), [key("b")]);
        assert!(state.read(vec![kv("b", 4)], Some(Revision::new(5)), Revision::new(9), isolation));
        assert_eq!(state.revision(), Some(Revision::new(5)));
    }

    #[test]
    fn a_conflict_names_what_changed_and_is_where_the_next_attempt_begins() {
        let isolation = Isolation::default();
        let found = vec![kv("a", 3), kv("b", 7), kv("c", 8)];
        let (mut next, conflicts) = state(isolation).conflict(found, Revision::new(9));
        assert_eq!(conflicts, ["b", "c"]);
        // Nothing counts as read before it is asked for.
        assert!(next.commit(isolation).is_none());
        assert!(next.missing(&[key("b")], isolation).is_empty());
        assert_eq!(next.revision(), Some(Revision::new(9)));
        assert_eq!(next.missing(&[key("x")], isolation), ["x"]);
        // What is prefetched at another revision than what was read is asked for again.
        let mut other = State::default();
        other.read(vec![kv("x", 3)], None, Revision::new(5), isolation);
        let mut other = State { revision: other.revision, ..next };
        assert_eq!(other.missing(&[key("a")], isolation), ["a"]);
    }

    #[test]
    fn own_writes_are_seen() {
        let mut state = state(Isolation::default());
        assert_eq!(state.written(&key("a")), Some(Some(key("2"))));
        assert_eq!(state.written(&key("c")), Some(None));
        assert_eq!(state.written(&key("b")), None);
        // One that keeps the value has to be read.
        state.write(key("a"), Put::keep_value("a").into());
        assert_eq!(state.written(&key("a")), None);
    }
}
