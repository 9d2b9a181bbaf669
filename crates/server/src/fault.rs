//! What a test has go wrong.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcdkit_proto::{Code, ServerError};
use tokio::sync::{Notify, watch};

use crate::clock;
use crate::status::{Result, Status};

/// Faults of a running server, for tests of those who use it.
///
/// Each takes effect at once and lasts until it is taken back. Methods are named by their path, as in
/// `/etcdserverpb.KV/Put`; constants with these paths are in `etcdkit_proto::method`.
///
/// ```
/// use etcdkit_proto::{ServerError, method};
/// use etcdkit_server::Server;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), etcdkit_server::Error> {
/// let server = Server::start_ephemeral().await?;
/// // The next two puts are refused; the third is served.
/// server.faults().fail_next(method::kv::PUT.path(), 2, ServerError::NoLeader);
/// assert_eq!(server.faults().pending(method::kv::PUT.path()), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// So that a server without faults pays one load for them.
    any: AtomicBool,
    calls: Mutex<HashMap<String, Call>>,
    paused: watch::Sender<bool>,
    leaderless: watch::Sender<bool>,
    drop_connections: Notify,
}

#[derive(Debug, Default)]
struct Call {
    failures: u64,
    status: Option<Status>,
    delay: Duration,
}

impl Faults {
    pub(crate) fn new() -> Self {
        let inner = Inner {
            any: AtomicBool::new(false),
            calls: Mutex::default(),
            paused: watch::Sender::new(false),
            leaderless: watch::Sender::new(false),
            drop_connections: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Calls wait, and streams send nothing, as on a member that is frozen. Connections stay open.
    pub fn pause(&self) {
        self.inner.any.store(true, Ordering::Relaxed);
        self.inner.paused.send_replace(true);
    }

    /// Goes on with what waits.
    pub fn resume(&self) {
        self.inner.paused.send_replace(false);
    }

    /// Breaks every connection, without a word to the peer.
    pub fn drop_connections(&self) {
        self.inner.drop_connections.notify_waiters();
    }

    /// Answers the next so many calls of a method with an error, instead of doing anything. It replaces what was left of
    /// an earlier order for the method.
    pub fn fail_next(&self, path: &str, calls: u64, error: ServerError) {
        self.fail_next_with(path, calls, error.code(), error.message());
    }

    /// As [`fail_next`](Self::fail_next), with any status.
    pub fn fail_next_with(&self, path: &str, calls: u64, code: Code, message: &str) {
        let status = Status::new(code, message.to_owned());
        self.change(path, |call| {
            call.failures = calls;
            call.status = Some(status);
        });
    }

    /// How many calls of a method are still to fail.
    #[must_use]
    pub fn pending(&self, path: &str) -> u64 {
        self.lock().get(path).map_or(0, |call| call.failures)
    }

    /// Has every call of a method wait before anything is done; no time at all takes it back.
    pub fn delay(&self, path: &str, time: Duration) {
        self.change(path, |call| call.delay = time);
    }

    /// The member knows no leader: calls fail with "etcdserver: no leader", and so do streams that asked for one. What a
    /// member answers by itself goes on, unless the call asked for a leader: serializable reads, its status, its hashes.
    pub fn lose_leader(&self) {
        self.inner.any.store(true, Ordering::Relaxed);
        self.inner.leaderless.send_replace(true);
    }

    /// There is a leader again.
    pub fn elect_leader(&self) {
        self.inner.leaderless.send_replace(false);
    }

    pub(crate) fn has_leader(&self) -> bool {
        !*self.inner.leaderless.borrow()
    }

    /// Returns when the leader is lost.
    pub(crate) async fn leader_lost(&self) {
        // The sender lives as long as this.
        let _ = self.inner.leaderless.subscribe().wait_for(|lost| *lost).await;
    }

    /// Returns when connections are to be dropped.
    pub(crate) async fn connections_dropped(&self) {
        self.inner.drop_connections.notified().await;
    }

    /// Returns at once unless the server is paused.
    pub(crate) async fn running(&self) {
        if *self.inner.paused.borrow() {
            let _ = self.inner.paused.subscribe().wait_for(|paused| !*paused).await;
        }
    }

    /// What happens to a call before anything is done.
    pub(crate) async fn meet(&self, path: &str) -> Result<()> {
        if !self.inner.any.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.running().await;
        let (delay, failure) = {
            let mut calls = self.lock();
            let Some(call) = calls.get_mut(path) else { return Ok(()) };
            let failure = if call.failures > 0 { call.status.clone() } else { None };
            call.failures = call.failures.saturating_sub(1);
            (call.delay, failure)
        };
        if !delay.is_zero() {
            clock::pause(delay).await;
        }
        failure.map_or(Ok(()), Err)
    }

    fn change(&self, path: &str, change: impl FnOnce(&mut Call)) {
        self.inner.any.store(true, Ordering::Relaxed);
        change(self.lock().entry(path.to_owned()).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Call>> {
        self.inner.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
