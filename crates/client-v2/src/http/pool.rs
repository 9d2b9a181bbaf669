//! Connections that wait for the next request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connection::Connection;
use crate::clock::{Instant, now};
use crate::config::Origin;

/// How many wait per origin. Calls are made to one endpoint at a time, by few callers at once.
const PER_ORIGIN: usize = 16;
/// For how long. Proxies commonly close after 60 s.
const IDLE: Duration = Duration::from_secs(30);

/// Connections by origin, the one that was used last on top.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Origin, Vec<(Connection, Instant)>>>);

impl Pool {
    /// A connection that the server has not closed, if there is one.
    pub(super) async fn take(&self, origin: &Origin) -> Option<Connection> {
        loop {
            let (mut connection, since) = self.lock().get_mut(origin)?.pop()?;
            if now().duration_since(since) < IDLE && connection.is_ready().await {
                return Some(connection);
            }
        }
    }

    /// Keeps `connection` for later.
    pub(super) fn put(&self, origin: &Origin, connection: Connection) {
        let mut origins = self.lock();
        let now = now();
        origins.retain(|_, list| {
            list.retain(|(_, since)| now.duration_since(*since) < IDLE);
            !list.is_empty()
        });
        let list = origins.entry(origin.clone()).or_default();
        if list.len() < PER_ORIGIN {
            list.push((connection, now));
        }
    }

    /// Closes what waits at `origin`.
    pub(super) fn clear(&self, origin: &Origin) {
        self.lock().remove(origin);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Vec<(Connection, Instant)>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
