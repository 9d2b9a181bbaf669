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
    /// A transaction that would make it ours is under way. An owner's key that was made until then is gone already.
    Taking {
        gone: Revision,
    },
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
        let entry = Entry { id: self.next, state: State::Taking { gone: Revision::NONE }, busy: 0 };
        self.entries.insert(key.clone(), entry);
        Some(self.next)
    }

    /// The key is owned, if nobody has asked for it since `take`, and the proof is still there; `false` if not.
    pub(super) fn taken(
        &mut self,
        key: &[u8],
        id: Id,
        since: Revision,
        kv: Option<KeyValue>,
    ) -> bool {
        let entry = self.entries.get_mut(key).filter(|entry| entry.id == id);
        let Some(entry) = entry else { return false };
        if matches!(entry.state, State::Taking { gone } if gone >= since) {
            self.entries.remove(key);
            return false;
        }
        entry.state = State::Owned(Owned { since, kv, at: since });
        true
    }

    /// The owner's key of a key, made `at` a revision or before, is gone or about to go: what it proves does not count, and
    /// what one proves that is made later does.
    pub(super) fn gone(&mut self, key: &[u8], at: Revision) {
        match self.entries.get_mut(key).map(|entry| &mut entry.state) {
            Some(State::Taking { gone }) => *gone = at.max(*gone),
            Some(State::Owned(owned)) if owned.since <= at => self.drop_key(key),
            _ => {}
        }
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
            State::Taking { .. } => {
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

    /// Gives everything up: what was owned, with the proof of each.
    pub(super) fn clear(&mut self) -> Vec<(Bytes, Revision)> {
        let owned = self.owned(|_| true);
        self.entries.clear();
        owned
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
mod tests;
