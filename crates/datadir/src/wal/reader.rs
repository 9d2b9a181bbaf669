//! Records of consecutive segments.

use std::fmt;
use std::io::{self, Read};

use bytes::Bytes;
use etcdkit_proto::walpb;
use prost::Message;

use super::frame;
use super::record::{CRC, Record};
use crate::error::{Defect, Error, ErrorKind, Result};

/// The largest record that is held in memory. A request is at most 1.5 MiB by default.
const MAX_RECORD: u64 = 128 << 20;
/// Disks write sectors as a whole: a record that was cut off by a crash has a whole sector of zeros.
const SECTOR: u64 = 512;

/// How a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// After a whole record: at the end of the file, or with the zeros that etcd allocates ahead.
    Clean,
    /// In the middle of a record, as a crash leaves it. etcd cuts the file at `offset` and goes on.
    Torn {
        /// The end of the last whole record.
        offset: u64,
    },
}

/// Reads the records of one segment after the other.
///
/// ```
/// use etcdkit_datadir::wal::{Reader, Record, Tail, Writer};
///
/// let mut writer = Writer::new(Vec::new(), 0)?;
/// writer.append(&Record::Metadata("whose it is".into()))?;
/// let segment = writer.into_inner();
///
/// let mut reader = Reader::new(segment.as_slice());
/// assert_eq!(reader.next_record()?, Some(Record::Crc(0)));
/// assert_eq!(reader.next_record()?, Some(Record::Metadata("whose it is".into())));
/// assert_eq!(reader.next_record()?, None);
/// assert_eq!(reader.tail(), Some(Tail::Clean));
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
pub struct Reader<R> {
    input: R,
    /// The end of the last whole record.
    offset: u64,
    crc: u32,
    tail: Option<Tail>,
    is_last: bool,
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("offset", &self.offset)
            .field("crc", &self.crc)
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Reads a segment that no other one follows: it may end in a torn record.
    pub const fn new(input: R) -> Self {
        Self { input, offset: 0, crc: 0, tail: None, is_last: true }
    }

    /// Reads a segment that others follow, or that goes on after others: `crc` is the checksum so far.
    pub(super) const fn segment(input: R, crc: u32, is_last: bool) -> Self {
        Self { input, offset: 0, crc, tail: None, is_last }
    }

    /// How the log ends, once [`next_record`](Self::next_record) has returned `None`.
    #[must_use]
    pub const fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// The checksum of all records so far.
    #[must_use]
    pub const fn crc(&self) -> u32 {
        self.crc
    }

    /// The end of the last whole record, in bytes from the segment's start.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record, or `None` at the end of the log.
    ///
    /// # Errors
    ///
    /// `Corrupt` when a checksum does not fit or a record is none, unless a crash explains it: then it is the log's
    /// [`Tail`].
    pub fn next_record(&mut self) -> Result<Option<Record>> {
        if self.tail.is_some() {
            return Ok(None);
        }
        let result = self.read().map_err(|error| error.at_offset(self.offset));
        if result.is_err() {
            self.tail = Some(Tail::Torn { offset: self.offset });
        }
        result
    }

    fn read(&mut self) -> Result<Option<Record>> {
        let mut length = [0; frame::LENGTH];
        match self.fill(&mut length)? {
            0 => return Ok(self.end(Tail::Clean)),
            frame::LENGTH => {}
            _ => return self.torn("a record's length is cut off"),
        }
        let (record_len, padding) = frame::parse(length);
        if record_len == 0 {
            return Ok(self.end(Tail::Clean));
        }
        let total = record_len + padding;
        if total > MAX_RECORD {
            // etcd calls a record that is longer than its file an unexpected end of it.
            let message = format!("a record of {record_len} bytes");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        let mut data = Vec::new();
        let read = self.input.by_ref().take(total).read_to_end(&mut data);
        read.map_err(|error| Error::io("cannot read", error))?;
        if (data.len() as u64) < total {
            return self.torn("a record is cut off");
        }
        let torn = self.has_empty_sector(&data);
        data.truncate(usize::try_from(record_len).unwrap_or(usize::MAX));
        let record = match walpb::Record::decode(Bytes::from(data)) {
            Ok(record) => record,
            Err(_) if torn => return self.torn("a record has a sector of zeros"),
            Err(error) => {
                return Err(Error::corrupt(Defect::InvalidMessage, "no record").caused_by(error));
            }
        };
        let (kind, stored) = (record.r#type.unwrap_or_default(), record.crc.unwrap_or_default());
        let data = record.data.unwrap_or_default();
        if kind == CRC {
            // It starts a segment and must agree with the one before. The first one of all is zero.
            if self.crc != 0 && self.crc != stored {
                let message =
                    format!("the segment goes on from {stored:08x}, not {:08x}", self.crc);
                return Err(Error::corrupt(Defect::WalChecksum, message));
            }
            self.crc = stored;
        } else {
            let crc = crc32c::crc32c_append(self.crc, &data);
            if crc != stored {
                if torn {
                    return self.torn("a record has a sector of zeros");
                }
                let message = format!("the checksum is {crc:08x}, not {stored:08x}");
                return Err(Error::corrupt(Defect::WalChecksum, message));
            }
            self.crc = crc;
        }
        let record = Record::decode(kind, stored, data)?;
        self.offset += frame::LENGTH as u64 + total;
        Ok(Some(record))
    }

    fn end(&mut self, tail: Tail) -> Option<Record> {
        self.tail = Some(tail);
        None
    }

    fn torn(&mut self, message: &str) -> Result<Option<Record>> {
        if self.is_last {
            return Ok(self.end(Tail::Torn { offset: self.offset }));
        }
        let message = format!("{message}, and more segments follow");
        Err(Error::corrupt(Defect::WalTornRecord, message))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("cannot read", error)),
            }
        }
        Ok(filled)
    }

    /// Whether one of the sectors that the record lies in has nothing but zeros of it.
    fn has_empty_sector(&self, record: &[u8]) -> bool {
        if !self.is_last {
            return false;
        }
        let start = self.offset + frame::LENGTH as u64;
        let first = usize::try_from(SECTOR - start % SECTOR).unwrap_or_default();
        let is_empty = |sector: &[u8]| !sector.is_empty() && sector.iter().all(|&byte| byte == 0);
        let (head, rest) = record.split_at(first.min(record.len()));
        is_empty(head) || rest.chunks(SECTOR as usize).any(is_empty)
    }
}
