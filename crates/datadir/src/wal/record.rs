//! What a record can be.

use bytes::Bytes;
use etcdkit_proto::raftpb::{Entry, HardState};
use etcdkit_proto::walpb;
use prost::Message;

use crate::error::{Defect, Error, Result};

const METADATA: i64 = 1;
const ENTRY: i64 = 2;
const STATE: i64 = 3;
pub(super) const CRC: i64 = 4;
const SNAPSHOT: i64 = 5;

/// A record of the log.
///
/// ```
/// use etcdkit_datadir::wal::Record;
/// use etcdkit_proto::raftpb::HardState;
///
/// let state = HardState { term: Some(1), vote: Some(2), commit: Some(3) };
/// let record = Record::State(state.clone());
/// assert_eq!(record.as_state(), Some(&state));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// Whose log it is: the same in each segment. [`Metadata`](super::folder::Metadata) decodes it.
    Metadata(Bytes),
    /// An entry of raft's log. One whose index is not greater than the last one's replaces the log from there.
    Entry(Entry),
    /// Raft's state; the last one counts.
    State(HardState),
    /// The checksum of all records before; it stands at the start of a segment.
    Crc(u32),
    /// There is a snapshot at that index.
    Snapshot(walpb::Snapshot),
}

impl Record {
    /// The hard state, if it is one.
    #[must_use]
    pub const fn as_state(&self) -> Option<&HardState> {
        if let Self::State(state) = self { Some(state) } else { None }
    }

    /// The entry, if it is one.
    #[must_use]
    pub const fn as_entry(&self) -> Option<&Entry> {
        if let Self::Entry(entry) = self { Some(entry) } else { None }
    }

    /// The number of its type, and its data.
    pub(super) fn encode(&self) -> (i64, Option<Bytes>) {
        match self {
            Self::Metadata(data) => (METADATA, Some(data.clone())),
            Self::Entry(entry) => (ENTRY, Some(entry.encode_to_vec().into())),
            Self::State(state) => (STATE, Some(state.encode_to_vec().into())),
            Self::Crc(_) => (CRC, None),
            Self::Snapshot(snapshot) => (SNAPSHOT, Some(snapshot.encode_to_vec().into())),
        }
    }

    pub(super) fn decode(kind: i64, crc: u32, data: Bytes) -> Result<Self> {
        let invalid = |what: &str, error: prost::DecodeError| {
            Error::corrupt(Defect::InvalidMessage, format!("no {what}")).caused_by(error)
        };
        match kind {
            METADATA => Ok(Self::Metadata(data)),
            ENTRY => Entry::decode(data).map(Self::Entry).map_err(|error| invalid("entry", error)),
            STATE => {
                HardState::decode(data).map(Self::State).map_err(|error| invalid("state", error))
            }
            CRC => Ok(Self::Crc(crc)),
            SNAPSHOT => walpb::Snapshot::decode(data)
                .map(Self::Snapshot)
                .map_err(|error| invalid("snapshot record", error)),
            _ => {
                let message = format!("a record of type {kind}");
                Err(Error::corrupt(Defect::WalRecordType, message))
            }
        }
    }
}
