//! Blocks into fields.

use std::fmt;

use super::table::{OVERHEAD, Table};
use super::{DEFAULT_TABLE, fixed, huffman, integer};

/// A list up to this long is read for the sake of the table, however little of it is told.
const ABSURD: usize = 1 << 20;

/// Reads the blocks of fields that one peer sends on one connection, in their order.
///
/// Fields are lent to the caller: out of the table, or out of the block. Only text in Huffman's code is written anew, into
/// a buffer that is kept.
///
/// ```
/// use etcdkit_http2::hpack::{Decoded, Decoder};
///
/// let mut decoder = Decoder::new(4096, 16 * 1024);
/// let mut fields = Vec::new();
/// // Index 8, which every connection has, and a literal that is taken into the table.
/// let decoded = decoder.decode(b"\x88\x40\x0bgrpc-status\x010", |name, value| {
///     fields.push((name.to_vec(), value.to_vec()));
/// })?;
/// assert_eq!(decoded, Decoded::Whole);
/// assert_eq!(fields, [
///     (b":status".to_vec(), b"200".to_vec()),
///     (b"grpc-status".to_vec(), b"0".to_vec()),
/// ]);
/// # Ok::<(), etcdkit_http2::hpack::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// What the peer is told in the settings, and what holds until it has acknowledged them.
    max_table: usize,
    allowed: usize,
    max_list: usize,
    scratch: Vec<u8>,
}

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a list that was too long was not told wholly"]
pub enum Decoded {
    /// All of its fields were told.
    Whole,
    /// The list is longer than it may be: from the field on that exceeded the limit, none were told. The next block can be
    /// read all the same.
    TooLong,
}

/// Why no further block of the connection can be read: the tables of the two ends are no longer the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The block ends within a field.
    UnexpectedEnd,
    /// An integer is larger than anything it could stand for.
    IntegerTooLarge,
    /// There is no entry of this index.
    NoSuchEntry(usize),
    /// Text in Huffman's code holds the code of its end, or does not end as it should.
    InvalidHuffman,
    /// The peer makes its table larger than it may be.
    TableTooLarge(usize),
    /// The peer did not make its table smaller when it had to.
    TableNotReduced,
    /// The list is so much longer than it may be that reading on costs more than the connection is worth: two bytes of a
    /// block can stand for a field as long as the table.
    ListFarTooLong,
    /// The size of the table changes behind a field; only the start of a block is the place for it.
    MisplacedResize,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedEnd => f.write_str("the block of fields ends within one"),
            Self::IntegerTooLarge => f.write_str("an integer has more than 28 bits"),
            Self::NoSuchEntry(index) => write!(f, "the table has no entry {index}"),
            Self::InvalidHuffman => f.write_str("text in Huffman's code does not end as it should"),
            Self::TableTooLarge(size) => {
                write!(f, "{size} bytes of table exceed SETTINGS_HEADER_TABLE_SIZE")
            }
            Self::TableNotReduced => {
                f.write_str("the table was not reduced to SETTINGS_HEADER_TABLE_SIZE")
            }
            Self::ListFarTooLong => f.write_str("the list of fields is far longer than it may be"),
            Self::MisplacedResize => f.write_str("the table is resized behind a field"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Text as it stands in a block.
struct Text<'a> {
    bytes: &'a [u8],
    is_huffman: bool,
}

impl<'a> Text<'a> {
    fn read(block: &mut &'a [u8]) -> Result<Self, DecodeError> {
        let is_huffman = block.first().is_some_and(|byte| byte & 0x80 != 0);
        let length = integer::read(block, 7)?;
        let (bytes, rest) = block.split_at_checked(length).ok_or(DecodeError::UnexpectedEnd)?;
        *block = rest;
        Ok(Self { bytes, is_huffman })
    }

    fn append_to(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if self.is_huffman {
            return huffman::decode(self.bytes, out);
        }
        out.extend_from_slice(self.bytes);
        Ok(())
    }
}

/// Tells fields as long as their list is not too long.
struct Teller<F> {
    field: F,
    max_list: usize,
    /// How long the list is by now, told or not.
    length: usize,
}

impl<F: FnMut(&[u8], &[u8])> Teller<F> {
    fn tell(&mut self, name: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        self.length += name.len() + value.len() + OVERHEAD;
        if self.length <= self.max_list {
            (self.field)(name, value);
            return Ok(());
        }
        if self.length > ABSURD.max(self.max_list.saturating_mul(16)) {
            return Err(DecodeError::ListFarTooLong);
        }
        Ok(())
    }
}

impl Decoder {
    /// A decoder whose table the peer may grow to `max_table` bytes, as it is told by SETTINGS_HEADER_TABLE_SIZE, and which
    /// tells lists of up to `max_list` bytes. 32 bytes are added for each field in both.
    #[must_use]
    pub fn new(max_table: usize, max_list: usize) -> Self {
        let allowed = max_table.max(DEFAULT_TABLE);
        let table = Table::new(DEFAULT_TABLE);
        Self { table, max_table, allowed, max_list, scratch: Vec::new() }
    }

    /// Says that the peer acknowledged the settings: from the next block on it has to keep to `max_table`, if that is less
    /// than what holds without settings.
    pub const fn settings_acknowledged(&mut self) {
        self.allowed = self.max_table;
    }

    /// Tells each field of a block, name and value. The block has to be whole.
    ///
    /// # Errors
    ///
    /// The block cannot be read, and neither can any after it: the connection is over, with COMPRESSION_ERROR.
    pub fn decode(
        &mut self,
        mut block: &[u8],
        field: impl FnMut(&[u8], &[u8]),
    ) -> Result<Decoded, DecodeError> {
        let mut teller = Teller { field, max_list: self.max_list, length: 0 };
        while let Some(size) = self.resize(&mut block)? {
            self.table.resize(size);
        }
        if !block.is_empty() && self.table.max() > self.allowed {
            return Err(DecodeError::TableNotReduced);
        }
        while let Some(&first) = block.first() {
            match first {
                0x80.. => {
                    let (name, value) = self.entry(integer::read(&mut block, 7)?)?;
                    teller.tell(name, value)?;
                }
                0x40.. => self.indexed_literal(&mut block, &mut teller)?,
                0x20.. => return Err(DecodeError::MisplacedResize),
                _ => self.plain_literal(&mut block, &mut teller)?,
            }
        }
        Ok(if teller.length <= self.max_list { Decoded::Whole } else { Decoded::TooLong })
    }

    /// How many bytes it holds on to.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.table.capacity() + self.scratch.capacity()
    }

    /// The new size of the table, if that is what comes next.
    fn resize(&self, block: &mut &[u8]) -> Result<Option<usize>, DecodeError> {
        if !matches!(block.first(), Some(0x20..0x40)) {
            return Ok(None);
        }
        let size = integer::read(block, 5)?;
        if size > self.allowed {
            return Err(DecodeError::TableTooLarge(size));
        }
        Ok(Some(size))
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), DecodeError> {
        let entry = match index.checked_sub(fixed::COUNT + 1) {
            None => fixed::get(index),
            Some(newer) => self.table.get(newer),
        };
        entry.ok_or(DecodeError::NoSuchEntry(index))
    }

    /// A literal that is taken into the table: it is put together there, and lent from there.
    fn indexed_literal(
        &mut self,
        block: &mut &[u8],
        teller: &mut Teller<impl FnMut(&[u8], &[u8])>,
    ) -> Result<(), DecodeError> {
        let table = &mut self.table;
        let index = integer::read(block, 6)?;
        let draft = table.draft();
        match index.checked_sub(fixed::COUNT + 1) {
            Some(newer) => {
                if !table.draft_name_of(newer) {
                    return Err(DecodeError::NoSuchEntry(index));
                }
            }
            None if index == 0 => Text::read(block)?.append_to(table.draft_bytes())?,
            None => {
                let (name, _) = fixed::get(index).ok_or(DecodeError::NoSuchEntry(index))?;
                table.draft_bytes().extend_from_slice(name);
            }
        }
        let name = table.drafted(draft);
        Text::read(block)?.append_to(table.draft_bytes())?;
        let (name_text, value) = table.drafted_text(draft, name);
        teller.tell(name_text, value)?;
        table.take_in(draft, name);
        Ok(())
    }

    /// A literal that is not taken into the table.
    fn plain_literal(
        &mut self,
        block: &mut &[u8],
        teller: &mut Teller<impl FnMut(&[u8], &[u8])>,
    ) -> Result<(), DecodeError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let index = integer::read(block, 4)?;
        let name = if index == 0 {
            Text::read(block)?
        } else {
            Text { bytes: self.entry(index)?.0, is_huffman: false }
        };
        let value = Text::read(block)?;
        if name.is_huffman {
            name.append_to(&mut scratch)?;
        }
        let split = scratch.len();
        if value.is_huffman {
            value.append_to(&mut scratch)?;
        }
        let (decoded_name, decoded_value) = scratch.split_at(split);
        teller.tell(
            if name.is_huffman { decoded_name } else { name.bytes },
            if value.is_huffman { decoded_value } else { value.bytes },
        )?;
        // A connection that once had a long field need not keep room for it.
        scratch.clear();
        scratch.shrink_to(DEFAULT_TABLE);
        self.scratch = scratch;
        Ok(())
    }
}
