//! What the server says of members.

use std::fmt;

use etcdkit_proto::etcdserverpb;

use super::ResponseHeader;

/// The id of a member. Shown as etcd's tools show it, in hexadecimal digits.
///
/// ```
/// use etcdkit::MemberId;
///
/// let member = MemberId::new(0x8211_f1d0_f64f_3269);
/// assert_eq!(member.to_string(), "8211f1d0f64f3269");
/// assert_eq!(MemberId::from(7).get(), 7);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(u64);

impl MemberId {
    /// Wraps an id as etcd sends it.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The number as etcd sends it.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberId({self})")
    }
}

impl From<u64> for MemberId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

/// A member of the cluster.
///
/// ```
/// use etcdkit::cluster::Member;
///
/// let added = Member { peer_urls: vec!["http://10.0.0.4:2380".into()], ..Member::new(7) };
/// assert!(!added.is_started());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty until it is started.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where it says that clients reach it; empty until it is started.
    pub client_urls: Vec<String>,
    /// Whether it does not vote.
    pub is_learner: bool,
}

impl Member {
    /// A member of which nothing but the id is known.
    pub fn new(id: impl Into<MemberId>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// Whether it has ever been started.
    #[must_use]
    pub fn is_started(&self) -> bool {
        !self.name.is_empty()
    }
}

impl From<etcdserverpb::Member> for Member {
    fn from(wire: etcdserverpb::Member) -> Self {
        Self {
            id: MemberId::new(wire.id),
            name: wire.name,
            peer_urls: wire.peer_urls,
            client_urls: wire.client_urls,
            is_learner: wire.is_learner,
        }
    }
}

fn members(wire: Vec<etcdserverpb::Member>) -> Vec<Member> {
    wire.into_iter().map(Member::from).collect()
}

/// The members: the answer to [`MemberList`](crate::cluster::MemberList), and to what changes members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberListResponse {
    header: ResponseHeader,
    members: Vec<Member>,
}

impl MemberListResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, members: Vec<Member>) -> Self {
        Self { header, members }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The members; after a change, those that there are now. None of them, if the answer to the change got lost, a
    /// repetition found it made, and then they could not be read.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member `id`, if there is one.
    pub fn member(&self, id: impl Into<MemberId>) -> Option<&Member> {
        let id = id.into();
        self.members.iter().find(|member| member.id == id)
    }
}

macro_rules! members_of {
    ($($wire:ident),*) => {$(
        impl From<etcdserverpb::$wire> for MemberListResponse {
            fn from(wire: etcdserverpb::$wire) -> Self {
                Self::new(wire.header.into(), members(wire.members))
            }
        }
    )*};
}

members_of!(MemberListResponse, MemberRemoveResponse, MemberUpdateResponse, MemberPromoteResponse);

/// A member was added: the answer to [`MemberAdd`](crate::cluster::MemberAdd).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberAddResponse {
    header: ResponseHeader,
    member: Member,
    members: Vec<Member>,
}

impl MemberAddResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, member: Member, members: Vec<Member>) -> Self {
        Self { header, member, members }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The member that was added.
    #[must_use]
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// All members that there are now.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

impl From<etcdserverpb::MemberAddResponse> for MemberAddResponse {
    fn from(wire: etcdserverpb::MemberAddResponse) -> Self {
        let member = wire.member.map(Member::from).unwrap_or_default();
        Self::new(wire.header.into(), member, members(wire.members))
    }
}
