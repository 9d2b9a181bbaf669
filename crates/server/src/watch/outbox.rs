//! What a stream is to send.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// Messages that wait, at most; watchers of a fuller stream lag.
const MESSAGES: usize = 1024;
/// Messages from which on no request is read: answers come on top of events, as many again.
const ANSWERS: usize = 2 * MESSAGES;
/// Bytes that wait, at most. One message may go beyond.
const BYTES: usize = 4 * 1024 * 1024;
/// Bytes that wait in all streams together, at most, though most are shared by all who wait for them.
const ALL: usize = 256 * 1024 * 1024;
/// Bytes that wait in one stream, at most, when that many wait in all.
const LITTLE: usize = 64 * 1024;

/// The bytes that wait in all streams.
pub(super) type Total = Arc<AtomicUsize>;

/// One response to a watcher, before it is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The answer to a request for a watch.
    Created { watch: i64, revision: i64 },
    /// A request for a watch that is refused, with the reason.
    Refused { revision: i64, reason: String },
    /// A watch ended by its client.
    Cancelled { watch: i64, revision: i64 },
    /// A watch that asks for what was compacted.
    Compacted { watch: i64, compacted: i64 },
    /// Nothing happened up to the revision. The watch -1 is all of the stream.
    Progress { watch: i64, revision: i64 },
    /// Encoded events, of whole revisions.
    Events { watch: i64, revision: i64, events: Vec<Bytes>, fragment: bool },
}

impl Message {
    /// How many events it tells.
    pub(crate) const fn events(&self) -> usize {
        match self {
            Self::Events { events, .. } => events.len(),
            _ => 0,
        }
    }

    /// Bytes of its events.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Events { events, .. } => events.iter().map(Bytes::len).sum(),
            _ => 0,
        }
    }
}

/// The queue between the hub and the task of a stream.
#[derive(Debug)]
pub(crate) struct Outbox {
    total: Total,
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    lagging: bool,
    closed: bool,
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.messages.is_empty() && !self.closed && !self.lagging
    }
}

/// What a stream has to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Messages to send, in their order.
    Send(Vec<Message>),
    /// Everything is sent, and some watchers lag: the hub can go on with them.
    CatchUp,
    /// The hub ended the stream.
    Closed,
}

impl Outbox {
    pub(super) fn new(total: &Total) -> Self {
        let (queue, filled, emptied) = Default::default();
        Self { total: Arc::clone(total), queue, filled, emptied }
    }

    /// Whether there is room for events.
    pub(super) fn has_room(&self) -> bool {
        let queue = self.lock();
        let little = queue.bytes < LITTLE || self.total.load(Ordering::Relaxed) < ALL;
        queue.messages.len() < MESSAGES && queue.bytes < BYTES && little
    }

    /// How many events wait.
    pub(super) fn pending(&self) -> usize {
        self.lock().messages.iter().map(Message::events).sum()
    }

    /// Waits until there is room for the answer to another request.
    pub(crate) async fn room_for_an_answer(&self) {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.lock().messages.len() < ANSWERS {
                return;
            }
            emptied.await;
        }
    }

    /// Adds a message. Events need room; what answers a request comes on top, as the stream's task waits for that.
    pub(super) fn push(&self, message: Message) {
        let bytes = message.bytes();
        self.total.fetch_add(bytes, Ordering::Relaxed);
        let mut queue = self.lock();
        queue.bytes += bytes;
        queue.messages.push_back(message);
        drop(queue);
        self.filled.notify_one();
    }

    /// Some watcher of the stream lags.
    pub(super) fn lag(&self) {
        self.lock().lagging = true;
        self.filled.notify_one();
    }

    /// Ends the stream after what is in the queue.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// Waits for something to do. Dropping the future loses nothing.
    pub(crate) async fn next(&self) -> Work {
        loop {
            self.filled().await;
            if let Some(work) = self.take() {
                return work;
            }
        }
    }

    /// Waits until there is something to do.
    pub(crate) async fn filled(&self) {
        while self.lock().is_idle() {
            self.filled.notified().await;
        }
    }

    /// What there is to do, if there is something.
    pub(crate) fn take(&self) -> Option<Work> {
        let mut queue = self.lock();
        if !queue.messages.is_empty() {
            self.total.fetch_sub(std::mem::take(&mut queue.bytes), Ordering::Relaxed);
            self.emptied.notify_waiters();
            return Some(Work::Send(std::mem::take(&mut queue.messages).into()));
        }
        if queue.closed {
            return Some(Work::Closed);
        }
        std::mem::take(&mut queue.lagging).then_some(Work::CatchUp)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let queue = self.queue.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.total.fetch_sub(queue.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(bytes: usize) -> Message {
        let events = vec![Bytes::from(vec![0; bytes])];
        Message::Events { watch: 0, revision: 2, events, fragment: false }
    }

    #[test]
    fn all_streams_together_hold_no_more_than_there_is() {
        let total = Total::default();
        let (modest, greedy) = (Outbox::new(&total), Outbox::new(&total));
        modest.push(events(LITTLE - 1));
        greedy.push(events(ALL));
        assert!(modest.has_room() && !greedy.has_room(), "one with little goes on");
        modest.push(events(1));
        assert!(!modest.has_room());
        drop(greedy);
        assert!(modest.has_room());
        assert!(matches!(modest.take(), Some(Work::Send(_))));
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }
}
