//! HTTP/2 (RFC 9113) for gRPC clients, without I/O: bytes in, events and bytes out. No socket, clock, task or lock is known here.
//!
//! | module | what it is for |
//! |---|---|
//! | [`client`] | the client's end of a connection, as a state machine |
//! | [`frame`] | frames: heads, payloads, and writers that append to a buffer |
//! | [`hpack`] | header compression (RFC 7541): a decoder that lends fields, an encoder that remembers whole blocks |
//!
//! # What holds everywhere
//!
//! * The peer is a stranger: no input makes anything panic, loop, or take more memory than its limits say.
//! * What is wrong with the input comes as a value that names it, with the code that the peer is told.

#![forbid(unsafe_code)]

pub mod client;
pub mod frame;
pub mod hpack;
