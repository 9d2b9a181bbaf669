//! Schedules of reads, writes and requests of others: each by itself, and then many at random.

use std::collections::VecDeque;

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

/// The answer of a take came after its owner's key was deleted: the key was owned without a proof.
#[test]
fn what_is_gone_before_it_is_taken_is_not_ours() {
    // When an owner's key that is gone was made, and whether the one of revision 5 still counts.
    for (gone, ours) in [(4, true), (5, false), (6, false)] {
        let mut table = Table::new(10);
        let id = table.take(&key(), clock::now()).unwrap();
        table.gone(b"a", rev(gone));
        table.gone(b"a", rev(1));
        assert_eq!(table.taken(b"a", id, rev(5), None), ours, "{gone}");
        assert_eq!((table.read(b"a"), table.len()), (ours.then_some(None), usize::from(ours)));
        let (mut table, _) = owned();
        table.gone(b"a", rev(gone));
        assert_eq!(table.len(), usize::from(ours), "{gone}");
    }
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
    deletions: Vec<Deletion>,
    /// Owners' keys that were deleted, and when, as far as we have not heard of it.
    gone: VecDeque<i64>,
    /// Others have asked for the key, and we have not heard of it.
    asked: bool,
}

struct Take {
    id: Id,
    /// Whether the key became ours, when, and what it was then.
    answer: Option<Option<(i64, Option<i64>)>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Put,
    Delete,
    /// Of a range that the key is in.
    DeleteRange,
}

struct Write {
    own: Option<(Id, Revision)>,
    kind: Kind,
    /// When it was done, or, if it was not, since when somebody owns the key.
    answer: Option<Result<i64, Option<i64>>>,
}

/// Of an owner's key, if it still is that one.
struct Deletion {
    since: i64,
    /// The write that goes on after it.
    then: Option<Kind>,
    done: bool,
}

/// One of those that are true.
fn any(of: impl IntoIterator<Item = bool>, random: &mut fastrand::Rng) -> Option<usize> {
    let are: Vec<usize> =
        of.into_iter().enumerate().filter(|(_, is)| *is).map(|(n, _)| n).collect();
    random.choice(&are).copied()
}

impl World {
    fn next(&mut self) -> i64 {
        self.revision += 1;
        self.revision
    }

    fn kv(at: i64) -> KeyValue {
        kv(&at.to_string()).with_revisions(at, at)
    }

    fn begin(&mut self, table: &mut Table, kind: Kind) {
        let own = match kind {
            Kind::Put | Kind::Delete => table.begin_write(b"a"),
            Kind::DeleteRange => {
                for (key, since) in table.owned(|_| true) {
                    table.drop_key(&key);
                    self.give_up(since.get());
                }
                None
            }
        };
        self.writes.push(Write { own, kind, answer: None });
    }

    /// The server deals with something that it was asked.
    fn serve(&mut self, random: &mut fastrand::Rng) {
        let take = self.takes.iter().position(|take| take.answer.is_none());
        let write = self.writes.iter().position(|write| write.answer.is_none());
        let deletion = self.deletions.iter().position(|deletion| !deletion.done);
        let waiting = [take.is_some(), write.is_some(), deletion.is_some()];
        match any(waiting, random) {
            Some(0) => take.into_iter().for_each(|take| {
                let taken = self.owner.is_none().then(|| (self.next(), self.value));
                self.owner = taken.map(|(since, _)| since).or(self.owner);
                self.takes[take].answer = Some(taken);
            }),
            Some(1) => write.into_iter().for_each(|write| {
                let Write { own, kind, .. } = self.writes[write];
                let done = self.owner == own.map(|(_, since)| since.get());
                let answer = done.then(|| self.next()).ok_or(self.owner);
                if let Ok(at) = answer {
                    self.value = matches!(kind, Kind::Put).then_some(at);
                }
                self.writes[write].answer = Some(answer);
            }),
            _ => deletion.into_iter().for_each(|deletion| {
                let Deletion { since, then, .. } = self.deletions[deletion];
                self.delete(since);
                match then {
                    Some(_) => self.deletions[deletion].done = true,
                    None => drop(self.deletions.swap_remove(deletion)),
                }
            }),
        }
    }

    fn delete(&mut self, since: i64) {
        if self.owner == Some(since) {
            self.owner = None;
            let at = self.next();
            self.gone.push_back(at);
        }
    }

    fn give_up(&mut self, since: i64) {
        self.deletions.push(Deletion { since, then: None, done: false });
    }

    /// An answer arrives, any of those that there are.
    fn answer(&mut self, table: &mut Table, random: &mut fastrand::Rng) {
        let take = any(self.takes.iter().map(|take| take.answer.is_some()), random);
        let write = any(self.writes.iter().map(|write| write.answer.is_some()), random);
        let deletion = any(self.deletions.iter().map(|deletion| deletion.done), random);
        let waiting = [take.is_some(), write.is_some(), deletion.is_some(), !self.gone.is_empty()];
        match any(waiting, random) {
            Some(0) => {
                let Some(Take { id, answer }) = take.map(|n| self.takes.swap_remove(n)) else {
                    return;
                };
                match answer.flatten() {
                    Some((since, value)) => {
                        if !table.taken(b"a", id, rev(since), value.map(Self::kv)) {
                            self.give_up(since);
                        }
                    }
                    None => table.drop_holding(b"a", id),
                }
            }
            Some(1) => {
                let write = write.map(|n| self.writes.swap_remove(n));
                let Some(Write { own, kind, answer: Some(answer) }) = write else { return };
                if let (Some((id, _)), Ok(at)) = (own, answer) {
                    let found = matches!(kind, Kind::Put).then(|| Self::kv(at));
                    return table.end_write(b"a", id, Some((found, rev(at))));
                }
                if let Some((id, since)) = own {
                    table.drop_holding(b"a", id);
                    self.give_up(since.get());
                }
                // Whoever owns it is to give it back, and then it is tried again.
                match answer {
                    Ok(_) => {}
                    Err(None) => self.begin(table, kind),
                    Err(Some(since)) => {
                        table.gone(b"a", rev(since));
                        self.deletions.push(Deletion { since, then: Some(kind), done: false });
                    }
                }
            }
            Some(2) => {
                let then = deletion.and_then(|n| self.deletions.swap_remove(n).then);
                // Or nobody waits for it any more.
                then.filter(|_| random.bool()).into_iter().for_each(|kind| self.begin(table, kind));
            }
            _ => self.gone.pop_front().into_iter().for_each(|at| table.gone(b"a", rev(at))),
        }
    }
}

/// Whatever is read from memory is what the server would answer: whoever reads, writes and asks for the key, in which order
/// ever requests are served and answers arrive, and whenever the session ends or the history has a gap.
#[test]
fn what_is_read_is_what_is_there_in_any_order() {
    let mut reads = 0;
    for seed in 0..10000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut table, mut world) = (Table::new(10), World::default());
        let mut now = clock::now();
        // In each world some things happen often and others never.
        let mut schedule = vec!["take", "serve", "answer", "serve", "answer"];
        for what in ["take", "put", "delete", "delete range", "ask", "hear", "gap", "end"] {
            schedule.extend(std::iter::repeat_n(what, [0, 0, 1, 3][random.usize(..4)]));
        }
        for _ in 0..120 {
            match *random.choice(&schedule).unwrap() {
                "take" => {
                    if let Some(id) = table.take(&key(), now) {
                        world.takes.push(Take { id, answer: None });
                    }
                }
                "put" => world.begin(&mut table, Kind::Put),
                "delete" => world.begin(&mut table, Kind::Delete),
                "delete range" => world.begin(&mut table, Kind::DeleteRange),
                "serve" => world.serve(&mut random),
                "answer" => world.answer(&mut table, &mut random),
                // Others ask for the key, write it when it is free, and we hear of what they asked.
                "ask" if world.owner.is_some() => world.asked = true,
                "ask" => world.value = Some(world.next()),
                "hear" if world.asked => {
                    world.asked = false;
                    table.refuse(&key(), now);
                    world.owner.into_iter().for_each(|since| world.give_up(since));
                    now += RESPITE;
                }
                "hear" => {}
                "gap" => {
                    world.gone.clear();
                    for (_, since) in table.clear() {
                        world.give_up(since.get());
                    }
                }
                // The session ends: here first, and then on the server.
                _ => {
                    table.close();
                    table.reopen();
                    world.owner.into_iter().for_each(|since| world.delete(since));
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
