//! What steers a watch while it runs, and tells how it fares.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::inbox::{Inbox, Signal};
use super::machine::Key;
use super::queue::Queue;
use crate::clock;
use crate::revision::Revision;

/// Steers a watch: [`Streaming::control`](crate::Streaming::control) of the stream that
/// [`Client::watch`](crate::Client::watch) returns. It can be cloned and used while the stream is read elsewhere.
#[derive(Clone)]
pub struct WatchControl(Option<Handle>);

#[derive(Clone)]
struct Handle {
    key: Key,
    queue: Arc<Queue>,
    inbox: Arc<Inbox>,
    reconnects: u64,
}

/// How a watch fares; see [`WatchControl::state`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchState {
    /// The endpoint of the member that serves it, if one does.
    pub connected_to: Option<String>,
    /// For how long no member has served it, and it tries to find one.
    pub disconnected_for: Option<Duration>,
    /// How often it changed its connection.
    pub reconnects: u64,
    /// Everything up to this revision has been read from the stream: a new watch that begins with the next one misses
    /// nothing.
    pub bookmark: Revision,
    /// What is held for the reader.
    pub buffered_bytes: usize,
    /// In how many responses.
    pub buffered_responses: usize,
    /// Whether the buffer is full, so that the server keeps what comes until it has been read.
    pub paused: bool,
    /// Whether nothing will be added any more: what is buffered, and the reason, are left to read.
    pub ended: bool,
}

impl WatchControl {
    pub(super) fn new(key: Key, queue: Arc<Queue>, inbox: Arc<Inbox>) -> Self {
        let reconnects = inbox.status().reconnects;
        Self(Some(Handle { key, queue, inbox, reconnects }))
    }

    /// A control of nothing: what a mock gives to the streams that it makes.
    #[must_use]
    pub fn detached() -> Self {
        Self(None)
    }

    /// How the watch fares now.
    #[must_use]
    pub fn state(&self) -> WatchState {
        let Some(handle) = &self.0 else { return WatchState::default() };
        let status = handle.inbox.status();
        let glance = handle.queue.glance();
        WatchState {
            disconnected_for: status
                .disconnected_since
                .map(|since| clock::now().saturating_duration_since(since)),
            connected_to: status.endpoint.map(|endpoint| endpoint.to_string()),
            reconnects: status.reconnects.saturating_sub(handle.reconnects),
            bookmark: glance.bookmark,
            buffered_bytes: glance.bytes,
            buffered_responses: glance.responses,
            paused: glance.paused,
            ended: glance.over,
        }
    }

    /// Asks the server how far the watch has come; the answer is a
    /// [progress notification](crate::WatchResponse::is_progress) in the stream.
    ///
    /// It comes when every watch on the shared stream has caught up: servers leave a request that comes before that
    /// without an answer, so it is asked again on a new connection, and at every
    /// [`watch_probe_interval`](crate::config::Liveness::watch_probe_interval), 3 s by default. Members before etcd 3.4
    /// don't answer.
    pub fn request_progress(&self) {
        if let Some(handle) = &self.0 {
            handle.inbox.signal(handle.key, Signal::Progress);
        }
    }

    /// Ends the watch: what is buffered is delivered, and then [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn cancel(&self) {
        if let Some(handle) = &self.0 {
            handle.queue.end(super::cancelled());
            handle.inbox.signal(handle.key, Signal::Cancel);
        }
    }
}

impl fmt::Debug for WatchControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchControl").field(&self.state()).finish()
    }
}
