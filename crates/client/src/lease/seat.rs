//! One holder's place at the keeper: the last renewal, and how it ended.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use etcdkit_proto::method;
use tokio::sync::Notify;

use super::control::{LeaseState, LossReason};
use super::keeper::{Command, Core};
use super::unary::not_found;
use crate::error::{Error, ErrorKind, Result};
use crate::response::LeaseRenewal;
use crate::revision::LeaseId;

/// One holder's place. Only the last renewal is kept: a slow reader misses the ones between.
pub(super) struct Seat {
    id: LeaseId,
    pub(super) require_leader: bool,
    core: Arc<Core>,
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Default)]
struct State {
    renewal: Option<LeaseRenewal>,
    /// Whether the reader has not seen it yet.
    unread: bool,
    end: Option<End>,
    reader: Option<Waker>,
}

struct End {
    reason: LossReason,
    /// What the reader is told, once.
    error: Option<Error>,
}

impl Seat {
    pub(super) fn new(id: LeaseId, require_leader: bool, core: Arc<Core>) -> Self {
        Self { id, require_leader, core, state: Mutex::default(), ended: Notify::new() }
    }

    pub(super) fn id(&self) -> LeaseId {
        self.id
    }

    /// The lease was renewed.
    pub(super) fn renewed(&self, renewal: LeaseRenewal) {
        let reader = {
            let mut state = self.lock();
            if state.end.is_some() {
                return;
            }
            state.renewal = Some(renewal);
            state.unread = true;
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// It is over, for this reason; the first one counts.
    pub(super) fn end(&self, reason: LossReason, cause: Option<&Error>) {
        let reader = {
            let mut state = self.lock();
            if state.end.is_some() {
                return;
            }
            let error = error_of(reason, cause);
            state.end = Some(End { reason, error: Some(error) });
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        self.ended.notify_waiters();
    }

    /// The holder wants no more.
    pub(super) fn leave(self: &Arc<Self>) {
        self.end(LossReason::Cancelled, None);
        self.core.submit(Command::Leave(Arc::clone(self)));
    }

    /// The last renewal.
    pub(super) fn renewal(&self) -> Option<LeaseRenewal> {
        self.lock().renewal
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// The next item for the reader: a renewal, or the one error, or nothing any more.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Result<LeaseRenewal>>> {
        let mut state = self.lock();
        if let Some(end) = &mut state.end {
            return Poll::Ready(end.error.take().map(Err));
        }
        if std::mem::take(&mut state.unread) {
            return Poll::Ready(state.renewal.map(Ok));
        }
        if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for the first renewal, and leaves it for the reader.
    ///
    /// # Errors
    ///
    /// How it ended before there was one.
    pub(super) async fn first(&self) -> Result<()> {
        poll_fn(|cx| match self.poll_next(cx) {
            Poll::Ready(Some(Ok(_))) => {
                self.lock().unread = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
            Poll::Ready(None) => Poll::Ready(Err(Error::closed())),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// How the lease stands at `now`.
    pub(super) fn state(&self, now: Instant) -> LeaseState {
        let state = self.lock();
        if let Some(end) = &state.end {
            return LeaseState::Lost { reason: end.reason };
        }
        // A seat without a renewal is not shown to anybody.
        let Some(renewal) = state.renewal else {
            return LeaseState::Lost { reason: LossReason::Expired };
        };
        let until = renewal.until;
        let since = until.checked_sub(renewal.ttl / 3).unwrap_or(until);
        if now >= until {
            LeaseState::Lost { reason: LossReason::Expired }
        } else if now >= since {
            LeaseState::AtRisk { since, until }
        } else {
            LeaseState::Alive { until }
        }
    }

    /// Waits for the end.
    pub(super) async fn lost(&self) -> LossReason {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if let Some(end) = &self.lock().end {
                return end.reason;
            }
            ended.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What the reader of a stream is told.
fn error_of(reason: LossReason, cause: Option<&Error>) -> Error {
    let rpc = method::lease::KEEP_ALIVE.path();
    let new = |kind| {
        let error = Error::new(kind, reason.to_string()).with_rpc(rpc);
        match cause {
            Some(cause) => {
                error.with_attempts(cause.attempts().to_vec()).with_source(cause.clone())
            }
            None => error,
        }
    };
    match (reason, cause) {
        (LossReason::Expired, _) => new(ErrorKind::NotFound),
        (LossReason::Revoked, _) => not_found(rpc),
        (LossReason::Cancelled, _) => new(ErrorKind::Cancelled),
        (LossReason::Closed, _) => new(ErrorKind::Closed),
        (LossReason::NoLeader, None) => new(ErrorKind::NoLeader),
        (LossReason::PermissionDenied, None) => new(ErrorKind::PermissionDenied),
        (LossReason::Unauthenticated, None) => new(ErrorKind::Unauthenticated),
        (LossReason::ClusterChanged, None) => new(ErrorKind::ClusterChanged),
        (LossReason::Unsupported, None) => new(ErrorKind::Unsupported),
        // The server's own words.
        (_, Some(cause)) => cause.clone(),
    }
}
