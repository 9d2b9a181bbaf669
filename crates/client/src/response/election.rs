//! What a server says of an election.

use bytes::Bytes;
use etcdkit_proto::v3electionpb;

use super::{KeyValue, ResponseHeader};
use crate::byte_string::ByteString;
use crate::revision::{LeaseId, Revision};

/// The proof of a leadership, for proclaiming and resigning.
///
/// ```
/// use etcdkit::election::LeaderKey;
/// use etcdkit::LeaseId;
///
/// let lease = LeaseId::new(7).expect("not zero");
/// let leader = LeaderKey::new("/e", "/e/7", 12, lease);
/// assert_eq!(leader.revision().get(), 12);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderKey(v3electionpb::LeaderKey);

impl LeaderKey {
    /// The proof that `key`, made at `revision`, leads the election `name` until `lease` ends.
    pub fn new(
        name: impl Into<ByteString>,
        key: impl Into<ByteString>,
        revision: impl Into<Revision>,
        lease: LeaseId,
    ) -> Self {
        Self(v3electionpb::LeaderKey {
            name: name.into().into_bytes(),
            key: key.into().into_bytes(),
            rev: revision.into().get(),
            lease: lease.get(),
        })
    }

    /// The election.
    #[must_use]
    pub fn name(&self) -> &Bytes {
        &self.0.name
    }

    /// The key that leads as long as it exists: to be compared in transactions that only a leader may do.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        &self.0.key
    }

    /// The revision that the key was made at, which no other leadership has.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision::new(self.0.rev)
    }

    /// The lease that the leadership ends with.
    #[must_use]
    pub fn lease_id(&self) -> Option<LeaseId> {
        LeaseId::new(self.0.lease)
    }

    /// The same proof for another election and key: what a layer that moves keys does.
    #[must_use]
    pub fn with_keys(mut self, name: impl Into<ByteString>, key: impl Into<ByteString>) -> Self {
        self.0.name = name.into().into_bytes();
        self.0.key = key.into().into_bytes();
        self
    }

    pub(crate) fn from_wire(wire: v3electionpb::LeaderKey) -> Self {
        Self(wire)
    }

    pub(crate) fn into_wire(self) -> v3electionpb::LeaderKey {
        self.0
    }
}

/// Elected: the answer to [`Campaign`](crate::election::Campaign).
#[derive(Clone, Debug, PartialEq)]
pub struct CampaignResponse {
    header: ResponseHeader,
    leader: LeaderKey,
}

impl CampaignResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, leader: LeaderKey) -> Self {
        Self { header, leader }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The proof of the leadership.
    #[must_use]
    pub fn leader(&self) -> &LeaderKey {
        &self.leader
    }

    /// The proof of the leadership.
    #[must_use]
    pub fn into_leader(self) -> LeaderKey {
        self.leader
    }
}

impl From<v3electionpb::CampaignResponse> for CampaignResponse {
    fn from(wire: v3electionpb::CampaignResponse) -> Self {
        let leader = LeaderKey::from_wire(wire.leader.unwrap_or_default());
        Self { header: wire.header.into(), leader }
    }
}

/// Who leads: the answer to [`Leader`](crate::election::Leader), and an item of
/// [`Observe`](crate::election::Observe).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeaderResponse {
    header: ResponseHeader,
    kv: Option<KeyValue>,
}

impl LeaderResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, kv: KeyValue) -> Self {
        Self { header, kv: Some(kv) }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The key that leads, with what it proclaims.
    #[must_use]
    pub fn kv(&self) -> Option<&KeyValue> {
        self.kv.as_ref()
    }
}

impl From<v3electionpb::LeaderResponse> for LeaderResponse {
    fn from(wire: v3electionpb::LeaderResponse) -> Self {
        Self { header: wire.header.into(), kv: wire.kv.map(KeyValue::from) }
    }
}
