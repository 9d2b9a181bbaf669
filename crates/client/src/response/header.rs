//! Where and when an answer was made.

use etcdkit_proto::etcdserverpb;

use crate::revision::Revision;

/// Which member answered, and in which state.
///
/// All of it is 0 in what a server did not say: the answers to the operations of a transaction, for instance, only
/// tell the revision.
///
/// ```
/// use etcdkit::{ResponseHeader, Revision};
///
/// let header = ResponseHeader::at(9);
/// assert_eq!(header.revision, Revision::new(9));
/// assert_eq!(header.member_id, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseHeader {
    /// The cluster that answered.
    pub cluster_id: u64,
    /// The member that answered.
    pub member_id: u64,
    /// The revision of the store when the request was done.
    pub revision: Revision,
    /// The raft term of the member that answered.
    pub raft_term: u64,
}

impl ResponseHeader {
    /// A header that only tells the revision.
    #[must_use]
    pub fn at(revision: impl Into<Revision>) -> Self {
        Self { revision: revision.into(), ..Self::default() }
    }

    /// Takes over what `later` says; what it leaves out stays.
    pub(super) fn update(&mut self, later: Self) {
        let keep = |mine: &mut u64, other: u64| {
            if other != 0 {
                *mine = other;
            }
        };
        keep(&mut self.cluster_id, later.cluster_id);
        keep(&mut self.member_id, later.member_id);
        keep(&mut self.raft_term, later.raft_term);
        if later.revision != Revision::NONE {
            self.revision = later.revision;
        }
    }
}

impl From<etcdserverpb::ResponseHeader> for ResponseHeader {
    fn from(wire: etcdserverpb::ResponseHeader) -> Self {
        Self {
            cluster_id: wire.cluster_id,
            member_id: wire.member_id,
            revision: Revision::new(wire.revision),
            raft_term: wire.raft_term,
        }
    }
}

impl From<Option<etcdserverpb::ResponseHeader>> for ResponseHeader {
    fn from(wire: Option<etcdserverpb::ResponseHeader>) -> Self {
        wire.map_or_else(Self::default, Self::from)
    }
}

/// The answer to a request that has nothing to tell but who did it, and when.
///
/// ```
/// use etcdkit::{HeaderResponse, ResponseHeader};
///
/// assert_eq!(HeaderResponse::new(ResponseHeader::at(7)).header().revision.get(), 7);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderResponse {
    header: ResponseHeader,
}

impl HeaderResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader) -> Self {
        Self { header }
    }

    /// Who answered, and when. Everything in it is 0 where etcd fills none: a defragmentation, a change of leader.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }
}

macro_rules! only_header {
    ($($wire:path),* $(,)?) => {$(
        impl From<$wire> for HeaderResponse {
            fn from(wire: $wire) -> Self {
                Self::new(wire.header.into())
            }
        }
    )*};
}

only_header! {
    etcdserverpb::CompactionResponse,
    etcdserverpb::LeaseRevokeResponse,
    etcdserverpb::AuthEnableResponse,
    etcdserverpb::AuthDisableResponse,
    etcdserverpb::AuthUserAddResponse,
    etcdserverpb::AuthUserDeleteResponse,
    etcdserverpb::AuthUserChangePasswordResponse,
    etcdserverpb::AuthUserGrantRoleResponse,
    etcdserverpb::AuthUserRevokeRoleResponse,
    etcdserverpb::AuthRoleAddResponse,
    etcdserverpb::AuthRoleDeleteResponse,
    etcdserverpb::AuthRoleGrantPermissionResponse,
    etcdserverpb::AuthRoleRevokePermissionResponse,
    etcdserverpb::DefragmentResponse,
    etcdserverpb::MoveLeaderResponse,
    etcdkit_proto::v3lockpb::UnlockResponse,
    etcdkit_proto::v3electionpb::ProclaimResponse,
    etcdkit_proto::v3electionpb::ResignResponse,
}
