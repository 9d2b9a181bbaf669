//! Any bytes from the peer of an HTTP/2 client that makes calls, reads, resets and writes meanwhile. Each stream ends once,
//! no window is exceeded, what is kept stays within bounds, and a connection that is over says nothing more.

#![no_main]

use std::collections::HashMap;
use std::io::IoSlice;

use bytes::{Bytes, BytesMut};
use etcdkit_http2::client::{Connection, End, Events, Options, Part, Payload, Sent};
use etcdkit_http2::frame::{self, ErrorCode, Head, Kind, PREFACE, StreamId};
use etcdkit_http2::hpack::{Field, Indexing, Prepared};
use libfuzzer_sys::fuzz_target;

const MAX_LIST: u32 = 1 << 12;
const STREAM_WINDOW: usize = 65_535;
const CONNECTION_WINDOW: usize = 100_000;
const MAX_STREAMS: usize = 20;

/// What a stream may hear next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Head,
    Content,
    End,
}

struct Asked {
    next: Next,
    /// The length of the list of fields that is being told.
    list: usize,
    held: usize,
}

/// Hears all, and keeps content until it is released.
#[derive(Default)]
struct Owner {
    ended: HashMap<StreamId, Asked>,
    held: usize,
    unreleased: Vec<StreamId>,
    releases_at_once: bool,
}

impl Events for Owner {
    type Stream = Asked;

    fn field(&mut self, _: StreamId, asked: &mut Asked, name: &[u8], value: &[u8]) {
        assert!(asked.next != Next::End);
        assert!(asked.list > 0 || asked.next != Next::Head || name == b":status");
        asked.list += name.len() + value.len() + 32;
        assert!(asked.list <= MAX_LIST as usize, "more was told than may be");
        assert!(!name.is_empty() && !name.iter().any(u8::is_ascii_uppercase));
        assert!(!value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')));
    }

    fn fields_end(&mut self, _: StreamId, asked: &mut Asked, part: Part) {
        asked.list = 0;
        asked.next = match (asked.next, part) {
            (Next::Head, Part::Head) => Next::Content,
            (Next::Content, Part::Trailers) => Next::End,
            _ => panic!("{part:?} is out of order"),
        };
    }

    fn data(&mut self, id: StreamId, asked: &mut Asked, payload: Payload<'_>) -> usize {
        assert!(asked.next == Next::Content && !payload.is_empty());
        let length = payload.len();
        assert_eq!(payload.into_bytes().len(), length);
        if self.releases_at_once {
            return length;
        }
        asked.held += length;
        self.held += length;
        assert!(asked.held <= STREAM_WINDOW && self.held <= CONNECTION_WINDOW);
        self.unreleased.push(id);
        0
    }

    fn ended(&mut self, id: StreamId, asked: Asked, end: End, _: Sent) {
        assert!(end != End::Clean || asked.next != Next::Head, "an answer has a head");
        assert!(
            !matches!(end, End::Refused | End::GoneAway) || asked.next == Next::Head,
            "what was answered was processed"
        );
        self.held -= asked.held;
        assert!(self.ended.insert(id, asked).is_none(), "it ended before");
    }

    fn pong(&mut self, _: [u8; 8]) {}

    fn going_away(&mut self, _: ErrorCode, _: &[u8]) {}

    fn limit(&mut self, streams: usize) {
        assert!(streams <= MAX_STREAMS);
    }
}

/// The other end of the output: it wants whole frames of a client.
struct Socket {
    written: Vec<u8>,
    /// The last stream that was opened.
    last: StreamId,
    is_over: bool,
}

impl Socket {
    fn take(&mut self, connection: &mut Connection<Asked>, most: usize) {
        let mut slices = [IoSlice::new(&[]); 8];
        let used = connection.output().slices(&mut slices);
        let before = self.written.len();
        for slice in &slices[..used] {
            self.written.extend_from_slice(slice);
        }
        self.written.truncate(before + most);
        let taken = self.written.len() - before;
        connection.output().advance(taken);
        if self.last.is_connection() {
            let Some(rest) = self.written.strip_prefix(PREFACE) else { return };
            self.written = rest.to_vec();
            self.last = StreamId::new(1);
        }
        let mut rest = &self.written[..];
        while let Some(head) = Head::peek(rest) {
            head.check(1 << 24).expect("a frame that may be");
            let Some(payload) = rest.get(Head::LENGTH..Head::LENGTH + head.length) else { break };
            rest = &rest[Head::LENGTH + head.length..];
            assert!(!self.is_over, "GOAWAY is the last of an error");
            match head.kind {
                Kind::Headers => {
                    assert!(head.stream.is_clients() && head.stream >= self.last);
                    self.last = head.stream;
                }
                Kind::GoAway => self.is_over = true,
                Kind::WindowUpdate => {
                    frame::window_update(head, payload).expect("it gives something back");
                }
                _ => assert!(head.stream <= self.last, "nothing is said of streams to come"),
            }
        }
        self.written = rest.to_vec();
    }
}

fuzz_target!(|data: &[u8]| {
    let mut options = Options::default();
    options.stream_window = STREAM_WINDOW as u32;
    options.connection_window = CONNECTION_WINDOW as u32;
    options.max_frame = 1 << 14;
    options.max_header_list = MAX_LIST;
    options.max_streams = MAX_STREAMS;
    options.unsent_mark = 10;
    let mut connection = Connection::new(options);
    let mut owner = Owner::default();
    let mut socket = Socket { written: Vec::new(), last: StreamId::CONNECTION, is_over: false };
    let field =
        |name, value| (Bytes::from_static(name), Bytes::from_static(value), Indexing::Repeats);
    let mut head = Prepared::new([field(b":method", b"POST"), field(b"te", b"trailers")]);
    let mut opened = Vec::new();
    let (mut input, mut rest) = (BytesMut::new(), data);
    // What happens next, and a byte that says how.
    while let [what, how, tail @ ..] = rest {
        rest = tail;
        let how = usize::from(*how);
        let chosen = opened.get(how % opened.len().max(1)).copied();
        match what % 8 {
            0..=2 => {
                let (bytes, tail) = rest.split_at(how.min(rest.len()));
                rest = tail;
                input.extend_from_slice(bytes);
                let missing = connection.receive(&mut input, &mut owner);
                let Ok(missing) = missing else {
                    assert_eq!(connection.room(), 0);
                    break;
                };
                assert!(missing > 0 && input.len() + missing <= Head::LENGTH + (1 << 14));
            }
            3 => {
                let value = [b'v'; 40];
                let field = Field {
                    name: b"x-field",
                    value: &value[..how % 40],
                    indexing: Indexing::Varies,
                };
                let asked = Asked { next: Next::Head, list: 0, held: 0 };
                let room = connection.room();
                let id = connection.open(&mut head, [field], asked);
                assert_eq!(id.is_ok(), room > 0);
                opened.extend(id.ok());
            }
            4 => {
                if let Some(id) = chosen {
                    let payload = Bytes::from(vec![1; how * usize::from(*what)]);
                    let is_open = connection.stream(id).is_some();
                    let sent = connection.send(id, payload, how % 3 == 0);
                    assert!(is_open || sent.is_err());
                }
            }
            5 => {
                if let Some(id) = chosen
                    && let Some((asked, _)) = connection.reset(id, ErrorCode::CANCEL)
                {
                    owner.held -= asked.held;
                    assert!(owner.ended.insert(id, asked).is_none());
                }
            }
            6 => {
                owner.releases_at_once = how % 2 == 0;
                for id in owner.unreleased.drain(..how.min(owner.unreleased.len())) {
                    let Some(asked) = connection.stream(id) else { continue };
                    let released = std::mem::take(&mut asked.held);
                    owner.held -= released;
                    connection.release(id, released);
                }
                connection.shrink();
            }
            _ => socket.take(&mut connection, how * 16),
        }
        while let Some((id, _)) = connection.next_writable() {
            assert!(connection.unsent(id) <= 10);
        }
        assert!(connection.open_streams() <= MAX_STREAMS);
    }
    connection.lose(&mut owner);
    assert!(connection.is_finished() && owner.held == 0);
    opened.sort_unstable();
    let mut ended: Vec<_> = owner.ended.keys().copied().collect();
    ended.sort_unstable();
    assert_eq!(ended, opened, "each stream ended");
    while !connection.output().is_empty() {
        socket.take(&mut connection, usize::MAX >> 1);
    }
});
