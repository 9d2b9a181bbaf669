//! The machine against a model of the server, over generated schedules.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{WatchCreateRequest, WatchResponse as Wire};
use etcdkit_proto::mvccpb::{self, KeyValue};
use proptest::prelude::*;

use super::*;
use crate::clock;
use crate::request::Watch;

const TRUSTED: Server = Server { progress: true, denial_is_ambiguous: false, repeats: false };

/// What can happen.
#[derive(Clone, Debug)]
enum Step {
    /// A transaction on these of four keys.
    Write(u8),
    Watch {
        keys: u8,
        from: Option<u8>,
        filter: u8,
    },
    Cancel(u8),
    Pause(u8),
    Resume(u8),
    /// The stream is opened, once it is wanted.
    Open,
    Disconnect,
    /// The server handles so many requests.
    Serve(u8),
    /// The client receives so many responses.
    Receive(u8),
    /// The server sends what there is to its watchers, in pieces or not.
    Publish {
        fragment: bool,
    },
    Progress,
    /// The next "created" overtakes words on progress that are on their way.
    Overtake,
    Compact(u8),
    RefuseTokens,
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u8..16).prop_map(Step::Write),
        3 => (0u8..5, proptest::option::of(1u8..20), 0u8..3)
            .prop_map(|(keys, from, filter)| Step::Watch { keys, from, filter }),
        1 => any::<u8>().prop_map(Step::Cancel),
        1 => any::<u8>().prop_map(Step::Pause),
        1 => any::<u8>().prop_map(Step::Resume),
        4 => Just(Step::Open),
        1 => Just(Step::Disconnect),
        6 => (1u8..8).prop_map(Step::Serve),
        6 => (1u8..8).prop_map(Step::Receive),
        5 => any::<bool>().prop_map(|fragment| Step::Publish { fragment }),
        2 => Just(Step::Progress),
        1 => Just(Step::Overtake),
        1 => any::<u8>().prop_map(Step::Compact),
        1 => Just(Step::RefuseTokens),
        3 => Just(Step::Read),
    ]
}

/// One event, as far as it matters: key and whether it is a put.
type Change = (u8, bool);

#[derive(Debug, Default)]
struct Model {
    /// What happened at each revision, from 2 on.
    history: BTreeMap<i64, Vec<Change>>,
    revision: i64,
    compacted: i64,
    /// The open stream: what it was sent, and what it sends.
    open: bool,
    inbox: VecDeque<WatchRequest>,
    outbox: VecDeque<Wire>,
    watchers: BTreeMap<i64, (WatchCreateRequest, i64)>,
    /// Ended by a compaction, and kept until they are cancelled.
    ended: BTreeSet<i64>,
    refuse_tokens: bool,
    overtake: bool,
}

fn key_name(key: u8) -> Bytes {
    Bytes::copy_from_slice(&[b'a' + key])
}

fn matches(create: &WatchCreateRequest, (key, put): Change) -> bool {
    let name = key_name(key);
    let inside = match &*create.range_end {
        [] => name == create.key,
        [0] => name >= create.key,
        end => name >= create.key && *name < *end,
    };
    inside && !create.filters.contains(&i32::from(!put))
}

impl Model {
    fn header(&self) -> Option<wire::ResponseHeader> {
        let revision = self.revision;
        Some(wire::ResponseHeader { revision, ..wire::ResponseHeader::default() })
    }

    fn say(&mut self, id: i64, change: impl FnOnce(&mut Wire)) {
        let mut response = Wire { header: self.header(), watch_id: id, ..Wire::default() };
        change(&mut response);
        self.outbox.push_back(response);
    }

    fn serve(&mut self) {
        match self.inbox.pop_front().and_then(|request| request.request_union) {
            None => {}
            Some(RequestUnion::Create(create)) if self.refuse_tokens => {
                self.say(-1, |response| {
                    (response.created, response.canceled) = (true, true);
                    response.cancel_reason = "etcdserver: invalid auth token".into();
                });
                drop(create);
            }
            Some(RequestUnion::Create(create)) => {
                let id = create.watch_id;
                assert!(!self.watchers.contains_key(&id), "id {id} is in use");
                assert_ne!(create.start_revision, 0, "from now is an explicit revision");
                let next = create.start_revision;
                self.watchers.insert(id, (create, next));
                let at = match std::mem::take(&mut self.overtake) {
                    true => self.outbox.iter().rposition(|it| it.watch_id != -1 || it.created),
                    false => self.outbox.len().checked_sub(1),
                };
                self.say(id, |response| response.created = true);
                let created = self.outbox.pop_back().unwrap();
                self.outbox.insert(at.map_or(0, |at| at + 1), created);
            }
            Some(RequestUnion::Cancel(cancel)) => {
                let id = cancel.watch_id;
                if self.watchers.remove(&id).is_some() || self.ended.remove(&id) {
                    self.say(id, |response| response.canceled = true);
                }
            }
            // A watch has yet to catch up, or to begin, or never will: no answer.
            Some(RequestUnion::Progress(_))
                if self.revision % 4 == 0 || !self.ended.is_empty() || self.has_future() => {}
            Some(RequestUnion::Progress(_)) => {
                self.publish(false);
                self.say(-1, |_| {});
            }
        }
    }

    /// Whether a watch begins with a revision that has yet to come, though not the next one.
    fn has_future(&self) -> bool {
        self.watchers.values().any(|(create, _)| create.start_revision > self.revision + 1)
    }

    fn publish(&mut self, fragment: bool) {
        let ids: Vec<i64> = self.watchers.keys().copied().collect();
        for id in ids {
            let (create, next) = self.watchers[&id].clone();
            if next < self.compacted {
                let compacted = self.compacted;
                self.watchers.remove(&id);
                self.ended.insert(id);
                self.say(id, |response| {
                    response.canceled = true;
                    response.compact_revision = compacted;
                });
                continue;
            }
            let events: Vec<mvccpb::Event> = self
                .history
                .range(next..)
                .flat_map(|(revision, changes)| changes.iter().map(|change| (*revision, *change)))
                .filter(|(_, change)| matches(&create, *change))
                .map(|(revision, (key, put))| mvccpb::Event {
                    r#type: i32::from(!put),
                    kv: Some(KeyValue {
                        key: key_name(key),
                        mod_revision: revision,
                        ..KeyValue::default()
                    }),
                    prev_kv: None,
                })
                .collect();
            self.watchers.insert(id, (create, next.max(self.revision + 1)));
            let size = if fragment { 1 } else { events.len().max(1) };
            let pieces = events.chunks(size).count();
            for (index, piece) in events.chunks(size).enumerate() {
                let events = piece.to_vec();
                self.say(id, |response| {
                    response.events = events;
                    response.fragment = index + 1 < pieces;
                });
            }
        }
    }

    fn disconnect(&mut self) {
        self.open = false;
        self.inbox.clear();
        self.outbox.clear();
        self.watchers.clear();
        self.ended.clear();
    }
}

/// A watch as its reader sees it.
#[derive(Debug)]
struct Reader {
    create: WatchCreateRequest,
    start: Option<i64>,
    /// When it was asked for: a watch from now must not begin later.
    asked_at: i64,
    seen: Vec<(i64, Change)>,
    end: Option<Error>,
    cancelled: bool,
}

struct Run {
    /// Readers are known by their watches.
    machine: Machine<Key>,
    model: Model,
    readers: BTreeMap<Key, Reader>,
    now: Instant,
    next_key: Key,
    reading: bool,
    refusals: u32,
}

impl Run {
    fn new() -> Self {
        let random = fastrand::Rng::with_seed(7);
        Self {
            machine: Machine::new(RetryPolicy::default(), true, random),
            model: Model { revision: 1, ..Model::default() },
            readers: BTreeMap::new(),
            now: clock::now(),
            next_key: 1,
            reading: false,
            refusals: 0,
        }
    }

    fn pick(&self, number: u8) -> Option<Key> {
        let alive: Vec<Key> = self
            .readers
            .iter()
            .filter(|(_, reader)| reader.end.is_none() && !reader.cancelled)
            .map(|(key, _)| *key)
            .collect();
        alive.get(usize::from(number).checked_rem(alive.len())?).copied()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(keys) => {
                self.model.revision += 1;
                let revision = self.model.revision;
                let changes =
                    (0..4).filter(|key| keys >> key & 1 == 1).map(|key| (key, revision % 3 != 0));
                self.model.history.insert(revision, changes.collect());
            }
            Step::Watch { keys, from, filter } => {
                let watch = match keys {
                    4 => Watch::from_key("b"),
                    3 => Watch::range("a", "c"),
                    key => Watch::new(key_name(*key)),
                };
                let watch = match filter {
                    1 => watch.only_puts(),
                    2 => watch.only_deletes(),
                    _ => watch,
                };
                let watch = match from {
                    Some(from) => watch.from_revision(i64::from(*from)),
                    None => watch,
                };
                let settings = watch.settings();
                let create = watch.into_wire();
                self.readers.insert(
                    self.next_key,
                    Reader {
                        create: create.clone(),
                        start: None,
                        asked_at: self.model.revision,
                        seen: Vec::new(),
                        end: None,
                        cancelled: false,
                    },
                );
                self.machine.add(self.next_key, create, &settings, self.next_key);
                self.next_key += 1;
            }
            Step::Cancel(number) => {
                if let Some(key) = self.pick(*number) {
                    self.machine.cancel(key);
                    self.readers.get_mut(&key).unwrap().cancelled = true;
                }
            }
            Step::Pause(number) => {
                if let Some(key) = self.pick(*number) {
                    self.machine.pause(key);
                }
            }
            Step::Resume(number) => {
                if let Some(key) = self.pick(*number) {
                    self.machine.resume(key);
                }
            }
            Step::Open => self.open(),
            Step::Disconnect => {
                if self.model.open {
                    self.model.disconnect();
                    self.machine.lost(&Error::new(ErrorKind::Unavailable, "broke"), self.now);
                }
            }
            Step::Serve(count) => (0..*count).for_each(|_| self.model.serve()),
            Step::Receive(count) => {
                for _ in 0..*count {
                    self.receive();
                }
            }
            Step::Publish { fragment } => self.model.publish(*fragment),
            Step::Progress => self.machine.request_progress(),
            Step::Overtake => self.model.overtake = true,
            Step::Compact(by) => {
                let room = self.model.revision - self.model.compacted;
                self.model.compacted += i64::from(*by) % (room + 1);
            }
            Step::RefuseTokens => {
                self.model.refuse_tokens = true;
                self.refusals += 1;
            }
            Step::Read => self.read(),
        }
        self.carry_out();
    }

    fn open(&mut self) {
        if self.model.open {
            return;
        }
        let Some(at) = self.machine.wants_stream() else { return };
        self.now = at.unwrap_or(self.now).max(self.now);
        self.machine.opening();
        self.model.open = true;
        self.machine.opened(TRUSTED, self.now);
    }

    fn receive(&mut self) {
        if let Some(response) = self.model.outbox.pop_front() {
            self.machine.receive(response, 10);
            self.carry_out();
        }
    }

    fn read(&mut self) {
        if self.reading {
            self.reading = false;
            let revision = Revision::new(self.model.revision);
            self.machine.read_done(Ok(revision), self.now);
        } else if self.machine.wants_read().is_some() {
            self.reading = self.machine.begin_read().is_some();
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.machine.output() {
            match output {
                Output::Send(request) => {
                    assert!(self.model.open, "sent without a stream: {request:?}");
                    self.model.inbox.push_back(request);
                }
                Output::Started(key, at) => {
                    let reader = self.readers.get_mut(&key).unwrap();
                    assert!(reader.start.replace(at.get()).is_none());
                }
                Output::Deliver(key, response, _) => {
                    assert_eq!(self.machine.reader(key), Some(&key), "for nobody");
                    let reader = self.readers.get_mut(&key).unwrap();
                    assert!(reader.end.is_none() && !reader.cancelled, "after the end");
                    for event in response.events() {
                        let change = (event.key()[0] - b'a', event.is_put());
                        reader.seen.push((event.revision().get(), change));
                    }
                    // Atomic: nothing of its last revision is missing.
                    let last = reader.seen.last().map(|(revision, _)| *revision);
                    if let Some(last) = last.filter(|_| !response.events().is_empty()) {
                        let seen = reader.seen.iter().filter(|(at, _)| *at == last).count();
                        let all = self.model.history[&last].iter();
                        let all = all.filter(|change| matches(&reader.create, **change)).count();
                        assert_eq!(seen, all, "revision {last} is cut");
                    }
                }
                Output::Moved(..) => {}
                Output::End(key, error) => {
                    let reader = self.readers.get_mut(&key).unwrap();
                    assert!(!reader.cancelled && reader.end.is_none(), "a second end: {error}");
                    reader.end = Some(error);
                }
                Output::Renew => {
                    self.model.refuse_tokens = false;
                    self.model.disconnect();
                    self.machine.renewed();
                    if self.machine.is_leaving() {
                        self.machine.closed();
                    }
                }
                Output::Leave(error) => {
                    self.model.disconnect();
                    if self.machine.is_leaving() {
                        self.machine.left(&error, self.now);
                    }
                }
            }
        }
    }

    /// Everything works from here on.
    fn settle(&mut self) {
        for _ in 0..50 {
            let keys: Vec<Key> = self.readers.keys().copied().collect();
            for key in keys {
                self.machine.resume(key);
            }
            self.carry_out();
            self.read();
            self.open();
            self.carry_out();
            while !self.model.inbox.is_empty() {
                self.model.serve();
            }
            self.model.publish(false);
            while !self.model.outbox.is_empty() {
                self.receive();
            }
            self.now += Duration::from_millis(10);
        }
    }

    fn check(&self) {
        for (key, reader) in &self.readers {
            let Some(start) = reader.start else {
                assert!(reader.cancelled, "watch {key} never began");
                continue;
            };
            if reader.create.start_revision == 0 {
                assert!(start > reader.asked_at, "watch {key} began before it was asked for");
            }
            let expected: Vec<(i64, Change)> = self
                .model
                .history
                .range(start..)
                .flat_map(|(revision, changes)| changes.iter().map(|change| (*revision, *change)))
                .filter(|(_, change)| matches(&reader.create, *change))
                .collect();
            match &reader.end {
                None if !reader.cancelled => assert_eq!(reader.seen, expected, "watch {key}"),
                end => {
                    assert!(expected.starts_with(&reader.seen), "watch {key}: {:?}", reader.seen);
                    if let Some(error) = end {
                        // A new token that is refused too is the end.
                        let refused =
                            self.refusals > 1 && error.kind() == ErrorKind::Unauthenticated;
                        let compacted = error.kind() == ErrorKind::Compacted;
                        assert!(refused || compacted && start < self.model.compacted, "{error}");
                    }
                }
            }
        }
        // Nobody is left on the server who was cancelled or has ended.
        let alive = self
            .readers
            .values()
            .filter(|reader| !reader.cancelled && reader.end.is_none())
            .count();
        assert_eq!(if self.model.open { self.model.watchers.len() } else { alive }, alive);
        assert!(self.model.ended.is_empty(), "{:?} were ended and not cancelled", self.model.ended);
        assert!(!self.model.has_future(), "nobody hears of progress: {:?}", self.model.watchers);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// The nine promises for each watch, one end for each, and nothing left on the server.
    #[test]
    fn any_schedule(steps in proptest::collection::vec(step(), 0..120)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.settle();
        run.check();
    }
}

fn event(key: &'static str, revision: i64) -> mvccpb::Event {
    let kv = KeyValue { key: key.into(), mod_revision: revision, ..KeyValue::default() };
    mvccpb::Event { kv: Some(kv), ..mvccpb::Event::default() }
}

/// A machine with one watch of `a`..`c` from revision 5 on, which the server has under the id that is returned.
fn watching(server: Server, watch: Watch) -> (Machine<Key>, i64) {
    let random = fastrand::Rng::with_seed(7);
    let mut machine = Machine::new(RetryPolicy::default(), true, random);
    let settings = watch.settings();
    machine.add(1, watch.into_wire(), &settings, 1);
    machine.opening();
    machine.opened(server, clock::now());
    let id = own_id(1, 1);
    machine.receive(Wire { created: true, watch_id: id, ..Wire::default() }, 0);
    while machine.output().is_some() {}
    (machine, id)
}

fn at(revision: i64) -> Option<wire::ResponseHeader> {
    Some(wire::ResponseHeader { revision, ..wire::ResponseHeader::default() })
}

fn range() -> Watch {
    Watch::range("a", "c").from_revision(5)
}

/// The end that the one watch comes to.
fn end_of(machine: &mut Machine<Key>) -> Option<Error> {
    let mut end = None;
    while let Some(output) = machine.output() {
        if let Output::End(_, error) = output {
            assert!(end.is_none(), "two ends");
            end = Some(error);
        }
    }
    end
}

#[test]
fn a_broken_promise_is_told_and_named() {
    let table = [
        ("Ordered", vec![event("a", 7), event("b", 6)]),
        ("Unique", vec![event("a", 4)]),
        ("Unique", vec![event("a", 7), event("a", 7)]),
        ("Filter", vec![event("c", 7)]),
    ];
    for (promise, events) in table {
        let (mut machine, id) = watching(TRUSTED, range());
        machine.receive(Wire { watch_id: id, events, ..Wire::default() }, 0);
        let error = end_of(&mut machine).unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(promise), "{promise}: {error}");
    }
    // Atomic: more of a revision that was complete. Bookmarkable: something of before a notification.
    let (mut machine, id) = watching(TRUSTED, range());
    machine.receive(Wire { watch_id: id, events: vec![event("a", 7)], ..Wire::default() }, 0);
    machine.receive(Wire { watch_id: id, events: vec![event("b", 7)], ..Wire::default() }, 0);
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::Corrupt);
    let (mut machine, id) = watching(TRUSTED, range());
    let header = Some(wire::ResponseHeader { revision: 9, ..wire::ResponseHeader::default() });
    machine.receive(Wire { watch_id: -1, header, ..Wire::default() }, 0);
    machine.receive(Wire { watch_id: id, events: vec![event("b", 8)], ..Wire::default() }, 0);
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::Corrupt);
}

#[test]
fn servers_that_repeat_themselves_are_not_repeated() {
    let server = Server { repeats: true, ..TRUSTED };
    let (mut machine, id) = watching(server, range());
    let events = vec![event("a", 4), event("a", 5)];
    machine.receive(Wire { watch_id: id, events, ..Wire::default() }, 0);
    let Some(Output::Deliver(_, response, _)) = machine.output() else { panic!("nothing came") };
    assert_eq!(response.events().len(), 1);
}

/// What is put together is bounded.
#[test]
fn a_revision_in_endless_pieces_ends_its_watch() {
    let (mut machine, id) = watching(TRUSTED, range());
    for (sent, key) in ["a1", "a2", "a3", "a4", "a5"].into_iter().enumerate() {
        assert!(end_of(&mut machine).is_none(), "after {sent} pieces");
        let events = vec![event(key, 7)];
        let piece = Wire { watch_id: id, fragment: true, events, ..Wire::default() };
        machine.receive(piece, LARGEST / 4);
    }
    let end = end_of(&mut machine).expect("four are as much as may come");
    assert_eq!(end.kind(), ErrorKind::ResourceExhausted);
}

/// Each piece was compared with all that came before it, so that many took hours.
#[test]
fn a_revision_in_very_many_pieces_is_put_together_at_once() {
    let (mut machine, id) = watching(TRUSTED, range());
    let piece = |number: i32| {
        let kv =
            KeyValue { key: format!("a{number}").into(), mod_revision: 7, ..Default::default() };
        let events = vec![mvccpb::Event { kv: Some(kv), ..Default::default() }];
        Wire { watch_id: id, fragment: true, events, ..Wire::default() }
    };
    for number in 0..100_000 {
        machine.receive(piece(number), 10);
    }
    assert!(machine.output().is_none());
    machine.receive(Wire { fragment: false, ..piece(100_000) }, 10);
    let Some(Output::Deliver(1, response, bytes)) = machine.output() else { panic!("not whole") };
    assert_eq!((response.events().len(), bytes), (100_001, 1_000_010));
}

/// Whatever the pieces: what is wrong with a revision is found.
#[test]
fn a_promise_that_is_broken_between_two_pieces_is_told_and_named() {
    let table = [
        ("Unique", vec![event("a", 7), event("b", 7)], vec![event("b", 7)]),
        ("Unique", vec![event("a", 7)], vec![event("b", 7), event("b1", 7), event("b", 7)]),
        ("Unique", vec![event("a", 7)], vec![event("b", 7), event("a", 8), event("a", 8)]),
        ("Ordered", vec![event("a", 7)], vec![event("b", 6)]),
        ("Ordered", vec![event("a", 7)], vec![event("b", 7), event("b", 6)]),
        ("Filter", vec![event("a", 7)], vec![event("c", 7)]),
    ];
    for (promise, one, other) in table {
        for fragment in [true, false] {
            let (mut machine, id) = watching(TRUSTED, range());
            let piece = |events| Wire { watch_id: id, fragment: true, events, ..Wire::default() };
            machine.receive(piece(one.clone()), 10);
            assert!(machine.output().is_none());
            machine.receive(Wire { fragment, ..piece(other.clone()) }, 10);
            let error = end_of(&mut machine).unwrap();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(promise), "{promise}: {error}");
        }
    }
}

/// Neither the revision of "created" nor that of a batch is where a watch goes on, nor is progress that means nothing.
#[test]
fn only_events_and_trusted_progress_move_the_resume_point() {
    let at = |revision| Some(wire::ResponseHeader { revision, ..wire::ResponseHeader::default() });
    for (progress, expected) in [(true, 101), (false, 8)] {
        let (mut machine, id) = watching(Server { progress, ..TRUSTED }, range());
        let events = vec![event("a", 7)];
        let batch = Wire { watch_id: id, header: at(50), events, ..Wire::default() };
        machine.receive(batch, 0);
        machine.receive(Wire { watch_id: -1, header: at(100), ..Wire::default() }, 0);
        machine.lost(&Error::new(ErrorKind::Unavailable, "broke"), clock::now());
        machine.opening();
        while machine.output().is_some() {}
        machine.opened(TRUSTED, clock::now());
        let Some(Output::Send(request)) = machine.output() else { panic!("nothing was sent") };
        let Some(RequestUnion::Create(create)) = request.request_union else { panic!("no create") };
        assert_eq!(create.start_revision, expected);
    }
}

/// Progress that was asked for before the server had the watch can come after "created": etcd sends the two on ways of
/// their own. It would have the watch go on after events that it has yet to get.
#[test]
fn progress_that_was_asked_for_before_a_watch_says_nothing_about_it() {
    let at = |revision| Some(wire::ResponseHeader { revision, ..wire::ResponseHeader::default() });
    let random = fastrand::Rng::with_seed(7);
    let mut machine = Machine::new(RetryPolicy::default(), true, random);
    machine.opening();
    machine.opened(TRUSTED, clock::now());
    machine.request_progress();
    let settings = range().settings();
    machine.add(1, range().into_wire(), &settings, 1);
    let id = own_id(1, 1);
    let created = Wire { created: true, watch_id: id, header: at(20), ..Wire::default() };
    machine.receive(created, 0);
    machine.ask_progress(1);
    while machine.output().is_some() {}
    let progress = Wire { watch_id: -1, header: at(20), ..Wire::default() };
    machine.receive(progress.clone(), 0);
    assert!(machine.output().is_none(), "it is not the answer");
    let events = vec![event("a", 7)];
    machine.receive(Wire { watch_id: id, header: at(20), events, ..Wire::default() }, 0);
    assert!(matches!(machine.output(), Some(Output::Deliver(1, ..))));
    // This one is the answer to the second request.
    machine.receive(progress, 0);
    let Some(Output::Deliver(1, response, _)) = machine.output() else { panic!("no answer") };
    assert!(response.is_progress());
    assert!(matches!(machine.output(), Some(Output::Moved(1, to)) if to.get() == 20));
}

/// What the machine sends.
fn sent(machine: &mut Machine<Key>) -> Vec<RequestUnion> {
    let mut sent = Vec::new();
    while let Some(output) = machine.output() {
        match output {
            Output::Send(request) => sent.extend(request.request_union),
            Output::End(_, error) => panic!("{error}"),
            _ => {}
        }
    }
    sent
}

/// A watch of `a`..`c` from revision 100 on, of which the server has come to revision 9, and its id.
fn waiting() -> (Machine<Key>, i64) {
    let random = fastrand::Rng::with_seed(7);
    let mut machine = Machine::new(RetryPolicy::default(), true, random);
    let watch = range().from_revision(100);
    let settings = watch.settings();
    machine.add(1, watch.into_wire(), &settings, 1);
    machine.opening();
    machine.opened(TRUSTED, clock::now());
    let [RequestUnion::Create(create)] = &sent(&mut machine)[..] else { panic!("no creation") };
    assert_eq!(create.start_revision, 100);
    let created = |id| Wire { created: true, watch_id: id, header: at(9), ..Wire::default() };
    machine.receive(created(create.watch_id), 0);
    let sent = sent(&mut machine);
    let [RequestUnion::Cancel(cancel), RequestUnion::Create(again)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!((cancel.watch_id, again.start_revision), (create.watch_id, 9));
    machine.receive(created(again.watch_id), 0);
    assert!(machine.output().is_none(), "once is enough");
    (machine, again.watch_id)
}

/// etcd answers no request for progress on a stream of which a watch has yet to begin, so that a compaction ended the
/// others: it begins with what is there, and what was not asked for is left out.
#[test]
fn a_watch_from_a_future_revision_begins_early_and_shows_nothing_before_it() {
    let (mut machine, id) = waiting();
    let batch = |events| Wire { watch_id: id, header: at(101), events, ..Wire::default() };
    let piece = |events| Wire { fragment: true, ..batch(events) };
    machine.receive(batch(vec![event("a", 9), event("b", 99)]), 0);
    machine.receive(piece(vec![event("a", 99), event("a", 100)]), 0);
    assert!(machine.output().is_none());
    machine.receive(batch(vec![event("b", 100)]), 0);
    let Some(Output::Deliver(1, response, _)) = machine.output() else { panic!("nothing came") };
    assert_eq!(response.events().len(), 2);
    // From here on it is a watch like any other.
    machine.receive(batch(vec![event("a", 99)]), 0);
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::Corrupt);
}

/// What is compacted before the first revision of a watch is nothing that it misses.
#[test]
fn a_compaction_before_the_first_revision_of_a_watch_is_not_its_end() {
    for (compacted, ends) in [(50, false), (100, false), (101, true)] {
        let (mut machine, id) = waiting();
        let canceled = Wire { watch_id: id, canceled: true, header: at(101), ..Wire::default() };
        machine.receive(Wire { compact_revision: compacted, ..canceled }, 0);
        if ends {
            assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::Compacted);
            continue;
        }
        let sent = sent(&mut machine);
        let [RequestUnion::Cancel(_), RequestUnion::Create(again)] = &sent[..] else {
            panic!("{sent:?}")
        };
        assert_eq!(again.start_revision, 100);
    }
}

#[test]
fn a_history_that_goes_back_ends_what_saw_more() {
    let (mut machine, id) = watching(TRUSTED, range());
    let events = vec![event("a", 20)];
    machine.receive(Wire { watch_id: id, header: at(20), events, ..Wire::default() }, 0);
    machine.lost(&Error::new(ErrorKind::Unavailable, "broke"), clock::now());
    machine.opening();
    machine.opened(TRUSTED, clock::now());
    let id = own_id(1, 2);
    let created = Wire { created: true, watch_id: id, header: at(9), ..Wire::default() };
    machine.receive(created, 0);
    assert!(machine.wants_read().is_some(), "the member is behind: or is it the history?");
    assert!(machine.begin_read().is_some());
    machine.read_done(Ok(Revision::new(9)), clock::now());
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::ClusterChanged);
}

/// The watch has seen nothing yet, but other calls have: it waited for ever for a revision that had been before.
#[test]
fn a_history_that_went_back_before_the_first_stream_is_noticed() {
    let random = fastrand::Rng::with_seed(7);
    let mut machine = Machine::new(RetryPolicy::default(), true, random);
    machine.add(1, range().into_wire(), &range().settings(), 1);
    machine.opening();
    machine.heard(4);
    machine.opened(TRUSTED, clock::now());
    let created = Wire { created: true, watch_id: own_id(1, 1), header: at(2), ..Wire::default() };
    machine.receive(created, 0);
    assert!(machine.begin_read().is_some());
    machine.read_done(Ok(Revision::new(2)), clock::now());
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::ClusterChanged);
}

/// A read that was to tell whether the history went back, and failed, was forgotten.
#[test]
fn a_failed_read_is_made_again() {
    let (mut machine, id) = watching(TRUSTED, range());
    machine.receive(
        Wire { header: at(9), events: vec![event("a", 9)], watch_id: id, ..Wire::default() },
        10,
    );
    machine.lost(&Error::new(ErrorKind::Unavailable, "broke"), clock::now());
    machine.opening();
    machine.opened(TRUSTED, clock::now());
    let id = own_id(1, 2);
    machine.receive(Wire { header: at(5), created: true, watch_id: id, ..Wire::default() }, 0);
    for failures in 0..3 {
        assert!(machine.wants_read().is_some(), "after {failures} failures");
        assert!(machine.begin_read().is_some());
        let busy = Error::new(ErrorKind::Unavailable, "nobody is there");
        machine.read_done(Err(busy), clock::now());
        assert!(end_of(&mut machine).is_none());
    }
    assert!(machine.begin_read().is_some());
    machine.read_done(Ok(Revision::new(5)), clock::now());
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::ClusterChanged);
    assert!(machine.wants_read().is_none());
}

#[test]
fn without_a_leader_it_moves_or_ends_as_asked() {
    let no_leader = Error::from_status(crate::error::Code::Unavailable, "etcdserver: no leader");
    let (mut machine, _) = watching(TRUSTED, range());
    machine.lost(&no_leader, clock::now());
    assert!(matches!(machine.output(), Some(Output::Leave(_))));
    assert!(machine.wants_stream().is_some());
    let (mut machine, _) = watching(TRUSTED, range().end_without_leader());
    machine.lost(&no_leader, clock::now());
    assert_eq!(end_of(&mut machine).unwrap().kind(), ErrorKind::NoLeader);
}

#[test]
fn pauses_grow_and_begin_anew_after_a_success() {
    let (mut machine, id) = watching(TRUSTED, range());
    let broke = Error::new(ErrorKind::Unavailable, "broke");
    let start = clock::now();
    let mut now = start + Duration::from_secs(5);
    let mut pauses = Vec::new();
    for round in 0..12 {
        machine.lost(&broke, now);
        let at = machine.wants_stream().unwrap().unwrap();
        pauses.push(at - now);
        now = at;
        machine.opening();
        if round == 8 {
            machine.opened(TRUSTED, now);
            let id = id + 1;
            machine.receive(Wire { created: true, watch_id: id, ..Wire::default() }, 0);
            now += Duration::from_secs(2);
        }
    }
    assert!(pauses[8] > Duration::from_millis(400), "{pauses:?}");
    assert!(pauses[9] <= Duration::from_millis(25), "{pauses:?}");
    while machine.output().is_some() {}
}

/// Nobody waited any more for the stream and the read under way; the next watch wants them again.
#[test]
fn what_was_dropped_is_asked_for_again() {
    let random = fastrand::Rng::with_seed(7);
    let mut machine = Machine::new(RetryPolicy::default(), true, random);
    for key in [1, 3] {
        for (key, watch) in [(key, range()), (key + 1, Watch::new("a"))] {
            let settings = watch.settings();
            machine.add(key, watch.into_wire(), &settings, key);
        }
        assert!(machine.wants_stream().is_some() && machine.wants_read().is_some(), "{key}");
        machine.opening();
        assert!(machine.begin_read().is_some());
        assert!(machine.wants_stream().is_none() && machine.wants_read().is_none());
        machine.cancel(key);
        machine.cancel(key + 1);
        machine.dropped();
    }
    assert!(machine.is_empty() && machine.wants_stream().is_none());
}
