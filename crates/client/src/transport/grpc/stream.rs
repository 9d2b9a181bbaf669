//! The two halves of a stream, and what they share with the connection's task.
//!
//! The task cuts what comes into messages and leaves them here. A stream whose reader does not keep up is not released
//! above [`UNREAD`], so that the peer stops at the stream's window.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use etcdkit_http2::frame::StreamId;

use super::call::{GivenUp, Place};
use super::keep_alive::OpenStream;
use super::message::PREFIX;
use super::queue::{Errand, Queue};
use crate::error::Cause;
use crate::transport::traits::{Failure, Sink, Source};

/// Bytes of messages that wait for the reader, above which nothing more is released.
const UNREAD: usize = 1 << 20;
/// Bytes that wait to be sent, above which a sender waits.
pub(super) const UNSENT: usize = 4 << 20;

/// What the halves of a stream and the connection's task share.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) place: Place,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stream: Option<StreamId>,
    messages: VecDeque<Bytes>,
    /// Bytes of them, with their prefixes.
    unread: usize,
    /// Bytes that the peer may send again once enough is read.
    held_back: usize,
    /// Bytes on their way to the task, and bytes that it could not send yet.
    leaving: usize,
    unsent: usize,
    /// How it ended, until that was told. Messages go first.
    end: Option<End>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
enum End {
    Untold(Result<(), Failure>),
    Told,
}

impl Flow {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { place: Place::new(), state: Mutex::default() })
    }

    /// The stream is open.
    pub(super) fn opened(&self, stream: StreamId) {
        self.change(|state| {
            state.stream = Some(stream);
            state.reader.take()
        });
    }

    /// Leaves a message for the reader.
    pub(super) fn receive(&self, message: Bytes) {
        self.change(|state| {
            state.unread += message.len() + PREFIX;
            state.messages.push_back(message);
            state.reader.take()
        });
    }

    /// Of `arrived` bytes, how many the peer may send again now. The others follow when there is room.
    pub(super) fn release(&self, arrived: usize) -> usize {
        let mut state = self.lock();
        if state.unread > UNREAD {
            state.held_back += arrived;
            return 0;
        }
        arrived
    }

    /// `message` bytes have reached the task, and `unsent` could not be sent yet.
    pub(super) fn left(&self, message: usize, unsent: usize) {
        self.change(|state| {
            state.leaving = state.leaving.saturating_sub(message);
            state.unsent = unsent;
            state.writer.take_if(|_| state.leaving + unsent < UNSENT)
        });
    }

    /// Ends the stream, if it has not ended yet.
    pub(super) fn end(&self, end: Result<(), Failure>) {
        self.change(|state| {
            if state.end.is_none() {
                state.end = Some(End::Untold(end));
            }
            state.writer.take()
        });
        self.change(|state| state.reader.take());
    }

    fn poll_opened(&self, cx: &Context<'_>) -> Poll<Result<StreamId, Failure>> {
        let mut state = self.lock();
        if let Some(stream) = state.stream {
            return Poll::Ready(Ok(stream));
        }
        match state.end.take() {
            Some(End::Untold(Err(failure))) => Poll::Ready(Err(failure)),
            Some(End::Untold(Ok(())) | End::Told) => Poll::Ready(Err(ended())),
            None => {
                remember(&mut state.reader, cx);
                Poll::Pending
            }
        }
    }

    /// The next message.
    fn poll_next(&self, cx: &Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        let mut state = self.lock();
        if let Some(message) = state.messages.pop_front() {
            state.unread -= message.len() + PREFIX;
            return Poll::Ready(Ok(Some(message)));
        }
        match state.end.replace(End::Told) {
            Some(End::Untold(end)) => Poll::Ready(end.map(|()| None)),
            Some(End::Told) => Poll::Ready(Ok(None)),
            None => {
                state.end = None;
                remember(&mut state.reader, cx);
                Poll::Pending
            }
        }
    }

    /// How many bytes the peer may send again because enough was read.
    fn freed(&self) -> usize {
        let mut state = self.lock();
        if state.unread > UNREAD / 2 { 0 } else { std::mem::take(&mut state.held_back) }
    }

    /// Waits until there is room for a message.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), Failure>> {
        let mut state = self.lock();
        if state.end.is_some() {
            return Poll::Ready(Err(ended()));
        }
        if state.leaving + state.unsent < UNSENT {
            return Poll::Ready(Ok(()));
        }
        remember(&mut state.writer, cx);
        Poll::Pending
    }

    /// Lets go of who waited, though the stream may stay in the queue.
    fn forget_callers(&self) {
        let callers = {
            let mut state = self.lock();
            (state.reader.take(), state.writer.take())
        };
        drop(callers);
    }

    /// Changes the state, and wakes whom that concerns.
    fn change(&self, change: impl FnOnce(&mut State) -> Option<Waker>) {
        let waker = change(&mut self.lock());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remember(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}

fn ended() -> Failure {
    Failure::Unknown(Cause::Disconnected("the server ended the stream".into()))
}

/// A stream that somebody holds at least one half of. Dropping it resets the stream, unless that is over.
#[derive(Debug)]
pub(super) struct Held {
    queue: Arc<Queue>,
    flow: Arc<Flow>,
    _open: OpenStream,
}

impl Held {
    pub(super) fn new(queue: Arc<Queue>, flow: Arc<Flow>, open: OpenStream) -> Arc<Self> {
        Arc::new(Self { queue, flow, _open: open })
    }

    /// Waits until the stream is open, and splits it.
    pub(super) async fn opened(self: Arc<Self>) -> Result<(H2Sink, H2Source), Failure> {
        let stream = poll_fn(|cx| self.flow.poll_opened(cx)).await?;
        let sink = H2Sink { stream, held: Arc::clone(&self) };
        Ok((sink, H2Source { stream, held: self }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.flow.forget_callers();
        if let GivenUp::UnderWay(stream) = self.flow.place.give_up()
            && self.flow.lock().end.is_none()
        {
            self.queue.run(Errand::Reset(stream));
        }
    }
}

/// The sending half of a stream of the [`H2`](super::H2) transport.
#[derive(Debug)]
pub struct H2Sink {
    stream: StreamId,
    held: Arc<Held>,
}

impl Sink for H2Sink {
    async fn send(&mut self, message: Bytes) -> Result<(), Failure> {
        let flow = &self.held.flow;
        poll_fn(|cx| flow.poll_room(cx)).await?;
        flow.lock().leaving += message.len();
        let flow = Arc::clone(flow);
        self.held.queue.run(Errand::Send { stream: self.stream, flow, message });
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if self.held.flow.lock().end.is_some() {
            return Err(ended());
        }
        self.held.queue.run(Errand::Finish(self.stream));
        Ok(())
    }
}

/// The receiving half of a stream of the [`H2`](super::H2) transport.
#[derive(Debug)]
pub struct H2Source {
    stream: StreamId,
    held: Arc<Held>,
}

impl Source for H2Source {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let flow = &self.held.flow;
        let next = poll_fn(|cx| flow.poll_next(cx)).await;
        let freed = flow.freed();
        if freed > 0 {
            self.held.queue.run(Errand::Release(self.stream, freed));
        }
        next
    }
}
