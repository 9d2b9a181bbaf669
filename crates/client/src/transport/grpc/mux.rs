//! The task of a connection, and the calls that it makes for others.
//!
//! h2 keeps all of a connection behind one lock. When many callers on several threads use it at once, they spend more
//! time on that lock, and on waking each other, than on their calls. So on a busy connection callers leave their
//! requests in a queue and wait: the connection's own task sends what has gathered, in one write, reads what has come,
//! and hands the answers back. It then is the only one to touch the lock.
//!
//! On a connection with little to do the detour through the task would cost a wake-up more; there, callers make their
//! calls themselves. [`H2Connection`](super::H2Connection) decides.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream};
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};

use super::answer::exchange;
use super::connection::decide;
use super::failure::cause_of;
use crate::clock::{self, Instant};
use crate::error::Cause;
use crate::transport::traits::Failure;

/// A call on its way to the connection's task.
#[derive(Debug)]
struct Job {
    /// How many came before it.
    number: u64,
    request: Request<()>,
    message: Bytes,
    answer: oneshot::Sender<Result<Bytes, Failure>>,
}

/// A call that was left to the connection's task.
#[derive(Debug)]
pub(super) struct Left<'a> {
    queue: &'a Queue,
    number: u64,
    answer: oneshot::Receiver<Result<Bytes, Failure>>,
    over: bool,
    /// Where to note that it was given up in the queue.
    unsent: Option<&'a AtomicBool>,
}

impl Left<'_> {
    /// The answer. An error says that the task was ended with the call under way.
    pub(super) async fn answered(
        &mut self,
    ) -> Result<Result<Bytes, Failure>, oneshot::error::RecvError> {
        let answer = (&mut self.answer).await;
        self.over = true;
        answer
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // In this order: the task sends nothing of a call that it takes from here on.
        self.answer.close();
        if let Some(unsent) = self.unsent
            && self.number >= self.queue.lock().taken
        {
            unsent.store(true, Ordering::Relaxed);
        }
    }
}

/// Where callers leave their calls. Bounded by the calls that a connection may hold at all: those that nobody waits for
/// any more are thrown out before they outnumber the others.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// How many calls were left here so far, and how many of them the task has had its turn at, in this order.
    left: u64,
    taken: u64,
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

impl Queue {
    /// Leaves a call; `None` if the connection is over.
    pub(super) fn leave<'a>(
        &'a self,
        request: Request<()>,
        message: Bytes,
        unsent: Option<&'a AtomicBool>,
    ) -> Option<Left<'a>> {
        let (sender, answer) = oneshot::channel();
        let (number, task) = {
            let mut waiting = self.lock();
            if waiting.closed {
                return None;
            }
            if waiting.jobs.len() >= waiting.sweep_at {
                waiting.jobs.retain(|job| !job.answer.is_closed());
                waiting.sweep_at = (2 * waiting.jobs.len()).max(SWEEP_AT_LEAST);
            }
            let number = waiting.left;
            waiting.left += 1;
            waiting.jobs.push_back(Job { number, request, message, answer: sender });
            (number, waiting.task.take())
        };
        if let Some(task) = task {
            task.wake();
        }
        Some(Left { queue: self, number, answer, over: false, unsent })
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
        let task = {
            let mut waiting = self.lock();
            if !waiting.closed {
                waiting.pings.push(answer);
            }
            waiting.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
        answered.await
    }

    /// Moves what may be sent now to `jobs`, and asks to be woken by the next call. What the server does not allow yet
    /// stays here, where it is known not to have been sent. Returns whether there is such.
    fn take(&self, jobs: &mut Vec<Job>, room: impl FnOnce() -> usize, cx: &Context<'_>) -> bool {
        let mut waiting = self.lock();
        if !waiting.jobs.is_empty() {
            let room = room();
            while jobs.len() < room
                && let Some(job) = waiting.jobs.pop_front()
            {
                waiting.taken = job.number + 1;
                // Of a call that nobody waits for nothing is sent, and it takes no other's place.
                if !job.answer.is_closed() {
                    jobs.push(job);
                }
            }
        }
        waiting.task.get_or_insert_with(|| cx.waker().clone());
        !waiting.jobs.is_empty()
    }

    /// Moves those who wait for a ping to `pings`.
    fn take_pings(&self, pings: &mut Vec<oneshot::Sender<()>>) {
        pings.append(&mut self.lock().pings);
    }

    fn is_empty(&self) -> bool {
        self.lock().jobs.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// etcd ends a connection at the fourth ping that comes sooner after another than this (`--grpc-keepalive-min-time`).
const BETWEEN_PINGS: Duration = Duration::from_millis(5_100);
/// Fewer calls than this are not worth a look.
const SWEEP_AT_LEAST: usize = 64;

/// Closes the queue when the connection's task ends, in whichever way. Calls that were not sent yet are told so.
struct Closing<'a> {
    queue: &'a Queue,
    fate: &'a watch::Sender<Option<Cause>>,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        // Unless it is known why: a panic in the task ends the connection like anything else.
        decide(self.fate, Cause::Disconnected("the connection's task ended".into()));
        let left = {
            let mut waiting = self.queue.lock();
            waiting.closed = true;
            waiting.pings.clear();
            std::mem::take(&mut waiting.jobs)
        };
        for job in left {
            let cause = Cause::Disconnected("the connection ended before the request left".into());
            answer(job.answer, Err(Failure::NotProcessed(cause)));
        }
    }
}

/// Drives a connection, and the calls left in `queue`, until the connection is over, and decides its fate.
pub(super) async fn run<S>(
    mut connection: Connection<S, Bytes>,
    mut send: SendRequest<Bytes>,
    queue: &Queue,
    fate: &watch::Sender<Option<Cause>>,
    limit: usize,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let closing = Closing { queue, fate };
    let mut jobs = Vec::new();
    let mut calls = FuturesUnordered::new();
    let mut pings = Pings::default();
    let ended = poll_fn(|cx| {
        loop {
            pings.begin(queue, &mut connection);
            let room = || send.current_max_send_streams().saturating_sub(calls.len());
            let held_back = queue.take(&mut jobs, room, cx);
            for job in jobs.drain(..) {
                match begin(&mut send, job.request, cx) {
                    Ok((response, sending)) => {
                        let answer = exchange(response, sending, job.message, limit);
                        calls.push(make(answer, job.answer));
                    }
                    Err(failure) => {
                        if let Failure::NotProcessed(cause) = &failure {
                            // No more calls, though those under way may finish: the server is going away.
                            decide(fate, cause.clone());
                        }
                        answer(job.answer, Err(failure));
                    }
                }
            }
            // Writes what was begun, and reads what has come; then the calls that it woke go on.
            let ended = Pin::new(&mut connection).poll(cx);
            pings.poll(cx);
            let mut finished = false;
            while let Poll::Ready(Some(())) = Pin::new(&mut calls).poll_next(cx) {
                finished = true;
            }
            // What has finished, or the server's word that it takes more, made room for what waits.
            let room = finished || held_back && send.current_max_send_streams() > calls.len();
            if ended.is_ready() || !room || queue.is_empty() {
                return ended;
            }
        }
    })
    .await;
    // The calls still open have their errors from h2 by now, if it is not that they are being dropped with this.
    drop(connection);
    while poll_fn(|cx| Pin::new(&mut calls).poll_next(cx)).await.is_some() {}
    let cause = match ended {
        Ok(()) => Cause::Disconnected("the server closed the connection".into()),
        Err(error) => cause_of(&error),
    };
    decide(fate, cause);
    drop(closing);
}

/// The pings of a connection. h2 looks after them on every turn once there was one, so there is none until somebody asks.
#[derive(Default)]
struct Pings {
    h2: Option<PingPong>,
    /// Who waits for the answer to the one that is under way.
    asked: Vec<oneshot::Sender<()>>,
    under_way: bool,
}

impl Pings {
    /// Sends one if somebody asks for it and none is under way.
    fn begin<S>(&mut self, queue: &Queue, connection: &mut Connection<S, Bytes>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        queue.take_pings(&mut self.asked);
        if self.under_way || self.asked.is_empty() {
            return;
        }
        if self.h2.is_none() {
            self.h2 = connection.ping_pong();
        }
        // What it can't send it says by the connection's end.
        self.under_way =
            self.h2.as_mut().is_some_and(|pings| pings.send_ping(Ping::opaque()).is_ok());
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if !self.under_way {
            return;
        }
        let Some(pings) = &mut self.h2 else { return };
        if let Poll::Ready(answered) = pings.poll_pong(cx) {
            self.under_way = false;
            for asked in self.asked.drain(..).filter(|_| answered.is_ok()) {
                // Who does not wait any more need not be told.
                let _ = asked.send(());
            }
        }
    }
}

fn begin(
    send: &mut SendRequest<Bytes>,
    request: Request<()>,
    cx: &mut Context<'_>,
) -> Result<(ResponseFuture, SendStream<Bytes>), Failure> {
    match send.poll_ready(cx) {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(error)) => return Err(Failure::NotProcessed(cause_of(&error))),
        // It still holds a request that waits for the server to allow it. A fresh one may hold another.
        Poll::Pending => *send = send.clone(),
    }
    send.send_request(request, false).map_err(|error| Failure::NotProcessed(cause_of(&error)))
}

/// Reads the answer to one call, unless the caller goes away before.
async fn make(
    reading: impl Future<Output = Result<Bytes, Failure>>,
    mut caller: oneshot::Sender<Result<Bytes, Failure>>,
) {
    let mut reading = pin!(reading);
    let outcome = poll_fn(|cx| {
        if caller.poll_closed(cx).is_ready() {
            return Poll::Ready(None);
        }
        reading.as_mut().poll(cx).map(Some)
    })
    .await;
    if let Some(outcome) = outcome {
        answer(caller, outcome);
    }
}

fn answer(caller: oneshot::Sender<Result<Bytes, Failure>>, outcome: Result<Bytes, Failure>) {
    // If nobody waits any more, nobody is to be told.
    let _ = caller.send(outcome);
}
