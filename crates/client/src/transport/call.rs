//! One call: attempts, one after another, until an answer, a certainty or the deadline ends it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{AuthenticateRequest, AuthenticateResponse};
use etcdkit_proto::ServerError;
use etcdkit_proto::method::{self, Class, Method, MethodInfo};
use prost::Message;

use super::balancer::{SlotId, Want};
use super::channel::Channel;
use super::grpc;
use super::link::Link;
use super::retry::{self, Decision, Nature};
use super::token::{Authenticated, Token};
use super::traits::{Connection, Failure, Head, Status, Transport};
use crate::clock::{self, Instant};
use crate::error::{Attempt, Cause, Error, ErrorKind, Result};
use crate::metadata::Metadata;
use crate::telemetry;

/// A call, as far as it does not depend on the messages.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(super) method: MethodInfo,
    pub(super) class: Class,
    /// Whether a learner may answer.
    pub(super) serializable: bool,
    pub(super) deadline: Option<Instant>,
    pub(super) retry: bool,
    pub(super) require_leader: bool,
    pub(super) metadata: &'a Metadata,
    /// Whether to send a token; Authenticate itself does not.
    pub(super) authenticated: bool,
}

/// A token is replaced at most this often within one call: if a fresh one is refused too, that is the answer.
const RENEWALS: u32 = 2;

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
    /// An attempt may have been applied, so from now on only the same certainty as before counts.
    unknown: bool,
}

/// What one attempt does on a connection.
pub(super) trait Attempting<T: Transport>: Sync {
    type Output: Send;

    fn attempt(
        &self,
        link: &Link<T::Connection>,
        head: Head<'_>,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

/// An attempt that sends one framed message and waits for the answer.
struct OneAnswer(Bytes);

impl<T: Transport> Attempting<T> for OneAnswer {
    type Output = Bytes;

    fn attempt(
        &self,
        link: &Link<T::Connection>,
        head: Head<'_>,
    ) -> impl Future<Output = Result<Bytes, Failure>> + Send {
        link.connection.unary(head, self.0.clone())
    }
}

impl<T: Transport> Channel<T> {
    /// Makes `call` with the framed `message` and returns the answer's bytes.
    pub(super) async fn run(&self, call: &Call<'_>, message: Bytes) -> Result<Bytes> {
        let started = telemetry::started(&call.method);
        let outcome = self.attempts(call, &OneAnswer(message)).await;
        telemetry::finished(started, outcome.as_ref().err());
        outcome.map(|(answer, _)| answer)
    }

    /// Attempts `call` until one attempt succeeds, and returns what it brought and where.
    pub(super) async fn attempts<A: Attempting<T>>(
        &self,
        call: &Call<'_>,
        attempting: &A,
    ) -> Result<(A::Output, Arc<Link<T::Connection>>)> {
        let mut progress = Progress::default();
        loop {
            let token = if call.authenticated { self.token(call).await? } else { None };
            let link = self.ready_link(call, &progress).await?;
            let now = clock::now();
            let head = Head {
                path: call.method.path,
                timeout: call.deadline.map(|deadline| deadline.saturating_duration_since(now)),
                token: token.as_ref().map(|token| &token.value),
                require_leader: call.require_leader,
                metadata: call.metadata,
            };
            let in_flight = link.liveness.begin(now);
            let outcome = clock::until(call.deadline, attempting.attempt(&link, head)).await;
            drop(in_flight);
            let failure = match outcome {
                Some(Ok(answer)) => {
                    link.liveness.answered(clock::now());
                    self.budget().pay_in();
                    return Ok((answer, link));
                }
                Some(Err(failure)) => failure,
                None => {
                    progress.note(&link, &Failure::Unknown(Cause::Deadline));
                    progress.unknown |= call.class != Class::Read;
                    return Err(self.timed_out(call, progress));
                }
            };
            if let Failure::Status(_) = failure {
                link.liveness.answered(clock::now());
            }
            let generation = token.map_or(0, |token| token.generation);
            self.after_failure(call, &mut progress, &link, failure, generation).await?;
        }
    }

    /// Prepares the next attempt, or ends the call.
    async fn after_failure(
        &self,
        call: &Call<'_>,
        progress: &mut Progress,
        link: &Link<T::Connection>,
        failure: Failure,
        token_generation: u64,
    ) -> Result<()> {
        let nature = Nature {
            class: call.class,
            require_leader: call.require_leader,
            can_authenticate: call.authenticated && self.tokens().can_authenticate(),
        };
        progress.note(link, &failure);
        progress.unknown |= retry::leaves_unknown(nature, &failure);
        if self.is_closed() {
            return Err(progress.finish(Error::closed(), call));
        }
        let mut decision = retry::decide(nature, &failure);
        if let Failure::Status(status) = &failure
            && ServerError::from_message(&status.message)
                == Some(ServerError::NotSupportedForLearner)
        {
            link.mark_learner();
        }
        if decision == Decision::Authenticate && progress.renewals >= RENEWALS {
            decision = Decision::Fail;
        }
        if decision == Decision::Elsewhere {
            let want = Want { learner: call.serializable, avoid: &progress.unlucky };
            if !self.has_untried(want) {
                decision = Decision::Fail;
            }
        }
        // With retries off a call is still sent again where that is no repetition: with a token.
        if !call.retry && decision != Decision::Authenticate {
            decision = Decision::Fail;
        }
        if progress.attempts.len() >= self.retry_policy().max_attempts as usize {
            decision = Decision::Fail;
        }
        match decision {
            Decision::Fail => Err(progress.finish(self.error_of(call, &failure), call)),
            Decision::Authenticate => {
                progress.renewals += 1;
                self.renew_token(call, token_generation).await
            }
            Decision::Elsewhere => Ok(()),
            Decision::Retry => {
                tracing::debug!(rpc = call.method.path, endpoint = %link.endpoint, ?failure, "retrying");
                self.pause(call, progress, &failure).await
            }
        }
    }

    /// Waits before the next attempt; not at all if another member is there and fresh.
    async fn pause(
        &self,
        call: &Call<'_>,
        progress: &mut Progress,
        failure: &Failure,
    ) -> Result<()> {
        let want = Want { learner: call.serializable, avoid: &progress.unlucky };
        let lost = !matches!(failure, Failure::Status(_));
        if lost && self.has_untried(want) {
            return Ok(());
        }
        let policy = self.retry_policy();
        let mut pause = policy.pause(progress.pauses, clock::rng().f64());
        progress.pauses += 1;
        if !matches!(failure, Failure::NotProcessed(_)) && !self.budget().take(clock::now()) {
            // Too much of the traffic is retries: from here on the slowest pace, rather than none.
            pause = pause.max(policy.max_backoff);
        }
        let wake = clock::now() + pause;
        match call.deadline {
            Some(deadline) if wake >= deadline => {
                clock::sleep_until(deadline).await;
                Err(self.timed_out(call, std::mem::take(progress)))
            }
            _ => {
                clock::sleep_until(wake).await;
                Ok(())
            }
        }
    }

    /// A ready connection that suits the call; waits for one until the deadline.
    pub(super) async fn ready_link(
        &self,
        call: &Call<'_>,
        progress: &Progress,
    ) -> Result<Arc<Link<T::Connection>>> {
        let want = Want { learner: call.serializable, avoid: &progress.unlucky };
        if let Some(link) = self.pick(want, clock::now())? {
            return Ok(link);
        }
        match clock::until(call.deadline, self.wait_for_link(want)).await {
            Some(link) => link.map_err(|error| error.with_rpc(call.method.path)),
            None => {
                let mut error = self.unreachable(call);
                if progress.unknown {
                    error = error.with_maybe_applied(true);
                }
                Err(error)
            }
        }
    }

    /// The token for the next attempt.
    async fn token(&self, call: &Call<'_>) -> Result<Option<Token>> {
        if self.tokens().is_wanting() {
            self.renew_token(call, 0).await?;
        }
        Ok(self.tokens().current())
    }

    async fn renew_token(&self, call: &Call<'_>, seen: u64) -> Result<()> {
        let renewed = self.tokens().renew(seen, self.authenticate(call.deadline));
        match clock::until(call.deadline, renewed).await {
            Some(renewed) => renewed,
            None => Err(Error::new(ErrorKind::Timeout, "no auth token in time")
                .with_rpc(method::auth::AUTHENTICATE.path())),
        }
    }

    /// Exchanges name and password for a token. Boxed: a call may need a token, and a token takes a call.
    fn authenticate(
        &self,
        deadline: Option<Instant>,
    ) -> Pin<Box<dyn Future<Output = Result<Authenticated>> + Send + '_>> {
        Box::pin(async move {
            let Some((name, password)) = self.tokens().password() else {
                return Ok(Authenticated::NotEnabled);
            };
            let request = AuthenticateRequest { name: name.into(), password: password.into() };
            let metadata = Metadata::new();
            let method: Method<AuthenticateRequest, AuthenticateResponse> =
                method::auth::AUTHENTICATE;
            let call = Call {
                method: method.info(),
                class: method.class(),
                serializable: false,
                deadline,
                retry: true,
                require_leader: false,
                metadata: &metadata,
                authenticated: false,
            };
            let message = self.frame(&request, &call)?;
            match self.run(&call, message).await {
                Ok(answer) => {
                    let response: AuthenticateResponse = self.decode(answer, &call)?;
                    Ok(Authenticated::Token(response.token))
                }
                Err(error) if error.server_error() == Some(ServerError::AuthNotEnabled) => {
                    Ok(Authenticated::NotEnabled)
                }
                Err(error) => Err(error),
            }
        })
    }

    pub(super) fn frame(&self, message: &impl Message, call: &Call<'_>) -> Result<Bytes> {
        grpc::frame(message, self.limits().max_send_message).map_err(|cause| {
            Error::new(ErrorKind::ResourceExhausted, cause.to_string()).with_rpc(call.method.path)
        })
    }

    pub(super) fn decode<M: Message + Default>(&self, answer: Bytes, call: &Call<'_>) -> Result<M> {
        M::decode(answer).map_err(|error| {
            Error::internal("the answer can't be decoded: is this an etcd server?")
                .with_source(error)
                .with_rpc(call.method.path)
                .with_maybe_applied(call.class != Class::Read)
        })
    }

    /// The error that a call ends with after `failure`.
    fn error_of(&self, call: &Call<'_>, failure: &Failure) -> Error {
        match failure {
            Failure::Status(status) => status_error(status),
            Failure::NotProcessed(cause) | Failure::Unknown(cause) => {
                Error::new(kind_of(cause), summary(cause, call))
            }
        }
    }

    fn timed_out(&self, call: &Call<'_>, progress: Progress) -> Error {
        let mut attempts = progress.attempts;
        attempts.extend(self.failures());
        Error::new(ErrorKind::Timeout, "the deadline passed")
            .with_rpc(call.method.path)
            .with_maybe_applied(progress.unknown)
            .with_attempts(attempts)
    }

    /// No member became ready in time.
    fn unreachable(&self, call: &Call<'_>) -> Error {
        Error::new(ErrorKind::Unavailable, "no member was ready before the deadline")
            .with_rpc(call.method.path)
            .with_attempts(self.failures())
    }
}

impl Progress {
    fn note<C: Connection>(&mut self, link: &Link<C>, failure: &Failure) {
        let cause = match failure {
            Failure::Status(status) => Cause::Status(status.code, status.message.clone()),
            Failure::NotProcessed(cause) | Failure::Unknown(cause) => cause.clone(),
        };
        self.attempts.push(Attempt::new(link.endpoint.name().clone(), cause));
        self.unlucky.push(link.slot);
    }

    fn finish(&mut self, error: Error, call: &Call<'_>) -> Error {
        error
            .with_rpc(call.method.path)
            .with_maybe_applied(self.unknown)
            .with_attempts(std::mem::take(&mut self.attempts))
    }
}

fn status_error(status: &Status) -> Error {
    use crate::error::Code;
    if status.code == Code::Unimplemented && status.message.contains("unknown service") {
        return Error::from_status(
            status.code,
            format!("{}: a gRPC server listens there, but no etcd", status.message),
        );
    }
    Error::from_status(status.code, status.message.clone())
}

fn kind_of(cause: &Cause) -> ErrorKind {
    match cause {
        Cause::Limit(_) => ErrorKind::ResourceExhausted,
        Cause::OtherCluster(_) => ErrorKind::ClusterChanged,
        Cause::Deadline => ErrorKind::Timeout,
        _ => ErrorKind::Unavailable,
    }
}

fn summary(cause: &Cause, call: &Call<'_>) -> String {
    match cause {
        Cause::Limit(why) => why.clone(),
        _ if call.class == Class::Write => "the connection failed before an answer came".into(),
        _ => "every attempt failed".into(),
    }
}

/// How long a call of this kind may take.
pub(super) fn deadline(
    timeout: Option<crate::service::Timeout>,
    default: Option<Duration>,
    now: Instant,
) -> Option<Instant> {
    use crate::service::Timeout;
    let timeout = match timeout {
        Some(Timeout::Never) => return None,
        Some(Timeout::After(timeout)) => timeout,
        None => default?,
    };
    now.checked_add(timeout)
}
