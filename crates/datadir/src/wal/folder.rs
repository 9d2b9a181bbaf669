//! A folder of segments: `member/wal`.
//!
//! A segment's name tells its place in the log and the first index that it may hold. Segments must follow each other
//! without gaps, and each goes on with the checksum of the one before.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use etcdkit_proto::raftpb::HardState;
use etcdkit_proto::walpb;
use prost::encoding::{
    DecodeContext, WireType, decode_key, encode_key, encode_varint, skip_field, uint64,
};

use super::{Reader, Record, Tail};
use crate::error::{Defect, Error, ErrorKind, Result};

/// The name of a segment: its number, and the first index that it may hold.
///
/// ```
/// use etcdkit_datadir::wal::folder::SegmentName;
///
/// let name = SegmentName { sequence: 1, index: 0x1f4 };
/// assert_eq!(name.to_string(), "0000000000000001-00000000000001f4.wal");
/// assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
/// assert_eq!(SegmentName::parse("0.tmp"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// Its place in the log, counted from 0.
    pub sequence: u64,
    /// The first index that it may hold.
    pub index: u64,
}

impl SegmentName {
    /// Parses a file's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (sequence, index) = crate::files::parse_pair(name, ".wal")?;
        Some(Self { sequence, index })
    }
}

impl std::fmt::Display for SegmentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}-{:016x}.wal", self.sequence, self.index)
    }
}

/// Whose log it is: the content of metadata records.
///
/// ```
/// use etcdkit_datadir::wal::folder::Metadata;
///
/// let metadata = Metadata { member_id: 1, cluster_id: 2 };
/// assert_eq!(Metadata::decode(&metadata.encode())?, metadata);
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The member.
    pub member_id: u64,
    /// Its cluster.
    pub cluster_id: u64,
}

impl Metadata {
    /// The record's data.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let mut data = Vec::new();
        for (tag, id) in [(1, self.member_id), (2, self.cluster_id)] {
            encode_key(tag, WireType::Varint, &mut data);
            encode_varint(id, &mut data);
        }
        data.into()
    }

    /// Parses the record's data.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is something else.
    pub fn decode(mut data: &[u8]) -> Result<Self> {
        let mut metadata = Self::default();
        let mut decode = || {
            while !data.is_empty() {
                let (tag, wire) = decode_key(&mut data)?;
                let context = DecodeContext::default();
                match tag {
                    1 => uint64::merge(wire, &mut metadata.member_id, &mut data, context)?,
                    2 => uint64::merge(wire, &mut metadata.cluster_id, &mut data, context)?,
                    _ => skip_field(wire, tag, &mut data, context)?,
                }
            }
            Ok::<_, prost::DecodeError>(())
        };
        decode().map_err(|error| {
            Error::corrupt(Defect::InvalidMessage, "no metadata").caused_by(error)
        })?;
        Ok(metadata)
    }
}

/// The segments of a folder in order.
///
/// Other files, such as those that etcd prepares ahead (`*.tmp`), are left out.
///
/// # Errors
///
/// When the folder cannot be read, holds no segment (`NotFound`), or they do not follow each other (`Corrupt`).
pub fn segments(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io("cannot list", error).in_file(folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().and_then(SegmentName::parse));
    }
    names.sort_unstable();
    if names.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "no WAL segment").in_file(folder));
    }
    for pair in names.windows(2) {
        if pair[0].sequence.checked_add(1) != Some(pair[1].sequence) {
            let message = format!("segment {} is followed by {}", pair[0], pair[1]);
            return Err(Error::corrupt(Defect::WalSequence, message).in_file(folder));
        }
    }
    Ok(names.iter().map(|name| folder.join(name.to_string())).collect())
}

/// Goes through all records of a folder and returns how its last segment ends.
///
/// # Errors
///
/// What [`segments`], [`Reader::next_record`] and `each` return.
pub fn for_each_record(folder: &Path, mut each: impl FnMut(Record) -> Result<()>) -> Result<Tail> {
    let segments = segments(folder)?;
    let (mut crc, mut tail) = (0, Tail::Clean);
    for (index, path) in segments.iter().enumerate() {
        let file =
            File::open(path).map_err(|error| Error::io("cannot open", error).in_file(path))?;
        let is_last = index + 1 == segments.len();
        let mut reader = Reader::segment(BufReader::with_capacity(1 << 16, file), crc, is_last);
        while let Some(record) = reader.next_record().map_err(|error| error.in_file(path))? {
            each(record)?;
        }
        crc = reader.crc();
        tail = reader.tail().unwrap_or(Tail::Clean);
    }
    Ok(tail)
}

/// What a log says without its entries.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Whose log it is.
    pub metadata: Metadata,
    /// Raft's last state.
    pub state: HardState,
    /// The recorded snapshots, oldest first. The last one at or below `state`'s commit is where etcd starts.
    pub snapshots: Vec<walpb::Snapshot>,
    /// Entry records, those that later ones replaced included.
    pub entries: u64,
    /// The index of the last entry, 0 without any.
    pub last_index: u64,
    /// How it ends.
    pub tail: Tail,
}

/// Reads a whole log and says what is in it.
///
/// ```
/// use etcdkit_datadir::wal::{Record, Writer, folder};
///
/// let directory = tempfile::tempdir().expect("a folder");
/// let name = folder::SegmentName { sequence: 0, index: 0 };
/// let file = std::fs::File::create(directory.path().join(name.to_string())).expect("a file");
/// let metadata = folder::Metadata { member_id: 1, cluster_id: 2 };
/// Writer::new(file, 0)?.append(&Record::Metadata(metadata.encode()))?;
/// assert_eq!(folder::summary(directory.path())?.metadata, metadata);
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
///
/// # Errors
///
/// What [`for_each_record`] returns; `Corrupt` also when metadata records differ.
pub fn summary(folder: &Path) -> Result<Summary> {
    let mut metadata: Option<Bytes> = None;
    let mut summary = Summary {
        metadata: Metadata::default(),
        state: HardState::default(),
        snapshots: Vec::new(),
        entries: 0,
        last_index: 0,
        tail: Tail::Clean,
    };
    let tail = for_each_record(folder, |record| {
        match record {
            Record::Metadata(data) => {
                if metadata.as_ref().is_some_and(|first| *first != data) {
                    let message = "the segments belong to different members";
                    return Err(Error::corrupt(Defect::WalMetadata, message).in_file(folder));
                }
                metadata = Some(data);
            }
            Record::State(state) => summary.state = state,
            Record::Snapshot(snapshot) => summary.snapshots.push(snapshot),
            Record::Entry(entry) => {
                summary.entries += 1;
                summary.last_index = entry.index.unwrap_or_default();
            }
            Record::Crc(_) => {}
        }
        Ok(())
    })?;
    summary.tail = tail;
    summary.metadata = Metadata::decode(&metadata.unwrap_or_default())?;
    Ok(summary)
}
