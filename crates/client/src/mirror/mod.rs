//! Copies of a range of keys, in the same cluster or another, that are kept up to date.
//!
//! [`Syncer`] reads: everything at one revision, and then what happened since. [`Mirror`] writes it elsewhere. `plan.rs`
//! says what has to be written, without I/O.

mod plan;
mod syncer;
mod target;

pub use syncer::Syncer;
pub use target::{Mirror, MirrorProgress};
