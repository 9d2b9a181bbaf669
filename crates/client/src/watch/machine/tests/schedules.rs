//! The machine against a model of the server, over generated schedules.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

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
    Compare,
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
        1 => Just(Step::Compare),
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
            Step::Compare => self.machine.compare(),
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
