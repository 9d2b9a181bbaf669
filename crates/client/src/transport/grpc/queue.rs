//! What callers leave for the connection's task.
//!
//! The task is the only one to touch the connection. Whoever wants something of it leaves that here and wakes the task,
//! which takes all that has gathered at once: under load one lock, one write and one read serve many calls.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use etcdkit_http2::frame::StreamId;
use tokio::sync::oneshot;

use super::call::Answer;
use super::head::RequestHead;
use super::stream::Flow;
use crate::clock::{self, Instant};

/// etcd ends a connection at the fourth ping that comes sooner after another than this (`--grpc-keepalive-min-time`).
const BETWEEN_PINGS: Duration = Duration::from_millis(5_100);
/// Fewer calls than this are not worth a look.
const SWEEP_AT_LEAST: usize = 64;

/// A call on its way to the task.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) head: RequestHead,
    pub(super) caller: Caller,
}

/// Who wants a call made.
#[derive(Debug)]
pub(super) enum Caller {
    /// One message, one answer.
    Unary { message: Bytes, answer: Arc<Answer> },
    /// Both halves of a stream.
    Stream(Arc<Flow>),
}

impl Caller {
    /// Whether anybody still waits: the other holder of what is shared.
    fn waits(&self) -> bool {
        match self {
            Self::Unary { answer, .. } => Arc::strong_count(answer) > 1,
            Self::Stream(flow) => Arc::strong_count(flow) > 1,
        }
    }
}

/// Something to be done for a stream that is open.
#[derive(Debug)]
pub(super) enum Errand {
    Send { stream: StreamId, flow: Arc<Flow>, message: Bytes },
    Finish(StreamId),
    Reset(StreamId),
    Release(StreamId, usize),
}

/// What waits for the task. Bounded: calls by those that a connection may hold at all, since those that nobody waits for
/// are thrown out before they outnumber the others; errands by what each stream may have unsent.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    errands: Vec<Errand>,
    /// The number of calls at which it is looked which of them are still waited for.
    sweep_at: usize,
    /// Who waits for the answer to a ping.
    pings: Vec<oneshot::Sender<()>>,
    /// When another ping may be sent; `None` before the first.
    next_ping: Option<Instant>,
    /// The connection's task, while it sleeps.
    task: Option<Waker>,
    closed: bool,
}

/// What the task has taken out of the queue.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) jobs: VecDeque<Job>,
    pub(super) errands: Vec<Errand>,
    pub(super) pings: Vec<oneshot::Sender<()>>,
    /// Whether calls were left in the queue, for which there is no room.
    pub(super) held_back: bool,
}

impl Queue {
    /// Leaves a call; `false` if the connection is over.
    #[must_use]
    pub(super) fn leave(&self, job: Job) -> bool {
        self.change(|waiting| {
            if waiting.jobs.len() >= waiting.sweep_at {
                waiting.jobs.retain(|job| job.caller.waits());
                waiting.sweep_at = (2 * waiting.jobs.len()).max(SWEEP_AT_LEAST);
            }
            waiting.jobs.push_back(job);
        })
    }

    /// Has something done, unless the connection is over.
    pub(super) fn run(&self, errand: Errand) {
        let _ = self.change(|waiting| waiting.errands.push(errand));
    }

    /// Waits until another ping is allowed, and takes that turn: whoever pings, all of them share one pace.
    pub(super) async fn ping_turn(&self) {
        while let Some(at) = self.not_before(clock::now()) {
            clock::sleep_until(at).await;
        }
    }

    /// Takes the turn to ping, unless it is somebody's until the time that this returns.
    fn not_before(&self, now: Instant) -> Option<Instant> {
        let next = &mut self.lock().next_ping;
        let taken = next.filter(|next| now < *next);
        if taken.is_none() {
            *next = Some(now + BETWEEN_PINGS);
        }
        taken
    }

    /// Has the peer answer a ping, which needs no stream. An error says that the connection is over.
    pub(super) async fn ping(&self) -> Result<(), oneshot::error::RecvError> {
        let (answer, answered) = oneshot::channel();
        self.change(|waiting| waiting.pings.push(answer));
        answered.await
    }

    /// Takes everything out, but of the calls at most `room`, and asks to be woken by what comes next. A call that is not
    /// allowed yet stays here, where it is known not to have been sent.
    pub(super) fn take(&self, taken: &mut Taken, room: usize, cx: &Context<'_>) {
        let mut waiting = self.lock();
        while taken.jobs.len() < room
            && let Some(job) = waiting.jobs.pop_front()
        {
            // A call that nobody waits for takes no other's place.
            if job.caller.waits() {
                taken.jobs.push_back(job);
            }
        }
        taken.errands.append(&mut waiting.errands);
        taken.pings.append(&mut waiting.pings);
        taken.held_back = !waiting.jobs.is_empty();
        waiting.task.get_or_insert_with(|| cx.waker().clone());
    }

    /// Gives back the room for calls that is not used.
    pub(super) fn shrink(&self) {
        self.lock().jobs.shrink_to_fit();
    }

    /// Takes nothing more, and returns the calls that were never sent.
    pub(super) fn close(&self) -> VecDeque<Job> {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.pings.clear();
        waiting.errands.clear();
        std::mem::take(&mut waiting.jobs)
    }

    /// Changes what waits, and wakes the task; `false` if there is none any more.
    fn change(&self, change: impl FnOnce(&mut Waiting)) -> bool {
        let task = {
            let mut waiting = self.lock();
            if waiting.closed {
                return false;
            }
            change(&mut waiting);
            waiting.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
