//! Streams that stay open: watches, and renewals of leases.
//!
//! Every watch is created as asked for. A watch of the key `start-N` has N events sent at once, one in each message,
//! to the other watches of its stream in turn. Every renewal is answered with the same time to live.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::{BufMut, Bytes};
use etcdkit_proto::etcdserverpb::watch_request::RequestUnion;
use etcdkit_proto::etcdserverpb::{LeaseKeepAliveRequest, WatchRequest};
use prost::Message as _;

use super::answer::{Message, Route, frame, header_at, put_frame};

/// The revision of everything that does not count them.
pub const REVISION: u64 = 1 << 29;
/// What every renewal is answered with, in seconds.
const TTL: u64 = 15;
/// The ids of watches for which nobody chose one.
const FIRST_ID: i64 = 1;

/// How many renewals the process has answered.
static RENEWALS: AtomicU64 = AtomicU64::new(0);

/// How many renewals the process has answered.
#[must_use]
pub fn renewals() -> u64 {
    RENEWALS.load(Relaxed)
}

/// The open streams of one connection.
#[derive(Debug)]
pub struct Streams {
    live: BTreeMap<u32, Live>,
    /// The window that a new stream has.
    initial_window: i64,
    value_size: usize,
}

#[derive(Debug)]
struct Live {
    watches: bool,
    /// What came of a message that is not complete.
    received: Vec<u8>,
    window: i64,
    /// Messages that are to be sent.
    waiting: VecDeque<Vec<u8>>,
    /// Their ids and keys.
    watchers: Vec<(i64, Bytes)>,
    /// Events still to be sent, and how many were.
    events: u64,
    sent: u64,
}

impl Streams {
    /// None yet.
    #[must_use]
    pub fn new(value_size: usize) -> Self {
        Self { live: BTreeMap::new(), initial_window: 65_535, value_size }
    }

    /// Whether a route is one of these streams.
    #[must_use]
    pub fn serves(route: Route) -> bool {
        matches!(route, Route::Watch | Route::KeepAlive)
    }

    /// A stream was opened; its response headers go out at once.
    pub fn open(&mut self, stream: u32, route: Route, out: &mut Vec<u8>) {
        // `:status: 200`, and `content-type` without the table.
        let mut headers = vec![0x88, 0x0f, 0x10];
        super::answer::put_string(&mut headers, "application/grpc");
        put_frame(out, frame::HEADERS, frame::END_HEADERS, stream, &headers);
        let live = Live {
            watches: route == Route::Watch,
            received: Vec::new(),
            window: self.initial_window,
            waiting: VecDeque::new(),
            watchers: Vec::new(),
            events: 0,
            sent: 0,
        };
        self.live.insert(stream, live);
    }

    /// Whether the stream is one of these.
    #[must_use]
    pub fn has(&self, stream: u32) -> bool {
        self.live.contains_key(&stream)
    }

    /// A stream is over.
    pub fn close(&mut self, stream: u32) {
        self.live.remove(&stream);
    }

    /// The peer takes so much more on a stream.
    pub fn opened(&mut self, stream: u32, more: u32) {
        if let Some(live) = self.live.get_mut(&stream) {
            live.window += i64::from(more);
        }
    }

    /// The peer has streams begin with another window; those that are open change by the difference.
    pub fn set_initial_window(&mut self, window: u32) {
        let change = i64::from(window) - self.initial_window;
        self.initial_window = i64::from(window);
        self.live.values_mut().for_each(|live| live.window += change);
    }

    /// Takes in what came on a stream. What makes no sense is ignored.
    pub fn receive(&mut self, stream: u32, payload: &[u8]) {
        let Some(live) = self.live.get_mut(&stream) else { return };
        live.received.extend_from_slice(payload);
        let received = std::mem::take(&mut live.received);
        let mut rest = &received[..];
        while let Some((&[_, a, b, c, d], after)) = rest.split_first_chunk::<5>() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let Some((message, next)) = after.split_at_checked(length) else { break };
            if live.watches {
                live.watch(message)
            } else {
                live.renew(message)
            }
            rest = next;
        }
        live.received = rest.to_vec();
    }

    /// Appends about `room` bytes of what waits, as far as the windows go. Whether more could follow at once.
    pub fn send(&mut self, connection: &mut i64, room: usize, out: &mut Vec<u8>) -> bool {
        let end = out.len() + room;
        for (&stream, live) in &mut self.live {
            while let Some(length) = live.waiting.front().map(Vec::len) {
                if !live.takes(length, connection) {
                    break;
                }
                let Some(message) = live.waiting.pop_front() else { break };
                put_frame(out, frame::DATA, 0, stream, &message);
                if out.len() >= end {
                    return true;
                }
            }
            while live.waiting.is_empty() && live.sent < live.events {
                let index = live.sent as usize % live.watchers.len();
                let (id, key) = &live.watchers[index];
                let message = event(*id, key, live.sent, self.value_size);
                if !live.takes(message.len(), connection) {
                    break;
                }
                put_frame(out, frame::DATA, 0, stream, &message);
                live.sent += 1;
                if out.len() >= end {
                    return true;
                }
            }
        }
        false
    }
}

impl Live {
    /// Whether the windows take so much; then it is taken from them.
    fn takes(&mut self, length: usize, connection: &mut i64) -> bool {
        let length = length as i64;
        let fits = length <= self.window && length <= *connection;
        if fits {
            self.window -= length;
            *connection -= length;
        }
        fits
    }

    fn watch(&mut self, message: &[u8]) {
        let request = WatchRequest::decode(message).unwrap_or_default();
        match request.request_union {
            Some(RequestUnion::Create(create)) => {
                let last = self.watchers.last().map_or(FIRST_ID - 1, |(id, _)| *id);
                let id = if create.watch_id == 0 { last + 1 } else { create.watch_id };
                let created = Message::default().bytes(1, &header_at(REVISION)).id(2, id).int(3, 1);
                self.waiting.push_back(framed(created));
                let start = create.key.strip_prefix(b"start-");
                match start.and_then(|count| std::str::from_utf8(count).ok()?.parse().ok()) {
                    Some(events) if !self.watchers.is_empty() => {
                        (self.events, self.sent) = (events, 0)
                    }
                    _ => self.watchers.push((id, create.key)),
                }
            }
            Some(RequestUnion::Cancel(cancel)) => {
                self.watchers.retain(|(id, _)| *id != cancel.watch_id);
                let message = Message::default().bytes(1, &header_at(REVISION));
                self.waiting.push_back(framed(message.id(2, cancel.watch_id).int(4, 1)));
                if self.watchers.is_empty() {
                    self.events = 0;
                }
            }
            // Servers may leave a request for progress without an answer.
            Some(RequestUnion::Progress(_)) | None => {}
        }
    }

    fn renew(&mut self, message: &[u8]) {
        let request = LeaseKeepAliveRequest::decode(message).unwrap_or_default();
        RENEWALS.fetch_add(1, Relaxed);
        let answer = Message::default().bytes(1, &header_at(REVISION)).id(2, request.id);
        self.waiting.push_back(framed(answer.int(3, TTL)));
    }
}

/// The `number`th event of a run, for the watch `id` of `key`.
fn event(id: i64, key: &[u8], number: u64, value_size: usize) -> Vec<u8> {
    let revision = REVISION + 2 + number;
    let kv = Message::default()
        .bytes(1, key)
        .int(2, revision)
        .int(3, revision)
        .int(4, 1)
        .bytes(5, &vec![b'v'; value_size]);
    let event = Message::default().bytes(2, &kv.into_bytes());
    framed(
        Message::default().bytes(1, &header_at(revision)).id(2, id).bytes(11, &event.into_bytes()),
    )
}

fn framed(message: Message) -> Vec<u8> {
    let message = message.into_bytes();
    let mut framed = Vec::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.extend_from_slice(&message);
    framed
}

#[cfg(test)]
mod tests {
    use etcdkit_proto::etcdserverpb::{LeaseKeepAliveResponse, WatchCreateRequest, WatchResponse};

    use super::*;

    fn asked(message: &impl prost::Message) -> Vec<u8> {
        let mut framed = vec![0];
        framed.put_u32(message.encoded_len() as u32);
        message.encode(&mut framed).unwrap();
        framed
    }

    /// The messages in the frames that go out.
    fn messages(mut out: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while let Some((head, rest)) = out.split_first_chunk::<{ frame::HEAD }>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            messages.push(rest[5..length].to_vec());
            out = &rest[length..];
        }
        messages
    }

    fn create(key: &str, watch_id: i64) -> Vec<u8> {
        let create =
            WatchCreateRequest { key: key.to_owned().into(), watch_id, ..Default::default() };
        asked(&WatchRequest { request_union: Some(RequestUnion::Create(create)) })
    }

    #[test]
    fn events_go_round_within_the_windows() {
        let mut streams = Streams::new(8);
        streams.open(1, Route::Watch, &mut Vec::new());
        let mut connection = 1 << 20;
        let mut out = Vec::new();
        let requests = [create("a", 0), create("b", 1 << 40), create("start-3", 0)].concat();
        // Wherever the frames are cut.
        requests.chunks(7).for_each(|part| streams.receive(1, part));
        assert!(!streams.send(&mut connection, 1 << 20, &mut out));
        let messages = messages(&out);
        let decoded: Vec<WatchResponse> =
            messages.iter().map(|it| WatchResponse::decode(&it[..]).unwrap()).collect();
        let ids: Vec<i64> = decoded.iter().map(|it| it.watch_id).collect();
        assert_eq!(ids, [1, 1 << 40, (1 << 40) + 1, 1, 1 << 40, 1]);
        let revisions: Vec<i64> =
            decoded[3..].iter().map(|it| it.events[0].kv.as_ref().unwrap().mod_revision).collect();
        assert!(decoded[..3].iter().all(|it| it.created) && revisions.is_sorted());

        let mut streams = Streams::new(8);
        streams.set_initial_window(70);
        streams.open(1, Route::Watch, &mut Vec::new());
        streams.receive(1, &[create("a", 0), create("b", 0)].concat());
        out.clear();
        assert!(!streams.send(&mut connection, 1 << 20, &mut out));
        assert_eq!(self::messages(&out).len(), 1, "the second does not fit");
        streams.opened(1, 100);
        assert!(!streams.send(&mut connection, 1 << 20, &mut out));
        assert_eq!(self::messages(&out).len(), 2);
    }

    #[test]
    fn renewals_are_answered_and_counted() {
        let before = renewals();
        let mut streams = Streams::new(8);
        streams.open(1, Route::KeepAlive, &mut Vec::new());
        streams.receive(1, &asked(&LeaseKeepAliveRequest { id: -7 }));
        let (mut out, mut connection) = (Vec::new(), 1 << 20);
        streams.send(&mut connection, 1 << 20, &mut out);
        let answer = LeaseKeepAliveResponse::decode(&messages(&out)[0][..]).unwrap();
        assert_eq!((answer.id, answer.ttl), (-7, 15));
        assert!(renewals() > before);
    }
}
