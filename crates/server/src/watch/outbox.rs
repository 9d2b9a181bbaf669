//! What a stream is to send.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// Messages that wait, at most; watchers of a fuller stream lag.
const MESSAGES: usize = 1024;
/// Messages from which on no request is read: answers come on top of events, as many again.
const ANSWERS: usize = 2 * MESSAGES;
/// Bytes that wait, at most. One message may go beyond.
const BYTES: usize = 4 * 1024 * 1024;

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
#[derive(Debug, Default)]
pub(crate) struct Outbox {
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
    /// Whether there is room for events.
    pub(super) fn has_room(&self) -> bool {
        let queue = self.lock();
        queue.messages.len() < MESSAGES && queue.bytes < BYTES
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
        let mut queue = self.lock();
        queue.bytes += message.bytes();
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
            queue.bytes = 0;
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
