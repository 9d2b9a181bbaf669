//! What happened, for subscriptions that read it at their own pace. Without I/O.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use crate::request::KeyRange;
use crate::response::Event;
use crate::revision::Revision;

/// The number of a change. The first is 0.
pub(super) type Cursor = u64;

/// The last changes, held once for all subscriptions.
#[derive(Debug)]
pub(super) struct Log {
    changes: VecDeque<(Arc<[Event]>, usize)>,
    /// The number of the first change that is held.
    first: Cursor,
    bytes: usize,
    max_changes: usize,
    max_bytes: usize,
    /// All that happened after this revision is held: by the changes from this one on.
    past: (Revision, Cursor),
    /// Subscriptions that have read everything, and those that were woken since.
    waiting: HashMap<u64, Waiting>,
    /// Those of them that were not: by their one key, so that the others are not asked about each change.
    of_keys: BTreeSet<(Bytes, u64)>,
    of_ranges: BTreeSet<u64>,
    next_id: u64,
}

#[derive(Debug)]
struct Waiting {
    range: KeyRange,
    waker: Waker,
    /// The change that it was woken for.
    woken: Option<Cursor>,
}

/// What a subscription finds.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// These events; it reads on there.
    Events(Vec<Event>, Cursor),
    /// Nothing yet, up to there.
    Nothing(Cursor),
    /// What comes next is not held any more.
    Lagged,
}

impl Log {
    pub(super) fn new((max_changes, max_bytes): (usize, usize)) -> Self {
        Self {
            changes: VecDeque::new(),
            first: 0,
            bytes: 0,
            max_changes,
            max_bytes,
            past: (Revision::NONE, 0),
            waiting: HashMap::new(),
            of_keys: BTreeSet::new(),
            of_ranges: BTreeSet::new(),
            next_id: 0,
        }
    }

    /// The number of the next change.
    pub(super) fn end(&self) -> Cursor {
        self.first + self.changes.len() as u64
    }

    /// How many changes are held.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Adds a change, and wakes those that it is about.
    pub(super) fn push(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        self.wake(&events);
        let bytes = events.iter().map(size).sum();
        self.bytes += bytes;
        self.changes.push_back((events.into(), bytes));
        // One that is too large by itself is not held at all: then everybody reads the state.
        while self.changes.len() > self.max_changes || self.bytes > self.max_bytes {
            let Some((events, bytes)) = self.changes.pop_front() else { break };
            self.bytes -= bytes;
            self.first += 1;
            let last = events.last().map(Event::revision);
            if let Some(last) = last.filter(|_| self.past.1 < self.first) {
                self.past = (last, self.first);
            }
        }
    }

    /// What happened up to `revision` is not known step by step.
    pub(super) fn begin_past(&mut self, revision: Revision) {
        self.past = (revision, self.end());
    }

    /// The earliest revision that [`undo`](Self::undo) gets to.
    pub(super) fn past(&self) -> Revision {
        self.past.0
    }

    /// What happened after `revision`, the last first; `None` if that is not held any more.
    pub(super) fn undo(&self, revision: Revision) -> Option<impl Iterator<Item = &Event>> {
        let known = usize::try_from(self.end() - self.past.1).unwrap_or(usize::MAX);
        let changes = self.changes.iter().rev().take(known);
        let events = changes.flat_map(|(events, _)| events.iter().rev());
        let after = events.take_while(move |event| event.revision() > revision);
        (revision >= self.past.0).then_some(after)
    }

    /// What there is for `range` from `cursor` on: one change at a time.
    pub(super) fn read(&self, range: &KeyRange, cursor: Cursor) -> Found {
        if cursor < self.first {
            return Found::Lagged;
        }
        let skip = usize::try_from(cursor - self.first).unwrap_or(usize::MAX);
        for (number, (events, _)) in self.changes.iter().enumerate().skip(skip) {
            let about: Vec<Event> =
                events.iter().filter(|event| range.contains(event.key())).cloned().collect();
            if !about.is_empty() {
                return Found::Events(about, self.first + number as u64 + 1);
            }
        }
        Found::Nothing(self.end())
    }

    /// Has the subscription `id`, which has read everything, be woken by what it is about.
    pub(super) fn wait(&mut self, id: u64, range: &KeyRange, waker: &Waker) {
        if range.is_single_key() {
            self.of_keys.insert((Bytes::copy_from_slice(range.start()), id));
        } else {
            self.of_ranges.insert(id);
        }
        let waiting = Waiting { range: range.clone(), waker: waker.clone(), woken: None };
        self.waiting.insert(id, waiting);
    }

    /// Where the subscription `id` reads on, if it was waiting: at what it was woken for, or after all that it has nothing to
    /// do with.
    pub(super) fn resume(&mut self, id: u64) -> Option<Cursor> {
        self.rouse(id);
        let waiting = self.waiting.remove(&id)?;
        Some(waiting.woken.unwrap_or_else(|| self.end()))
    }

    /// Wakes those that the next change is about.
    fn wake(&mut self, events: &[Event]) {
        let about = |id: &u64| {
            let range = self.waiting.get(id).map(|waiting| &waiting.range);
            range.is_some_and(|range| events.iter().any(|event| range.contains(event.key())))
        };
        let mut awake: Vec<u64> = self.of_ranges.iter().copied().filter(about).collect();
        for event in events {
            let key = event.kv().key_bytes();
            let of_key = self.of_keys.range((key.clone(), 0)..=(key, u64::MAX));
            awake.extend(of_key.map(|(_, id)| id));
        }
        let change = self.end();
        for id in awake {
            if let Some(waiting) = self.rouse(id) {
                waiting.woken = Some(change);
                waiting.waker.wake_by_ref();
            }
        }
    }

    /// One that waits no more; `None` if it did not wait.
    fn rouse(&mut self, id: u64) -> Option<&mut Waiting> {
        let waiting = self.waiting.get_mut(&id).filter(|waiting| waiting.woken.is_none())?;
        if waiting.range.is_single_key() {
            self.of_keys.remove(&(Bytes::copy_from_slice(waiting.range.start()), id));
        } else {
            self.of_ranges.remove(&id);
        }
        Some(waiting)
    }

    /// Wakes everybody: there is nothing more to come.
    pub(super) fn wake_all(&self) {
        self.waiting.values().for_each(|waiting| waiting.waker.wake_by_ref());
    }
}

/// What an event takes in memory, about.
fn size(event: &Event) -> usize {
    let value = |kv: &crate::KeyValue| kv.value().len();
    size_of::<Event>() + event.key().len() + value(event.kv()) + event.previous().map_or(0, value)
}

#[cfg(test)]
mod tests;
