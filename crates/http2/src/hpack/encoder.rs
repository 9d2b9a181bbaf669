//! Fields into blocks.

use bytes::{Bytes, BytesMut};

/// A field to be sent. Its name has to be in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Whether it is worth remembering.
    pub indexing: Indexing,
}

/// Whether the tables of the two ends take in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// The value comes again: it is taken in, and sent as a number from then on.
    Repeats,
    /// The value will hardly come again: only its name is taken in.
    Varies,
    /// The value is a secret that neither this connection nor one behind the peer may take in.
    Secret,
}

/// Fields that are sent again and again on one connection, with the bytes they became the last time.
#[derive(Clone, Debug)]
pub struct Prepared {
    fields: Vec<(Bytes, Bytes, Indexing)>,
}

impl Prepared {
    /// Prepares these fields.
    #[must_use]
    pub fn new(fields: impl IntoIterator<Item = (Bytes, Bytes, Indexing)>) -> Self {
        Self { fields: fields.into_iter().collect() }
    }
}

/// Writes the blocks of fields that are sent on one connection, in their order.
#[derive(Debug)]
pub struct Encoder {}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder with an empty table.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }

    /// Heeds the peer's SETTINGS_HEADER_TABLE_SIZE. Of what the peer offers, up to
    /// [`DEFAULT_TABLE`](super::DEFAULT_TABLE) bytes are used.
    pub fn set_max_table(&mut self, size: u32) {
        let _ = size;
    }

    /// Appends the prepared fields: copied, if they are what they were the last time. What belongs to the same block
    /// follows by [`encode`](Self::encode).
    pub fn encode_prepared(&mut self, prepared: &mut Prepared, out: &mut BytesMut) {
        let _ = (&prepared.fields, out);
        unimplemented!()
    }

    /// Appends a field.
    pub fn encode(&mut self, field: Field<'_>, out: &mut BytesMut) {
        let _ = (field, out);
        unimplemented!()
    }
}
