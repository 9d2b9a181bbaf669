//! What is read, of tables and in any order.

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

/// Upstream's TestBroadcast, TestBroadcastBatching, TestIterationMethods, TestAtomicOrdered.
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

/// Upstream's TestInit, TestFull, TestPeekLatestAndOldest.
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

/// Upstream's TestRebaseHistory.
#[test]
fn the_past_is_known_as_far_as_it_is_held() {
    let at = |revision: i64| Event::put(KeyValue::new("a", "v").with_revisions(1, revision));
    let undone = |log: &Log, revision: i64| -> Option<Vec<i64>> {
        let events = log.undo(Revision::new(revision))?;
        Some(events.map(|event| event.revision().get()).collect())
    };
    let mut log = Log::new((3, 100_000));
    log.begin_past(Revision::new(4));
    assert_eq!((undone(&log, 3), undone(&log, 4)), (None, Some(vec![])));
    log.push(vec![at(5), at(6)]);
    log.push(vec![at(8)]);
    assert_eq!(undone(&log, 4), Some(vec![8, 6, 5]));
    assert_eq!(undone(&log, 5), Some(vec![8, 6]));
    assert_eq!(undone(&log, 7), Some(vec![8]));
    log.push(vec![at(9)]);
    log.push(vec![at(10)]);
    // The first change is not held any more, with all of its revisions.
    assert_eq!((undone(&log, 5), log.past()), (None, Revision::new(6)));
    assert_eq!(undone(&log, 6), Some(vec![10, 9, 8]));
    // A gap: what is held from before it says nothing of the past. Another cluster's revisions may be lower.
    log.push(vec![at(3)]);
    log.begin_past(Revision::new(7));
    assert_eq!((undone(&log, 6), undone(&log, 7)), (None, Some(vec![])));
    log.push(vec![at(9)]);
    assert_eq!(undone(&log, 7), Some(vec![9]));
    for revision in [10, 11, 12] {
        log.push(vec![at(revision)]);
    }
    assert_eq!((undone(&log, 8), undone(&log, 9)), (None, Some(vec![12, 11, 10])));
    // One that is too large to be held.
    log.push(vec![at(13); 10_000]);
    assert_eq!((undone(&log, 12), undone(&log, 13)), (None, Some(vec![])));
}

/// Who waits for one key, or for some, is not woken by others, and does not lag behind for them.
#[test]
fn who_waits_is_not_disturbed_and_not_left_behind() {
    let mine = || KeyRange::key("mine");
    for range in [mine(), KeyRange::prefix("min"), KeyRange::range("m", "n")] {
        let mut log = Log::new((2, 100_000));
        let (id, other) = (log.id(), log.id());
        log.wait(id, &range, Waker::noop());
        log.wait(other, &KeyRange::key("another"), Waker::noop());
        for _ in 0..10 {
            log.push(vec![put("other")]);
        }
        assert_eq!(log.waiting[&id].woken, None);
        log.push(vec![put("other"), put("mine")]);
        assert_eq!(log.waiting[&id].woken, Some(10));
        log.push(vec![put("mine")]);
        let cursor = log.resume(id).unwrap();
        assert_eq!(found(log.read(&range, cursor)), (vec!["mine".into()], 11));
        assert_eq!((log.resume(id), log.resume(other)), (None, Some(12)));
        assert!(log.of_keys.is_empty() && log.of_ranges.is_empty());
    }
}

/// Whatever waits, reads and happens in whichever order: each subscription sees all that it is about, or is told that
/// it has missed something, and whoever waits is woken exactly by what it is about.
#[test]
fn nobody_misses_or_sees_what_is_not_its_own_in_any_order() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut log = Log::new((4, 100_000));
        let key = |random: &mut fastrand::Rng| ["a", "b", "ba", "c"][random.usize(..4)];
        let ranges =
            [KeyRange::key("a"), KeyRange::key("b"), KeyRange::prefix("b"), KeyRange::all()];
        // Of each subscription: its number, where it reads, whether it waits, and what it has to see.
        let mut readers: Vec<_> =
            ranges.map(|range| (log.id(), range, Some(0), Vec::<String>::new())).into();
        for _ in 0..60 {
            if random.bool() {
                let keys: Vec<&str> = (0..random.usize(1..3)).map(|_| key(&mut random)).collect();
                log.push(keys.iter().map(|key| put(key)).collect());
                for (id, range, cursor, due) in &mut readers {
                    let own = keys.iter().filter(|key| range.contains(key.as_bytes()));
                    due.extend(own.map(|key| (*key).to_owned()));
                    if cursor.is_none() {
                        let woken = log.waiting[id].woken.is_some();
                        assert_eq!(woken, !due.is_empty(), "seed {seed}");
                    }
                }
                continue;
            }
            let (id, range, cursor, due) = &mut readers[random.usize(..4)];
            let at = cursor.or_else(|| log.resume(*id)).unwrap();
            match log.read(range, at) {
                Found::Events(events, next) => {
                    let seen = events.iter().map(|event| event.kv().key_str().unwrap());
                    for key in seen {
                        assert_eq!(due.remove(0), key, "seed {seed}");
                    }
                    *cursor = Some(next);
                }
                Found::Nothing(end) => {
                    assert!(due.is_empty() && end == log.end(), "seed {seed}: {due:?}");
                    log.wait(*id, range, Waker::noop());
                    *cursor = None;
                }
                Found::Lagged => {
                    due.clear();
                    *cursor = Some(log.end());
                }
            }
        }
    }
}
