//! What many watches on one stream do, as a machine without I/O.
//!
//! The [hub](super::hub) tells it what happens (a watch is wanted, the stream is open, a response came, the stream broke)
//! and carries out what it puts out: requests to send, responses to deliver, watches that end. It decides with which
//! revision a watch goes on, what is waited for, and which failures end what. Time and randomness are passed in, so that
//! tests replay any schedule.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{
    self as wire, WatchCancelRequest, WatchProgressRequest, WatchRequest,
    watch_request::RequestUnion,
};
use etcdkit_proto::mvccpb;

use super::failure::{self, Consequence};
use super::watcher::{Place, Taken, Watcher};
use crate::clock::Instant;
use crate::config::RetryPolicy;
use crate::error::{Error, ErrorKind};
use crate::request::WatchSettings;
use crate::response::{Event, ResponseHeader, WatchResponse};
use crate::revision::Revision;

/// A watch, as long as it lives. Never used again.
pub(super) type Key = u64;

/// Ids of the client's own choice begin here, so that they don't meet those that callers choose.
const FIRST_ID: i64 = 1 << 40;
/// Chosen ids that one stream remembers, since an id must not come twice on a stream: what was sent for the first watch
/// would be taken for the second's. Watches beyond get ids of the client's choice.
const CHOSEN: usize = 4096;

/// A stream that served watches for so long was a success: the pauses begin anew.
const LASTING: Duration = Duration::from_secs(1);
/// Streams that break soon after they served something are opened anew after 8 times the shortest pause.
const PATIENT: u32 = 3;

/// What the hub is to do.
#[derive(Debug)]
pub(super) enum Output {
    Send(WatchRequest),
    /// The watch begins with this revision.
    Started(Key, Revision),
    /// A response, and how many bytes it keeps in memory.
    Deliver(Key, WatchResponse, usize),
    /// Everything up to this revision is known, without a response.
    Moved(Key, Revision),
    End(Key, Error),
    /// The token that the stream was opened with is to be replaced, and the stream with it.
    Renew,
    /// The stream is to be opened on another member.
    Leave(Error),
}

/// What a member can be trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Progress notifications come after the events that they vouch for.
    pub(super) progress: bool,
    /// "Permission denied" also means that the token is not accepted.
    pub(super) denial_is_ambiguous: bool,
    /// Events of before the resume point come now and then.
    pub(super) repeats: bool,
}

#[derive(Debug)]
enum Phase {
    Closed {
        retry_at: Option<Instant>,
    },
    Opening,
    Open(Server),
    /// The stream is as good as gone: what still comes from it does not count.
    Leaving,
}

#[derive(Debug)]
pub(super) struct Machine {
    watchers: HashMap<Key, Watcher, super::hash::Numbers>,
    phase: Phase,
    /// Watches by their id on this stream.
    ids: HashMap<i64, Key, super::hash::Numbers>,
    /// Creations without an answer, in the order in which they were sent: answers come in the same.
    creating: VecDeque<(i64, Key)>,
    /// Ids that were cancelled and whose end was not confirmed.
    ending: HashSet<i64>,
    /// Ids of callers' choice that this stream has seen.
    chosen: HashSet<i64>,
    next_id: i64,
    unsent: VecDeque<Key>,
    unread: Vec<Key>,
    reading: Vec<Key>,
    /// The read under way: what it must at least show.
    read_mark: Option<i64>,
    read_retry_at: Option<Instant>,
    /// The history may have gone back: a read has to tell.
    verify: bool,
    /// The highest revision that some member has shown.
    known: i64,
    /// The highest revision that this stream has shown.
    shown: i64,
    /// Since when the stream is open, and whether the server created a watch on it.
    opened_at: Option<Instant>,
    confirmed: bool,
    /// Attempts that failed in a row, and what the next pause goes by.
    attempts: u32,
    failures: u32,
    read_failures: u32,
    can_renew: bool,
    policy: RetryPolicy,
    random: fastrand::Rng,
    out: VecDeque<Output>,
}

impl Machine {
    pub(super) fn new(policy: RetryPolicy, can_renew: bool, random: fastrand::Rng) -> Self {
        Self {
            watchers: HashMap::default(),
            phase: Phase::Closed { retry_at: None },
            ids: HashMap::default(),
            creating: VecDeque::new(),
            ending: HashSet::new(),
            chosen: HashSet::new(),
            next_id: FIRST_ID,
            unsent: VecDeque::new(),
            unread: Vec::new(),
            reading: Vec::new(),
            read_mark: None,
            read_retry_at: None,
            verify: false,
            known: 0,
            shown: 0,
            opened_at: None,
            confirmed: false,
            attempts: 0,
            failures: 0,
            read_failures: 0,
            can_renew,
            policy,
            random,
            out: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub(super) fn output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Whether some watch is served now.
    pub(super) fn has_live(&self) -> bool {
        !self.ids.is_empty()
    }

    /// The highest revision that some member has shown.
    pub(super) fn known(&self) -> i64 {
        self.known
    }

    /// The highest revision that this stream has shown.
    pub(super) fn shown(&self) -> i64 {
        self.shown
    }

    /// Whether progress on the present stream means something.
    pub(super) fn trusts_progress(&self) -> bool {
        matches!(self.phase, Phase::Open(Server { progress: true, .. }))
    }

    // What callers want.

    pub(super) fn add(
        &mut self,
        key: Key,
        create: wire::WatchCreateRequest,
        settings: &WatchSettings,
    ) {
        let chosen = create.watch_id;
        if chosen != 0 && self.watchers.values().any(|watcher| watcher.chosen_id() == chosen) {
            let message = format!("another watch of this client has the id {chosen}");
            self.out.push_back(Output::End(key, Error::invalid(message)));
            return;
        }
        let watcher = Watcher::new(create, settings);
        if watcher.place == Place::Unread {
            self.unread.push(key);
        } else {
            self.out.push_back(Output::Started(key, Revision::new(watcher.next)));
            self.unsent.push_back(key);
        }
        self.watchers.insert(key, watcher);
        self.create_unsent();
    }

    /// Nobody wants it any more.
    pub(super) fn cancel(&mut self, key: Key) {
        let Some(watcher) = self.watchers.remove(&key) else { return };
        if let Place::Live(id) = watcher.place {
            self.end_on_server(id);
        }
        // A creation without an answer stays in its place, and is cancelled when the server has confirmed it.
        self.forget_empty_lists();
    }

    /// Its buffer is full.
    pub(super) fn pause(&mut self, key: Key) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        let Place::Live(id) = watcher.place else { return };
        watcher.place = Place::Paused;
        watcher.forget_held();
        self.end_on_server(id);
    }

    /// There is room again.
    pub(super) fn resume(&mut self, key: Key) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        if watcher.place == Place::Paused {
            watcher.place = Place::Unsent;
            self.unsent.push_back(key);
            self.create_unsent();
        }
    }

    /// Somebody asks how far the watch `key` has come.
    pub(super) fn ask_progress(&mut self, key: Key) {
        if let Some(watcher) = self.watchers.get_mut(&key) {
            watcher.progress_wanted = true;
        }
        self.request_progress();
    }

    /// Asks how far the stream has come.
    pub(super) fn request_progress(&mut self) {
        if matches!(self.phase, Phase::Open(_)) {
            let request = RequestUnion::Progress(WatchProgressRequest {});
            self.send(request);
        }
    }

    // The stream.

    /// Whether a stream is wanted, and from when on.
    pub(super) fn wants_stream(&self) -> Option<Option<Instant>> {
        match self.phase {
            Phase::Closed { retry_at } if !self.unsent.is_empty() => Some(retry_at),
            _ => None,
        }
    }

    pub(super) fn opening(&mut self) {
        self.phase = Phase::Opening;
    }

    pub(super) fn opened(&mut self, server: Server, now: Instant) {
        self.phase = Phase::Open(server);
        self.shown = 0;
        self.opened_at = Some(now);
        let wanted = self.watchers.values().any(|watcher| watcher.progress_wanted);
        self.create_unsent();
        if wanted {
            self.request_progress();
        }
    }

    /// Whether the machine has given the stream up and waits for it to be gone.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving)
    }

    /// The member has come to this revision.
    pub(super) fn observed(&mut self, revision: i64) {
        self.shown = self.shown.max(revision);
        self.known = self.known.max(revision);
    }

    /// What was under way is dropped, since nobody waits for it.
    pub(super) fn dropped(&mut self) {
        self.read_mark = None;
        self.reading.clear();
        if matches!(self.phase, Phase::Opening) {
            self.closed();
        }
    }

    /// The stream is given up on purpose, and opened anew at once if it is needed.
    pub(super) fn closed(&mut self) {
        self.reset();
        self.phase = Phase::Closed { retry_at: None };
    }

    /// The stream broke, or could not be opened.
    pub(super) fn lost(&mut self, error: &Error, now: Instant) {
        self.left(error, now);
        match failure::of_stream(error, self.can_renew && self.attempts <= 2) {
            Consequence::Final => self.end_all(error),
            Consequence::Again => {}
            Consequence::Renew => self.out.push_back(Output::Renew),
            Consequence::Leave => {
                if error.kind() == ErrorKind::NoLeader {
                    self.end_where(error, |watcher| watcher.end_without_leader);
                }
                self.out.push_back(Output::Leave(error.clone()));
            }
        }
    }

    /// The stream is gone; another one is opened after a pause.
    pub(super) fn left(&mut self, error: &Error, now: Instant) {
        if std::mem::take(&mut self.confirmed) {
            self.attempts = 0;
            let lasted = self.opened_at.is_some_and(|since| now >= since + LASTING);
            self.failures = if lasted { 0 } else { self.failures.min(PATIENT) };
        }
        self.reset();
        self.attempts = self.attempts.saturating_add(1);
        let pause = self.policy.pause(self.failures, self.random.f64());
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Closed { retry_at: Some(now + pause) };
        let attempts = self.attempts;
        self.end_where(error, |watcher| {
            watcher.max_attempts > 0 && attempts >= watcher.max_attempts
        });
    }

    /// Everything on the stream is to be created again.
    fn reset(&mut self) {
        self.ids.clear();
        self.creating.clear();
        self.ending.clear();
        self.chosen.clear();
        let mut again: Vec<Key> = Vec::new();
        for (key, watcher) in &mut self.watchers {
            watcher.forget_held();
            if matches!(watcher.place, Place::Live(_) | Place::Creating) {
                watcher.place = Place::Unsent;
                again.push(*key);
            }
        }
        again.sort_unstable();
        // Those that were there before come before those that never were.
        for key in again.into_iter().rev() {
            self.unsent.push_front(key);
        }
    }

    fn end_where(&mut self, error: &Error, which: impl Fn(&Watcher) -> bool) {
        let mut keys: Vec<Key> = self
            .watchers
            .iter()
            .filter(|(_, watcher)| which(watcher))
            .map(|(key, _)| *key)
            .collect();
        keys.sort_unstable();
        for key in keys {
            self.end(key, error.clone());
        }
    }

    /// Ends every watch.
    pub(super) fn end_all(&mut self, error: &Error) {
        self.end_where(error, |_| true);
    }

    fn end(&mut self, key: Key, error: Error) {
        if self.watchers.contains_key(&key) {
            self.cancel(key);
            self.out.push_back(Output::End(key, error));
        }
    }

    fn create_unsent(&mut self) {
        if !matches!(self.phase, Phase::Open(_)) {
            return;
        }
        while let Some(key) = self.unsent.pop_front() {
            let Some(watcher) = self.watchers.get_mut(&key) else { continue };
            let chosen = watcher.chosen_id();
            let id = if chosen != 0 && self.chosen.len() < CHOSEN && self.chosen.insert(chosen) {
                chosen
            } else {
                self.next_id += 1;
                self.next_id
            };
            watcher.place = Place::Creating;
            let request = watcher.request(id);
            self.creating.push_back((id, key));
            self.send(RequestUnion::Create(request));
        }
    }

    fn end_on_server(&mut self, id: i64) {
        self.ids.remove(&id);
        if self.ending.insert(id) {
            self.send(RequestUnion::Cancel(WatchCancelRequest { watch_id: id }));
        }
    }

    fn send(&mut self, request: RequestUnion) {
        self.out.push_back(Output::Send(WatchRequest { request_union: Some(request) }));
    }

    /// A list whose watches are all gone would be reason enough to open a stream.
    fn forget_empty_lists(&mut self) {
        if self.watchers.is_empty() {
            self.unsent.clear();
            self.unread.clear();
            self.verify = false;
        } else if let Some(first) = self.unsent.front()
            && !self.watchers.contains_key(first)
        {
            let watchers = &self.watchers;
            self.unsent.retain(|key| watchers.contains_key(key));
        }
    }

    // What the server says.

    /// Takes in a response that keeps `bytes` in memory.
    pub(super) fn receive(&mut self, response: wire::WatchResponse, bytes: usize) {
        let Phase::Open(server) = self.phase else { return };
        let header = ResponseHeader::from(response.header.clone());
        self.shown = self.shown.max(header.revision.get());
        if response.created {
            self.take_created(response, header, server);
        } else if response.canceled {
            self.take_canceled(&response, server);
        } else if !response.events.is_empty() || response.fragment {
            self.take_events(response, header, bytes, server);
        } else {
            self.take_progress(response.watch_id, header, bytes, server);
        }
        self.known = self.known.max(self.shown);
    }

    fn take_created(
        &mut self,
        response: wire::WatchResponse,
        header: ResponseHeader,
        server: Server,
    ) {
        // In order, unless something between that knows better (a proxy chooses its own ids) answers out of it.
        let index = match self.creating.front() {
            Some((id, _)) if *id == response.watch_id => Some(0),
            _ if response.watch_id < FIRST_ID && !self.chosen.contains(&response.watch_id) => None,
            _ => self.creating.iter().position(|(id, _)| *id == response.watch_id),
        };
        let Some((_, key)) = self.creating.remove(index.unwrap_or(0)) else { return };
        let id = response.watch_id;
        let Some(watcher) = self.watchers.get_mut(&key) else {
            if !response.canceled {
                self.end_on_server(id);
            }
            return;
        };
        if response.canceled {
            return self.refuse(key, &response, server);
        }
        self.confirmed = true;
        watcher.place = Place::Live(id);
        watcher.refused = 0;
        let first = !std::mem::replace(&mut watcher.announced, true);
        if first && watcher.created_notify {
            let chosen = watcher.chosen_id();
            let response =
                WatchResponse::created(header).with_watch_id(if chosen == 0 { id } else { chosen });
            self.out.push_back(Output::Deliver(key, response, 0));
        }
        self.ids.insert(id, key);
        // The member lags behind, or the history went back.
        self.verify |= header.revision.get() != 0 && header.revision.get() < self.known;
    }

    /// The server does not have the watch, or no more.
    fn refuse(&mut self, key: Key, response: &wire::WatchResponse, server: Server) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        let error = failure::of_response(response);
        let renewable = self.can_renew && watcher.refused < failure::renewals(&error);
        match failure::of_watch(&error, server.denial_is_ambiguous) {
            Consequence::Renew if renewable => {
                watcher.refused += 1;
                watcher.place = Place::Unsent;
                self.unsent.push_back(key);
                self.give_up_stream(Output::Renew);
            }
            Consequence::Leave | Consequence::Again
                if !(error.kind() == ErrorKind::NoLeader && watcher.end_without_leader) =>
            {
                watcher.place = Place::Unsent;
                self.unsent.push_back(key);
                self.give_up_stream(Output::Leave(error));
            }
            _ => self.end(key, error),
        }
    }

    fn give_up_stream(&mut self, how: Output) {
        self.phase = Phase::Leaving;
        self.out.push_back(how);
    }

    fn take_canceled(&mut self, response: &wire::WatchResponse, server: Server) {
        let id = response.watch_id;
        if self.ending.remove(&id) {
            return;
        }
        let Some(key) = self.ids.remove(&id) else { return };
        if let Some(watcher) = self.watchers.get_mut(&key) {
            watcher.forget_held();
            // Gone on the server; nothing is left to cancel there.
            watcher.place = Place::Unsent;
        }
        self.refuse(key, response, server);
    }

    fn take_events(
        &mut self,
        response: wire::WatchResponse,
        header: ResponseHeader,
        bytes: usize,
        server: Server,
    ) {
        let id = response.watch_id;
        let Some(key) = self.ids.get(&id).copied() else {
            // Of a watch that was cancelled, or of one that nobody made.
            let expected = self.creating.iter().any(|(creating, _)| *creating == id);
            if !expected {
                self.end_on_server(id);
            }
            return;
        };
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        match watcher.take(response.events, bytes, response.fragment, server.repeats) {
            Ok(Taken::Nothing) => {}
            Ok(Taken::Events(events, bytes)) => {
                let chosen = watcher.chosen_id();
                let id = if chosen == 0 { id } else { chosen };
                self.out.push_back(Output::Deliver(key, view(header, events, id), bytes));
            }
            Err(error) => self.end(key, error),
        }
    }

    fn take_progress(&mut self, id: i64, header: ResponseHeader, bytes: usize, server: Server) {
        if let Some(key) = self.ids.get(&id).copied() {
            // The end of a revision that came in pieces.
            if self.watchers.get(&key).is_some_and(Watcher::is_holding) {
                let last = wire::WatchResponse { watch_id: id, ..wire::WatchResponse::default() };
                self.take_events(last, header, bytes, server);
            }
            self.progress_of(key, id, header, server, true);
        } else if id == -1 {
            let live: Vec<(i64, Key)> = self.ids.iter().map(|(id, key)| (*id, *key)).collect();
            for (id, key) in live {
                self.progress_of(key, id, header, server, false);
            }
        }
    }

    fn progress_of(
        &mut self,
        key: Key,
        id: i64,
        header: ResponseHeader,
        server: Server,
        addressed: bool,
    ) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        let revision = header.revision;
        // A member that lags behind tells nothing new, and before the end of a revision it can't be true.
        if revision.get() < watcher.next.saturating_sub(1) || watcher.is_holding() {
            return;
        }
        let moves = server.progress && revision.get() >= watcher.next;
        if moves {
            watcher.next = revision.get().saturating_add(1);
        }
        let wanted = if addressed {
            watcher.progress_notify()
        } else {
            std::mem::take(&mut watcher.progress_wanted)
        };
        if wanted {
            let chosen = watcher.chosen_id();
            let id = if chosen == 0 { id } else { chosen };
            self.out.push_back(Output::Deliver(key, view(header, Vec::new(), id), 0));
        }
        if moves {
            self.out.push_back(Output::Moved(key, revision));
        }
    }

    // The read that says what "now" is.

    /// Whether a read is wanted, and from when on.
    pub(super) fn wants_read(&self) -> Option<Option<Instant>> {
        let wanted = self.read_mark.is_none() && (self.verify || !self.unread.is_empty());
        wanted.then_some(self.read_retry_at)
    }

    /// Begins a read, of a key that its watch may read if it may watch.
    pub(super) fn begin_read(&mut self) -> Option<Bytes> {
        let watchers = &mut self.watchers;
        self.unread.retain(|key| watchers.contains_key(key));
        self.reading = std::mem::take(&mut self.unread);
        for key in &self.reading {
            if let Some(watcher) = watchers.get_mut(key) {
                watcher.place = Place::Reading;
            }
        }
        let of = match self.reading.first() {
            Some(first) => watchers.get(first),
            None => watchers.values().next(),
        };
        let key = of.map(Watcher::first_key);
        self.verify = false;
        self.read_retry_at = None;
        self.read_mark = key.as_ref().map(|_| self.known);
        key
    }

    /// The read showed this revision, or failed.
    pub(super) fn read_done(&mut self, outcome: Result<Revision, Error>, now: Instant) {
        let Some(mark) = self.read_mark.take() else { return };
        let reading = std::mem::take(&mut self.reading);
        match outcome {
            Ok(revision) => {
                self.read_failures = 0;
                if revision.get() < mark {
                    self.history_went_back(revision.get(), mark);
                }
                for key in reading {
                    let Some(watcher) = self.watchers.get_mut(&key) else { continue };
                    watcher.next = revision.get().saturating_add(1);
                    watcher.place = Place::Unsent;
                    self.unsent.push_back(key);
                    self.out.push_back(Output::Started(key, revision.next()));
                }
                self.known = self.known.max(revision.get());
                self.create_unsent();
            }
            Err(error) => self.read_failed(&error, &reading, now),
        }
    }

    fn read_failed(&mut self, error: &Error, reading: &[Key], now: Instant) {
        let ends_all = matches!(error.kind(), ErrorKind::ClusterChanged | ErrorKind::Closed);
        if ends_all {
            return self.end_all(error);
        }
        let refused = if error.is_retryable() {
            0
        } else if error.kind() == ErrorKind::PermissionDenied {
            // Only who watches the key that was read is concerned.
            1
        } else {
            reading.len()
        };
        for (index, key) in reading.iter().enumerate() {
            if index < refused {
                self.end(*key, error.clone());
            } else if let Some(watcher) = self.watchers.get_mut(key) {
                watcher.place = Place::Unread;
                self.unread.push(*key);
            }
        }
        if error.is_retryable() {
            self.read_failures = self.read_failures.saturating_add(1);
            let pause = self.policy.pause(self.read_failures - 1, self.random.f64());
            self.read_retry_at = Some(now + pause);
        }
    }

    /// Watches that have seen more than there is now have seen what no longer happened.
    fn history_went_back(&mut self, revision: i64, mark: i64) {
        let error = Error::new(
            ErrorKind::ClusterChanged,
            format!(
                "the history went back from revision {mark} to {revision}: the cluster was restored from a backup, or lost data; what was watched before is void"
            ),
        );
        self.known = revision;
        self.shown = self.shown.min(revision);
        let past = |watcher: &Watcher| {
            watcher.next > revision.saturating_add(1) && watcher.next <= mark.saturating_add(1)
        };
        self.end_where(&error, past);
    }
}

fn view(header: ResponseHeader, events: Vec<mvccpb::Event>, id: i64) -> WatchResponse {
    WatchResponse::new(header, events.into_iter().map(Event::from)).with_watch_id(id)
}

#[cfg(test)]
mod tests;
