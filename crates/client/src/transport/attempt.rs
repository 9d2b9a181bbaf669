//! One attempt of a call: on one connection, and for reads on a second one if the first stays silent.
//!
//! A member that is cut off from its peers still answers probes, but holds reads until its own time limit, seven
//! seconds. So a read that has no answer after a while is sent to another member as well, and the first answer counts
//! (a hedged request; Dean and Barroso, "The Tail at Scale", 2013). So is the exchange of a password for a token, which
//! reads may have to wait for. Writes are never hedged.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::ServerError;
use etcdkit_proto::method::{Class, MethodInfo, Patience};

use super::balancer::Want;
use super::call::{Call, Progress, Then};
use super::channel::Channel;
use super::link::Link;
use super::token::Token;
use super::traits::{Connection, Failure, Head, Status, Transport};
use crate::clock::{self, Instant};
use crate::config;
use crate::error::Cause;
use crate::task::{Either, race};

/// What one attempt does on a connection.
pub(super) trait Attempting<T: Transport>: Sync {
    type Output: Send;

    fn attempt(
        &self,
        link: &Link<T::Connection>,
        head: Head<'_>,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send;

    /// What a call brings whose work an earlier attempt has done.
    fn done(&self) -> Option<Self::Output> {
        None
    }
}

/// An attempt that sends one framed message and waits for the answer.
pub(super) struct OneAnswer(pub(super) Bytes);

impl<T: Transport> Attempting<T> for OneAnswer {
    type Output = Bytes;

    fn attempt(
        &self,
        link: &Link<T::Connection>,
        head: Head<'_>,
    ) -> impl Future<Output = Result<Bytes, Failure>> + Send {
        link.connection.unary(head, self.0.clone())
    }

    /// The lost answer said no more than that it was done.
    fn done(&self) -> Option<Bytes> {
        Some(Bytes::new())
    }
}

/// An attempt under way.
type Waiting<'a, O> = Pin<Box<dyn Future<Output = Result<O, Failure>> + Send + 'a>>;

/// How an attempt ended.
pub(super) enum Outcome<O, C> {
    Answer(O, Arc<Link<C>>),
    Failed(Failure, Arc<Link<C>>),
    /// The call's deadline came.
    TimeUp,
}

impl<T: Transport> Channel<T> {
    /// Makes one attempt on `link`.
    pub(super) async fn attempt<A: Attempting<T>>(
        &self,
        call: &Call<'_, T>,
        attempting: &A,
        link: Arc<Link<T::Connection>>,
        token: Option<&Token>,
        now: Instant,
        progress: &mut Progress,
    ) -> Outcome<A::Output, T::Connection> {
        if let Some(full) = self.is_full(&link) {
            return Outcome::Failed(full, link);
        }
        let unsent = AtomicBool::new(false);
        {
            let on_link = Arc::clone(&link);
            let first = self.on_link(call, attempting, on_link, token, now, Some(&unsent));
            let mut first = pin!(first);
            let MethodInfo { class, patience, .. } = call.method;
            if call.retry && class != Class::Write && patience == Patience::Read {
                let hedge_at = hedge_at(&self.config().liveness, call.deadline, now);
                if call.deadline.is_none_or(|deadline| hedge_at < deadline) {
                    match clock::until(Some(hedge_at), first.as_mut()).await {
                        Some(ended) => return outcome(ended, link),
                        None if !self.budget().take(clock::now()) => {}
                        None => {
                            let hedge = self.hedge(call, attempting, first, link, token, progress);
                            // Boxed, as what happens to few calls is: every call's future would be larger by it.
                            return Box::pin(hedge).await;
                        }
                    }
                }
            }
            if let Some(ended) = clock::until(call.deadline, first).await {
                return outcome(ended, link);
            }
        }
        // Now that it is dropped, it is known whether it had left.
        let failure = match unsent.into_inner() {
            true => Failure::NotProcessed(Cause::Limit(
                "the request waited for its turn on the connection, and was not sent in time"
                    .into(),
            )),
            false => Failure::Unknown(Cause::Deadline),
        };
        progress.note(self.nature(call), &link, &failure);
        Outcome::TimeUp
    }

    /// Goes on waiting for `first`, and has other members answer too, one at a time.
    async fn hedge<A: Attempting<T>>(
        &self,
        call: &Call<'_, T>,
        attempting: &A,
        first: Pin<&mut (impl Future<Output = Result<A::Output, Failure>> + Send)>,
        mut link: Arc<Link<T::Connection>>,
        token: Option<&Token>,
        progress: &mut Progress,
    ) -> Outcome<A::Output, T::Connection> {
        let both = self.race_members(call, attempting, Box::pin(first), &mut link, token, progress);
        match clock::until(call.deadline, both).await {
            Some((ended, link)) => outcome(ended, link),
            None => {
                progress.note(self.nature(call), &link, &Failure::Unknown(Cause::Deadline));
                Outcome::TimeUp
            }
        }
    }

    /// The first answer of `waiting`, which is under way on the connection in `at`, and of attempts on other members:
    /// when one of two fails, the other stays, and a third is made.
    async fn race_members<'a, A: Attempting<T>>(
        &'a self,
        call: &'a Call<'_, T>,
        attempting: &'a A,
        mut waiting: Waiting<'a, A::Output>,
        at: &mut Arc<Link<T::Connection>>,
        token: Option<&'a Token>,
        progress: &mut Progress,
    ) -> (Result<A::Output, Failure>, Arc<Link<T::Connection>>) {
        loop {
            let now = clock::now();
            let pause = match self.another(call, at, progress, now) {
                // None is ready now; one may be soon.
                None => self.config().liveness.hedge_after,
                Some(other) => {
                    tracing::debug!(rpc = call.method.path, slow = %at.endpoint, also = %other.endpoint, "hedging");
                    let on_other = Arc::clone(&other);
                    let second = self.on_link(call, attempting, on_other, token, now, None);
                    let mut second: Waiting<'a, _> = Box::pin(second);
                    let (failure, failed) = match race(waiting.as_mut(), second.as_mut()).await {
                        Either::First(Ok(answer)) => return (Ok(answer), Arc::clone(at)),
                        Either::Second(Ok(answer)) => return (Ok(answer), other),
                        Either::First(Err(failure)) => {
                            waiting = second;
                            (failure, std::mem::replace(at, other))
                        }
                        Either::Second(Err(failure)) => (failure, other),
                    };
                    match self.after_one_of_two(call, progress, &failed, &failure) {
                        Then::End => return (Err(failure), failed),
                        Then::Wait => return (waiting.await, Arc::clone(at)),
                        Then::Another(pause) => pause,
                    }
                }
            };
            let next = clock::now() + pause;
            if let Some(ended) = clock::until(Some(next), waiting.as_mut()).await {
                return (ended, Arc::clone(at));
            }
        }
    }

    /// A ready member other than that of `link`; rather one that this call has not failed at.
    fn another(
        &self,
        call: &Call<'_, T>,
        link: &Link<T::Connection>,
        progress: &Progress,
        now: Instant,
    ) -> Option<Arc<Link<T::Connection>>> {
        let want = progress.want(call);
        let same = call.pool.slots_beside(link);
        let all: Vec<_> = want.avoid.iter().copied().chain(same.iter().copied()).collect();
        [all, same].iter().find_map(|avoid| {
            let other = call.pool.pick(Want { avoid, ..want }, now).ok()??;
            (!other.same_member(link) && self.is_full(&other).is_none()).then_some(other)
        })
    }

    async fn on_link<A: Attempting<T>>(
        &self,
        call: &Call<'_, T>,
        attempting: &A,
        link: Arc<Link<T::Connection>>,
        token: Option<&Token>,
        now: Instant,
        unsent: Option<&AtomicBool>,
    ) -> Result<A::Output, Failure> {
        let head = Head {
            path: call.method.path,
            timeout: call
                .deadline
                .filter(|_| call.announces_deadline)
                .map(|deadline| deadline.saturating_duration_since(now)),
            token: token.map(|token| &token.value),
            require_leader: call.require_leader,
            metadata: &call.metadata,
            unsent,
        };
        let in_flight = link.liveness.begin(call.waiting(), now);
        let ended = attempting.attempt(&link, head).await;
        drop(in_flight);
        match &ended {
            Ok(_) => {
                let ended = clock::now();
                link.liveness.answered(ended);
                if matches!(call.method.patience, Patience::Read | Patience::Write) {
                    link.liveness.took(ended.saturating_duration_since(now));
                }
            }
            Err(Failure::Status(status)) => {
                let now = clock::now();
                link.liveness.answered(now);
                if is_out_of_touch(status) {
                    link.liveness.troubled(now);
                }
            }
            Err(_) => {}
        }
        ended
    }

    /// Refuses to queue more calls on a connection than it may hold.
    fn is_full(&self, link: &Link<T::Connection>) -> Option<Failure> {
        let queued_at_most = self.config().limits.max_queued_calls;
        let in_flight = link.liveness.in_flight();
        // Asking the connection for what the server allows costs a lock: only when it may matter.
        if in_flight < queued_at_most {
            return None;
        }
        let allowed = link.connection.capacity();
        (in_flight >= allowed.saturating_add(queued_at_most)).then(|| {
            Failure::NotProcessed(Cause::Limit(format!(
                "{in_flight} calls are waiting on this connection already, of which the server takes {allowed} at once: call less at a time, or raise `max_queued_calls`"
            )))
        })
    }
}

/// Whether a member says that it can't reach a leader, or enough of the others.
fn is_out_of_touch(status: &Status) -> bool {
    use ServerError as S;
    matches!(
        ServerError::from_message(&status.message),
        Some(
            S::NoLeader
                | S::LeaderChanged
                | S::Timeout
                | S::TimeoutDueToLeaderFail
                | S::TimeoutDueToConnectionLost
                | S::TimeoutWaitAppliedIndex
        )
    )
}

/// When a read is sent to a second member too: after half of its time at the latest, so that a short deadline leaves
/// the second one some.
fn hedge_at(settings: &config::Liveness, deadline: Option<Instant>, now: Instant) -> Instant {
    let half = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(now) / 2);
    now + settings.hedge_after.min(half.max(settings.doubt_after))
}

fn outcome<O, C>(ended: Result<O, Failure>, link: Arc<Link<C>>) -> Outcome<O, C> {
    match ended {
        Ok(answer) => Outcome::Answer(answer, link),
        Err(failure) => Outcome::Failed(failure, link),
    }
}
