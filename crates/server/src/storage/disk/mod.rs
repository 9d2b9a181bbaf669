//! The ten buckets in a folder, each a table of one redb database.
//!
//! `store.rs` is the storage: one transaction and one sync for each batch. `folder.rs` finds, creates and locks the file.
//! `watched.rs` stands between redb and the file, and remembers how it failed: what redb reports does not tell a full
//! disk from a sync that failed, and the one may go on where the other must not.

mod folder;
mod store;
mod watched;

pub use store::Disk;
#[cfg(test)]
pub(crate) use store::{Medium, create};
