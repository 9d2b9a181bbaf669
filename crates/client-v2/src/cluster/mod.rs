//! Which endpoint serves a call, and what follows when one does not.
//!
//! One endpoint is pinned: it is turned to first, and an endpoint that served takes its place. What may be repeated is
//! [read](Cluster::read): the next endpoint joins in as soon as one fails or is silent for a while, and the first answer
//! counts. What may not is [written](Cluster::write): the next endpoint is tried only if the request certainly did not
//! leave. What waits for long is [waited for](Cluster::wait) at one endpoint, which is asked whether it still lives.

mod guard;
mod plan;
mod roster;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::guard::Sign;
use self::plan::Plan;
use self::roster::Roster;
use crate::clock::{maybe_within, rng};
use crate::config::{Config, Endpoint, Selection};
use crate::error::{Attempt, Cause, Error, Result};
use crate::http::{Answer, Failure, Http, Manner, OnHead, Outgoing};
use crate::task::{self, Boxed};

/// The endpoints of a cluster and what talks to them.
pub(crate) struct Cluster {
    pub(crate) config: Arc<Config>,
    http: Http,
    roster: Mutex<Roster>,
}

/// The endpoints that a call may use.
#[derive(Clone, Debug, Default)]
pub(crate) enum Scope {
    #[default]
    All,
    /// This one and no other.
    Only(Endpoint),
}

impl Cluster {
    pub(crate) fn new(config: Config, endpoints: Vec<Endpoint>) -> Self {
        let config = Arc::new(config);
        let roster = Mutex::new(Roster::new(endpoints, &mut rng()));
        Self { http: Http::new(config.clone()), config, roster }
    }

    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.roster().endpoints().to_vec()
    }

    pub(crate) fn pinned(&self) -> Endpoint {
        self.roster().pinned().clone()
    }

    /// Replaces the endpoints, which have to be checked. The same ones in another order change nothing, unless one of
    /// them is to be `preferred`.
    pub(crate) fn replace(&self, endpoints: Vec<Endpoint>, preferred: Option<&Endpoint>) {
        let mut roster = self.roster();
        match self.config.selection {
            Selection::Random if roster.is_same(&endpoints) => {}
            Selection::Random => *roster = Roster::new(endpoints, &mut rng()),
            Selection::PrioritizeLeader => *roster = Roster::in_order(endpoints, preferred),
        }
    }

    /// Replaces the endpoints as a user says.
    pub(crate) fn reset(&self, endpoints: Vec<Endpoint>) {
        *self.roster() = Roster::new(endpoints, &mut rng());
    }

    /// Makes a request.
    pub(crate) async fn call(&self, scope: &Scope, outgoing: &Outgoing) -> Result<Answer> {
        if outgoing.repeatable {
            self.read(scope, outgoing).await
        } else {
            self.write(scope, outgoing).await
        }
    }

    /// Makes a request that may be repeated.
    async fn read(&self, scope: &Scope, outgoing: &Outgoing) -> Result<Answer> {
        type Attempts<'a> = Vec<(Endpoint, Boxed<'a, Result<Answer, Failure>>)>;
        let mut plan = Plan::new(self.order(scope));
        let mut running: Attempts<'_> = Vec::new();
        let mut failures = Vec::new();
        let mut sent = false;
        // A write that may be repeated is one that may have been applied.
        let applied = |sent| sent && outgoing.is_write();
        loop {
            if let Some((endpoint, fresh)) = plan.next() {
                let attempt = Box::pin(self.attempt(endpoint.clone(), outgoing, fresh));
                running.push((endpoint, attempt));
            } else if running.is_empty() {
                return Err(Error::from_attempts(failures, applied(sent)));
            }
            match maybe_within(plan.pause(self.config.hedge_after), task::first(&mut running)).await
            {
                Some((endpoint, Ok(answer))) => {
                    self.serve(scope, &endpoint, running.iter().map(|(silent, _)| silent));
                    return Ok(answer);
                }
                Some((endpoint, Err(Failure { cause: cause @ Cause::TooLarge(_), .. }))) => {
                    let attempts = vec![Attempt::new(endpoint, cause)];
                    return Err(Error::from_attempts(attempts, applied(true)));
                }
                Some((endpoint, Err(failure))) => {
                    plan.remove(&endpoint);
                    self.leave(&endpoint, &failure.cause);
                    sent |= failure.sent;
                    failures.push(Attempt::new(endpoint, failure.cause));
                }
                None => {}
            }
        }
    }

    async fn attempt(
        &self,
        endpoint: Endpoint,
        outgoing: &Outgoing,
        fresh: bool,
    ) -> Result<Answer, Failure> {
        let sent = AtomicBool::new(false);
        let limit = Some(self.config.timeouts.header);
        let manner = Manner { fresh, limit, on_head: None, sent: &sent };
        self.http.request(&endpoint, outgoing, manner).await
    }

    /// Makes a request that must not be repeated once it may have left.
    async fn write(&self, scope: &Scope, outgoing: &Outgoing) -> Result<Answer> {
        let mut failures = Vec::new();
        for endpoint in self.order(scope) {
            let sent = AtomicBool::new(false);
            let limit = Some(self.config.timeouts.header);
            let manner = Manner { fresh: false, limit, on_head: None, sent: &sent };
            let request = self.http.request(&endpoint, outgoing, manner);
            let interval = self.config.timeouts.suspect;
            let guarded = self.guard(&endpoint, request, &sent, interval, Sign::Life);
            match Box::pin(guarded).await {
                Ok(answer) => {
                    self.serve(scope, &endpoint, std::iter::empty());
                    return Ok(answer);
                }
                Err(Failure { cause, sent }) => {
                    self.leave(&endpoint, &cause);
                    failures.push(Attempt::new(endpoint, cause));
                    if sent {
                        return Err(Error::from_attempts(failures, true));
                    }
                }
            }
        }
        Err(Error::from_attempts(failures, false))
    }

    /// Makes a request whose answer may take any time. `on_head` is told its head as soon as that comes.
    pub(crate) async fn wait(
        &self,
        scope: &Scope,
        outgoing: &Outgoing,
        require_leader: bool,
        on_head: OnHead<'_>,
    ) -> Result<Answer> {
        let sign = if require_leader { Sign::Health } else { Sign::Life };
        let mut failures = Vec::new();
        for endpoint in self.order(scope) {
            let sent = AtomicBool::new(false);
            let on_head = Some(on_head);
            let manner = Manner { fresh: false, limit: None, on_head, sent: &sent };
            let request = self.http.request(&endpoint, outgoing, manner);
            let interval = self.config.timeouts.watch_probe;
            match Box::pin(self.guard(&endpoint, request, &sent, interval, sign)).await {
                Ok(answer) => {
                    self.serve(scope, &endpoint, std::iter::empty());
                    return Ok(answer);
                }
                Err(Failure { cause, .. }) => {
                    self.leave(&endpoint, &cause);
                    failures.push(Attempt::new(endpoint, cause));
                }
            }
        }
        Err(Error::from_attempts(failures, false))
    }

    fn order(&self, scope: &Scope) -> Vec<Endpoint> {
        match scope {
            Scope::All => self.roster().order(),
            Scope::Only(endpoint) => vec![endpoint.clone()],
        }
    }

    /// `endpoint` answered, and the `silent` ones did not meanwhile.
    fn serve<'a>(
        &self,
        scope: &Scope,
        endpoint: &Endpoint,
        silent: impl Iterator<Item = &'a Endpoint>,
    ) {
        for silent in silent.filter(|silent| *silent != endpoint) {
            self.http.distrust(silent);
        }
        if matches!(scope, Scope::All) {
            self.roster().pin(endpoint);
        }
    }

    /// `endpoint` failed: another is turned to first from now on.
    fn leave(&self, endpoint: &Endpoint, cause: &Cause) {
        tracing::debug!(%endpoint, %cause, "endpoint failed");
        if matches!(cause, Cause::Frozen | Cause::HeaderTimeout) {
            self.http.distrust(endpoint);
        }
        self.roster().leave(endpoint);
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        // Nothing panics while it is held.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roster = self.roster();
        f.debug_struct("Cluster")
            .field("endpoints", &roster.endpoints())
            .field("pinned", roster.pinned())
            .finish_non_exhaustive()
    }
}
