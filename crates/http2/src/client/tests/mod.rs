//! A connection and a peer that is made of raw frames.

mod ending;
mod floods;
mod flow;
mod peer;
mod requests;
mod rules;

use std::io::IoSlice;

use bytes::{Bytes, BytesMut};

use super::{Connection, End, Error, Events, Options, Part, Payload, Sent};
use crate::frame::{self, ErrorCode, Head, Kind, PREFACE, StreamId, flag};
use crate::hpack::Prepared;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;

/// `:status: 200` as a block of fields.
const STATUS_200: &[u8] = b"\x88";
/// `grpc-status: 0` as a block that leaves the table alone.
const GRPC_STATUS_0: &[u8] = b"\x00\x0bgrpc-status\x010";

fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, l0, l1, l2] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![l0, l1, l2, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    raw(SETTINGS, 0, 0, &payload)
}

fn answer_head(stream: u32) -> Vec<u8> {
    raw(HEADERS, flag::END_HEADERS, stream, STATUS_200)
}

fn trailers(stream: u32) -> Vec<u8> {
    raw(HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, GRPC_STATUS_0)
}

fn content(stream: u32, length: usize) -> Vec<u8> {
    raw(DATA, 0, stream, &vec![0; length])
}

fn reset(stream: u32, code: ErrorCode) -> Vec<u8> {
    raw(RST_STREAM, 0, stream, &code.0.to_be_bytes())
}

fn window_update(stream: u32, by: u32) -> Vec<u8> {
    raw(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn go_away(last: u32, code: ErrorCode) -> Vec<u8> {
    let mut payload = last.to_be_bytes().to_vec();
    payload.extend(code.0.to_be_bytes());
    payload.extend(b"because");
    raw(GOAWAY, 0, 0, &payload)
}

/// A connection whose streams carry nothing, with what it told and a socket that takes everything.
struct Client {
    connection: Connection<()>,
    told: Told,
}

/// What a connection told, a line each.
#[derive(Default)]
struct Told {
    lines: Vec<String>,
    /// Content is released at once.
    releases: bool,
}

impl Client {
    /// A client on whose connection the settings were exchanged.
    fn new() -> Self {
        Self::with(Options::default(), &[])
    }

    fn with(options: Options, values: &[(u16, u32)]) -> Self {
        let mut client = Self::fresh(options);
        client.sends();
        client.hears(&settings(values)).unwrap();
        client.hears(&raw(SETTINGS, flag::ACK, 0, &[])).unwrap();
        assert_eq!(client.sends(), ["SETTINGS ack"]);
        client.told();
        client
    }

    /// A client that has not heard anything yet.
    fn fresh(options: Options) -> Self {
        Self { connection: Connection::new(options), told: Told::default() }
    }

    /// Opens a stream, and sends an empty request that is whole.
    fn asks(&mut self) -> u32 {
        let id = self.opens();
        self.connection.send(id, Bytes::new(), true).unwrap();
        self.sends();
        id.get()
    }

    fn opens(&mut self) -> StreamId {
        self.connection.open(&mut Prepared::new([]), [], ()).unwrap()
    }

    fn hears(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.connection.receive(&mut BytesMut::from(bytes), &mut self.told)
    }

    /// What it told since the last time.
    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told.lines)
    }

    /// The frames that it has written since the last time. The socket takes them all.
    fn sends(&mut self) -> Vec<String> {
        let mut written = Vec::new();
        while !self.connection.output().is_empty() {
            let mut slices = [IoSlice::new(&[]); 64];
            let used = self.connection.output().slices(&mut slices);
            let bytes: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
            self.connection.output().advance(bytes.len());
            written.extend(bytes);
        }
        described(&written)
    }
}

fn described(mut written: &[u8]) -> Vec<String> {
    let mut frames = Vec::new();
    if let Some(rest) = written.strip_prefix(PREFACE) {
        frames.push("preface".into());
        written = rest;
    }
    while let Some(head) = Head::peek(written) {
        let (payload, rest) = written[Head::LENGTH..].split_at(head.length);
        written = rest;
        let stream = head.stream;
        let end = if head.has(flag::END_STREAM) { " end" } else { "" };
        let ack = if head.has(flag::ACK) { " ack" } else { "" };
        frames.push(match head.kind {
            Kind::Data => format!("DATA {stream} {}{end}", payload.len()),
            Kind::Headers => format!("HEADERS {stream}{end}"),
            Kind::Settings => payload.chunks(6).fold(format!("SETTINGS{ack}"), |text, setting| {
                let value = u32::from_be_bytes(setting[2..].try_into().unwrap());
                format!("{text} {}={value}", setting[1])
            }),
            Kind::Ping => format!("PING{ack} {}", payload.escape_ascii()),
            Kind::ResetStream => {
                format!("RST_STREAM {stream} {}", frame::reset_stream(payload).unwrap())
            }
            Kind::WindowUpdate => {
                let by = frame::window_update(head, payload).unwrap();
                format!("WINDOW_UPDATE {stream} {by}")
            }
            Kind::GoAway => {
                let said = frame::go_away(payload).unwrap();
                format!(
                    "GOAWAY {} {}: {}",
                    said.last,
                    said.code,
                    String::from_utf8_lossy(said.debug)
                )
            }
            other => format!("{other:?}"),
        });
    }
    assert!(written.is_empty(), "half a frame was written: {written:?}");
    frames
}

impl Events for Told {
    type Stream = ();

    fn field(&mut self, id: StreamId, (): &mut (), name: &[u8], value: &[u8]) {
        self.lines.push(format!("{id} {}: {}", name.escape_ascii(), value.escape_ascii()));
    }

    fn fields_end(&mut self, id: StreamId, (): &mut (), part: Part) {
        self.lines.push(format!("{id} {part:?}"));
    }

    fn data(&mut self, id: StreamId, (): &mut (), payload: Payload<'_>) -> usize {
        self.lines.push(format!("{id} content of {}", payload.len()));
        if self.releases { payload.len() } else { 0 }
    }

    fn ended(&mut self, id: StreamId, (): (), end: End, sent: Sent) {
        self.lines.push(format!("{id} ended {end:?}, sent {sent:?}"));
    }

    fn pong(&mut self, payload: [u8; 8]) {
        self.lines.push(format!("pong {}", payload.escape_ascii()));
    }

    fn going_away(&mut self, code: ErrorCode, debug: &[u8]) {
        self.lines.push(format!("going away {code}: {}", debug.escape_ascii()));
    }

    fn limit(&mut self, streams: usize) {
        self.lines.push(format!("limit {streams}"));
    }
}
