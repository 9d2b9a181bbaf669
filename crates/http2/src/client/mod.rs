//! One connection as its client sees it: a state machine without I/O, clock or task.
//!
//! Bytes go in by [`Connection::receive`] and come out by [`Connection::output`]; in between are the rules of RFC 9113.
//! Each stream carries a state of the owner's, handed back when the stream ends, and what the peer says goes to the
//! owner's [`Events`] as it is read, without anything stored in between. Who owns the socket, who waits for what, and
//! what gRPC makes of it, is no matter of this room.
//!
//! # What a hostile peer can make it hold or do
//!
//! | what | at most | beyond it |
//! |---|---|---|
//! | a frame | [`Options::max_frame`] | FRAME_SIZE_ERROR, before it is waited for |
//! | content | the windows, of a stream and of the connection | FLOW_CONTROL_ERROR |
//! | a list of fields that is told | [`Options::max_header_list`] | the stream ends |
//! | a block in pieces | 4 times that (at least 64 KiB), in 65 pieces and one for each 16 KiB | ENHANCE_YOUR_CALM |
//! | a list as it is read for the table's sake | 16 times that (at least 1 MiB) | COMPRESSION_ERROR |
//! | entries of the tables, either way | 4096 bytes | COMPRESSION_ERROR, or they go |
//! | answers to PING and SETTINGS that it does not read | 1000 | ENHANCE_YOUR_CALM |
//! | frames that are good for nothing | 10 000, 8 for each reset of ours, and one for each PING | ENHANCE_YOUR_CALM |
//!
//! Frames are good for nothing if they are about streams that are over (but for content, which has its windows), bring content
//! of no bytes, interim heads, a PRIORITY, something unknown, the same GOAWAY again, SETTINGS, or answers to PING and SETTINGS.
//! Those that bring content or fields to a stream that is open earn ten back. Streams that are over are not remembered.
//!
//! What the owner sends waits here as long as the peer gives no window; how much that may be is the owner's affair, who knows
//! [`unsent`](Connection::unsent) and can [`reset`](Connection::reset) a stream.
//!
//! # What is left out
//!
//! What only HTTP's own bodies need: a `content-length` is a field like any other and not compared with the
//! content, and an answer whose status allows no content may have some. gRPC's messages say their lengths themselves. The
//! longest list of fields that the peer wants to get is advice to those who can do without some; nobody here can.
//!
//! # A call
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use etcdkit_http2::client::{Connection, End, Events, Options, Part, Payload, Sent};
//! use etcdkit_http2::frame::{self, ErrorCode, StreamId};
//! use etcdkit_http2::hpack::{Indexing, Prepared};
//!
//! /// Puts answers together. Each stream carries what came of its answer so far.
//! #[derive(Default)]
//! struct Answers(Vec<(String, End)>);
//!
//! impl Events for Answers {
//!     type Stream = String;
//!
//!     fn field(&mut self, _: StreamId, answer: &mut String, name: &[u8], value: &[u8]) {
//!         *answer += &format!("{}={} ", name.escape_ascii(), value.escape_ascii());
//!     }
//!     fn fields_end(&mut self, _: StreamId, _: &mut String, _: Part) {}
//!     fn data(&mut self, _: StreamId, answer: &mut String, payload: Payload<'_>) -> usize {
//!         *answer += &format!("{} ", payload.escape_ascii());
//!         payload.len() // The peer may send as much again.
//!     }
//!     fn ended(&mut self, _: StreamId, answer: String, end: End, _: Sent) {
//!         self.0.push((answer, end));
//!     }
//!     fn pong(&mut self, _: [u8; 8]) {}
//!     fn going_away(&mut self, _: ErrorCode, _: &[u8]) {}
//!     fn limit(&mut self, _: usize) {}
//! }
//!
//! let mut connection = Connection::new(Options::default());
//! let field = |name, value| (Bytes::from_static(name), Bytes::from_static(value), Indexing::Repeats);
//! let mut head = Prepared::new([field(b":method", b"POST"), field(b":path", b"/etcdserverpb.KV/Put")]);
//! let id = connection.open(&mut head, [], String::new()).expect("there is room");
//! connection.send(id, Bytes::from_static(b"request"), true)?;
//! let written = connection.output().len();
//! connection.output().advance(written); // The socket took it all.
//!
//! // What the peer writes, here by the same crate: settings, a head, content, trailers.
//! let mut input = BytesMut::new();
//! frame::write_settings(&mut input, &[]);
//! frame::write_headers(&mut input, id, false, 1 << 14, |block| block.extend_from_slice(b"\x88"));
//! frame::write_data_head(&mut input, id, 5, false);
//! input.extend_from_slice(b"hello");
//! frame::write_headers(&mut input, id, true, 1 << 14, |block| {
//!     block.extend_from_slice(b"\x00\x0bgrpc-status\x010");
//! });
//! let mut answers = Answers::default();
//! connection.receive(&mut input, &mut answers)?;
//! assert_eq!(answers.0, [(":status=200 hello grpc-status=0 ".to_owned(), End::Clean)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | what |
//! |---|---|
//! | `connection.rs` | the connection: opening, sending, resetting, and how it ends |
//! | `receive.rs` | one frame after the other: what each means, and what is an offence |
//! | `block.rs` | header blocks in pieces, and which fields an answer may have |
//! | `stream.rs` | the streams that are open |
//! | `window.rs` | flow control, either way |
//! | `output.rs` | what is to be written |

mod block;
mod connection;
mod error;
mod events;
mod options;
mod output;
mod receive;
mod stream;
mod window;

#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use error::{Error, Gone, Refused};
pub use events::{End, Events, Part, Payload, Sent};
pub use options::Options;
pub use output::Output;
