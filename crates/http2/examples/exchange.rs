//! Unary calls over a connection whose peer is a script: what a call costs here, without a socket or a task.
//!
//! ```text
//! cargo build --release -p etcdkit-http2 --example exchange
//! perf stat -e instructions:u target/release/examples/exchange 1000000
//! ```
//!
//! The number is that of the calls, of which 128 are under way at once; the difference of two runs is what calls cost. A second
//! one is that of the connections on which so many are made, one after the other; all stay open until the end.

use std::io::IoSlice;

use bytes::{Bytes, BytesMut};
use etcdkit_http2::client::{Connection, End, Events, Options, Part, Payload, Sent};
use etcdkit_http2::frame::{self, ErrorCode, Setting, StreamId};
use etcdkit_http2::hpack::{Encoder, Field, Indexing, Prepared};

const AT_ONCE: usize = 128;

/// How many calls were answered, and with how many bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    clean: usize,
    fields: usize,
    bytes: usize,
}

impl Events for Answers {
    /// The number of the call.
    type Stream = usize;

    fn field(&mut self, _: StreamId, _: &mut usize, _: &[u8], _: &[u8]) {
        self.fields += 1;
    }

    fn fields_end(&mut self, _: StreamId, _: &mut usize, _: Part) {}

    fn data(&mut self, _: StreamId, _: &mut usize, payload: Payload<'_>) -> usize {
        self.bytes += payload.len();
        payload.len()
    }

    fn ended(&mut self, _: StreamId, _: usize, end: End, _: Sent) {
        assert_eq!(end, End::Clean);
        self.clean += 1;
    }

    fn pong(&mut self, _: [u8; 8]) {}

    fn going_away(&mut self, code: ErrorCode, _: &[u8]) {
        unreachable!("the script has no GOAWAY, yet one came with {code}");
    }

    fn limit(&mut self, _: usize) {}
}

/// The peer's end: it answers each call as etcd does, with a head, one message, and trailers.
struct Script {
    encoder: Encoder,
    head: Prepared,
    trailers: Prepared,
    message: Vec<u8>,
}

fn prepared<const N: usize>(fields: [(&'static str, &'static str); N]) -> Prepared {
    let field = |(name, value)| (Bytes::from(name), Bytes::from(value), Indexing::Repeats);
    Prepared::new(fields.map(field))
}

impl Script {
    fn new() -> Self {
        Self {
            encoder: Encoder::new(),
            head: prepared([(":status", "200"), ("content-type", "application/grpc")]),
            trailers: prepared([("grpc-status", "0"), ("grpc-message", "")]),
            message: vec![7; 100],
        }
    }

    fn answer(&mut self, id: StreamId, out: &mut BytesMut) {
        let encoder = &mut self.encoder;
        frame::write_headers(out, id, false, 1 << 14, |out| {
            encoder.encode_prepared(&mut self.head, out);
        });
        frame::write_data_head(out, id, self.message.len(), false);
        out.extend_from_slice(&self.message);
        frame::write_headers(out, id, true, 1 << 14, |out| {
            encoder.encode_prepared(&mut self.trailers, out);
        });
    }
}

/// Makes so many calls on a connection of their own, and leaves it idle.
fn exchange(calls: usize) -> Connection<usize> {
    let (mut connection, mut script, mut answers) =
        (Connection::new(Options::default()), Script::new(), Answers::default());
    let mut input = BytesMut::new();
    frame::write_settings(&mut input, &[Setting::MaxConcurrentStreams(1 << 20)]);
    connection.receive(&mut input, &mut answers).expect("settings are in order");

    let mut head = prepared([
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/etcdserverpb.KV/Range"),
        (":authority", "127.0.0.1:2379"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "an example"),
    ]);
    let timeout = Field { name: b"grpc-timeout", value: b"4999999u", indexing: Indexing::Varies };
    let message = Bytes::from_static(&[1; 30]);
    let mut ids = Vec::with_capacity(AT_ONCE);
    let mut next = 0;
    while next < calls {
        for call in next..calls.min(next + AT_ONCE) {
            let id = connection.open(&mut head, [timeout], call).expect("there is room");
            connection.send(id, message.clone(), true).expect("the stream is open");
            ids.push(id);
        }
        next += ids.len();
        let output = connection.output();
        let mut slices = [IoSlice::new(&[]); 64];
        assert_eq!(output.slices(&mut slices), 1, "small requests are written as one");
        output.advance(output.len());
        let sent = u32::try_from(ids.len() * message.len()).expect("little");
        frame::write_window_update(&mut input, StreamId::CONNECTION, sent);
        for id in ids.drain(..) {
            script.answer(id, &mut input);
        }
        connection.receive(&mut input, &mut answers).expect("the answers are in order");
    }
    let expected = Answers { clean: calls, fields: 4 * calls, bytes: script.message.len() * calls };
    assert_eq!(answers, expected);
    connection.shrink();
    connection
}

fn main() {
    let numbers = std::env::args().skip(1).map(|number| number.parse().expect("a number"));
    let numbers: Vec<usize> = numbers.collect();
    let calls = numbers.first().copied().unwrap_or(1 << 14);
    let connections = numbers.get(1).copied().unwrap_or(1);
    let idle: Vec<_> = (0..connections).map(|_| exchange(calls)).collect();
    assert!(idle.iter().all(|connection| connection.open_streams() == 0));
}
