//! gRPC over HTTP/2: the only room that knows the `h2` crate.
//!
//! `connection.rs` is the task of a connection, which reads, serves and writes in one turn; `inbound.rs` gathers messages,
//! `outbound.rs` sends them; `head.rs` reads and writes headers; `counts.rs` counts calls.
//! `wire.rs` sees the bytes go by, for `pings.rs` and for what is half sent. What a call does is in `service/`.

mod connection;
mod counts;
mod head;
mod inbound;
mod outbound;
mod pings;
mod wire;

pub(crate) use connection::serve;
pub(crate) use counts::Counts;
pub(crate) use inbound::{Inbound, decode};
pub(crate) use outbound::{Outbound, framed, seal};

/// Bytes before each message: whether it is compressed, and its length.
pub(crate) const PREFIX: usize = 5;
