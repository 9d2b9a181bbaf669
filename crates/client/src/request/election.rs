//! Elections that a server waits for.

use etcdkit_proto::method::election;
use etcdkit_proto::v3electionpb::{self, *};

use crate::byte_string::ByteString;
use crate::response::election::LeaderKey;
use crate::revision::LeaseId;

/// What proves the leadership in a request of who leads.
macro_rules! proven {
    ($request:ident) => {
        impl $request {
            /// The proof of the leadership.
            #[must_use]
            pub fn leader(&self) -> LeaderKey {
                LeaderKey::from_wire(self.0.leader.clone().unwrap_or_default())
            }

            /// The same with another proof: what a layer that moves keys does.
            #[must_use]
            pub fn with_leader(mut self, leader: LeaderKey) -> Self {
                self.0.leader = Some(leader.into_wire());
                self
            }
        }
    };
}

/// Has a server wait until elected.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign(CampaignRequest);

impl Campaign {
    /// Waits to lead the election `name` and proclaims `value` then. The leadership ends when it is resigned or `lease`
    /// ends.
    pub fn new(name: impl Into<ByteString>, lease: LeaseId, value: impl Into<ByteString>) -> Self {
        let (name, value) = (name.into().into_bytes(), value.into().into_bytes());
        Self(CampaignRequest { name, lease: lease.get(), value })
    }
}

named!(Campaign, "election");
unary!(Campaign: CampaignRequest => v3electionpb::CampaignResponse, election::CAMPAIGN);

/// Changes the value of who leads.
#[derive(Clone, Debug, PartialEq)]
pub struct Proclaim(ProclaimRequest);

impl Proclaim {
    /// Proclaims `value`, as the leader that `leader` proves.
    pub fn new(leader: LeaderKey, value: impl Into<ByteString>) -> Self {
        let value = value.into().into_bytes();
        Self(ProclaimRequest { leader: Some(leader.into_wire()), value })
    }
}

proven!(Proclaim);
unary!(Proclaim: ProclaimRequest => ProclaimResponse, election::PROCLAIM);

/// Gives a leadership up.
#[derive(Clone, Debug, PartialEq)]
pub struct Resign(ResignRequest);

impl Resign {
    /// Gives up the leadership that `leader` proves.
    #[must_use]
    pub fn new(leader: LeaderKey) -> Self {
        Self(ResignRequest { leader: Some(leader.into_wire()) })
    }
}

proven!(Resign);
unary!(Resign: ResignRequest => ResignResponse, election::RESIGN);

/// Asks who leads an election.
#[derive(Clone, Debug, PartialEq)]
pub struct Leader(LeaderRequest);

impl Leader {
    /// Asks who leads the election `name`.
    pub fn of(name: impl Into<ByteString>) -> Self {
        Self(LeaderRequest { name: name.into().into_bytes() })
    }
}

named!(Leader, "election");
unary!(Leader: LeaderRequest => v3electionpb::LeaderResponse, election::LEADER);

/// Asks who leads an election, now and whenever that changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Observe(LeaderRequest);

impl Observe {
    /// Asks who leads the election `name`.
    pub fn new(name: impl Into<ByteString>) -> Self {
        Self(LeaderRequest { name: name.into().into_bytes() })
    }

    pub(crate) fn wire(&self) -> &LeaderRequest {
        &self.0
    }
}

named!(Observe, "election");
