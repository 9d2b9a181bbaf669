//! Making a data directory out of a snapshot.
//!
//! [`Restore`] is the request, [`Restored`] what came of it. `cluster.rs` works out members and ids as etcd does,
//! `copy.rs` copies and hashes the database, `boot.rs` finds out whether etcd will start from it, `database.rs` gives it
//! its new members, `log.rs` writes the WAL segment and the snap file, `folder.rs` puts everything in its place.
//!
//! Everything happens in a folder with a name of its own next to the target. Only when all of it is written, checked
//! and synced does it get its name; before that, whatever goes wrong leaves nothing behind.

mod boot;
mod cluster;
mod copy;
mod database;
mod folder;
mod log;
mod request;

#[cfg(test)]
mod tests;

pub use request::{Restore, Restored};
