//! What happened, for subscriptions that read it at their own pace. Without I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use crate::request::KeyRange;
use crate::response::Event;

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
    waiting: HashMap<u64, Waiting>,
    next_id: u64,
}

/// A subscription that has read everything.
#[derive(Debug)]
struct Waiting {
    range: KeyRange,
    waker: Waker,
    /// What it reads next. Moves on with what it has nothing to do with.
    cursor: Cursor,
    woken: bool,
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
            waiting: HashMap::new(),
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
        let end = self.end();
        for waiting in self.waiting.values_mut().filter(|waiting| !waiting.woken) {
            if events.iter().any(|event| waiting.range.contains(event.key())) {
                waiting.woken = true;
                waiting.waker.wake_by_ref();
            } else {
                waiting.cursor = end + 1;
            }
        }
        let bytes = events.iter().map(size).sum();
        self.bytes += bytes;
        self.changes.push_back((events.into(), bytes));
        // One that is too large by itself is not held at all: then everybody reads the state.
        while self.changes.len() > self.max_changes || self.bytes > self.max_bytes {
            let Some((_, bytes)) = self.changes.pop_front() else { break };
            self.bytes -= bytes;
            self.first += 1;
        }
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

    /// Has the subscription `id` be woken by what it is about.
    pub(super) fn wait(&mut self, id: u64, range: &KeyRange, cursor: Cursor, waker: &Waker) {
        let waiting = Waiting { range: range.clone(), waker: waker.clone(), cursor, woken: false };
        self.waiting.insert(id, waiting);
    }

    /// Where the subscription `id` reads on, if it was waiting.
    pub(super) fn resume(&mut self, id: u64) -> Option<Cursor> {
        self.waiting.remove(&id).map(|waiting| waiting.cursor)
    }

    /// Wakes everybody: there is nothing more to come.
    pub(super) fn wake_all(&mut self) {
        for waiting in self.waiting.values_mut() {
            waiting.woken = true;
            waiting.waker.wake_by_ref();
        }
    }
}

/// What an event takes in memory, about.
fn size(event: &Event) -> usize {
    let value = |kv: &crate::KeyValue| kv.value().len();
    size_of::<Event>() + event.key().len() + value(event.kv()) + event.previous().map_or(0, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::KeyValue;

    fn put(key: &str) -> Event {
        Event::put(KeyValue::new(key, "v"))
    }

    fn found(found: Found) -> (Vec<String>, Cursor) {
        match found {
            Found::Events(events, cursor) => {
                let keys = events.iter().map(|event| event.kv().key_str().unwrap().to_owned());
                (keys.collect(), cursor)
            }
            Found::Nothing(cursor) => (Vec::new(), cursor),
            Found::Lagged => panic!("lagged"),
        }
    }

    #[test]
    fn each_reads_what_it_is_about() {
        let mut log = Log::new((10, 100_000));
        log.push(vec![put("a"), put("b")]);
        log.push(vec![put("b")]);
        log.push(vec![put("c"), put("a")]);
        log.push(Vec::new());
        let a = KeyRange::key("a");
        assert_eq!(found(log.read(&a, 0)), (vec!["a".into()], 1));
        assert_eq!(found(log.read(&a, 1)), (vec!["a".into()], 3));
        assert_eq!(found(log.read(&a, 3)), (vec![], 3));
        let all = KeyRange::all();
        assert_eq!(found(log.read(&all, 2)), (vec!["c".into(), "a".into()], 3));
    }

    #[test]
    fn what_is_held_is_bounded_and_who_is_too_slow_is_told() {
        let mut log = Log::new((3, 5 * size(&put("a"))));
        for _ in 0..5 {
            log.push(vec![put("a")]);
        }
        assert_eq!((log.len(), log.end()), (3, 5));
        assert_eq!(log.read(&KeyRange::all(), 1), Found::Lagged);
        assert_eq!(found(log.read(&KeyRange::all(), 2)).1, 3);
        // Too many bytes at once: nothing is held, and everybody is told.
        log.push(vec![put("a"); 6]);
        assert_eq!((log.len(), log.end(), log.bytes), (0, 6, 0));
        assert_eq!(log.read(&KeyRange::all(), 5), Found::Lagged);
        assert_eq!(found(log.read(&KeyRange::all(), 6)).1, 6);
    }

    /// Who waits for one key is not woken by others, and does not lag behind for them.
    #[test]
    fn who_waits_is_not_disturbed_and_not_left_behind() {
        let mut log = Log::new((2, 100_000));
        let id = log.id();
        log.wait(id, &KeyRange::key("mine"), 0, Waker::noop());
        for _ in 0..10 {
            log.push(vec![put("other")]);
        }
        assert!(!log.waiting[&id].woken);
        log.push(vec![put("mine")]);
        assert!(log.waiting[&id].woken);
        log.push(vec![put("other")]);
        let cursor = log.resume(id).unwrap();
        assert_eq!(found(log.read(&KeyRange::key("mine"), cursor)).0, ["mine"]);
        assert_eq!(log.resume(id), None);
    }
}
