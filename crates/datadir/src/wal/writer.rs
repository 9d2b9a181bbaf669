//! Appending records to a segment.

use std::fmt;
use std::io::Write;

use etcdkit_proto::walpb;
use prost::Message;

use super::frame;
use super::record::Record;
use crate::error::{Error, Result};

/// Writes the records of one segment.
///
/// It counts the bytes, so that the caller knows when to start the next segment, and keeps the checksum that the next
/// one starts with. Buffering and syncing are the caller's part.
///
/// ```
/// use etcdkit_datadir::wal::{Record, Writer};
///
/// let mut first = Writer::new(Vec::new(), 0)?;
/// first.append(&Record::Metadata("whose it is".into()))?;
/// let next = Writer::new(Vec::new(), first.crc())?;
/// assert_eq!(next.crc(), first.crc());
/// assert_eq!(first.len() % 8, 0);
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
pub struct Writer<W> {
    out: W,
    crc: u32,
    len: u64,
}

impl<W> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("crc", &self.crc)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    /// Starts a segment with a record of the checksum so far: 0 for the first segment, else the last one's
    /// [`crc`](Self::crc).
    ///
    /// # Errors
    ///
    /// When `out` cannot be written.
    pub fn new(out: W, crc: u32) -> Result<Self> {
        let mut writer = Self { out, crc, len: 0 };
        writer.append(&Record::Crc(crc))?;
        Ok(writer)
    }

    /// Appends a record. A [`Record::Crc`] stores the checksum so far, whatever number it holds.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let (kind, data) = record.encode();
        self.crc = crc32c::crc32c_append(self.crc, data.as_deref().unwrap_or_default());
        let record = walpb::Record { r#type: Some(kind), crc: Some(self.crc), data };
        let record = record.encode_to_vec();
        let (length, padding) = frame::encode(record.len());
        let mut bytes = Vec::with_capacity(length.len() + record.len() + padding);
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&record);
        bytes.resize(bytes.len() + padding, 0);
        self.out.write_all(&bytes).map_err(|error| Error::io("cannot write the log", error))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// The checksum of all records so far.
    #[must_use]
    pub const fn crc(&self) -> u32 {
        self.crc
    }

    /// Bytes written to this segment.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written, which is never so: a segment starts with a record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gives back what is written to.
    #[must_use]
    pub fn into_inner(self) -> W {
        self.out
    }
}
