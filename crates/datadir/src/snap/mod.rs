//! Snap files: raft's own snapshots, `member/snap/<term>-<index>.snap`.
//!
//! Not to be confused with what `snapshot save` makes, which is a database. A snap file holds the cluster's membership
//! as of an index, in etcd's old v2 form, and etcd up to 3.6 refuses to start without the one that its log names.
//! [`read`] and [`write()`] check and make the checksum; [`SnapName`] knows the names.

use std::fmt;
use std::io::{Read, Write};

use bytes::Bytes;
use etcdkit_proto::{raftpb, snappb};
use prost::Message;

use crate::error::{Defect, Error, ErrorKind, Result};

/// The largest file that is held in memory. Real ones have a few KiB; since etcd 3.0 no keys are in them.
const MAX_BYTES: u64 = 128 << 20;

/// The name of a snap file.
///
/// ```
/// use etcdkit_datadir::snap::SnapName;
///
/// let name = SnapName { term: 1, index: 3 };
/// assert_eq!(name.to_string(), "0000000000000001-0000000000000003.snap");
/// assert_eq!(SnapName::parse(&name.to_string()), Some(name));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapName {
    /// The term of the last entry that it contains.
    pub term: u64,
    /// That entry's index.
    pub index: u64,
}

impl SnapName {
    /// Parses a file's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (term, index) = crate::files::parse_pair(name, ".snap")?;
        Some(Self { term, index })
    }
}

impl fmt::Display for SnapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}.snap", self.term, self.index)
    }
}

/// Reads a snap file and checks its checksum.
///
/// ```
/// use etcdkit_datadir::{ErrorKind, snap};
/// use etcdkit_proto::raftpb::Snapshot;
///
/// let snapshot = Snapshot { data: Some("content".into()), ..Snapshot::default() };
/// let mut file = Vec::new();
/// snap::write(&mut file, &snapshot)?;
/// assert_eq!(snap::read(file.as_slice())?, snapshot);
/// *file.last_mut().expect("not empty") ^= 1;
/// assert_eq!(snap::read(file.as_slice()).unwrap_err().kind(), ErrorKind::ChecksumMismatch);
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
///
/// # Errors
///
/// `ChecksumMismatch`, `Corrupt` when it is no snap file, `Truncated` when it is empty, `LimitExceeded` above 128 MiB.
pub fn read(input: impl Read) -> Result<raftpb::Snapshot> {
    let mut file = Vec::new();
    let length = input
        .take(MAX_BYTES + 1)
        .read_to_end(&mut file)
        .map_err(|error| Error::io("cannot read", error))?;
    if length as u64 > MAX_BYTES {
        let message = format!("a snap file of more than {MAX_BYTES} bytes");
        return Err(Error::new(ErrorKind::LimitExceeded, message));
    }
    if file.is_empty() {
        return Err(Error::new(ErrorKind::Truncated, "an empty snap file"));
    }
    let invalid = |error: prost::DecodeError| {
        Error::corrupt(Defect::InvalidMessage, "no snap file").caused_by(error)
    };
    let outer = snappb::Snapshot::decode(Bytes::from(file)).map_err(invalid)?;
    let data = outer.data.unwrap_or_default();
    let stored = outer.crc.unwrap_or_default();
    if data.is_empty() || stored == 0 {
        return Err(Error::corrupt(Defect::InvalidMessage, "a snap file without content"));
    }
    let crc = crc32c::crc32c(&data);
    if crc != stored {
        let message = format!("the checksum is {crc:08x}, not {stored:08x}");
        return Err(Error::new(ErrorKind::ChecksumMismatch, message));
    }
    raftpb::Snapshot::decode(data).map_err(invalid)
}

/// Writes a snap file. To sync it is the caller's part.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(mut out: impl Write, snapshot: &raftpb::Snapshot) -> Result<()> {
    let data = Bytes::from(snapshot.encode_to_vec());
    let outer = snappb::Snapshot { crc: Some(crc32c::crc32c(&data)), data: Some(data) };
    out.write_all(&outer.encode_to_vec()).map_err(|error| Error::io("cannot write", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_damaged_byte_is_noticed() {
        let snapshot = raftpb::Snapshot {
            data: Some("{}".into()),
            metadata: Some(raftpb::SnapshotMetadata {
                index: Some(1),
                term: Some(2),
                ..Default::default()
            }),
        };
        let mut file = Vec::new();
        write(&mut file, &snapshot).expect("memory");
        for index in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[index] ^= 1 << bit;
                // Bits beyond the 32 of a checksum are dropped by any reader of protobuf.
                let read = read(damaged.as_slice());
                assert!(read.map_or(true, |read| read == snapshot), "byte {index}, bit {bit}");
            }
            assert!(read(&file[..index]).is_err(), "{index} bytes");
        }
    }
}
