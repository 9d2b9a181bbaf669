//! The read that says what "now" is, and whether the history went back.

use bytes::Bytes;

use super::{Key, Machine, Output};
use crate::clock::Instant;
use crate::error::{Error, ErrorKind};
use crate::revision::Revision;
use crate::watch::watcher::{Place, Watcher};

impl<R> Machine<R> {
    /// Whether a read is wanted, and from when on.
    pub(in crate::watch) fn wants_read(&self) -> Option<Option<Instant>> {
        let wanted = self.verify || self.compare || !self.unread.is_empty();
        (wanted && self.read_mark.is_none()).then_some(self.read_retry_at)
    }

    /// Has a read find out how far the cluster has come.
    pub(in crate::watch) fn compare(&mut self) {
        self.compare = true;
    }

    /// Begins a read, of a key that its watch may read if it may watch.
    pub(in crate::watch) fn begin_read(&mut self) -> Option<Bytes> {
        let watchers = &mut self.watchers;
        self.unread.retain(|key| watchers.contains_key(key));
        self.reading = std::mem::take(&mut self.unread);
        for key in &self.reading {
            if let Some(watcher) = watchers.get_mut(key) {
                watcher.place = Place::Reading;
            }
        }
        let of = match self.reading.first() {
            Some(first) => watchers.get(first),
            None => watchers.values().next(),
        };
        let key = of.map(|watcher| watcher.first_key());
        self.verifying = std::mem::take(&mut self.verify);
        self.compare = false;
        self.read_retry_at = None;
        self.read_mark = key.as_ref().map(|_| self.known);
        key
    }

    /// The read showed this revision, or failed.
    pub(in crate::watch) fn read_done(&mut self, outcome: Result<Revision, Error>, now: Instant) {
        let Some(mark) = self.read_mark.take() else { return };
        let reading = std::mem::take(&mut self.reading);
        match outcome {
            Ok(revision) => {
                self.read_failures = 0;
                if revision.get() < mark {
                    self.history_went_back(revision.get(), mark);
                }
                for key in reading {
                    let Some(watcher) = self.watchers.get_mut(&key) else { continue };
                    watcher.next = revision.get().saturating_add(1);
                    watcher.place = Place::Unsent;
                    self.unsent.push_back(key);
                    self.out.push_back(Output::Started(key, revision.next()));
                }
                self.known = self.known.max(revision.get());
                self.create_unsent();
            }
            Err(error) => self.read_failed(&error, &reading, now),
        }
    }

    fn read_failed(&mut self, error: &Error, reading: &[Key], now: Instant) {
        let ends_all = matches!(error.kind(), ErrorKind::ClusterChanged | ErrorKind::Closed);
        if ends_all {
            return self.end_all(error);
        }
        let refused = if error.is_retryable() {
            0
        } else if error.kind() == ErrorKind::PermissionDenied {
            // Only who watches the key that was read is concerned.
            1
        } else {
            reading.len()
        };
        for (index, key) in reading.iter().enumerate() {
            if index < refused {
                self.end(*key, error.clone());
            } else if let Some(watcher) = self.watchers.get_mut(key) {
                watcher.place = Place::Unread;
                self.unread.push(*key);
            }
        }
        if error.is_retryable() {
            // Whoever has to know whether the history went back has to know it still.
            self.verify |= self.verifying;
            self.read_failures = self.read_failures.saturating_add(1);
            let pause = self.policy.pause(self.read_failures - 1, self.random.f64());
            self.read_retry_at = Some(now + pause);
        }
    }

    /// Watches that have seen more than there is now have seen what no longer happened.
    fn history_went_back(&mut self, revision: i64, mark: i64) {
        let error = Error::new(
            ErrorKind::ClusterChanged,
            format!(
                "the history went back from revision {mark} to {revision}: the cluster was restored from a backup, or lost data; what was watched before is void"
            ),
        );
        self.known = revision;
        self.shown = self.shown.min(revision);
        let past = |watcher: &Watcher<R>| {
            watcher.next > revision.saturating_add(1) && watcher.next <= mark.saturating_add(1)
        };
        self.end_where(&error, past);
    }
}
