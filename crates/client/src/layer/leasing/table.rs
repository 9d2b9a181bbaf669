//! Which keys are owned, and what is known of them. Without I/O.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Instant;
use crate::response::KeyValue;
use crate::revision::Revision;

/// For how long a key that others wanted to write is not taken again.
const RESPITE: Duration = Duration::from_secs(2);
/// So many of those are remembered.
const REFUSED: usize = 4096;

/// Tells one holding of a key from the next.
pub(super) type Id = u64;

#[derive(Debug)]
pub(super) struct Table {
    entries: HashMap<Bytes, Entry>,
    refused: HashMap<Bytes, Instant>,
    next: Id,
    capacity: usize,
    /// Whether there is a session to own anything with.
    open: bool,
}

#[derive(Debug)]
struct Entry {
    id: Id,
    state: State,
    /// Writes of this client that are under way: until they are over, nobody knows what the key is.
    busy: u32,
}

#[derive(Debug)]
enum State {
    /// A transaction that would make it ours is under way.
    Taking,
    Owned(Owned),
}

#[derive(Debug)]
struct Owned {
    /// When the key that proves it was made.
    since: Revision,
    /// The key as it is, if there is one.
    kv: Option<KeyValue>,
    /// Of which revision that is.
    at: Revision,
}

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), refused: HashMap::new(), next: 0, capacity, open: true }
    }

    /// The key as it is, if it is owned: `Some(None)` if there is no such key.
    pub(super) fn read(&self, key: &[u8]) -> Option<Option<KeyValue>> {
        match self.entries.get(key)? {
            Entry { state: State::Owned(owned), busy: 0, .. } => Some(owned.kv.clone()),
            _ => None,
        }
    }

    /// Begins to take a key, unless it must not be taken, or is.
    pub(super) fn take(&mut self, key: &Bytes, now: Instant) -> Option<Id> {
        let refused = self.refused.get(key).is_some_and(|until| now < *until);
        if !self.open || refused || self.entries.len() >= self.capacity {
            return None;
        }
        if self.entries.contains_key(key) {
            return None;
        }
        self.next += 1;
        let entry = Entry { id: self.next, state: State::Taking, busy: 0 };
        self.entries.insert(key.clone(), entry);
        Some(self.next)
    }

    /// The key is owned, if nobody has asked for it since `take`; `false` if somebody has.
    pub(super) fn taken(
        &mut self,
        key: &[u8],
        id: Id,
        since: Revision,
        kv: Option<KeyValue>,
    ) -> bool {
        let entry = self.entries.get_mut(key).filter(|entry| entry.id == id);
        let Some(entry) = entry else { return false };
        entry.state = State::Owned(Owned { since, kv, at: since });
        true
    }

    /// A key is not ours any more, or will not be: whatever is on its way does not count.
    pub(super) fn drop_key(&mut self, key: &[u8]) {
        self.entries.remove(key);
    }

    /// The same, of one holding only.
    pub(super) fn drop_holding(&mut self, key: &[u8], id: Id) {
        if self.entries.get(key).is_some_and(|entry| entry.id == id) {
            self.entries.remove(key);
        }
    }

    /// Somebody else wants to write the key.
    pub(super) fn refuse(&mut self, key: &Bytes, now: Instant) {
        self.entries.remove(key);
        if self.refused.len() >= REFUSED {
            self.refused.retain(|_, until| now < *until);
        }
        if self.refused.len() < REFUSED {
            self.refused.insert(key.clone(), now + RESPITE);
        }
    }

    /// A write to an owned key begins: since when it is owned. A key that is only being taken is given up.
    pub(super) fn begin_write(&mut self, key: &[u8]) -> Option<(Id, Revision)> {
        let entry = self.entries.get_mut(key)?;
        match &entry.state {
            State::Owned(owned) => {
                let begun = (entry.id, owned.since);
                entry.busy += 1;
                Some(begun)
            }
            State::Taking => {
                self.entries.remove(key);
                None
            }
        }
    }

    /// A write is over, and the key as it was `at` a revision is known; `None` if nothing was written.
    pub(super) fn end_write(
        &mut self,
        key: &[u8],
        id: Id,
        written: Option<(Option<KeyValue>, Revision)>,
    ) {
        let entry = self.entries.get_mut(key).filter(|entry| entry.id == id);
        let Some(entry) = entry else { return };
        entry.busy = entry.busy.saturating_sub(1);
        if let (State::Owned(owned), Some((kv, at))) = (&mut entry.state, written)
            && at > owned.at
        {
            (owned.kv, owned.at) = (kv, at);
        }
    }

    /// The owned keys for which `wanted` holds, with the proof of each.
    pub(super) fn owned(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<(Bytes, Revision)> {
        let owned = |(key, entry): (&Bytes, &Entry)| match &entry.state {
            State::Owned(owned) if wanted(key) => Some((key.clone(), owned.since)),
            _ => None,
        };
        self.entries.iter().filter_map(owned).collect()
    }

    /// Gives everything up: without a session, nothing is owned.
    pub(super) fn close(&mut self) {
        self.entries.clear();
        self.open = false;
    }

    /// There is a session again.
    pub(super) fn reopen(&mut self) {
        self.open = true;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn key() -> Bytes {
        Bytes::from_static(b"a")
    }

    fn kv(value: &str) -> KeyValue {
        KeyValue::new("a", value)
    }

    fn rev(revision: i64) -> Revision {
        Revision::new(revision)
    }

    fn owned() -> (Table, Id) {
        let mut table = Table::new(10);
        let id = table.take(&key(), clock::now()).unwrap();
        assert_eq!(table.read(b"a"), None, "it is not ours yet");
        assert!(table.taken(b"a", id, rev(5), Some(kv("1"))));
        (table, id)
    }

    #[test]
    fn what_is_asked_back_while_it_is_taken_is_not_ours() {
        for give_up in [
            (|table: &mut Table| table.refuse(&key(), clock::now())) as fn(&mut Table),
            |table| table.drop_key(b"a"),
            |table| {
                table.close();
                table.reopen();
            },
            // A write of our own comes between.
            |table| assert_eq!(table.begin_write(b"a"), None),
        ] {
            let mut table = Table::new(10);
            let id = table.take(&key(), clock::now()).unwrap();
            give_up(&mut table);
            assert!(!table.taken(b"a", id, rev(5), None));
            assert_eq!(table.read(b"a"), None);
        }
    }

    #[test]
    fn nothing_is_read_while_it_is_written() {
        let (mut table, id) = owned();
        assert_eq!(table.begin_write(b"a"), Some((id, rev(5))));
        assert_eq!(table.begin_write(b"a"), Some((id, rev(5))));
        assert_eq!(table.read(b"a"), None);
        // The answers come in another order than the writes were done.
        table.end_write(b"a", id, Some((Some(kv("3")), rev(7))));
        assert_eq!(table.read(b"a"), None);
        table.end_write(b"a", id, Some((Some(kv("2")), rev(6))));
        assert_eq!(table.read(b"a"), Some(Some(kv("3"))));
        // One that was not done changes nothing; a deletion is a state like any other.
        table.begin_write(b"a");
        table.end_write(b"a", id, None);
        assert_eq!(table.read(b"a"), Some(Some(kv("3"))));
        table.begin_write(b"a");
        table.end_write(b"a", id, Some((None, rev(8))));
        assert_eq!(table.read(b"a"), Some(None));
    }

    #[test]
    fn a_late_answer_does_not_revive_what_was_given_up() {
        let (mut table, id) = owned();
        table.begin_write(b"a");
        table.drop_key(b"a");
        let anew = table.take(&key(), clock::now()).unwrap();
        assert!(table.taken(b"a", anew, rev(9), None));
        table.end_write(b"a", id, Some((Some(kv("old")), rev(20))));
        table.drop_holding(b"a", id);
        assert_eq!(table.read(b"a"), Some(None));
    }

    #[test]
    fn keys_have_a_respite_and_their_number_a_bound() {
        let now = clock::now();
        let (mut table, _) = owned();
        table.refuse(&key(), now);
        assert_eq!(table.take(&key(), now), None);
        assert!(table.take(&key(), now + RESPITE).is_some());
        for number in 0..20 {
            table.take(&Bytes::from(format!("{number}")), now);
        }
        assert_eq!(table.len(), 10);
        table.close();
        assert_eq!((table.len(), table.take(&key(), now + RESPITE)), (0, None));
    }
}
