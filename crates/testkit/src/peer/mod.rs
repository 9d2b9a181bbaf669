//! A scripted HTTP/2 peer: a server that does what no well-behaved server does, exactly when a test says so.
//!
//! A test gives [`Peer::run`] an async script, which is run for each accepted [`Connection`]. A connection offers three
//! levels, to be mixed freely: whole gRPC calls ([`Connection::next_request`], [`Connection::respond`]), single HTTP/2
//! frames ([`Connection::next_frame`], [`Connection::send_frame`]), and bytes ([`Connection::raw`]). PING, SETTINGS
//! and flow control are answered on the way, unless a script turns that off, and every frame from the client is logged.
//!
//! For tests that need only answers, [`EtcdLike`] serves unary calls from a closure or from queues of [`Answer`]s, and
//! counts and records them. [`Peer::silent`], [`Peer::closes`], [`Peer::http1`] and [`Peer::garbage`] are no HTTP/2
//! servers at all.
//!
//! The framing here is our own and shares no code with the client under test, so that both cannot be wrong together.
//! It knows no messages: requests and answers are encoded bytes. Faults below HTTP/2 are [`crate::proxy`]'s.
//!
//! * `listener.rs`: [`Peer`], which accepts and runs scripts; `stock.rs`: its ready-made scripts.
//! * `connection.rs`: bytes and frames; `receive.rs` and `send.rs`: requests and responses over them.
//! * `outgoing.rs`: flow control of what is sent. `frame.rs`, `hpack.rs`: the formats. `request.rs`: a received call.
//! * `etcd_like.rs`: [`EtcdLike`]; `answer.rs`: what it can answer.

mod answer;
mod connection;
mod etcd_like;
pub mod frame;
pub mod hpack;
mod listener;
mod outgoing;
mod receive;
mod request;
mod send;
mod stock;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use connection::Connection;
pub use etcd_like::EtcdLike;
pub use frame::{Frame, FrameKind};
pub use listener::Peer;
pub use request::{Request, grpc_message};
