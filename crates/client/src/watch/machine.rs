//! What many watches on one stream do, as a machine without I/O.
//!
//! The [hub](super::hub) tells it what happens (a watch is wanted, the stream is open, a response came, the stream broke)
//! and carries out what it puts out: requests to send, responses to deliver, watches that end. It decides with which
//! revision a watch goes on, what is waited for, and which failures end what. Time and randomness are passed in, so that
//! tests replay any schedule.

mod read;
mod receive;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use etcdkit_proto::etcdserverpb::{
    self as wire, WatchCancelRequest, WatchProgressRequest, WatchRequest,
    watch_request::RequestUnion,
};

use super::failure::{self, Consequence, Refusals};
use super::watcher::{Place, Watcher};
use crate::clock::Instant;
use crate::config::RetryPolicy;
use crate::error::{Error, ErrorKind};
use crate::request::{FIRST_OWN_ID, WatchSettings};
use crate::response::WatchResponse;
use crate::revision::Revision;

/// A watch, as long as it lives. Never used again.
pub(super) type Key = u64;

/// Bits of an id of the client's own choice that say which watch it is; above them is which of its creations on a stream.
const KEY_BITS: u32 = 40;
const TURN_BITS: u32 = 62 - KEY_BITS;

/// The id for the `turn`th creation of a watch. None comes twice on a stream, and callers choose lower ones.
fn own_id(key: Key, turn: u32) -> i64 {
    let turn = i64::from(turn & ((1 << TURN_BITS) - 1));
    FIRST_OWN_ID | turn << KEY_BITS | key.cast_signed()
}

/// The watch that an id belongs to, if it is one of the client's own choice.
fn key_of(id: i64) -> Option<Key> {
    (id >= FIRST_OWN_ID).then_some(id.cast_unsigned() & ((1 << KEY_BITS) - 1))
}
/// Chosen ids that one stream remembers, since an id must not come twice on a stream: what was sent for the first watch
/// would be taken for the second's. Watches beyond get ids of the client's choice.
const CHOSEN: usize = 4096;

/// The bytes in which one revision may come, in however many pieces: as much as gRPC allows for one message.
const LARGEST: usize = i32::MAX as usize;

/// A stream that served watches for so long was a success: the pauses begin anew.
const LASTING: Duration = Duration::from_secs(1);
/// So many tokens in a row may be refused to a stream before it is the end.
const TOKENS: u8 = 2;
/// Streams that break soon after they served something are opened anew after 8 times the shortest pause.
const PATIENT: u32 = 3;

/// What the hub is to do.
#[derive(Debug)]
pub(super) enum Output<R> {
    Send(WatchRequest),
    /// The watch begins with this revision.
    Started(Key, Revision),
    /// A response, and how many bytes it keeps in memory.
    Deliver(Key, WatchResponse, usize),
    /// Everything up to this revision is known, without a response.
    Moved(Key, Revision),
    /// The watch of this reader is over.
    End(R, Error),
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

/// `R` is whoever reads a watch: it is kept here, beside what is looked at for each response anyway.
#[derive(Debug)]
pub(super) struct Machine<R> {
    /// Boxed, because the table is up to half empty.
    watchers: HashMap<Key, Box<Watcher<R>>, crate::hash::Numbers>,
    phase: Phase,
    /// Watches by those of their ids on this stream that callers chose, or a proxy.
    foreign_ids: HashMap<i64, Key, crate::hash::Numbers>,
    /// Creations without an answer, in the order in which they were sent: answers come in the same.
    creating: VecDeque<(i64, Key)>,
    /// Ids that were cancelled and whose end was not confirmed.
    ending: HashSet<i64>,
    /// Ids of callers' choice that this stream has seen.
    chosen: HashSet<i64>,
    unsent: VecDeque<Key>,
    unread: Vec<Key>,
    reading: Vec<Key>,
    /// The read under way: what it must at least show, and whether it has to be made again if it fails.
    read_mark: Option<i64>,
    verifying: bool,
    read_retry_at: Option<Instant>,
    /// The history may have gone back: a read has to tell.
    verify: bool,
    /// A read may tell how far the cluster has come: another time will do as well.
    compare: bool,
    /// The highest revision that some member has shown.
    known: i64,
    /// The highest revision that this stream has shown.
    shown: i64,
    /// Requests for progress on this stream, and answers to them: not each gets one, none gets two.
    asked: u64,
    answered: u64,
    /// Since when the stream is open, and whether the server created a watch on it.
    opened_at: Option<Instant>,
    confirmed: bool,
    /// Attempts that failed in a row, and what the next pause goes by.
    attempts: u32,
    failures: u32,
    read_failures: u32,
    can_renew: bool,
    /// How many tokens were fetched, which tells one from the next; and those that were refused in a row.
    tokens: u64,
    refusals: Refusals,
    policy: RetryPolicy,
    random: fastrand::Rng,
    out: VecDeque<Output<R>>,
}

impl<R> Machine<R> {
    pub(super) fn new(policy: RetryPolicy, can_renew: bool, random: fastrand::Rng) -> Self {
        Self {
            watchers: HashMap::default(),
            phase: Phase::Closed { retry_at: None },
            foreign_ids: HashMap::default(),
            creating: VecDeque::new(),
            ending: HashSet::new(),
            chosen: HashSet::new(),
            unsent: VecDeque::new(),
            unread: Vec::new(),
            reading: Vec::new(),
            read_mark: None,
            verifying: false,
            read_retry_at: None,
            verify: false,
            compare: false,
            known: 0,
            shown: 0,
            asked: 0,
            answered: 0,
            opened_at: None,
            confirmed: false,
            attempts: 0,
            failures: 0,
            read_failures: 0,
            can_renew,
            tokens: 0,
            refusals: Refusals::default(),
            policy,
            random,
            out: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub(super) fn output(&mut self) -> Option<Output<R>> {
        self.out.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.watchers.contains_key(&key)
    }

    /// Who reads a watch.
    pub(super) fn reader(&self, key: Key) -> Option<&R> {
        self.watchers.get(&key).map(|watcher| &watcher.reader)
    }

    /// Who reads the watches that there are.
    pub(super) fn readers(&self) -> impl Iterator<Item = &R> {
        self.watchers.values().map(|watcher| &watcher.reader)
    }

    /// Whether some watch is served now.
    pub(super) fn has_live(&self) -> bool {
        self.watchers.values().any(|watcher| matches!(watcher.place, Place::Live(_)))
    }

    /// The watch that the server has under this id.
    fn live(&mut self, id: i64) -> Option<(Key, &mut Watcher<R>)> {
        let key = self.foreign_ids.get(&id).copied().or_else(|| key_of(id))?;
        let watcher = self.watchers.get_mut(&key)?;
        (watcher.place == Place::Live(id)).then_some((key, &mut **watcher))
    }

    /// The id of the creation that has waited for an answer the longest.
    pub(super) fn oldest_creation(&self) -> Option<i64> {
        self.creating.front().map(|(id, _)| *id)
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

    /// Whether somebody waits for a word on progress.
    pub(super) fn wants_progress(&self) -> bool {
        self.watchers.values().any(|watcher| watcher.progress_wanted)
    }

    // What callers want.

    pub(super) fn add(
        &mut self,
        key: Key,
        create: wire::WatchCreateRequest,
        settings: &WatchSettings,
        reader: R,
    ) {
        let chosen = create.watch_id;
        if chosen != 0 && self.watchers.values().any(|watcher| watcher.chosen_id() == chosen) {
            let message = format!("another watch of this client has the id {chosen}");
            self.out.push_back(Output::End(reader, Error::invalid(message)));
            return;
        }
        let watcher = Watcher::new(create, settings, reader);
        if watcher.place == Place::Unread {
            self.unread.push(key);
        } else {
            self.out.push_back(Output::Started(key, Revision::new(watcher.next)));
            self.unsent.push_back(key);
        }
        self.watchers.insert(key, Box::new(watcher));
        self.create_unsent();
    }

    /// Nobody wants it any more.
    pub(super) fn cancel(&mut self, key: Key) {
        self.remove(key);
    }

    fn remove(&mut self, key: Key) -> Option<R> {
        let watcher = self.watchers.remove(&key)?;
        if let Place::Live(id) = watcher.place {
            self.end_on_server(id);
        }
        // A creation without an answer stays in its place, and is cancelled when the server has confirmed it.
        self.forget_empty_lists();
        Some(watcher.reader)
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
            self.create_again(key);
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
            self.asked += 1;
            self.send(RequestUnion::Progress(WatchProgressRequest {}));
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
        (self.asked, self.answered) = (0, 0);
        self.opened_at = Some(now);
        let wanted = self.wants_progress();
        self.create_unsent();
        if wanted {
            self.request_progress();
        }
    }

    /// There is another token.
    pub(super) fn renewed(&mut self) {
        self.tokens += 1;
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

    /// The cluster has shown this revision elsewhere than on this stream.
    pub(super) fn heard(&mut self, revision: i64) {
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
        let (can_renew, token, refusals) = (self.can_renew, self.tokens, &mut self.refusals);
        match failure::of_stream(error, || can_renew && refusals.note(token) <= TOKENS) {
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
            self.refusals = Refusals::default();
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
        self.foreign_ids.clear();
        self.creating.clear();
        self.ending.clear();
        self.chosen.clear();
        let mut again: Vec<Key> = Vec::new();
        for (key, watcher) in &mut self.watchers {
            watcher.forget_held();
            watcher.early = None;
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

    fn end_where(&mut self, error: &Error, which: impl Fn(&Watcher<R>) -> bool) {
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
        if let Some(reader) = self.remove(key) {
            self.out.push_back(Output::End(reader, error));
        }
    }

    fn create_again(&mut self, key: Key) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        watcher.place = Place::Unsent;
        self.unsent.push_back(key);
        self.create_unsent();
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
                watcher.turn = watcher.turn.wrapping_add(1);
                own_id(key, watcher.turn)
            };
            watcher.place = Place::Creating;
            let request = watcher.request(id);
            self.creating.push_back((id, key));
            self.send(RequestUnion::Create(request));
        }
    }

    fn end_on_server(&mut self, id: i64) {
        self.foreign_ids.remove(&id);
        if self.ending.insert(id) {
            self.cancel_on_server(id);
        }
    }

    fn cancel_on_server(&mut self, id: i64) {
        self.send(RequestUnion::Cancel(WatchCancelRequest { watch_id: id }));
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
            self.compare = false;
        } else if let Some(first) = self.unsent.front()
            && !self.watchers.contains_key(first)
        {
            let watchers = &self.watchers;
            self.unsent.retain(|key| watchers.contains_key(key));
        }
    }
}

#[cfg(test)]
mod tests;
