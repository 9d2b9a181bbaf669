//! The machine of watchers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{WatchCreateRequest, watch_create_request::FilterType};

use super::index::{Id, Index};
use super::outbox::{Message, Outbox, Total};
use super::response::{event, size_of_field};
use crate::mvcc::{KeyRange, Record, Store};

/// Revisions that one turn of catching up reads.
const REVISIONS: usize = 1000;
/// Bytes of events that one turn of catching up gathers, for all watchers of a stream. One revision may go beyond.
const BYTES: usize = 2 * 1024 * 1024;

/// A stream's number.
pub(crate) type StreamId = u64;

#[derive(Debug)]
struct Watcher {
    stream: StreamId,
    watch: i64,
    range: KeyRange,
    prev_kv: bool,
    no_put: bool,
    no_delete: bool,
    fragment: bool,
    progress: bool,
    /// Something was sent since the last tick.
    busy: bool,
    /// The revision that it was asked to begin with; 0 for the one to come.
    start: i64,
    /// The first revision that it has not been told of.
    next: i64,
    /// Whether publishing tells it; else it lags.
    synced: bool,
}

impl Watcher {
    fn wants(&self, record: &Record<'_>) -> bool {
        record.key.revision.main >= self.next
            && if record.key.tombstone { !self.no_delete } else { !self.no_put }
    }
}

#[derive(Debug)]
struct Stream {
    outbox: Arc<Outbox>,
    ids: HashMap<i64, Id>,
    next_watch: i64,
    lagging: BTreeSet<Id>,
}

/// A watch to begin.
#[derive(Debug)]
pub(crate) struct NewWatch {
    pub(crate) range: KeyRange,
    pub(crate) request: WatchCreateRequest,
}

/// Why a watch does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Duplicate,
    EmptyRange,
    Compacted,
}

impl Refusal {
    const fn reason(self) -> &'static str {
        match self {
            Self::Duplicate => "mvcc: duplicate watch ID provided on the WatchStream",
            Self::EmptyRange => "mvcc: watcher range is empty",
            Self::Compacted => "etcdserver: mvcc: required revision has been compacted",
        }
    }
}

/// All watchers and their streams.
#[derive(Debug)]
pub(crate) struct Hub {
    watchers: HashMap<Id, Watcher>,
    index: Index,
    streams: HashMap<StreamId, Stream>,
    next_id: Id,
    next_stream: StreamId,
    /// What was published: synced watchers know of everything up to here.
    revision: i64,
    /// From which size on a response is cut into fragments.
    fragment: usize,
    /// What waits in the queues of streams.
    waiting: Total,
}

impl Hub {
    pub(crate) fn new(revision: i64, fragment: usize) -> Self {
        Self {
            watchers: HashMap::new(),
            index: Index::default(),
            streams: HashMap::new(),
            next_id: 0,
            next_stream: 0,
            revision,
            fragment,
            waiting: Total::default(),
        }
    }

    /// How many watchers there are.
    pub(crate) fn len(&self) -> usize {
        self.watchers.len()
    }

    /// How many of them lag.
    pub(crate) fn lagging(&self) -> usize {
        self.streams.values().map(|stream| stream.lagging.len()).sum()
    }

    /// How many events wait in the queues of streams.
    pub(crate) fn pending(&self) -> usize {
        self.streams.values().map(|stream| stream.outbox.pending()).sum()
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn open(&mut self) -> (StreamId, Arc<Outbox>) {
        let id = self.next_stream;
        self.next_stream += 1;
        let outbox = Arc::new(Outbox::new(&self.waiting));
        let stream = Stream {
            outbox: Arc::clone(&outbox),
            ids: HashMap::new(),
            next_watch: 0,
            lagging: BTreeSet::new(),
        };
        self.streams.insert(id, stream);
        (id, outbox)
    }

    pub(crate) fn close(&mut self, stream: StreamId) {
        let Some(stream) = self.streams.remove(&stream) else { return };
        for id in stream.ids.into_values() {
            self.forget(id);
        }
    }

    /// Has every stream end after what is queued.
    pub(crate) fn close_all(&mut self) {
        for stream in self.streams.values() {
            stream.outbox.close();
        }
    }

    fn forget(&mut self, id: Id) {
        if let Some(watcher) = self.watchers.remove(&id) {
            self.index.remove(&watcher.range, id);
        }
    }

    /// Begins a watch. The stream is told, before any event.
    pub(crate) fn create(&mut self, stream_id: StreamId, new: NewWatch) {
        let revision = self.revision;
        let Some(stream) = self.streams.get_mut(&stream_id) else { return };
        let request = new.request;
        let refusal = if new.range.is_empty() {
            Some(Refusal::EmptyRange)
        } else if request.start_revision < 0 {
            Some(Refusal::Compacted)
        } else if request.watch_id != 0 && stream.ids.contains_key(&request.watch_id) {
            Some(Refusal::Duplicate)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let reason = refusal.reason().to_owned();
            stream.outbox.push(Message::Refused { revision, reason });
            return;
        }
        let mut watch = request.watch_id;
        if watch == 0 {
            while stream.ids.contains_key(&stream.next_watch) {
                stream.next_watch += 1;
            }
            watch = stream.next_watch;
            stream.next_watch += 1;
        }
        let id = self.next_id;
        self.next_id += 1;
        let start = if request.start_revision == 0 { revision + 1 } else { request.start_revision };
        let filtered = |kind| request.filters.contains(&(kind as i32));
        let watcher = Watcher {
            stream: stream_id,
            watch,
            prev_kv: request.prev_kv,
            no_put: filtered(FilterType::NoPut),
            no_delete: filtered(FilterType::NoDelete),
            fragment: request.fragment,
            progress: request.progress_notify,
            busy: true,
            start: request.start_revision,
            next: start,
            synced: start > revision,
            range: new.range,
        };
        stream.ids.insert(watch, id);
        stream.outbox.push(Message::Created { watch, revision });
        self.index.insert(&watcher.range, id);
        if !watcher.synced {
            stream.lagging.insert(id);
            stream.outbox.lag();
        }
        self.watchers.insert(id, watcher);
    }

    /// Tells a stream why a watch does not begin.
    pub(crate) fn refuse(&mut self, stream: StreamId, reason: String) {
        if let Some(stream) = self.streams.get(&stream) {
            stream.outbox.push(Message::Refused { revision: self.revision, reason });
        }
    }

    /// Ends a watch. One that the stream does not have gets no answer.
    pub(crate) fn cancel(&mut self, stream: StreamId, watch: i64) {
        let Some(stream) = self.streams.get_mut(&stream) else { return };
        let Some(id) = stream.ids.remove(&watch) else { return };
        stream.lagging.remove(&id);
        stream.outbox.push(Message::Cancelled { watch, revision: self.revision });
        self.forget(id);
    }

    /// Answers a request for the progress of all of a stream, if all of them have got there.
    pub(crate) fn progress(&mut self, stream: StreamId) {
        let Some(stream) = self.streams.get(&stream) else { return };
        let begun =
            |id: &Id| self.watchers.get(id).is_none_or(|watcher| watcher.start <= self.revision);
        if stream.lagging.is_empty() && !stream.ids.is_empty() && stream.ids.values().all(begun) {
            stream.outbox.push(Message::Progress { watch: -1, revision: self.revision });
        }
    }

    /// Reports progress to the watchers of a stream that want it and heard nothing since the last call.
    pub(crate) fn tick(&mut self, stream: StreamId) {
        let Some(stream) = self.streams.get(&stream) else { return };
        for (watch, id) in &stream.ids {
            let Some(watcher) = self.watchers.get_mut(id) else { continue };
            let busy = std::mem::replace(&mut watcher.busy, false);
            if watcher.progress && !busy && watcher.synced && stream.outbox.has_room() {
                stream.outbox.push(Message::Progress { watch: *watch, revision: self.revision });
            }
        }
    }

    /// Tells the watchers of all revisions up to this one.
    pub(crate) fn publish(&mut self, store: &Store, revision: i64) {
        let from = self.revision + 1;
        self.revision = revision;
        if self.watchers.is_empty() || from > revision {
            return;
        }
        let mut told = HashMap::new();
        let mut at = from;
        for record in store.since(from) {
            let main = record.key.revision.main;
            if main > revision {
                break;
            }
            if main != at {
                self.tell(at, &mut told);
                at = main;
            }
            self.gather(store, &record, &mut told);
        }
        self.tell(at, &mut told);
    }

    fn gather(&self, store: &Store, record: &Record<'_>, told: &mut HashMap<Id, Vec<Bytes>>) {
        let mut event = Events::new(store, record);
        let key = record.kv().key;
        self.index.find(key, |id| {
            let Some(watcher) = self.watchers.get(&id) else { return };
            if watcher.synced && watcher.wants(record) {
                told.entry(id).or_default().push(event.get(watcher.prev_kv));
            }
        });
    }

    /// Queues the events of one revision. Who has no room lags from there on.
    fn tell(&mut self, revision: i64, told: &mut HashMap<Id, Vec<Bytes>>) {
        for (id, events) in told.drain() {
            let Some(watcher) = self.watchers.get_mut(&id) else { continue };
            let Some(stream) = self.streams.get_mut(&watcher.stream) else { continue };
            if stream.outbox.has_room() {
                watcher.busy = true;
                push(&stream.outbox, watcher, revision, events, self.fragment);
            } else {
                watcher.synced = false;
                watcher.next = revision;
                stream.lagging.insert(id);
                stream.outbox.lag();
            }
        }
    }

    /// Goes on with the watchers of a stream that lag, for a bounded number of revisions.
    pub(crate) fn catch_up(&mut self, store: &Store, stream_id: StreamId) {
        let Some(stream) = self.streams.get_mut(&stream_id) else { return };
        let mut lagging = std::mem::take(&mut stream.lagging);
        let (compacted, now) = (store.compacted(), self.revision);
        let mut index = Index::default();
        let mut from = i64::MAX;
        lagging.retain(|id| {
            let Some(watcher) = self.watchers.get(id) else { return false };
            if watcher.next < compacted {
                stream.ids.remove(&watcher.watch);
                stream.outbox.push(Message::Compacted { watch: watcher.watch, compacted });
                if let Some(watcher) = self.watchers.remove(id) {
                    self.index.remove(&watcher.range, *id);
                }
                return false;
            }
            index.insert(&watcher.range, *id);
            from = from.min(watcher.next);
            true
        });
        let mut gathered: HashMap<Id, Vec<Bytes>> = HashMap::new();
        let (mut reached, mut revisions, mut bytes) = (now, 0, 0);
        let mut at = from - 1;
        for record in store.since(from) {
            let main = record.key.revision.main;
            if main > now {
                break;
            }
            if main != at {
                if revisions == REVISIONS || bytes > BYTES {
                    reached = at;
                    break;
                }
                revisions += 1;
                at = main;
            }
            let mut event = Events::new(store, &record);
            index.find(record.kv().key, |id| {
                if let Some(watcher) = self.watchers.get(&id)
                    && watcher.wants(&record)
                {
                    let encoded = event.get(watcher.prev_kv);
                    bytes += encoded.len();
                    gathered.entry(id).or_default().push(encoded);
                }
            });
        }
        for id in &lagging {
            let Some(watcher) = self.watchers.get_mut(id) else { continue };
            watcher.next = watcher.next.max(reached + 1);
            watcher.synced = watcher.next > now;
            if let Some(events) = gathered.remove(id) {
                watcher.busy = true;
                push(&stream.outbox, watcher, now, events, self.fragment);
            }
        }
        lagging.retain(|id| self.watchers.get(id).is_some_and(|watcher| !watcher.synced));
        if !lagging.is_empty() {
            stream.outbox.lag();
        }
        stream.lagging = lagging;
    }
}

/// Queues one response, or its fragments if the watcher takes them.
fn push(outbox: &Outbox, watcher: &Watcher, revision: i64, events: Vec<Bytes>, limit: usize) {
    let watch = watcher.watch;
    if !watcher.fragment {
        return outbox.push(Message::Events { watch, revision, events, fragment: false });
    }
    let mut part: Vec<Bytes> = Vec::new();
    let mut size = 0;
    for event in events {
        let more = size_of_field(&event);
        if !part.is_empty() && size + more >= limit {
            let events = std::mem::take(&mut part);
            outbox.push(Message::Events { watch, revision, events, fragment: true });
            size = 0;
        }
        size += more;
        part.push(event);
    }
    outbox.push(Message::Events { watch, revision, events: part, fragment: false });
}

/// One change, encoded at most once for those who want the value before, and once for the others.
struct Events<'a> {
    store: &'a Store,
    record: &'a Record<'a>,
    plain: Option<Bytes>,
    with_before: Option<Bytes>,
}

impl<'a> Events<'a> {
    const fn new(store: &'a Store, record: &'a Record<'a>) -> Self {
        Self { store, record, plain: None, with_before: None }
    }

    fn get(&mut self, prev_kv: bool) -> Bytes {
        let Self { store, record, plain, with_before } = self;
        let kv = || record.kv();
        if !prev_kv || kv().create_revision == record.key.revision.main {
            return plain.get_or_insert_with(|| event(record, None)).clone();
        }
        let before = || store.before(kv().key, record.key.revision.main);
        with_before.get_or_insert_with(|| event(record, before().as_ref())).clone()
    }
}
