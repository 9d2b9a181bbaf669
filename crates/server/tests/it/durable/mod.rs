//! What outlives the process: files of etcd's out and in, hashes, and what a kill leaves.
//!
//! `official.rs` runs etcd's own tools, which judge both sides alike.

#![expect(clippy::unwrap_used, reason = "tests state their invariants by unwrapping")]

pub(crate) mod crash;
mod hash;
mod official;
mod snapshot;
