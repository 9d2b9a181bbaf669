//! Which of the ready members serves the next call.

use std::fmt;
use std::sync::Arc;

use crate::config::Endpoint;

/// Which of the ready members serves the next call.
///
/// Members that are in doubt (see [`Liveness`](crate::config::Liveness)) are not asked while others are ready,
/// whatever the policy. A stream stays where it was opened until it fails.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Balance {
    /// One after the other. The default, as in Go's client: load spreads evenly, and a member that fails concerns
    /// only its share of the calls.
    #[default]
    RoundRobin,
    /// The first in the order of the endpoints that can be reached and is no learner: put the nearest first. Only that
    /// member is connected to, so no other is there at once when it fails, and reads are not hedged.
    PickFirst,
    /// The one with the fewest calls under way, which a slow member soon is not.
    LeastInFlight,
    /// Your own choice.
    Custom(Arc<dyn Pick>),
}

impl Balance {
    /// Your own choice.
    #[must_use]
    pub fn custom(pick: impl Pick) -> Self {
        Self::Custom(Arc::new(pick))
    }
}

/// Chooses the member for a call.
///
/// It is asked once per attempt, on the caller's path: it should be quick and must not block.
///
/// ```
/// use etcdkit::config::{Balance, Candidate, Pick};
///
/// /// Stays in one zone while a member of it is ready.
/// #[derive(Debug)]
/// struct Zone(&'static str);
///
/// impl Pick for Zone {
///     fn pick(&self, candidates: &[Candidate<'_>]) -> usize {
///         let near = |candidate: &Candidate<'_>| candidate.endpoint().server_name().ends_with(self.0);
///         candidates.iter().position(near).unwrap_or(0)
///     }
/// }
///
/// let balance = Balance::custom(Zone("eu-1.example.com"));
/// # let _ = balance;
/// ```
pub trait Pick: fmt::Debug + Send + Sync + 'static {
    /// The position of the chosen one. There is at least one candidate; a position beyond the last means the last.
    fn pick(&self, candidates: &[Candidate<'_>]) -> usize;
}

impl<P: Pick + ?Sized> Pick for Arc<P> {
    fn pick(&self, candidates: &[Candidate<'_>]) -> usize {
        (**self).pick(candidates)
    }
}

/// A member that could serve the call.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    endpoint: &'a Endpoint,
    in_flight: usize,
    is_learner: bool,
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(endpoint: &'a Endpoint, in_flight: usize, is_learner: bool) -> Self {
        Self { endpoint, in_flight, is_learner }
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &'a Endpoint {
        self.endpoint
    }

    /// How many of this client's calls and streams it is serving now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether it is known to be a learner, which serves nothing but serializable reads.
    #[must_use]
    pub fn is_learner(&self) -> bool {
        self.is_learner
    }
}
