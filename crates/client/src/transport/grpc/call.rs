//! One call, between its caller and the connection's task.
//!
//! [`Place`] says how far the call is, so that whoever gives it up knows what that means: in the queue, it never leaves;
//! under way, its stream is reset. [`Answer`] is where the outcome of a unary call is left.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use etcdkit_http2::frame::StreamId;

use super::head::runs_to_its_end;
use super::queue::{Errand, Queue};
use crate::transport::traits::{Failure, Head};

/// How far a call is: one number, since the caller gives up while the task goes on.
///
/// Streams that a client opens have odd numbers, which leaves the even ones for what is no stream.
#[derive(Debug)]
pub(super) struct Place(AtomicU32);

const QUEUED: u32 = 0;
/// The task opens its stream just now.
const LEAVING: u32 = 2;
const GIVEN_UP: u32 = 4;

/// What giving up a call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// Nothing of it will be sent.
    Unsent,
    /// The task resets its stream as soon as it is open.
    Leaving,
    /// Its stream is to be reset.
    UnderWay(StreamId),
}

impl Place {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(QUEUED))
    }

    /// The task is about to send the call; `false` if it has been given up.
    pub(super) fn leave(&self) -> bool {
        self.0.compare_exchange(QUEUED, LEAVING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The call is under way; `false` if it was given up meanwhile.
    pub(super) fn opened(&self, stream: StreamId) -> bool {
        self.0.compare_exchange(LEAVING, stream.get(), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The caller does not wait any more.
    pub(super) fn give_up(&self) -> GivenUp {
        match self.0.swap(GIVEN_UP, Ordering::AcqRel) {
            QUEUED | GIVEN_UP => GivenUp::Unsent,
            LEAVING => GivenUp::Leaving,
            stream => GivenUp::UnderWay(StreamId::new(stream)),
        }
    }
}

/// What a unary call and the connection's task share.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) place: Place,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    outcome: Option<Result<Bytes, Failure>>,
    caller: Option<Waker>,
}

impl Answer {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { place: Place::new(), slot: Mutex::default() })
    }

    /// Leaves the outcome. If nobody waits any more, nobody is to be told.
    pub(super) fn give(&self, outcome: Result<Bytes, Failure>) {
        let caller = {
            let mut slot = self.lock();
            slot.outcome = Some(outcome);
            slot.caller.take()
        };
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Result<Bytes, Failure>> {
        let mut slot = self.lock();
        if let Some(outcome) = slot.outcome.take() {
            return Poll::Ready(outcome);
        }
        match &mut slot.caller {
            Some(caller) => caller.clone_from(cx.waker()),
            None => slot.caller = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Lets go of who waited, though the call may stay in the queue.
    fn forget_caller(&self) {
        let caller = self.lock().caller.take();
        drop(caller);
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A unary call that was left to the connection's task. Dropping it gives it up; what the server has by then it may finish,
/// if the call is one that [runs to its end](super::head::runs_to_its_end).
#[derive(Debug)]
pub(super) struct Left<'a> {
    queue: &'a Queue,
    answer: Arc<Answer>,
    over: bool,
    /// Where to note that it was given up in the queue.
    unsent: Option<&'a AtomicBool>,
    runs_to_its_end: bool,
}

impl<'a> Left<'a> {
    pub(super) fn new(queue: &'a Queue, answer: Arc<Answer>, head: &Head<'a>) -> Self {
        let runs_to_its_end = runs_to_its_end(head.path);
        Self { queue, answer, over: false, unsent: head.unsent, runs_to_its_end }
    }

    /// The outcome, which the task leaves in any case: as it ends, if not before.
    pub(super) async fn answered(mut self) -> Result<Bytes, Failure> {
        let outcome = poll_fn(|cx| self.answer.poll(cx)).await;
        self.over = true;
        outcome
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.answer.forget_caller();
        match self.answer.place.give_up() {
            GivenUp::Unsent => {
                if let Some(unsent) = self.unsent {
                    unsent.store(true, Ordering::Relaxed);
                }
            }
            GivenUp::UnderWay(_) if self.runs_to_its_end => {}
            GivenUp::Leaving => {}
            GivenUp::UnderWay(stream) => self.queue.run(Errand::Reset(stream)),
        }
    }
}
