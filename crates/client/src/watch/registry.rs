//! The hubs of one client: one for each set of metadata that watches are made with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::hub::Hub;
use super::inbox::{Addition, Inbox};
use crate::error::{Error, Result};
use crate::service::CallOptions;
use crate::task::{self, Task};
use crate::transport::{Channel, Transport};

/// The streams that watches share, with the tasks behind them. The tasks end with it.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<Hubs>);

#[derive(Debug, Default)]
struct Hubs {
    closed: bool,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// What tells its watches from others: metadata and require-leader.
    options: CallOptions,
    inbox: Arc<Inbox>,
    _task: Task,
    /// Closed when the task has ended.
    done: watch::Receiver<()>,
}

impl Watches {
    fn lock(&self) -> MutexGuard<'_, Hubs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a watch to the stream for `options`, which is made if there is none.
    pub(super) fn add<T: Transport>(
        &self,
        channel: &Channel<T>,
        options: CallOptions,
        addition: impl FnOnce(&Arc<Inbox>) -> Addition,
    ) -> Result<Arc<Inbox>> {
        let mut hubs = self.lock();
        if hubs.closed {
            return Err(Error::closed());
        }
        // A hub whose runtime has ended takes nothing in any more.
        hubs.entries.retain(|entry| !entry.inbox.is_over());
        let inbox = match hubs.entries.iter().find(|entry| entry.options == options) {
            Some(entry) => Arc::clone(&entry.inbox),
            None => {
                let inbox = Arc::new(Inbox::default());
                let hub = Hub::new(channel, Arc::clone(&inbox), options.clone());
                let (running, done) = watch::channel(());
                let task = task::spawn(async move {
                    hub.run().await;
                    drop(running);
                });
                let entry = Entry { options, inbox: Arc::clone(&inbox), _task: task, done };
                hubs.entries.push(entry);
                inbox
            }
        };
        inbox.add(addition(&inbox));
        Ok(inbox)
    }

    /// Removes the hub of `inbox`, unless something has come in for it.
    pub(super) fn remove_if_idle(&self, inbox: &Arc<Inbox>) -> bool {
        let mut hubs = self.lock();
        if !inbox.is_empty() && !hubs.closed {
            return false;
        }
        // Its task is the caller, who ends now.
        if !hubs.closed {
            hubs.entries.retain(|entry| !Arc::ptr_eq(&entry.inbox, inbox));
        }
        true
    }

    /// Ends all watches: what is buffered, and then [`Closed`](crate::ErrorKind::Closed), is left to read.
    pub(crate) async fn close(&self) {
        let ending: Vec<watch::Receiver<()>> = {
            let mut hubs = self.lock();
            hubs.closed = true;
            for entry in &hubs.entries {
                entry.inbox.close();
            }
            hubs.entries.iter().map(|entry| entry.done.clone()).collect()
        };
        for mut done in ending {
            // Nothing is ever sent: it ends when the task does.
            let _ = done.changed().await;
        }
        let ended = std::mem::take(&mut self.lock().entries);
        drop(ended);
    }
}
