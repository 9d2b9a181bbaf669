//! How a lease that is kept alive stands.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::seat::Seat;
use crate::clock;
use crate::revision::LeaseId;

/// How a lease that is kept alive stands.
///
/// It tells what is certain *here*: until when the server will not have ended the lease by itself. That is no mutual
/// exclusion. Somebody may revoke the lease at any time, and whoever acts on `Alive` acts a moment later than it was
/// true: let what you write compare the revision of a key of yours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseState {
    /// Renewed, and the next renewal is in time.
    Alive {
        /// Until when the lease lives at least.
        until: Instant,
    },
    /// Renewals are not answered: less than a third of the time to live is left.
    AtRisk {
        /// Since when.
        since: Instant,
        /// When the lease is lost, unless a renewal is answered before.
        until: Instant,
    },
    /// Nobody renews the lease any more.
    Lost {
        /// Why not.
        reason: LossReason,
    },
}

impl LeaseState {
    /// Whether the lease is known to live.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self, Self::Lost { .. })
    }
}

/// Why a lease is not kept alive any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// Its time ran out without an answered renewal. The server ends it about then, or later.
    Expired,
    /// The server says that it does not exist, before its time was over by this machine's clock: somebody revoked it,
    /// or this machine slept in between.
    Revoked,
    /// Its holder dropped the stream or called [`LeaseControl::cancel`]. The lease runs out by itself.
    Cancelled,
    /// The client was closed. The lease runs out by itself.
    Closed,
    /// The member that renewed it lost its leader, and this was asked to end it
    /// ([`KeepAlive::require_leader`](crate::KeepAlive::require_leader)).
    NoLeader,
    /// The user may not renew it: a key is attached to it that the user may not write.
    PermissionDenied,
    /// The server does not accept the client's credentials, and another token did not help.
    Unauthenticated,
    /// The endpoints lead to another cluster.
    ClusterChanged,
    /// The server can't keep leases alive.
    Unsupported,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "the lease ran out: no renewal was answered in time",
            Self::Revoked => "the lease does not exist any more: it was revoked",
            Self::Cancelled => "the renewal of the lease was cancelled here",
            Self::Closed => "the client is closed",
            Self::NoLeader => "the member that renewed the lease lost its leader",
            Self::PermissionDenied => "the user may not renew the lease",
            Self::Unauthenticated => "the server does not accept the credentials",
            Self::ClusterChanged => "the endpoints lead to another cluster",
            Self::Unsupported => "the server can't keep leases alive",
        })
    }
}

/// Tells how a lease that is kept alive stands, and ends that. Cheap to clone; it does not keep the lease alive itself.
///
/// The control of the stream that [`Client::keep_alive`](crate::Client::keep_alive) opens.
#[derive(Clone)]
pub struct LeaseControl(Kind);

#[derive(Clone)]
enum Kind {
    Seat(Arc<Seat>),
    /// What a mock says.
    Fixed(LeaseId, LeaseState),
}

impl LeaseControl {
    pub(super) fn new(seat: Arc<Seat>) -> Self {
        Self(Kind::Seat(seat))
    }

    /// A control that says the same for ever, for mocks: [`Streaming::with_control`](crate::Streaming::with_control)
    /// takes one.
    ///
    /// ```
    /// use etcdkit::{LeaseControl, LeaseId, LeaseState, LossReason};
    ///
    /// let id = LeaseId::new(7).expect("not zero");
    /// let lost = LeaseState::Lost { reason: LossReason::Expired };
    /// assert_eq!(LeaseControl::fixed(id, lost).state(), lost);
    /// ```
    #[must_use]
    pub fn fixed(id: LeaseId, state: LeaseState) -> Self {
        Self(Kind::Fixed(id, state))
    }

    /// The lease.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        match &self.0 {
            Kind::Seat(seat) => seat.id(),
            Kind::Fixed(id, _) => *id,
        }
    }

    /// How the lease stands now. Costs a look at the clock.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        match &self.0 {
            Kind::Seat(seat) => seat.state(clock::now().into_std()),
            Kind::Fixed(_, state) => *state,
        }
    }

    /// Waits until the lease is lost, and says why.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub async fn lost(&self) -> LossReason {
        match &self.0 {
            Kind::Seat(seat) => seat.lost().await,
            Kind::Fixed(_, LeaseState::Lost { reason }) => *reason,
            Kind::Fixed(..) => std::future::pending().await,
        }
    }

    /// Ends the renewals; the stream yields [`Cancelled`](crate::ErrorKind::Cancelled). The lease runs out by itself,
    /// unless someone else keeps it alive or revokes it.
    pub fn cancel(&self) {
        if let Kind::Seat(seat) = &self.0 {
            seat.leave();
        }
    }
}

impl fmt::Debug for LeaseControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseControl")
            .field("id", &self.id())
            .field("state", &self.state())
            .finish()
    }
}
