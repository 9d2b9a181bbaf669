//! HTTP/2 pings, for those who ask for them.
//!
//! etcd allows one ping in five seconds, none while no stream is open, and closes the connection at the fourth offence.
//! So there are none by default, none below that interval, and none without a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::queue::Queue;
use crate::clock;
use crate::config::KeepAlive;
use crate::error::Cause;

/// Counts the streams that are open on a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenStreams(Arc<AtomicUsize>);

impl OpenStreams {
    /// How many.
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) -> OpenStream {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenStream(Arc::clone(&self.0))
    }
}

/// One open stream, until it is dropped.
#[derive(Debug)]
pub(super) struct OpenStream(Arc<AtomicUsize>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Pings as configured until one is not answered, and says so.
pub(super) async fn keep_alive(
    connection: &Queue,
    streams: OpenStreams,
    settings: KeepAlive,
) -> Cause {
    loop {
        clock::sleep(settings.interval).await;
        if streams.count() > 0 {
            connection.ping_turn().await;
        }
        // They may have ended while others had pinged.
        if streams.count() == 0 {
            continue;
        }
        let deadline = clock::now() + settings.timeout;
        match clock::until(Some(deadline), connection.ping()).await {
            Some(Ok(())) => {}
            Some(Err(_)) => return Cause::Disconnected("the connection ended".into()),
            None => {
                return Cause::Disconnected(format!(
                    "a ping was not answered within {:?}",
                    settings.timeout
                ));
            }
        }
    }
}
