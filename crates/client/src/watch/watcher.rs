//! One watch as the machine knows it: where it is, how far it has come, and whether what the server sends can be true.

use std::collections::HashSet;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::WatchCreateRequest;
use etcdkit_proto::etcdserverpb::watch_create_request::FilterType;
use etcdkit_proto::mvccpb::{self, event::EventType};

use super::failure::Refusals;
use crate::error::{Error, ErrorKind};
use crate::request::KeyRange;

/// Where a watch is on its way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// From now on: it waits for a read that says which revision now is.
    Unread,
    /// That read is under way.
    Reading,
    /// Its creation has yet to be sent.
    Unsent,
    /// Its creation was sent, and not answered yet.
    Creating,
    /// The server has it under this id.
    Live(i64),
    /// Its buffer is full: the server has it no more, and it is created again once there is room.
    Paused,
}

#[derive(Debug)]
pub(super) struct Watcher<R> {
    /// Who reads it.
    pub(super) reader: R,
    /// The request, except for start and id.
    create: WatchCreateRequest,
    pub(super) place: Place,
    /// The revision that it goes on with; 0 as long as it is not known.
    pub(super) next: i64,
    /// The revision before that with which the server is to begin, as long as nothing has come of the watch.
    pub(super) early: Option<i64>,
    /// How often its creation was sent.
    pub(super) turn: u32,
    /// The creation was answered once.
    pub(super) announced: bool,
    pub(super) created_notify: bool,
    /// Somebody asked for progress.
    pub(super) progress_wanted: bool,
    /// What the member had come to when it created the watch, and how many requests for progress went before.
    pub(super) created: (i64, u64),
    /// Tokens that the server refused it in a row.
    pub(super) refusals: Refusals,
    pub(super) end_without_leader: bool,
    /// Attempts in a row after which it gives up; 0 is never.
    pub(super) max_attempts: u32,
    /// Events of one revision of which more follow.
    held: Option<Box<Held>>,
}

/// The part of one revision that is here.
#[derive(Debug)]
struct Held {
    revision: i64,
    events: Vec<mvccpb::Event>,
    /// The keys that it changes, none of them twice.
    keys: HashSet<Bytes>,
    bytes: usize,
}

impl Held {
    fn new(revision: i64, events: Vec<mvccpb::Event>, bytes: usize) -> Self {
        let keys = events.iter().map(|event| key(event).clone()).collect();
        Self { revision, events, keys, bytes }
    }

    /// Adds the next events, of the same revision.
    fn add(&mut self, events: impl Iterator<Item = mvccpb::Event>) -> Result<(), Error> {
        for event in events {
            if !self.keys.insert(key(&event).clone()) {
                return Err(twice(self.revision));
            }
            self.events.push(event);
        }
        Ok(())
    }
}

/// What becomes of the events of one message.
#[derive(Debug)]
pub(super) enum Taken {
    /// All of it is complete, as are the events held before.
    Events(Vec<mvccpb::Event>, usize),
    /// Everything is held until the rest of the revision comes.
    Nothing,
}

impl<R> Watcher<R> {
    pub(super) fn new(
        create: WatchCreateRequest,
        settings: &crate::request::WatchSettings,
        reader: R,
    ) -> Self {
        let next = create.start_revision;
        Self {
            reader,
            create,
            place: if next == 0 { Place::Unread } else { Place::Unsent },
            next,
            early: None,
            turn: 0,
            announced: false,
            created_notify: settings.created_notify,
            progress_wanted: false,
            created: (0, 0),
            refusals: Refusals::default(),
            end_without_leader: settings.end_without_leader,
            max_attempts: settings.max_attempts,
            held: None,
        }
    }

    /// The id that the caller chose; 0 if none.
    pub(super) fn chosen_id(&self) -> i64 {
        self.create.watch_id
    }

    pub(super) fn progress_notify(&self) -> bool {
        self.create.progress_notify
    }

    /// The first key that it watches.
    pub(super) fn first_key(&self) -> Bytes {
        self.create.key.clone()
    }

    /// Whether the `answered`th word on the progress of a whole stream, at `revision`, was asked for when the server had
    /// this watch. An older one can come after "created", since servers send both on ways of their own; it says nothing
    /// about this watch.
    pub(super) fn is_meant(&self, revision: i64, answered: u64) -> bool {
        let (at, asked) = self.created;
        revision > at || answered > asked
    }

    /// Whether part of a revision is here.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// What that part takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.bytes)
    }

    /// Forgets part of a revision: it is sent again from its beginning.
    pub(super) fn forget_held(&mut self) {
        self.held = None;
    }

    /// The request that creates it where it goes on.
    pub(super) fn request(&self, id: i64) -> WatchCreateRequest {
        let start_revision = self.early.unwrap_or(self.next);
        WatchCreateRequest { watch_id: id, start_revision, ..self.create.clone() }
    }

    /// Everything up to `revision` has been told.
    pub(super) fn moved(&mut self, revision: i64) {
        self.next = revision.saturating_add(1);
        self.early = None;
    }

    /// Takes events in: whole revisions come out, and the resume point moves past them.
    ///
    /// `stale_dropped` is for servers that are known to send events again: what lies before the resume point is left
    /// out there, as of a watch that began early, and is a violation elsewhere.
    ///
    /// # Errors
    ///
    /// The server breaks what etcd promises; the text says which promise.
    pub(super) fn take(
        &mut self,
        mut events: Vec<mvccpb::Event>,
        mut bytes: usize,
        more_follows: bool,
        stale_dropped: bool,
    ) -> Result<Taken, Error> {
        if stale_dropped || self.early.is_some() {
            let next = self.next;
            events.retain(|event| revision(event) >= next);
        }
        let begun = self.held.as_ref().map(|held| held.revision);
        let rest = events.iter().take_while(|event| begun == Some(revision(event))).count();
        self.check(&events, rest, begun)?;
        let count = events.len();
        let mut held = self.held.take();
        if let Some(part) = &mut held {
            part.add(events.drain(..rest))?;
            if more_follows && events.is_empty() {
                part.bytes += bytes;
                self.held = held;
                return Ok(Taken::Nothing);
            }
        }
        if more_follows && let Some(last) = events.last().map(revision) {
            let whole = events.partition_point(|event| revision(event) < last);
            let part =
                Held::new(last, events.split_off(whole), bytes * (count - rest - whole) / count);
            bytes -= part.bytes;
            self.held = Some(Box::new(part));
        }
        if let Some(mut part) = held {
            part.events.append(&mut events);
            (events, bytes) = (part.events, part.bytes + bytes);
        }
        let Some(last) = events.last().map(revision) else { return Ok(Taken::Nothing) };
        self.moved(last);
        Ok(Taken::Events(events, bytes))
    }

    /// Ordered, Unique, Atomic, Bookmarkable and Filter: everything that one watch can see of etcd's promises. The first
    /// `rest` events go on with the revision that has `begun`; whether a key comes twice in that is seen where it is held.
    fn check(
        &self,
        events: &[mvccpb::Event],
        rest: usize,
        begun: Option<i64>,
    ) -> Result<(), Error> {
        // Every revision before this one was delivered as a whole, or a notification said that it has no events here.
        let mut last = begun.unwrap_or_else(|| self.next.saturating_sub(1));
        let mut run = rest;
        for (index, event) in events.iter().enumerate() {
            let now = revision(event);
            if index == 0 && begun.is_none() && now <= last {
                return Err(violation(format!(
                    "Unique: an event of revision {now} came after everything up to revision {last}"
                )));
            }
            if now < last {
                return Err(violation(format!(
                    "Ordered: an event of revision {now} came after one of revision {last}"
                )));
            }
            if index > run && now > last {
                unique(&events[run..index])?;
                run = index;
            }
            last = now;
            self.matches(event)?;
        }
        unique(&events[run..])
    }

    fn matches(&self, event: &mvccpb::Event) -> Result<(), Error> {
        let key = key(event);
        let create = &self.create;
        let inside = match &*create.range_end {
            [] => *key == create.key,
            [0] => *key >= create.key,
            end => *key >= create.key && **key < *end,
        };
        if !inside {
            let range = KeyRange::from_parts(create.key.clone(), create.range_end.clone());
            let key = String::from_utf8_lossy(key);
            return Err(violation(format!(
                "Filter: an event of key {key:?} came, and {range:?} is watched"
            )));
        }
        let unwanted = match event.r#type() {
            EventType::Put => FilterType::NoPut,
            EventType::Delete => FilterType::NoDelete,
        };
        if create.filters.contains(&unwanted.into()) {
            return Err(violation("Filter: an event came of the kind that is left out"));
        }
        Ok(())
    }
}

pub(super) fn revision(event: &mvccpb::Event) -> i64 {
    event.kv.as_ref().map_or(0, |kv| kv.mod_revision)
}

fn key(event: &mvccpb::Event) -> &Bytes {
    static NONE: Bytes = Bytes::new();
    event.kv.as_ref().map_or(&NONE, |kv| &kv.key)
}

/// No key changes twice at one revision.
fn unique(events: &[mvccpb::Event]) -> Result<(), Error> {
    if events.len() < 2 {
        return Ok(());
    }
    let mut keys = HashSet::with_capacity(events.len());
    match events.iter().find(|event| !keys.insert(key(event))) {
        Some(event) => Err(twice(revision(event))),
        None => Ok(()),
    }
}

fn twice(revision: i64) -> Error {
    violation(format!("Unique: two events of one key came at revision {revision}"))
}

fn violation(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the server broke a promise of watches: {what}"))
}
