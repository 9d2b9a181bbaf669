//! One call: attempts, one after another, until an answer, a certainty or the deadline ends it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::method::{self, Class, MethodInfo, Patience};
use etcdkit_proto::{ServerError, WireMessage};
use tracing::Instrument;

use super::attempt::{Attempting, OneAnswer, Outcome};
use super::balancer::{Candidates, SlotId, Want};
use super::channel::Channel;
use super::grpc;
use super::link::Link;
use super::liveness::Waiting;
use super::pool::Pool;
use super::retry::{self, Decision, Nature};
use super::traits::{Failure, Status, Transport};
use crate::clock::{self, Instant};
use crate::error::{Attempt, Cause, Code, Error, ErrorKind, Result};
use crate::metadata::Metadata;
use crate::service::Timeout;
use crate::task::{Either, race};
use crate::telemetry;

/// A call, as far as it does not depend on the messages.
pub(crate) struct Call<'a, T: Transport> {
    /// Where it goes.
    pub(super) pool: &'a Pool<T>,
    pub(super) method: MethodInfo,
    /// Whether a learner may answer.
    pub(super) serializable: bool,
    /// When it began.
    pub(super) started: Instant,
    pub(super) deadline: Option<Instant>,
    /// Whether the server is told of it: the caller chose it.
    pub(super) announces_deadline: bool,
    pub(super) retry: bool,
    pub(super) require_leader: bool,
    pub(super) metadata: Metadata,
    /// Whether to send a token; Authenticate itself does not.
    pub(super) authenticated: bool,
}

impl<T: Transport> Call<'_, T> {
    /// What its answer waits for.
    pub(super) fn waiting(&self) -> Waiting {
        if self.method.patience == Patience::Long || self.observes() {
            Waiting::ForOthers
        } else {
            Waiting::ForMember
        }
    }

    /// Whether its first answer may take any time.
    fn observes(&self) -> bool {
        self.method.path == method::election::OBSERVE.path()
    }

    /// When it ends, and whether it requires a leader: what a call comes to that is not made as one.
    pub(crate) fn terms(&self) -> (Option<Instant>, bool) {
        (self.deadline, self.require_leader)
    }
}

/// A token is replaced at most this often within one call: if a fresh one is refused too, that is the answer. Unless it
/// was overtaken by a change of users, which has nothing to say about it: then there are pauses from here on.
const RENEWALS: u32 = 2;
/// Who observes outlives any number of members: an attempt that lasted for this long counts as the first.
const LASTING: Duration = Duration::from_secs(1);

/// What has happened to a call so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// How attempts failed.
    attempts: Vec<Attempt>,
    /// Connections that attempts failed on.
    unlucky: Vec<SlotId>,
    renewals: u32,
    /// Pauses made so far.
    pauses: u32,
    /// Some attempt may have been applied.
    unknown: bool,
}

/// What follows a failed attempt.
enum Next {
    /// Another attempt.
    Again,
    /// An earlier attempt of this call has done the work, and this one says so.
    Done,
}

/// What follows when one of two attempts under way has failed.
#[derive(Debug)]
pub(super) enum Then {
    /// The call ends with that failure, or goes on from it.
    End,
    /// Only the other attempt is waited for.
    Wait,
    /// The same, and a third one made after a pause.
    Another(Duration),
}

impl<T: Transport> Channel<T> {
    /// Makes `call` with the framed `message` and returns the answer's bytes.
    pub(super) async fn run(&self, call: &Call<'_, T>, message: Bytes) -> Result<Bytes> {
        let rpc = telemetry::Rpc::begin(&call.method);
        rpc.sent(1);
        let outcome = self.attempts(call, &OneAnswer(message)).instrument(rpc.span().clone()).await;
        if let Ok((_, link)) = &outcome {
            rpc.served_by(&link.endpoint);
            rpc.received();
        }
        rpc.end(outcome.as_ref().err());
        outcome.map(|(answer, _)| answer)
    }

    /// Attempts `call` until one attempt succeeds, and returns what it brought and where. What few calls come to is
    /// boxed, for the sake of the future's size.
    pub(super) async fn attempts<A: Attempting<T>>(
        &self,
        call: &Call<'_, T>,
        attempting: &A,
    ) -> Result<(A::Output, Arc<Link<T::Connection>>)> {
        let mut progress = Progress::default();
        let mut now = call.started;
        loop {
            if call.authenticated && self.tokens().is_wanting() {
                Box::pin(self.renew_token(call.deadline, 0)).await?;
                now = clock::now();
            }
            let token = if call.authenticated { self.tokens().current() } else { None };
            let in_force = match &token {
                Some(token) => token.generation,
                None => self.tokens().generation(),
            };
            let picked = call.pool.pick(progress.want(call), now);
            let link = match picked.map_err(|error| progress.finish(error, call))? {
                Some(link) => link,
                None => {
                    let link = Box::pin(self.wait_for_link_in_time(call, &progress)).await?;
                    now = clock::now();
                    link
                }
            };
            let attempt = self.attempt(call, attempting, link, token.as_ref(), now, &mut progress);
            let (failure, link) = match attempt.await {
                Outcome::Answer(answer, link) => {
                    self.budget().pay_in();
                    let kv = call.method.service == "etcdserverpb.KV";
                    if kv && !call.serializable && link.is_learner() {
                        link.mark_voter();
                    }
                    return Ok((answer, link));
                }
                Outcome::Failed(failure, link) => (failure, link),
                Outcome::TimeUp => return Err(self.timed_out(call, progress)),
            };
            if call.observes() && clock::now() >= now + LASTING {
                progress = Progress::default();
            }
            let next = self.after_failure(call, &mut progress, &link, failure, in_force);
            match Box::pin(next).await? {
                Next::Again => now = clock::now(),
                Next::Done => match attempting.done() {
                    Some(answer) => return Ok((answer, link)),
                    None => return Err(Error::internal("a stream is never done beforehand")),
                },
            }
        }
    }

    /// Prepares the next attempt, or ends the call.
    async fn after_failure(
        &self,
        call: &Call<'_, T>,
        progress: &mut Progress,
        link: &Link<T::Connection>,
        failure: Failure,
        token_generation: u64,
    ) -> Result<Next> {
        let nature = self.nature(call);
        progress.note(nature, link, &failure);
        if self.is_closed() {
            return Err(progress.finish(Error::closed(), call));
        }
        if call.pool.is_abandoned() {
            return Err(progress.finish(super::pool::abandoned(), call));
        }
        let mut decision = retry::decide(nature, &failure);
        let mut elsewhere = call.pool.has_untried(progress.want(call));
        if let Failure::Status(status) = &failure {
            let server = ServerError::from_message(&status.message);
            if server == Some(ServerError::NotSupportedForLearner) {
                link.mark_learner();
                // A voter may be behind an endpoint that is not connected to.
                elsewhere |= !call.pool.is_complete();
            }
            let repeated = progress.attempts.len() > 1 && progress.unknown;
            if repeated && server.is_some() && server == call.method.done {
                return Ok(Next::Done);
            }
        }
        // Where retries are off, or used up by the first attempt, a call is still sent again if that is no repetition:
        // with another token, or, once, if no handler has seen it (gRPC's transparent retry).
        let unseen = matches!(failure, Failure::NotProcessed(_)) && progress.attempts.len() == 1;
        match decision {
            Decision::Authenticate if progress.renewals >= RENEWALS && !outdated(&failure) => {
                decision = Decision::Fail;
            }
            Decision::Elsewhere if !elsewhere => decision = Decision::Fail,
            Decision::Retry | Decision::Elsewhere if !call.retry && !unseen => {
                decision = Decision::Fail;
            }
            _ => {}
        }
        let spent = progress.attempts.len() >= self.retry_policy().max_attempts as usize;
        let first_renewals = decision == Decision::Authenticate && progress.renewals < RENEWALS;
        if spent && !first_renewals && !unseen {
            decision = Decision::Fail;
        }
        match decision {
            Decision::Fail => Err(progress.finish(error_of(call, &failure), call)),
            Decision::Authenticate => {
                if progress.renewals >= RENEWALS {
                    self.pause(call, progress, &failure).await?;
                }
                progress.renewals += 1;
                self.renew_token(call.deadline, token_generation)
                    .await
                    .map_err(|error| error.with_maybe_applied(progress.unknown))?;
                Ok(Next::Again)
            }
            Decision::Elsewhere => Ok(Next::Again),
            Decision::Retry => {
                tracing::debug!(rpc = call.method.path, endpoint = %link.endpoint, ?failure, "retrying");
                self.pause(call, progress, &failure).await?;
                Ok(Next::Again)
            }
        }
    }

    /// Waits before the next attempt; not at all if a connection was lost and another member is there.
    async fn pause(
        &self,
        call: &Call<'_, T>,
        progress: &mut Progress,
        failure: &Failure,
    ) -> Result<()> {
        let lost = !matches!(failure, Failure::Status(_));
        if lost && call.pool.has_untried(progress.want(call)) && self.may_repeat(failure) {
            return Ok(());
        }
        let pause = self.next_pause(progress, failure);
        let wake = clock::now() + pause;
        let late = call.deadline.filter(|deadline| wake >= *deadline);
        let pausing = clock::sleep_until(late.unwrap_or(wake));
        match race(pausing, call.pool.closed()).await {
            Either::Second(()) => Err(progress.finish(Error::closed(), call)),
            Either::First(()) if late.is_some() => {
                Err(self.timed_out(call, std::mem::take(progress)))
            }
            Either::First(()) => Ok(()),
        }
    }

    fn next_pause(&self, progress: &mut Progress, failure: &Failure) -> Duration {
        let policy = self.retry_policy();
        let pause = policy.pause(progress.pauses, clock::rng().f64());
        progress.pauses += 1;
        if !self.may_repeat(failure) {
            // Too much of the traffic is retries: from here on the slowest pace, rather than none.
            return pause.max(policy.max_backoff);
        }
        pause
    }

    /// Takes a repetition out of the budget, unless nothing was processed that would be done again.
    fn may_repeat(&self, failure: &Failure) -> bool {
        matches!(failure, Failure::NotProcessed(_)) || self.budget().take(clock::now())
    }

    /// Decides what follows when one of two attempts under way fails, and keeps how unless the call is to end with it.
    pub(super) fn after_one_of_two(
        &self,
        call: &Call<'_, T>,
        progress: &mut Progress,
        link: &Link<T::Connection>,
        failure: &Failure,
    ) -> Then {
        let nature = self.nature(call);
        let waits = match failure {
            // It is this member that can't: the other may.
            Failure::Status(status) => matches!(
                ServerError::from_message(&status.message),
                Some(
                    ServerError::FutureRevision
                        | ServerError::NoLeader
                        | ServerError::NotSupportedForLearner
                )
            ),
            _ => false,
        };
        if !waits && retry::decide(nature, failure) != Decision::Retry {
            return Then::End;
        }
        progress.note(nature, link, failure);
        if waits {
            return Then::Wait;
        }
        let spent = progress.attempts.len() + 1 >= self.retry_policy().max_attempts as usize;
        if spent || !call.retry {
            return Then::Wait;
        }
        Then::Another(self.next_pause(progress, failure))
    }

    /// A ready connection that suits the call, waited for until the deadline.
    async fn wait_for_link_in_time(
        &self,
        call: &Call<'_, T>,
        progress: &Progress,
    ) -> Result<Arc<Link<T::Connection>>> {
        clock::until(call.deadline, call.pool.wait_for_link(progress.want(call)))
            .await
            .unwrap_or_else(|| {
                let attempts =
                    progress.attempts.iter().cloned().chain(call.pool.failures()).collect();
                Err(Error::new(ErrorKind::Unavailable, "no member was ready before the deadline")
                    .with_attempts(attempts))
            })
            .map_err(|error| error.with_rpc(call.method.path).with_maybe_applied(progress.unknown))
    }

    pub(super) fn frame(&self, message: &impl WireMessage, call: &Call<'_, T>) -> Result<Bytes> {
        grpc::frame(message, self.config().limits.max_send_message).map_err(|cause| {
            Error::new(ErrorKind::ResourceExhausted, cause.to_string()).with_rpc(call.method.path)
        })
    }

    pub(super) fn decode<M: WireMessage>(&self, answer: Bytes, call: &Call<'_, T>) -> Result<M> {
        M::decode(answer).map_err(|error| {
            Error::internal("the answer can't be decoded: is this an etcd server?")
                .with_source(error)
                .with_rpc(call.method.path)
                .with_maybe_applied(call.method.class != Class::Read)
        })
    }

    pub(super) fn nature(&self, call: &Call<'_, T>) -> Nature {
        Nature {
            class: call.method.class,
            require_leader: call.require_leader,
            in_steps: call.method.class == Class::Write && call.method.patience == Patience::Long,
            can_authenticate: call.authenticated && self.tokens().can_authenticate(),
        }
    }

    fn timed_out(&self, call: &Call<'_, T>, progress: Progress) -> Error {
        let mut attempts = progress.attempts;
        attempts.extend(call.pool.failures());
        Error::new(ErrorKind::Timeout, "the deadline passed")
            .with_rpc(call.method.path)
            .with_maybe_applied(progress.unknown)
            .with_attempts(attempts)
    }
}

impl Progress {
    /// What the next attempt needs of a connection.
    pub(super) fn want<T: Transport>(&self, call: &Call<'_, T>) -> Want<'_> {
        Want { learner: call.serializable, avoid: &self.unlucky }
    }

    /// Keeps how an attempt failed.
    pub(super) fn note<C>(&mut self, nature: Nature, link: &Link<C>, failure: &Failure) {
        let cause = match failure {
            Failure::Status(status) => Cause::Status(status.code, status.message.clone()),
            Failure::NotProcessed(cause) | Failure::Unknown(cause) => cause.clone(),
        };
        self.attempts.push(Attempt::new(Arc::clone(link.endpoint.name()), cause));
        self.unlucky.push(link.slot);
        self.unknown |= retry::leaves_unknown(nature, failure);
    }

    fn finish<T: Transport>(&mut self, error: Error, call: &Call<'_, T>) -> Error {
        error
            .with_rpc(call.method.path)
            .with_maybe_applied(self.unknown)
            .with_attempts(std::mem::take(&mut self.attempts))
    }
}

/// Whether users or roles changed between the server's admission of the request and its turn.
fn outdated(failure: &Failure) -> bool {
    matches!(failure, Failure::Status(status)
        if ServerError::from_message(&status.message) == Some(ServerError::AuthOldRevision))
}

/// The error that a call ends with after `failure`.
fn error_of<T: Transport>(call: &Call<'_, T>, failure: &Failure) -> Error {
    match failure {
        Failure::Status(status) => of_status(status),
        Failure::NotProcessed(cause) | Failure::Unknown(cause) => {
            let kind = match cause {
                Cause::Limit(_) => ErrorKind::ResourceExhausted,
                Cause::OtherCluster(_) => ErrorKind::ClusterChanged,
                Cause::Deadline => ErrorKind::Timeout,
                _ => ErrorKind::Unavailable,
            };
            match cause {
                Cause::Limit(why) => Error::new(kind, why.clone()),
                _ if matches!(failure, Failure::Unknown(_))
                    && call.method.class == Class::Write =>
                {
                    Error::new(kind, "the connection failed before an answer came")
                }
                _ => Error::new(kind, "every attempt failed"),
            }
        }
    }
}

/// The error for a server's answer.
pub(super) fn of_status(status: &Status) -> Error {
    if status.code == Code::Unimplemented && status.message.contains("unknown service") {
        let message = format!("{}: a gRPC server listens there, but no etcd", status.message);
        return Error::from_status(status.code, message);
    }
    Error::from_status(status.code, status.message.clone())
}

/// When a call ends: by the caller's own timeout, else by the default of its kind.
pub(super) fn deadline(
    timeout: Option<Timeout>,
    default: Option<Duration>,
    now: Instant,
) -> Option<Instant> {
    let timeout = match timeout {
        Some(Timeout::Never) => return None,
        Some(Timeout::After(timeout)) => timeout,
        None => default?,
    };
    now.checked_add(timeout)
}
