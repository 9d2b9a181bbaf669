//! The command line of etcd's server: its flags as data, and what was said about them.
//!
//! `table.rs` is the data, `kind.rs` says what a value looks like, `go.rs` reads
//! arguments as Go's flag package does, `file.rs` a configuration file. What comes out are [`Values`]: each flag with its
//! value and where that came from. Nothing here knows what a flag is for; `settings.rs` does.

mod file;
mod go;
mod kind;
mod table;
mod values;

pub(super) use go::{Asked, Misuse, read};
pub(super) use kind::duration;
pub(super) use table::{Fate, SECTIONS};
pub(super) use values::Values;
