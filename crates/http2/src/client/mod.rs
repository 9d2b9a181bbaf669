//! One connection as its client sees it: a state machine without I/O, clock or task.
//!
//! Bytes go in by [`Connection::receive`] and come out by [`Connection::output`]; in between are the rules of RFC 9113.
//! Each stream carries a state of the owner's, handed back when the stream ends, and what the peer says goes to the
//! owner's [`Events`] as it is read, without anything stored in between. Who owns the socket, who waits for what, and
//! what gRPC makes of it, is no matter of this room.
//!
//! What only HTTP's own bodies need is left out: a `content-length` is a field like any other and not compared with the
//! content, and an answer whose status allows no content may have some. gRPC's messages say their lengths themselves.
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
