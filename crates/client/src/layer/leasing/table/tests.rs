//! Schedules of reads, writes and requests of others: each by itself, and then many at random.

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

/// A cluster with one key, whose value is the revision that wrote it, and what is on its way to and from it.
#[derive(Default)]
struct World {
    revision: i64,
    value: Option<i64>,
    /// When our owner's key was made, if it is there.
    owner: Option<i64>,
    takes: Vec<Take>,
    writes: Vec<Write>,
    /// Others have asked for the key, and we have not heard of it.
    asked: bool,
}

struct Take {
    id: Id,
    /// Whether the key became ours, when, and what it was then.
    answer: Option<Option<(i64, Option<i64>)>>,
}

struct Write {
    own: Option<(Id, Revision)>,
    delete: bool,
    /// Whether it was done, and when.
    answer: Option<Option<i64>>,
}

impl World {
    fn next(&mut self) -> i64 {
        self.revision += 1;
        self.revision
    }

    fn kv(at: i64) -> KeyValue {
        kv(&at.to_string()).with_revisions(at, at)
    }

    /// The server deals with what was asked first.
    fn serve(&mut self) {
        if let Some(take) = self.takes.iter().position(|take| take.answer.is_none()) {
            let taken = self.owner.is_none().then(|| (self.next(), self.value));
            self.owner = taken.map(|(since, _)| since).or(self.owner);
            self.takes[take].answer = Some(taken);
        } else if let Some(write) = self.writes.iter().position(|write| write.answer.is_none()) {
            let Write { own, delete, .. } = &self.writes[write];
            let (guard, delete) = (own.map(|(_, since)| since.get()), *delete);
            let done = (self.owner == guard).then(|| self.next());
            if let Some(at) = done {
                self.value = (!delete).then_some(at);
            }
            self.writes[write].answer = Some(done);
        }
    }

    /// Our owner's key is deleted, if it still is that one.
    fn give_up(&mut self, since: i64) {
        if self.owner == Some(since) {
            self.next();
            self.owner = None;
        }
    }

    /// An answer arrives, any of those that there are.
    fn answer(&mut self, table: &mut Table, random: &mut fastrand::Rng) {
        let takes: Vec<_> =
            (0..self.takes.len()).filter(|n| self.takes[*n].answer.is_some()).collect();
        let writes: Vec<_> =
            (0..self.writes.len()).filter(|n| self.writes[*n].answer.is_some()).collect();
        if let Some(take) = random.choice(&takes).filter(|_| random.bool() || writes.is_empty()) {
            let Take { id, answer } = self.takes.swap_remove(*take);
            match answer.flatten() {
                Some((since, value)) => {
                    if !table.taken(b"a", id, rev(since), value.map(Self::kv)) {
                        self.give_up(since);
                    }
                }
                None => table.drop_holding(b"a", id),
            }
        } else if let Some(write) = random.choice(&writes) {
            let Write { own, delete, answer } = self.writes.swap_remove(*write);
            match (own, answer.flatten()) {
                (Some((id, _)), Some(at)) => {
                    table.end_write(b"a", id, Some(((!delete).then(|| Self::kv(at)), rev(at))));
                }
                // Not done, or nobody knows: it is given up.
                (Some((id, since)), None) => {
                    table.drop_holding(b"a", id);
                    self.give_up(since.get());
                }
                (None, _) => {}
            }
        }
    }
}

/// Whatever is read from memory is what the server would answer: whoever reads, writes and asks for the key, in which order
/// ever requests are served and answers arrive, and whenever the session ends.
#[test]
fn what_is_read_is_what_is_there_in_any_order() {
    let mut reads = 0;
    for seed in 0..2000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut table, mut world) = (Table::new(10), World::default());
        let mut now = clock::now();
        for _ in 0..80 {
            match random.u32(..16) {
                0..3 => {
                    if let Some(id) = table.take(&key(), now) {
                        world.takes.push(Take { id, answer: None });
                    }
                }
                3..5 => {
                    let own = table.begin_write(b"a");
                    world.writes.push(Write { own, delete: random.u8(..4) == 0, answer: None });
                }
                5..9 => world.serve(),
                9..13 => world.answer(&mut table, &mut random),
                // Others ask for the key, write it when it is free, and we hear of what they asked.
                13 if world.owner.is_some() => world.asked = true,
                13 => world.value = Some(world.next()),
                14 if world.asked => {
                    world.asked = false;
                    table.refuse(&key(), now);
                    world.owner.into_iter().for_each(|since| world.give_up(since));
                    now += RESPITE;
                }
                14 => {}
                // The session ends: here first, and then on the server.
                _ => {
                    table.close();
                    table.reopen();
                    world.owner.into_iter().for_each(|since| world.give_up(since));
                }
            }
            if let Some(read) = table.read(b"a") {
                assert_eq!(read, world.value.map(World::kv), "seed {seed}");
                reads += 1;
            }
        }
    }
    assert!(reads > 1000, "hardly anything was read from memory: {reads}");
}
