//! The write-ahead log: segments of framed records with a running checksum.
//!
//! [`Reader`] goes through the records of consecutive segments, [`Writer`] appends to a single one, and [`folder`]
//! deals with a folder of them: which files there are, and what the whole log says. `frame.rs` knows the bytes.
//!
//! A log usually ends in zeros that etcd allocated ahead, or, after a crash, in a record that was only written in
//! part. [`Tail`] tells which; a torn record at the end is no error, damage anywhere else is.

pub mod folder;
mod frame;
mod reader;
mod record;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::{Reader, Tail};
pub use record::Record;
pub use writer::Writer;

/// The size that etcd allocates for a segment, and after which it starts the next one.
pub const SEGMENT_BYTES: u64 = 64_000_000;
