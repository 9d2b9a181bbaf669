//! Members: who they are, and who becomes one.

use etcdkit_proto::etcdserverpb::*;
use etcdkit_proto::method::cluster;

use super::peer_url;
use crate::error::Result;
use crate::response::cluster::MemberId;

/// Asks who the members are.
///
/// ```
/// use etcdkit::cluster::MemberList;
///
/// assert!(!MemberList::new().is_serializable());
/// assert!(MemberList::new().serializable().is_serializable());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MemberList(MemberListRequest);

impl MemberList {
    /// Asks the cluster: needs a quorum, and is never out of date. Members of etcd 3.4 answer by themselves all the
    /// same.
    #[must_use]
    pub fn new() -> Self {
        Self(MemberListRequest { linearizable: true })
    }

    /// Asks one member for what it knows: needs no quorum, and may be out of date.
    #[must_use]
    pub fn serializable(mut self) -> Self {
        self.0.linearizable = false;
        self
    }

    /// Whether one member answers by itself.
    #[must_use]
    pub fn is_serializable(&self) -> bool {
        !self.0.linearizable
    }
}

impl Default for MemberList {
    fn default() -> Self {
        Self::new()
    }
}

unary!(MemberList: MemberListRequest => MemberListResponse, cluster::MEMBER_LIST);

/// Adds a member, which has to be started then.
///
/// ```
/// use etcdkit::cluster::MemberAdd;
///
/// let add = MemberAdd::new(["http://10.0.0.4:2380"]).learner();
/// assert_eq!(add.peer_urls(), ["http://10.0.0.4:2380"]);
/// assert!(add.is_learner());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MemberAdd(MemberAddRequest);

impl MemberAdd {
    /// Adds a member that the others will reach at these URLs.
    pub fn new<I>(peer_urls: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self(MemberAddRequest { peer_urls: trimmed(peer_urls), is_learner: false })
    }

    /// Adds it as a learner, which does not vote until it is promoted.
    #[must_use]
    pub fn learner(mut self) -> Self {
        self.0.is_learner = true;
        self
    }

    /// Where the others will reach it.
    #[must_use]
    pub fn peer_urls(&self) -> &[String] {
        &self.0.peer_urls
    }

    /// Whether it will be a learner.
    #[must_use]
    pub fn is_learner(&self) -> bool {
        self.0.is_learner
    }
}

unary!(MemberAdd: MemberAddRequest => MemberAddResponse, cluster::MEMBER_ADD, {
    fn check(&self) -> Result<()> {
        peer_url::check(&self.0.peer_urls)
    }
});

/// Removes a member. Its id is never used again.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberRemove(MemberRemoveRequest);

impl MemberRemove {
    /// Removes the member `id`.
    pub fn new(id: impl Into<MemberId>) -> Self {
        Self(MemberRemoveRequest { id: id.into().get() })
    }

    /// The member.
    #[must_use]
    pub fn member(&self) -> MemberId {
        MemberId::new(self.0.id)
    }
}

unary!(MemberRemove: MemberRemoveRequest => MemberRemoveResponse, cluster::MEMBER_REMOVE);

/// Changes the URLs at which the others reach a member.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberUpdate(MemberUpdateRequest);

impl MemberUpdate {
    /// Has the others reach the member `id` at these URLs from now on.
    pub fn new<I>(id: impl Into<MemberId>, peer_urls: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self(MemberUpdateRequest { id: id.into().get(), peer_urls: trimmed(peer_urls) })
    }

    /// The member.
    #[must_use]
    pub fn member(&self) -> MemberId {
        MemberId::new(self.0.id)
    }

    /// Where the others will reach it.
    #[must_use]
    pub fn peer_urls(&self) -> &[String] {
        &self.0.peer_urls
    }
}

unary!(MemberUpdate: MemberUpdateRequest => MemberUpdateResponse, cluster::MEMBER_UPDATE, {
    fn check(&self) -> Result<()> {
        peer_url::check(&self.0.peer_urls)
    }
});

/// Makes a learner a voting member, once it has caught up with the leader.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberPromote(MemberPromoteRequest);

impl MemberPromote {
    /// Has the member `id` vote.
    pub fn new(id: impl Into<MemberId>) -> Self {
        Self(MemberPromoteRequest { id: id.into().get() })
    }

    /// The member.
    #[must_use]
    pub fn member(&self) -> MemberId {
        MemberId::new(self.0.id)
    }
}

unary!(MemberPromote: MemberPromoteRequest => MemberPromoteResponse, cluster::MEMBER_PROMOTE);

/// The URLs without the white space around them, which no member could be reached at.
fn trimmed<I>(urls: I) -> Vec<String>
where
    I: IntoIterator,
    I::Item: Into<String>,
{
    urls.into_iter().map(|url| url.into().trim().to_owned()).collect()
}
