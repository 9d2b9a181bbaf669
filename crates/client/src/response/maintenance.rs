//! What the server says of its members' state.

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{self, AlarmType};
use etcdkit_proto::grpc_health_v1::{HealthCheckResponse, health_check_response::ServingStatus};

use super::cluster::MemberId;
use super::{ResponseHeader, unsigned};
use crate::revision::Revision;
use crate::version::Version;

/// How a member is: the answer to [`Status`](crate::maintenance::Status).
///
/// ```
/// use etcdkit::maintenance::StatusResponse;
/// use etcdkit::proto::etcdserverpb;
///
/// // As a mock makes one.
/// let status = StatusResponse::from(etcdserverpb::StatusResponse {
///     version: "3.6.14".into(),
///     leader: 7,
///     ..Default::default()
/// });
/// assert_eq!(status.version(), "3.6.14");
/// assert_eq!(status.leader().map(|leader| leader.get()), Some(7));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusResponse(etcdserverpb::StatusResponse);

impl StatusResponse {
    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.0.header.clone().into()
    }

    /// The member that answered.
    #[must_use]
    pub fn member(&self) -> MemberId {
        MemberId::new(self.header().member_id)
    }

    /// The member's version, such as `3.6.14`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Bytes that the backend occupies on disk.
    #[must_use]
    pub fn db_size(&self) -> u64 {
        unsigned(self.0.db_size)
    }

    /// Bytes of the backend that hold data: what is left after a defragmentation. Since etcd 3.4.
    #[must_use]
    pub fn db_size_in_use(&self) -> u64 {
        unsigned(self.0.db_size_in_use)
    }

    /// Bytes that the backend may grow to. Since etcd 3.6, `None` before.
    #[must_use]
    pub fn db_size_quota(&self) -> Option<u64> {
        (self.0.db_size_quota > 0).then(|| unsigned(self.0.db_size_quota))
    }

    /// The member that leads, as far as this one knows.
    #[must_use]
    pub fn leader(&self) -> Option<MemberId> {
        (self.0.leader != 0).then(|| MemberId::new(self.0.leader))
    }

    /// Whether the member that answered leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader() == Some(self.member())
    }

    /// Whether the member does not vote.
    #[must_use]
    pub fn is_learner(&self) -> bool {
        self.0.is_learner
    }

    /// The newest raft entry that is committed, as far as the member knows.
    #[must_use]
    pub fn raft_index(&self) -> u64 {
        self.0.raft_index
    }

    /// The newest raft entry that the member has applied.
    #[must_use]
    pub fn raft_applied_index(&self) -> u64 {
        self.0.raft_applied_index
    }

    /// The raft term.
    #[must_use]
    pub fn raft_term(&self) -> u64 {
        self.0.raft_term
    }

    /// What is wrong, as text: alarms, no leader.
    #[must_use]
    pub fn errors(&self) -> &[String] {
        &self.0.errors
    }

    /// The version of the storage's layout. Since etcd 3.6, `None` before.
    #[must_use]
    pub fn storage_version(&self) -> Option<Version> {
        self.0.storage_version.parse().ok()
    }

    /// What the cluster is going down to, if a downgrade is under way. Since etcd 3.6.
    #[must_use]
    pub fn downgrade_target(&self) -> Option<Version> {
        let info = self.0.downgrade_info.as_ref().filter(|info| info.enabled)?;
        info.target_version.parse().ok()
    }
}

impl From<etcdserverpb::StatusResponse> for StatusResponse {
    fn from(wire: etcdserverpb::StatusResponse) -> Self {
        Self(wire)
    }
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AlarmKind {
    /// The backend has reached its quota: the cluster takes no more writes.
    NoSpace,
    /// Members disagree about the data.
    Corrupt,
    /// What this version of etcdkit does not know, by its number.
    Other(i32),
}

impl AlarmKind {
    pub(crate) fn wire(self) -> i32 {
        match self {
            Self::NoSpace => AlarmType::NoSpace.into(),
            Self::Corrupt => AlarmType::Corrupt.into(),
            Self::Other(number) => number,
        }
    }

    fn from_wire(wire: i32) -> Self {
        match AlarmType::from_i32(wire) {
            Some(AlarmType::NoSpace) => Self::NoSpace,
            Some(AlarmType::Corrupt) => Self::Corrupt,
            _ => Self::Other(wire),
        }
    }
}

/// An alarm that a member has raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RaisedAlarm {
    /// The member.
    pub member: MemberId,
    /// What it is about.
    pub kind: AlarmKind,
}

impl RaisedAlarm {
    /// An alarm of the member `id`.
    pub fn new(id: impl Into<MemberId>, kind: AlarmKind) -> Self {
        Self { member: id.into(), kind }
    }
}

/// The alarms that were listed, cleared or raised: the answer to [`Alarm`](crate::maintenance::Alarm).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmResponse {
    header: ResponseHeader,
    alarms: Vec<RaisedAlarm>,
}

impl AlarmResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, alarms: Vec<RaisedAlarm>) -> Self {
        Self { header, alarms }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The alarms.
    #[must_use]
    pub fn alarms(&self) -> &[RaisedAlarm] {
        &self.alarms
    }
}

impl From<etcdserverpb::AlarmResponse> for AlarmResponse {
    fn from(wire: etcdserverpb::AlarmResponse) -> Self {
        let alarms = wire
            .alarms
            .iter()
            .map(|alarm| RaisedAlarm::new(alarm.member_id, AlarmKind::from_wire(alarm.alarm)));
        Self::new(wire.header.into(), alarms.collect())
    }
}

/// The answer to [`Hash`](crate::maintenance::Hash).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashResponse {
    header: ResponseHeader,
    hash: u32,
}

impl HashResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, hash: u32) -> Self {
        Self { header, hash }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The hash (CRC-32C) of the member's whole backend.
    #[must_use]
    pub fn hash(&self) -> u32 {
        self.hash
    }
}

impl From<etcdserverpb::HashResponse> for HashResponse {
    fn from(wire: etcdserverpb::HashResponse) -> Self {
        Self::new(wire.header.into(), wire.hash)
    }
}

/// The answer to [`HashKv`](crate::maintenance::HashKv).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashKvResponse {
    header: ResponseHeader,
    hash: u32,
    compact_revision: Revision,
    hash_revision: Revision,
}

impl HashKvResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, hash: u32, compact_revision: impl Into<Revision>) -> Self {
        let compact_revision = compact_revision.into();
        Self { header, hash, compact_revision, hash_revision: Revision::NONE }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The hash (CRC-32C) of the keys with their history. To be compared only between equal revisions and compactions.
    #[must_use]
    pub fn hash(&self) -> u32 {
        self.hash
    }

    /// The revision that the member has compacted to; what was before is not in the hash.
    #[must_use]
    pub fn compact_revision(&self) -> Revision {
        self.compact_revision
    }

    /// The revision up to which the hash goes. Since etcd 3.6, `None` before.
    #[must_use]
    pub fn hash_revision(&self) -> Option<Revision> {
        (self.hash_revision != Revision::NONE).then_some(self.hash_revision)
    }
}

impl From<etcdserverpb::HashKvResponse> for HashKvResponse {
    fn from(wire: etcdserverpb::HashKvResponse) -> Self {
        Self {
            hash_revision: Revision::new(wire.hash_revision),
            ..Self::new(wire.header.into(), wire.hash, wire.compact_revision)
        }
    }
}

/// The answer to [`Downgrade`](crate::maintenance::Downgrade).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DowngradeResponse {
    header: ResponseHeader,
    version: Option<Version>,
}

impl DowngradeResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, version: Version) -> Self {
        Self { header, version: Some(version) }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The version of the cluster now.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }
}

impl From<etcdserverpb::DowngradeResponse> for DowngradeResponse {
    fn from(wire: etcdserverpb::DowngradeResponse) -> Self {
        Self { header: wire.header.into(), version: wire.version.parse().ok() }
    }
}

/// Whether a server serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HealthStatus {
    /// It does not say.
    #[default]
    Unknown,
    /// It serves.
    Serving,
    /// It does not serve for now: it is being defragmented, and was told to say so then.
    NotServing,
}

/// The answer to [`Health`](crate::maintenance::Health).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthResponse {
    status: HealthStatus,
}

impl HealthResponse {
    /// An answer.
    #[must_use]
    pub fn new(status: HealthStatus) -> Self {
        Self { status }
    }

    /// Whether the server serves.
    #[must_use]
    pub fn status(&self) -> HealthStatus {
        self.status
    }
}

impl From<HealthCheckResponse> for HealthResponse {
    fn from(wire: HealthCheckResponse) -> Self {
        Self::new(match ServingStatus::from_i32(wire.status) {
            Some(ServingStatus::Serving) => HealthStatus::Serving,
            Some(ServingStatus::NotServing) => HealthStatus::NotServing,
            _ => HealthStatus::Unknown,
        })
    }
}

/// A piece of a [`Snapshot`](crate::maintenance::Snapshot).
///
/// All pieces one after another are the file that `etcdutl snapshot restore` takes: the backend, and as the last piece
/// its SHA-256.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotPiece {
    pub(crate) bytes: Bytes,
    pub(crate) remaining: u64,
    pub(crate) version: Option<Version>,
    pub(crate) digest: bool,
}

impl SnapshotPiece {
    /// A piece of the backend, with so many bytes of it still to come.
    pub fn new(bytes: impl Into<Bytes>, remaining: u64) -> Self {
        Self { bytes: bytes.into(), remaining, ..Self::default() }
    }

    /// The last piece: the SHA-256 of all others, already compared with them.
    #[must_use]
    pub fn new_digest(digest: [u8; 32]) -> Self {
        Self { bytes: Bytes::copy_from_slice(&digest), digest: true, ..Self::default() }
    }

    /// What to write to the file.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Bytes of the backend that are still to come.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The version of the storage's layout. Since etcd 3.6, `None` before.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Whether this is the last piece, the SHA-256 of all others.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        self.digest
    }
}
