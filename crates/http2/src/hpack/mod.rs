//! Header compression (RFC 7541): lists of fields as blocks of bytes, by tables that both ends of a connection keep in step.
//!
//! `decoder.rs` reads blocks and lends fields out of them; `encoder.rs` writes blocks, and repeats whole ones that cannot
//! have changed. Both stand on `table.rs`, the entries that a connection has gathered, `fixed.rs`, those that every
//! connection has, `integer.rs` and `huffman.rs`. What a field means is not known here, nor whether it may stand where it
//! stands. The machine in `client/` calls it.

mod decoder;
mod encoder;
mod fixed;
mod huffman;
mod integer;
mod table;
#[cfg(test)]
mod tests;

pub use decoder::{DecodeError, Decoded, Decoder};
pub use encoder::{Encoder, Field, Indexing, Prepared};

/// The largest table of either end unless a setting says otherwise, in the bytes of RFC 7541: 32 are added for each entry.
pub const DEFAULT_TABLE: usize = 4096;
