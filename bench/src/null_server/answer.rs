//! The bytes that go out: one prepared answer for each route and each state of the header table.
//!
//! Response headers look exactly as grpc-go's: `:status` and `content-type`, then the message, then
//! `grpc-status` and an empty `grpc-message`, indexed from the second answer on. Messages are written
//! by hand, so that what the server says is visible here and does not depend on our own codec.

use bytes::BufMut;

/// Frame types of HTTP/2 that this server sends or reads.
pub mod frame {
    /// The length of a frame's head.
    pub const HEAD: usize = 9;
    /// The largest payload that every peer takes.
    pub const MAX_PAYLOAD: usize = 16_384;
    /// `DATA`.
    pub const DATA: u8 = 0;
    /// `HEADERS`.
    pub const HEADERS: u8 = 1;
    /// `RST_STREAM`.
    pub const RST_STREAM: u8 = 3;
    /// `SETTINGS`.
    pub const SETTINGS: u8 = 4;
    /// `PING`.
    pub const PING: u8 = 6;
    /// `GOAWAY`.
    pub const GOAWAY: u8 = 7;
    /// `WINDOW_UPDATE`.
    pub const WINDOW_UPDATE: u8 = 8;
    /// `CONTINUATION`.
    pub const CONTINUATION: u8 = 9;
    /// The stream ends here.
    pub const END_STREAM: u8 = 0x1;
    /// This answers a `SETTINGS` or a `PING`.
    pub const ACK: u8 = 0x1;
    /// The header block ends here.
    pub const END_HEADERS: u8 = 0x4;
    /// The payload is padded.
    pub const PADDED: u8 = 0x8;
    /// The header block is preceded by a priority.
    pub const PRIORITY: u8 = 0x20;
}

/// What a request asks for, as far as this server can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/etcdserverpb.KV/Put`
    Put,
    /// `/etcdserverpb.KV/Range`
    Range,
    /// `/etcdserverpb.Maintenance/Status`
    Status,
    /// `/grpc.health.v1.Health/Check`
    Health,
    /// Anything else.
    Unknown,
    /// `/etcdserverpb.Watch/Watch`, a stream.
    Watch,
    /// `/etcdserverpb.Lease/LeaseKeepAlive`, a stream.
    KeepAlive,
    /// `/etcdserverpb.Lease/LeaseTimeToLive`: tells how many renewals there were.
    Renewals,
}

impl Route {
    /// The route of a path.
    #[must_use]
    pub fn of(path: &[u8]) -> Self {
        match path {
            b"/etcdserverpb.KV/Put" => Self::Put,
            b"/etcdserverpb.KV/Range" => Self::Range,
            b"/etcdserverpb.Maintenance/Status" => Self::Status,
            b"/grpc.health.v1.Health/Check" => Self::Health,
            b"/etcdserverpb.Watch/Watch" => Self::Watch,
            b"/etcdserverpb.Lease/LeaseKeepAlive" => Self::KeepAlive,
            b"/etcdserverpb.Lease/LeaseTimeToLive" => Self::Renewals,
            _ => Self::Unknown,
        }
    }
}

/// How response headers are to be written next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Literally, putting them into the peer's table.
    Introduce,
    /// By their indices in the peer's table.
    Indexed,
    /// Literally, after telling the peer that its table is not used: it wants a small one.
    Renounce,
    /// Literally.
    Literal,
}

impl Style {
    /// The style after an answer in this one.
    #[must_use]
    pub fn after(self, route: Route) -> Self {
        match (self, route) {
            // It is written literally without touching the table.
            (Self::Introduce, Route::Unknown) => Self::Introduce,
            (Self::Introduce | Self::Indexed, _) => Self::Indexed,
            (Self::Renounce | Self::Literal, _) => Self::Literal,
        }
    }
}

/// A whole answer, complete but for the stream it belongs to.
#[derive(Debug, Clone)]
pub struct Answer {
    bytes: Vec<u8>,
    /// Where the stream's number goes.
    streams: Vec<usize>,
    /// How much of the flow-control windows it takes.
    pub data: i64,
}

impl Answer {
    fn new() -> Self {
        Self { bytes: Vec::new(), streams: Vec::new(), data: 0 }
    }

    fn frame(mut self, kind: u8, flags: u8, payload: &[u8]) -> Self {
        self.streams.push(self.bytes.len() + 5);
        put_frame(&mut self.bytes, kind, flags, 0, payload);
        if kind == frame::DATA {
            self.data += payload.len() as i64;
        }
        self
    }

    /// Appends the answer for one stream.
    pub fn write(&self, stream: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for &at in &self.streams {
            out[start + at..start + at + 4].copy_from_slice(&stream.to_be_bytes());
        }
    }
}

/// Appends one frame.
pub fn put_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.put_uint(payload.len() as u64, 3);
    out.extend_from_slice(&[kind, flags]);
    out.put_u32(stream);
    out.extend_from_slice(payload);
}

/// All answers that the server knows.
#[derive(Debug)]
pub struct Answers {
    /// By style, then by route.
    prepared: [[Answer; 5]; 4],
    value_size: usize,
}

impl Answers {
    /// Prepares the answers; a Range returns one value of `value_size` bytes.
    #[must_use]
    pub fn new(value_size: usize) -> Self {
        let messages = [
            (Route::Put, put_response()),
            (Route::Range, range_response(value_size)),
            (Route::Status, status_response()),
            (Route::Health, health_response()),
            (Route::Unknown, Vec::new()),
        ];
        let styles = [Style::Introduce, Style::Indexed, Style::Renounce, Style::Literal];
        Self {
            prepared: styles.map(|style| {
                messages.each_ref().map(|(route, message)| answer(*route, style, message))
            }),
            value_size,
        }
    }

    /// The size of the values that it has.
    #[must_use]
    pub fn value_size(&self) -> usize {
        self.value_size
    }

    /// The answer for a route in a style.
    #[must_use]
    pub fn get(&self, route: Route, style: Style) -> &Answer {
        &self.prepared[style as usize][route as usize]
    }

    /// The largest message's share of the flow-control windows.
    #[must_use]
    pub fn largest(&self) -> i64 {
        self.prepared.iter().flatten().map(|answer| answer.data).max().unwrap_or(0)
    }
}

/// An answer that is made when it is asked for: the renewals so far, as the time that was granted.
#[must_use]
pub fn renewals_answer(style: Style, renewals: u64) -> Answer {
    let message = Message::default().bytes(1, &header()).int(2, 1).int(3, 1).int(4, renewals + 1);
    answer(Route::Renewals, style, &message.0)
}

fn answer(route: Route, style: Style, message: &[u8]) -> Answer {
    // The static table has `:status: 200` at 8 and `content-type` at 31.
    let mut headers = if style == Style::Renounce { vec![0x20, 0x88] } else { vec![0x88] };
    if route == Route::Unknown {
        headers.extend_from_slice(&[0x0f, 0x10]);
        put_string(&mut headers, "application/grpc");
        headers.push(0);
        put_string(&mut headers, "grpc-status");
        put_string(&mut headers, "12");
        let flags = frame::END_HEADERS | frame::END_STREAM;
        return Answer::new().frame(frame::HEADERS, flags, &headers);
    }
    let mut trailers = Vec::new();
    if style == Style::Indexed {
        // Newest first from 62 on: grpc-message, grpc-status, content-type.
        headers.push(0x80 | 64);
        trailers.extend_from_slice(&[0x80 | 63, 0x80 | 62]);
    } else {
        let keep = style == Style::Introduce;
        headers.extend_from_slice(if keep { &[0x40 | 31] } else { &[0x0f, 0x10] });
        put_string(&mut headers, "application/grpc");
        for (name, value) in [("grpc-status", "0"), ("grpc-message", "")] {
            trailers.push(if keep { 0x40 } else { 0 });
            put_string(&mut trailers, name);
            put_string(&mut trailers, value);
        }
    }
    let mut data = vec![0];
    data.put_u32(message.len() as u32);
    data.extend_from_slice(message);
    let mut answer = Answer::new().frame(frame::HEADERS, frame::END_HEADERS, &headers);
    for part in data.chunks(frame::MAX_PAYLOAD) {
        answer = answer.frame(frame::DATA, 0, part);
    }
    answer.frame(frame::HEADERS, frame::END_HEADERS | frame::END_STREAM, &trailers)
}

/// A header string without Huffman coding, shorter than 127 bytes.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// A message under construction, by field numbers.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A number that may be negative.
    pub(super) fn id(self, field: u8, value: i64) -> Self {
        self.int(field, value.cast_unsigned())
    }

    pub(super) fn int(mut self, field: u8, value: u64) -> Self {
        self.0.push(field << 3);
        put_varint(&mut self.0, value);
        self
    }

    pub(super) fn bytes(mut self, field: u8, value: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        put_varint(&mut self.0, value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A `ResponseHeader` as large as a real cluster's: random ids, a revision that has run for a while.
fn header() -> Vec<u8> {
    header_at(super::streams::REVISION)
}

/// The same, at a revision.
pub(super) fn header_at(revision: u64) -> Vec<u8> {
    Message::default()
        .int(1, 0xcdf8_181e_3227_70b6)
        .int(2, 0x8e9e_05c5_2164_694d)
        .int(3, revision)
        .int(4, 2)
        .0
}

fn put_response() -> Vec<u8> {
    Message::default().bytes(1, &header()).0
}

fn range_response(value_size: usize) -> Vec<u8> {
    let pair = Message::default()
        .bytes(1, b"00000001")
        .int(2, 1 << 28)
        .int(3, 1 << 28)
        .int(4, 1)
        .bytes(5, &vec![b'v'; value_size]);
    Message::default().bytes(1, &header()).bytes(2, &pair.0).int(4, 1).0
}

fn status_response() -> Vec<u8> {
    // header, version, db_size, leader (this member), raft_index, raft_term, raft_applied_index, db_size_in_use
    Message::default()
        .bytes(1, &header())
        .bytes(2, b"3.6.0")
        .int(3, 1 << 20)
        .int(4, 0x8e9e_05c5_2164_694d)
        .int(5, 1 << 29)
        .int(6, 2)
        .int(7, 1 << 29)
        .int(9, 1 << 20)
        .0
}

fn health_response() -> Vec<u8> {
    // status: SERVING
    Message::default().int(1, 1).0
}

#[cfg(test)]
mod tests {
    use etcdkit_proto::etcdserverpb::{PutResponse, RangeResponse, StatusResponse};
    use etcdkit_proto::grpc_health_v1::HealthCheckResponse;
    use prost::Message as _;

    use super::*;

    #[test]
    fn messages_are_what_the_clients_expect() {
        assert_eq!(put_response().len(), 32);
        let put = PutResponse::decode(put_response().as_slice()).unwrap();
        let header = put.header.unwrap();
        assert_eq!((header.revision, header.raft_term), (1 << 29, 2));
        let range = RangeResponse::decode(range_response(256).as_slice()).unwrap();
        assert_eq!((range.count, range.more, range.kvs.len()), (1, false, 1));
        assert_eq!((range.kvs[0].key.as_ref(), range.kvs[0].value.len()), (&b"00000001"[..], 256));
        let status = StatusResponse::decode(status_response().as_slice()).unwrap();
        assert_eq!(status.version, "3.6.0");
        assert_eq!(status.leader, status.header.unwrap().member_id);
        let health = HealthCheckResponse::decode(health_response().as_slice()).unwrap();
        assert_eq!(health.status, 1);
    }
}
