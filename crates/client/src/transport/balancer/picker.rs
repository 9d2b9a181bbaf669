//! The snapshot that every call reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::machine::SlotId;
use super::state::EndpointState;
use crate::clock::Instant;
use crate::config::{Balance, Candidate, Endpoint};
use crate::error::Attempt;
use crate::transport::liveness::Doubt;

/// What a call needs of a member.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct Want<'a> {
    /// Whether a learner will do.
    pub(in crate::transport) learner: bool,
    /// Connections that this call was unlucky with.
    pub(in crate::transport) avoid: &'a [SlotId],
}

/// What a picker chooses from.
pub(in crate::transport) trait Candidates: Send + Sync {
    fn slot(&self) -> SlotId;
    fn endpoint(&self) -> &Endpoint;
    fn is_learner(&self) -> bool;
    fn in_flight(&self) -> usize;
    /// How much speaks for preferring another.
    fn doubt(&self, now: Instant) -> Doubt;
    /// Whether it takes no more calls. It takes a moment until a snapshot leaves it out.
    fn is_closed(&self) -> bool;
}

/// The connections that are up, and how to choose among them.
#[derive(Debug)]
pub(in crate::transport) struct Picker<L> {
    pub(in crate::transport) links: Vec<Arc<L>>,
    pub(in crate::transport) states: Vec<EndpointState>,
    /// How the endpoints that are not ready failed.
    pub(in crate::transport) failures: Vec<Attempt>,
    /// Whether every endpoint has been tried in vain.
    pub(in crate::transport) all_failed: bool,
    /// Whether one is being tried now.
    pub(in crate::transport) connecting: bool,
    /// Whether each failed for a reason that time does not mend.
    pub(in crate::transport) hopeless: bool,
    /// Which replacement of the endpoints this shows.
    pub(in crate::transport) edition: u64,
    /// How many callers without a connection had been heard.
    pub(in crate::transport) wakes: u64,
    pub(in crate::transport) closed: bool,
    balance: Balance,
    cursor: AtomicUsize,
}

impl<L: Candidates> Picker<L> {
    pub(in crate::transport) fn new(balance: Balance, start: usize) -> Self {
        Self {
            links: Vec::new(),
            states: Vec::new(),
            failures: Vec::new(),
            all_failed: false,
            connecting: false,
            hopeless: false,
            edition: 0,
            wakes: 0,
            closed: false,
            balance,
            cursor: AtomicUsize::new(start),
        }
    }

    /// Where the next snapshot goes on.
    pub(in crate::transport) fn cursor(&self) -> usize {
        self.cursor.load(Ordering::Relaxed)
    }

    /// Whether a policy of the user's decides.
    pub(in crate::transport) fn is_custom(&self) -> bool {
        matches!(self.balance, Balance::Custom(_))
    }

    /// The connection for a call, or `None` if no suitable member is ready.
    ///
    /// Members that this call has not failed on come first, then those that answer; within the best such class the
    /// policy decides. A learner gets what it can't serve only where there is nothing but learners: it says so itself,
    /// at once, and serves the call if it has been promoted meanwhile.
    pub(in crate::transport) fn pick(&self, want: Want<'_>, now: Instant) -> Option<&Arc<L>> {
        self.pick_suitable(want, now).or_else(|| {
            let hopeless = !want.learner && self.states.iter().all(EndpointState::is_ready);
            hopeless.then(|| self.pick_suitable(Want { learner: true, ..want }, now))?
        })
    }

    fn pick_suitable(&self, want: Want<'_>, now: Instant) -> Option<&Arc<L>> {
        let rank = |link: &L| -> Option<u8> {
            if link.is_learner() && !want.learner {
                return None;
            }
            let avoided = want.avoid.contains(&link.slot());
            if avoided && link.is_closed() {
                return None;
            }
            Some(u8::from(avoided) << 2 | link.doubt(now) as u8)
        };
        match &self.balance {
            Balance::RoundRobin => {
                let start = self.cursor.fetch_add(1, Ordering::Relaxed);
                self.first_of_best_rank(start, rank)
            }
            Balance::PickFirst => self.first_of_best_rank(0, rank),
            Balance::LeastInFlight => self
                .links
                .iter()
                .filter_map(|link| Some(((rank(link)?, link.in_flight()), link)))
                .min_by_key(|(key, _)| *key)
                .map(|(_, link)| link),
            Balance::Custom(policy) => {
                // Ranked once: doubt may come or go, and then none might be of the best rank any more.
                let ranked: Vec<(u8, &Arc<L>)> =
                    self.links.iter().filter_map(|link| Some((rank(link)?, link))).collect();
                let best = ranked.iter().map(|(rank, _)| *rank).min()?;
                let suitable = ranked.into_iter().filter(|(rank, _)| *rank == best);
                let links: Vec<&Arc<L>> = suitable.map(|(_, link)| link).collect();
                let candidates: Vec<Candidate<'_>> = links
                    .iter()
                    .map(|link| {
                        Candidate::new(link.endpoint(), link.in_flight(), link.is_learner())
                    })
                    .collect();
                let choice = policy.pick(&candidates);
                links.get(choice).or_else(|| links.last()).copied()
            }
        }
    }

    /// Whose turn it is, or else one of those that suit best: the turns of the others go round among these, lest the
    /// neighbour of one that is left out has twice as much to do.
    fn first_of_best_rank(&self, start: usize, rank: impl Fn(&L) -> Option<u8>) -> Option<&Arc<L>> {
        let count = self.links.len();
        let turn = self.links.get(start.checked_rem(count)?)?;
        if rank(turn) == Some(0) {
            return Some(turn);
        }
        let best = self.links.iter().filter_map(|link| rank(link)).min()?;
        let suitable = || self.links.iter().filter(|link| rank(link) == Some(best));
        let nth = (start / count).checked_rem(suitable().count()).unwrap_or_default();
        // Doubt may come or go while this looks.
        suitable().nth(nth).or_else(|| self.links.iter().find(|link| rank(link).is_some()))
    }
}
