//! What happens to keys of a cache, as one reader sees it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::Cache;
use super::feed::Shared;
use super::log::{Cursor, Found};
use crate::error::Result;
use crate::request::KeyRange;
use crate::response::{Event, KeyValue};
use crate::revision::Revision;
use crate::transport::Channel;

/// One item of a [`Subscription`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CacheChange {
    /// What the range holds: at the beginning, and when more has happened than is held for who reads slowly. What was
    /// known before and is not in it is gone.
    State {
        /// The keys, in order.
        kvs: Vec<KeyValue>,
        /// Of which revision.
        revision: Revision,
    },
    /// What happened since, in order and in whole revisions, each with the key as it was before.
    Events(Vec<Event>),
}

/// What happens to keys, beginning with what they are: from [`Cache::subscribe`].
///
/// It has no buffer of its own. Who reads too slowly for the [history](super::CacheOptions::history) of the cache gets the
/// state anew. It ends with the error that the watch behind the cache ends with.
///
/// # Cancellation
///
/// [`next`](Self::next) is cancel-safe.
pub struct Subscription<S = Channel> {
    /// Keeps what feeds the cache going.
    _cache: Cache<S>,
    shared: Arc<Shared>,
    range: KeyRange,
    id: u64,
    cursor: Option<Cursor>,
    over: bool,
}

impl<S> Subscription<S> {
    pub(super) fn new(cache: Cache<S>, shared: Arc<Shared>, range: KeyRange) -> Self {
        let id = shared.log().id();
        Self { _cache: cache, shared, range, id, cursor: None, over: false }
    }

    /// The next item; `None` once it is over.
    ///
    /// # Errors
    ///
    /// What the watch behind the cache has ended with; it is the last item.
    pub async fn next(&mut self) -> Option<Result<CacheChange>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<CacheChange>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut log = self.shared.log();
        if let Some(resumed) = log.resume(self.id) {
            self.cursor = Some(resumed);
        }
        let found = self.cursor.map_or(Found::Lagged, |cursor| log.read(&self.range, cursor));
        match found {
            Found::Events(events, cursor) => {
                self.cursor = Some(cursor);
                Poll::Ready(Some(Ok(CacheChange::Events(events))))
            }
            Found::Lagged => {
                // The store is locked first, here as everywhere.
                drop(log);
                Poll::Ready(Some(Ok(self.state())))
            }
            Found::Nothing(cursor) => {
                self.cursor = Some(cursor);
                if let Some(error) = self.shared.ended() {
                    self.over = true;
                    return Poll::Ready(Some(Err(error)));
                }
                log.wait(self.id, &self.range, cx.waker());
                Poll::Pending
            }
        }
    }

    fn state(&mut self) -> CacheChange {
        let (state, cursor) = self.shared.read(|store| {
            let kvs = store.range(&self.range).collect();
            (CacheChange::State { kvs, revision: store.revision() }, self.shared.log().end())
        });
        self.cursor = Some(cursor);
        state
    }
}

impl<S> Drop for Subscription<S> {
    fn drop(&mut self) {
        self.shared.log().resume(self.id);
    }
}

impl<S> Stream for Subscription<S> {
    type Item = Result<CacheChange>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

impl<S> fmt::Debug for Subscription<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("range", &self.range).finish_non_exhaustive()
    }
}
