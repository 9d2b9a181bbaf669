//! Blocks into fields.

use std::fmt;

/// Reads the blocks of fields that one peer sends on one connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    max_table: usize,
    max_list: usize,
}

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a list that was too long was not told wholly"]
pub enum Decoded {
    /// All of its fields were told.
    Whole,
    /// The list is longer than it may be: the fields that exceeded the limit were not told. The next block can be read.
    TooLong,
}

/// Why no further block of the connection can be read: the tables of the two ends are no longer the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The block ends within a field.
    UnexpectedEnd,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("")
    }
}

impl std::error::Error for DecodeError {}

impl Decoder {
    /// A decoder whose table the peer may grow to `max_table` bytes, as it is told by SETTINGS_HEADER_TABLE_SIZE, and which
    /// tells lists of up to `max_list` bytes. 32 bytes are added for each field in both.
    #[must_use]
    pub fn new(max_table: usize, max_list: usize) -> Self {
        Self { max_table, max_list }
    }

    /// Says that the peer acknowledged the settings: from the next block on it has to keep to `max_table`, if that is less
    /// than what holds without settings.
    pub fn settings_acknowledged(&mut self) {}

    /// Tells each field of a block, name and value. The block has to be whole.
    ///
    /// # Errors
    ///
    /// The block cannot be read, and neither can any after it: the connection is over, with COMPRESSION_ERROR.
    pub fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<Decoded, DecodeError> {
        field(block, block);
        unimplemented!("{} {}", self.max_table, self.max_list)
    }
}
