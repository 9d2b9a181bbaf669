//! Snapshots: the state as a genuine file of etcd's, and back.
//!
//! `write.rs` copies the state into a bbolt database while the server goes on; `service/snapshot.rs` sends that to a
//! client. `read.rs` hands the entries of such a file to whoever starts from one. What a database looks like is
//! etcdkit-datadir's business, and what the entries mean `transfer.rs`'s.

mod copy;
mod read;
mod scratch;
mod write;

pub(crate) use copy::{Copies, Copy, Whole};
pub(crate) use read::read;
pub(crate) use write::write;

#[cfg(test)]
mod tests;
