//! bbolt databases: the file that etcd keeps its keys in.
//!
//! [`Bbolt`] reads any version 2 file through `Read + Seek`: no memory map, no unsafe code, and no more memory than a
//! few pages. [`Cursor`] iterates over a bucket in key order, [`Bbolt::check`] tells everything that is wrong with a
//! file, [`Bbolt::dump`] prints it, and [`Writer`] makes a fresh file out of sorted entries in one pass.
//!
//! `page.rs` and `meta.rs` know the bytes, `source.rs` fetches pages, `tree.rs` builds trees and `edit.rs` replaces
//! buckets in a copy of a file without touching its pages. What the buckets mean is
//! [`schema`](crate::schema)'s business.
//!
//! A reader trusts nothing: page numbers, types, bounds and key order are checked where they are used, and a tree that
//! refers to a page twice ends with an error instead of a loop.

mod bitmap;
mod check;
mod cursor;
mod dump;
pub(crate) mod edit;
mod meta;
mod page;
mod reader;
mod source;
mod tree;
mod writer;

#[cfg(test)]
mod tests;

pub use check::{CheckReport, Finding};
pub use cursor::{Cursor, Entry, Value};
pub use dump::DumpOptions;
pub use meta::Meta;
pub use reader::{Bbolt, Bucket};
pub use writer::{Writer, WriterOptions};
