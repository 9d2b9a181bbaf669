//! Leases: granting, ending, asking about and renewing them.

use std::fmt;
use std::time::Duration;

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{
    self, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest,
};
use etcdkit_proto::method::{self, Class, Method};

use crate::error::{Error, Result};
use crate::response::{
    HeaderResponse, LeaseGrantResponse, LeaseTimeToLiveResponse, LeasesResponse,
};
use crate::revision::LeaseId;
use crate::transport::Unary;

/// Grants a lease: keys attached to it are deleted when it ends.
///
/// Unless [`id`](Self::id) chooses one, the client draws the lease's id at random before it asks. So a grant whose answer
/// is lost can be repeated without granting two leases, of which nobody would know the one.
///
/// ```
/// use std::time::Duration;
/// use etcdkit::LeaseGrant;
///
/// let grant = LeaseGrant::new(Duration::from_secs(60));
/// assert_eq!(grant.ttl(), Duration::from_secs(60));
/// // etcd counts in seconds: what is between two of them is rounded up.
/// assert_eq!(LeaseGrant::new(Duration::from_millis(2500)).ttl(), Duration::from_secs(3));
/// ```
#[derive(Clone, PartialEq)]
pub struct LeaseGrant {
    wire: LeaseGrantRequest,
    /// Whether the id was drawn by this client for this very grant: then only this grant can have made it.
    drawn: bool,
}

impl LeaseGrant {
    /// Grants a lease that ends when it has not been renewed for `ttl`.
    ///
    /// Fractions of a second are rounded up. The call fails for less than a second, and the server raises what is below
    /// its own minimum (one and a half election timeouts, 2 s with etcd's defaults).
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        // Less than a second is kept as none, and refused when it is sent.
        let seconds = match ttl.as_secs() {
            0 => 0,
            whole => whole.saturating_add(u64::from(ttl.subsec_nanos() > 0)),
        };
        let ttl = i64::try_from(seconds).unwrap_or(i64::MAX);
        Self { wire: LeaseGrantRequest { ttl, id: 0 }, drawn: false }
    }

    /// Uses this id. The call fails with [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) if such a lease exists.
    ///
    /// If an answer is lost and the repetition finds the lease, nobody can tell whose it is: then the error says that
    /// the grant [may have been applied](crate::Error::maybe_applied).
    #[must_use]
    pub fn id(mut self, id: LeaseId) -> Self {
        self.wire.id = id.get();
        self.drawn = false;
        self
    }

    /// The time to live that is asked for; zero if it was less than a second.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.wire.ttl).unwrap_or(0))
    }

    /// The id that was chosen.
    #[must_use]
    pub fn lease_id(&self) -> Option<LeaseId> {
        LeaseId::new(self.wire.id)
    }

    /// The same grant with an id, drawn by `draw` if none was chosen.
    pub(crate) fn with_drawn_id(mut self, draw: impl FnOnce() -> LeaseId) -> Self {
        if self.wire.id == 0 {
            self.wire.id = draw().get();
            self.drawn = true;
        }
        self
    }
}

impl From<Duration> for LeaseGrant {
    fn from(ttl: Duration) -> Self {
        Self::new(ttl)
    }
}

impl fmt::Debug for LeaseGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseGrant({} s", self.wire.ttl)?;
        if let Some(id) = self.lease_id() {
            write!(f, ", id {id}")?;
        }
        f.write_str(")")
    }
}

impl Unary for LeaseGrant {
    type Wire = LeaseGrantRequest;
    type Answer = etcdserverpb::LeaseGrantResponse;
    const METHOD: Method<LeaseGrantRequest, etcdserverpb::LeaseGrantResponse> =
        method::lease::GRANT;

    fn wire(&self) -> &LeaseGrantRequest {
        &self.wire
    }

    fn check(&self) -> Result<()> {
        if self.wire.ttl < 1 {
            return Err(Error::invalid(
                "a lease lives for at least a second: ask for one second or more",
            ));
        }
        Ok(())
    }

    fn class(&self) -> Class {
        if self.wire.id == 0 { Class::Write } else { Class::Repeatable }
    }

    fn done(&self) -> Option<ServerError> {
        self.drawn.then_some(ServerError::LeaseExist)
    }

    fn decode(answer: etcdserverpb::LeaseGrantResponse) -> Result<LeaseGrantResponse> {
        LeaseGrantResponse::from_wire(answer)
    }
}

macro_rules! about_one_lease {
    ($request:ident) => {
        impl $request {
            /// The lease.
            #[must_use]
            pub fn lease_id(&self) -> LeaseId {
                self.id
            }
        }

        impl From<LeaseId> for $request {
            fn from(id: LeaseId) -> Self {
                Self::new(id)
            }
        }
    };
}

/// Ends a lease and deletes the keys attached to it.
///
/// ```
/// use etcdkit::{LeaseId, LeaseRevoke};
///
/// let id = LeaseId::new(7).expect("not zero");
/// assert_eq!(LeaseRevoke::new(id).lease_id(), id);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseRevoke {
    id: LeaseId,
    wire: LeaseRevokeRequest,
}

impl LeaseRevoke {
    /// Ends the lease `id`.
    #[must_use]
    pub fn new(id: LeaseId) -> Self {
        Self { id, wire: LeaseRevokeRequest { id: id.get() } }
    }
}

about_one_lease!(LeaseRevoke);

impl Unary for LeaseRevoke {
    type Wire = LeaseRevokeRequest;
    type Answer = etcdserverpb::LeaseRevokeResponse;
    const METHOD: Method<LeaseRevokeRequest, etcdserverpb::LeaseRevokeResponse> =
        method::lease::REVOKE;

    fn wire(&self) -> &LeaseRevokeRequest {
        &self.wire
    }

    fn decode(answer: etcdserverpb::LeaseRevokeResponse) -> Result<HeaderResponse> {
        Ok(answer.into())
    }
}

/// Asks how long a lease has left. A lease that does not exist is an answer, not an error.
///
/// ```
/// use etcdkit::{LeaseId, LeaseTimeToLive};
///
/// let id = LeaseId::new(7).expect("not zero");
/// assert!(LeaseTimeToLive::new(id).keys().asks_for_keys());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseTimeToLive {
    id: LeaseId,
    wire: LeaseTimeToLiveRequest,
}

impl LeaseTimeToLive {
    /// Asks about the lease `id`.
    #[must_use]
    pub fn new(id: LeaseId) -> Self {
        Self { id, wire: LeaseTimeToLiveRequest { id: id.get(), keys: false } }
    }

    /// Returns the attached keys too. Takes the permission to read them.
    #[must_use]
    pub fn keys(mut self) -> Self {
        self.wire.keys = true;
        self
    }

    /// Whether the attached keys are asked for.
    #[must_use]
    pub fn asks_for_keys(&self) -> bool {
        self.wire.keys
    }
}

about_one_lease!(LeaseTimeToLive);

impl Unary for LeaseTimeToLive {
    type Wire = LeaseTimeToLiveRequest;
    type Answer = etcdserverpb::LeaseTimeToLiveResponse;
    const METHOD: Method<LeaseTimeToLiveRequest, etcdserverpb::LeaseTimeToLiveResponse> =
        method::lease::TIME_TO_LIVE;

    fn wire(&self) -> &LeaseTimeToLiveRequest {
        &self.wire
    }

    fn decode(answer: etcdserverpb::LeaseTimeToLiveResponse) -> Result<LeaseTimeToLiveResponse> {
        Ok(answer.into())
    }
}

/// Lists all leases of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leases(LeaseLeasesRequest);

impl Leases {
    /// Lists all of them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Unary for Leases {
    type Wire = LeaseLeasesRequest;
    type Answer = etcdserverpb::LeaseLeasesResponse;
    const METHOD: Method<LeaseLeasesRequest, etcdserverpb::LeaseLeasesResponse> =
        method::lease::LEASES;

    fn wire(&self) -> &LeaseLeasesRequest {
        &self.0
    }

    fn decode(answer: etcdserverpb::LeaseLeasesResponse) -> Result<LeasesResponse> {
        Ok(answer.into())
    }
}

/// Renews a lease once.
///
/// ```
/// use etcdkit::{KeepAliveOnce, LeaseId};
///
/// let id = LeaseId::new(7).expect("not zero");
/// assert_eq!(KeepAliveOnce::from(id), KeepAliveOnce::new(id));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KeepAliveOnce {
    id: LeaseId,
    wire: LeaseKeepAliveRequest,
}

impl KeepAliveOnce {
    /// Renews the lease `id`.
    #[must_use]
    pub fn new(id: LeaseId) -> Self {
        Self { id, wire: LeaseKeepAliveRequest { id: id.get() } }
    }

    pub(crate) fn wire(&self) -> &LeaseKeepAliveRequest {
        &self.wire
    }
}

about_one_lease!(KeepAliveOnce);

/// Renews a lease for as long as the stream that it opens is held.
///
/// The leases of a client share one stream to the server, one for each set of
/// [`CallOptions::metadata`](crate::CallOptions::metadata). The stream moves from member to member, so an
/// [`endpoint`](crate::CallOptions::endpoint) is refused. See [`Client::keep_alive`](crate::Client::keep_alive).
///
/// ```
/// use etcdkit::{KeepAlive, LeaseId};
///
/// let id = LeaseId::new(7).expect("not zero");
/// assert!(KeepAlive::new(id).require_leader().requires_leader());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct KeepAlive {
    id: LeaseId,
    require_leader: bool,
}

impl KeepAlive {
    /// Keeps the lease `id` alive.
    #[must_use]
    pub fn new(id: LeaseId) -> Self {
        Self { id, require_leader: false }
    }

    /// Ends with [`LossReason::NoLeader`](crate::LossReason::NoLeader) when the member that renews the lease loses its
    /// leader, rather than go on elsewhere for as long as the lease can live.
    #[must_use]
    pub fn require_leader(mut self) -> Self {
        self.require_leader = true;
        self
    }

    /// Whether it ends with the leader.
    #[must_use]
    pub fn requires_leader(&self) -> bool {
        self.require_leader
    }
}

about_one_lease!(KeepAlive);

#[cfg(test)]
mod tests {
    use super::*;

    const ID: LeaseId = match LeaseId::new(-3) {
        Some(id) => id,
        None => panic!("not zero"),
    };

    #[test]
    fn times_to_live_in_whole_seconds() {
        for (millis, seconds) in [(1000, 1), (1001, 2), (2500, 3), (60_000, 60)] {
            let grant = LeaseGrant::new(Duration::from_millis(millis));
            assert_eq!(grant.wire().ttl, seconds, "{millis} ms");
            grant.check().unwrap();
        }
        for millis in [0, 1, 999] {
            let refused = LeaseGrant::new(Duration::from_millis(millis)).check().unwrap_err();
            assert_eq!(refused.kind(), crate::ErrorKind::InvalidArgument, "{millis} ms");
        }
        assert_eq!(LeaseGrant::new(Duration::MAX).wire().ttl, i64::MAX);
    }

    #[test]
    fn a_grant_is_repeatable_once_it_has_an_id() {
        let grant = LeaseGrant::new(Duration::from_secs(5));
        assert_eq!((grant.class(), grant.done()), (Class::Write, None));
        let drawn = grant.clone().with_drawn_id(|| ID);
        assert_eq!(drawn.class(), Class::Repeatable);
        assert_eq!(drawn.done(), Some(ServerError::LeaseExist));
        // Somebody else may have a lease with a chosen id.
        let chosen = grant.id(ID).with_drawn_id(|| panic!("it has one"));
        assert_eq!((chosen.class(), chosen.done()), (Class::Repeatable, None));
        assert_eq!(chosen.wire(), &LeaseGrantRequest { ttl: 5, id: -3 });
        assert_eq!(format!("{chosen:?}"), "LeaseGrant(5 s, id fffffffffffffffd)");
    }

    #[test]
    fn wire_forms() {
        assert_eq!(LeaseRevoke::new(ID).wire(), &LeaseRevokeRequest { id: -3 });
        assert_eq!(LeaseRevoke::new(ID).done(), Some(ServerError::LeaseNotFound));
        let ask = LeaseTimeToLive::new(ID);
        assert_eq!(ask.wire(), &LeaseTimeToLiveRequest { id: -3, keys: false });
        assert_eq!(ask.keys().wire(), &LeaseTimeToLiveRequest { id: -3, keys: true });
        assert_eq!(KeepAliveOnce::new(ID).wire(), &LeaseKeepAliveRequest { id: -3 });
    }
}
