//! Fields into blocks.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};

use super::table::{OVERHEAD, Table};
use super::{DEFAULT_TABLE, fixed, integer};

/// A field to be sent. Its name has to be in lower case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Whether it is worth remembering.
    pub indexing: Indexing,
}

impl fmt::Debug for Field<'_> {
    /// Without the value: that may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field")
            .field("name", &self.name.escape_ascii().to_string())
            .field("value", &format_args!("{} bytes", self.value.len()))
            .field("indexing", &self.indexing)
            .finish()
    }
}

/// Whether the tables of the two ends take in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// The value comes again: it is taken in, and sent as a number from then on.
    Repeats,
    /// The value will hardly come again: it is taken in only for its name, once.
    Varies,
    /// The value is a secret that neither this connection nor one behind the peer may take in.
    Secret,
}

/// Fields that are sent again and again on one connection, with the bytes that they became the last time.
///
/// ```
/// use bytes::{Bytes, BytesMut};
/// use etcdkit_http2::hpack::{Encoder, Indexing, Prepared};
///
/// let field = |name, value| (Bytes::from_static(name), Bytes::from_static(value), Indexing::Repeats);
/// let mut head = Prepared::new([field(b":method", b"POST"), field(b"te", b"trailers")]);
///
/// let mut encoder = Encoder::new();
/// let blocks = [(); 3].map(|()| {
///     let mut block = BytesMut::new();
///     encoder.encode_prepared(&mut head, &mut block);
///     block
/// });
/// assert_eq!(blocks[0], b"\x83\x40\x02te\x08trailers"[..]);
/// assert_eq!(blocks[1], b"\x83\xbe"[..], "by now both ends know the second field too");
/// assert_eq!(blocks[2], blocks[1]);
/// ```
#[derive(Clone)]
pub struct Prepared {
    fields: Vec<(Bytes, Bytes, Indexing)>,
    block: Vec<u8>,
    /// The state of the encoder in which the block stands for the fields.
    generation: Option<u64>,
}

impl fmt::Debug for Prepared {
    /// Without values: one may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fields()).finish()
    }
}

impl Prepared {
    /// Prepares these fields.
    #[must_use]
    pub fn new(fields: impl IntoIterator<Item = (Bytes, Bytes, Indexing)>) -> Self {
        Self { fields: fields.into_iter().collect(), block: Vec::new(), generation: None }
    }

    fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().map(|(name, value, indexing)| Field { name, value, indexing: *indexing })
    }
}

/// Writes the blocks of fields that are sent on one connection, in their order.
///
/// Text is sent as it is, never in Huffman's code: what repeats is sent once, and of what varies too little is sent that
/// saving a third of it would be worth the work on both ends.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// The lowest size since the last block, of which the peer has to be told, and the present one.
    resized: Option<usize>,
    /// Another one after each change of the table. No two encoders of a process ever have the same one.
    generation: u64,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a field stands in the tables.
enum Found {
    Whole(usize),
    Name(usize),
    Nowhere,
}

impl Encoder {
    /// An encoder with an empty table.
    #[must_use]
    pub fn new() -> Self {
        Self { table: Table::new(DEFAULT_TABLE), resized: None, generation: next_generation() }
    }

    /// Heeds the peer's SETTINGS_HEADER_TABLE_SIZE. Of what the peer offers, up to
    /// [`DEFAULT_TABLE`] bytes are used.
    pub fn set_max_table(&mut self, size: u32) {
        let size = usize::try_from(size).map_or(DEFAULT_TABLE, |size| size.min(DEFAULT_TABLE));
        if size == self.table.max() {
            return;
        }
        self.table.resize(size);
        self.resized = Some(self.resized.map_or(size, |lowest| lowest.min(size)));
        self.generation = next_generation();
    }

    /// Appends prepared fields: a copy of what they were the last time, if nothing has changed since. What belongs to the
    /// same block follows by [`encode`](Self::encode).
    pub fn encode_prepared(&mut self, prepared: &mut Prepared, out: &mut BytesMut) {
        if prepared.generation == Some(self.generation) && self.resized.is_none() {
            out.extend_from_slice(&prepared.block);
            return;
        }
        self.tell_size(out);
        let (start, generation) = (out.len(), self.generation);
        for field in prepared.fields() {
            self.encode(field, out);
        }
        if generation == self.generation {
            prepared.block.clear();
            prepared.block.extend_from_slice(&out[start..]);
            prepared.generation = Some(generation);
        }
    }

    /// Appends a field.
    pub fn encode(&mut self, field: Field<'_>, out: &mut BytesMut) {
        self.tell_size(out);
        let found = self.find(field);
        let take_in = match (field.indexing, &found) {
            (Indexing::Repeats | Indexing::Varies, &Found::Whole(index)) => {
                return integer::write(index, 7, 0x80, out);
            }
            (Indexing::Repeats, _) | (Indexing::Varies, Found::Nowhere) => self.is_worth_it(field),
            (Indexing::Varies | Indexing::Secret, _) => false,
        };
        let (prefix, first) = match field.indexing {
            _ if take_in => (6, 0x40),
            Indexing::Secret => (4, 0x10),
            Indexing::Repeats | Indexing::Varies => (4, 0x00),
        };
        match found {
            Found::Whole(index) | Found::Name(index) => integer::write(index, prefix, first, out),
            Found::Nowhere => {
                integer::write(0, prefix, first, out);
                write_text(field.name, out);
            }
        }
        write_text(field.value, out);
        if take_in {
            self.take_in(field);
        }
    }

    /// How many bytes it holds on to.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.table.capacity()
    }

    fn tell_size(&mut self, out: &mut BytesMut) {
        let Some(lowest) = self.resized.take() else { return };
        let size = self.table.max();
        if lowest < size {
            integer::write(lowest, 5, 0x20, out);
        }
        integer::write(size, 5, 0x20, out);
    }

    fn find(&self, field: Field<'_>) -> Found {
        let mut found = Found::Nowhere;
        let gathered = (fixed::COUNT + 1..).zip(self.table.iter());
        for (index, (name, value)) in gathered.chain(fixed::iter()) {
            if name != field.name {
                continue;
            }
            if value == field.value {
                return Found::Whole(index);
            }
            if !matches!(field.indexing, Indexing::Repeats) {
                return Found::Name(index);
            }
            found = Found::Name(index);
        }
        found
    }

    /// One large entry would have too many others go.
    const fn is_worth_it(&self, field: Field<'_>) -> bool {
        let size = field.name.len() + field.value.len() + OVERHEAD;
        size <= self.table.max() / 4 * 3
    }

    fn take_in(&mut self, field: Field<'_>) {
        let draft = self.table.draft();
        self.table.draft_bytes().extend_from_slice(field.name);
        self.table.draft_bytes().extend_from_slice(field.value);
        self.table.take_in(draft, field.name.len());
        self.generation = next_generation();
    }
}

/// A number that no other call in this process returns: a block that was prepared for one connection can never be taken
/// for that of another.
fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn write_text(text: &[u8], out: &mut BytesMut) {
    integer::write(text.len(), 7, 0, out);
    out.extend_from_slice(text);
}
