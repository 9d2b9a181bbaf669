//! The buffer between the hub and whoever reads one watch.
//!
//! Bounded in bytes and in responses. It holds what was taken in until it is read; what ends the watch comes after it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};
use crate::request::WatchSettings;
use crate::response::WatchResponse;
use crate::revision::Revision;
use crate::telemetry::Backlog;

/// What a response takes beside its bytes: the structs that it is decoded into.
const PER_EVENT: usize = 160;

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    max_bytes: usize,
    max_responses: usize,
    backlog: Backlog,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    /// What comes after the last item.
    end: Option<Error>,
    over: bool,
    paused: bool,
    started: bool,
    bookmark: Revision,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Item {
    response: WatchResponse,
    bytes: usize,
    /// Everything up to here has been seen by who has read this.
    bookmark: Revision,
}

/// What can be seen of it from outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    pub(super) bookmark: Revision,
    pub(super) bytes: usize,
    pub(super) responses: usize,
    pub(super) paused: bool,
    pub(super) over: bool,
}

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Read {
    Response(WatchResponse),
    /// A response, and there is room again in a buffer that was full.
    Drained(WatchResponse),
    End(Option<Error>),
}

impl Queue {
    pub(super) fn new(settings: &WatchSettings) -> Self {
        Self {
            state: Mutex::default(),
            max_bytes: settings.buffer_bytes,
            max_responses: settings.buffer_responses,
            backlog: Backlog::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watch begins with this revision.
    pub(super) fn started(&self, at: Revision) {
        let mut state = self.lock();
        state.started = true;
        state.bookmark = Revision::new(at.get().saturating_sub(1));
        wake(state);
    }

    /// Adds a response; whether the buffer is full now.
    pub(super) fn push(&self, response: WatchResponse, bytes: usize) -> bool {
        let bytes = bytes + PER_EVENT * (1 + response.events().len());
        let mut state = self.lock();
        if state.over || state.end.is_some() {
            return false;
        }
        let last = state.items.back().map_or(state.bookmark, |item| item.bookmark);
        let bookmark = response.events().last().map_or(last, crate::response::Event::revision);
        state.bytes += bytes;
        self.backlog.added(bytes);
        if state.items.capacity() == 0 {
            // Most readers are fast, and watches are many: a ring of four, as would be made else, is never used.
            state.items.reserve_exact(1);
        }
        state.items.push_back(Item { response, bytes, bookmark });
        let full = state.bytes >= self.max_bytes || state.items.len() >= self.max_responses;
        wake(state);
        full
    }

    /// Nothing more of `revision` or before will come.
    pub(super) fn moved(&self, revision: Revision) {
        let mut state = self.lock();
        if state.over || state.end.is_some() {
            // What came before it was not taken.
            return;
        }
        match state.items.back_mut() {
            Some(item) => item.bookmark = revision,
            None => state.bookmark = revision,
        }
    }

    /// Notes that the server is not to have the watch until there is room; `false` if there is room already.
    pub(super) fn pause(&self) -> bool {
        let mut state = self.lock();
        state.paused =
            state.bytes > self.max_bytes / 2 || state.items.len() > self.max_responses / 2;
        state.paused
    }

    /// Adds the end.
    pub(super) fn end(&self, error: Error) {
        let mut state = self.lock();
        if !state.over && state.end.is_none() {
            state.end = Some(error);
        }
        wake(state);
    }

    /// Ends it now; what was not read is gone.
    pub(super) fn discard(&self, error: Error) {
        let mut state = self.lock();
        self.backlog.removed(state.items.len(), state.bytes);
        state.items = VecDeque::new();
        state.bytes = 0;
        drop(state);
        self.end(error);
    }

    /// Waits until it is known where the watch begins, or that it does not.
    pub(super) fn poll_started(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.lock();
        if state.started {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = state.end.take() {
            state.over = true;
            return Poll::Ready(Err(error));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Read> {
        let mut state = self.lock();
        if let Some(item) = state.items.pop_front() {
            state.bytes -= item.bytes;
            self.backlog.removed(1, item.bytes);
            state.bookmark = item.bookmark;
            if state.paused
                && state.bytes <= self.max_bytes / 2
                && state.items.len() <= self.max_responses / 2
            {
                state.paused = false;
                return Poll::Ready(Read::Drained(item.response));
            }
            return Poll::Ready(Read::Response(item.response));
        }
        if state.over {
            return Poll::Ready(Read::End(None));
        }
        if let Some(error) = state.end.take() {
            state.over = true;
            return Poll::Ready(Read::End(Some(error)));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    pub(super) fn glance(&self) -> Glance {
        let state = self.lock();
        Glance {
            bookmark: state.bookmark,
            bytes: state.bytes,
            responses: state.items.len(),
            paused: state.paused,
            over: state.over || state.end.is_some(),
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let state = self.lock();
        self.backlog.removed(state.items.len(), state.bytes);
    }
}

/// Wakes the reader, without the lock.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Watch;
    use crate::response::{Event, KeyValue, ResponseHeader};

    fn queue(bytes: usize, responses: usize) -> Queue {
        Queue::new(&Watch::all().buffer(bytes, responses).settings())
    }

    fn at(revision: i64) -> WatchResponse {
        let kv = KeyValue::new("a", "1").with_revisions(revision, revision);
        WatchResponse::new(ResponseHeader::at(revision), [Event::put(kv)])
    }

    fn read(queue: &Queue) -> Option<Read> {
        match queue.poll_read(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(read) => Some(read),
            Poll::Pending => None,
        }
    }

    #[test]
    fn what_is_buffered_comes_before_the_one_end() {
        let queue = queue(1 << 20, 10);
        queue.started(Revision::new(5));
        assert!(!queue.push(at(5), 10));
        queue.end(Error::closed());
        queue.end(Error::internal("a second one"));
        assert!(!queue.push(at(6), 10));
        assert!(matches!(read(&queue), Some(Read::Response(response)) if response == at(5)));
        assert!(
            matches!(read(&queue), Some(Read::End(Some(error))) if error.kind() == crate::ErrorKind::Closed)
        );
        assert!(matches!(read(&queue), Some(Read::End(None))));
    }

    #[test]
    fn full_by_bytes_or_by_number_and_drained_at_half() {
        for (bytes, responses) in [(4 * (PER_EVENT * 2 + 100), 100), (1 << 20, 4)] {
            let queue = queue(bytes, responses);
            let full: Vec<bool> = (1..=4).map(|revision| queue.push(at(revision), 100)).collect();
            assert_eq!(full, [false, false, false, true]);
            assert!(queue.pause());
            assert!(matches!(read(&queue), Some(Read::Response(_))));
            assert!(matches!(read(&queue), Some(Read::Drained(_))));
            assert!(matches!(read(&queue), Some(Read::Response(_))));
        }
    }

    #[test]
    fn the_bookmark_is_what_was_read() {
        let queue = queue(1 << 20, 10);
        queue.started(Revision::new(5));
        assert_eq!(queue.glance().bookmark.get(), 4);
        queue.push(at(7), 0);
        queue.moved(Revision::new(9));
        assert_eq!(queue.glance().bookmark.get(), 4);
        assert!(read(&queue).is_some());
        assert_eq!(queue.glance().bookmark.get(), 9);
        queue.moved(Revision::new(12));
        assert_eq!(queue.glance().bookmark.get(), 12);
        assert!(read(&queue).is_none());
    }

    /// Who went on from the bookmark of a watch that was cancelled lost what came before the server heard of it.
    #[test]
    fn the_bookmark_does_not_pass_what_came_after_the_end() {
        let queue = queue(1 << 20, 10);
        queue.started(Revision::new(5));
        queue.push(at(5), 0);
        queue.end(Error::closed());
        queue.push(at(6), 0);
        queue.moved(Revision::new(6));
        assert!(read(&queue).is_some());
        assert_eq!(queue.glance().bookmark.get(), 5);
        queue.moved(Revision::new(7));
        assert!(matches!(read(&queue), Some(Read::End(Some(_)))));
        queue.moved(Revision::new(8));
        assert_eq!(queue.glance().bookmark.get(), 5);
    }

    #[test]
    fn discarded_at_once() {
        let queue = queue(1 << 20, 10);
        queue.push(at(7), 0);
        queue.discard(Error::closed());
        assert!(matches!(read(&queue), Some(Read::End(Some(_)))));
    }
}
