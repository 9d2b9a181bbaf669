//! Keys, their history and their revisions: what etcd's bucket `key` and its index hold.
//!
//! Synchronous and without a clock: it is called under the state's lock, by `apply` for writes and by the services for
//! reads. What it doesn't know: leases' lives, permissions, watchers, and where the bytes are made durable.
//!
//! `log.rs` is the bucket itself: every record that was not compacted, in the order of revisions, in the very encoding of
//! etcd's files. `index.rs` finds a key's revisions in it, out of chunks of packed keys (`chunk.rs`). `store.rs` joins the
//! two; `range.rs` is the span of keys that a request names; `compact.rs` and `hash.rs` are the two walks over everything.

mod chunk;
mod compact;
mod hash;
mod index;
mod log;
mod range;
mod record;
mod store;

pub(crate) use compact::{Compaction, Step};
pub(crate) use hash::{HashKv, Hashing};
pub(crate) use log::Record;
pub(crate) use range::KeyRange;
pub(crate) use store::Store;

#[cfg(test)]
mod tests;
