//! The endpoints of a service as they change.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::endpoint::Endpoint;
use crate::client::Client;
use crate::error::Result;
use crate::request::{KeyRange, Watch};
use crate::response::{Event, EventKind, KeyValue};
use crate::service::Service;
use crate::transport::Channel;
use crate::watch::{Resync, ResyncWatch};

/// What happened to an endpoint.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EndpointChange {
    /// It was added, or replaced.
    Add {
        /// Its key.
        key: Bytes,
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// It was deleted, or replaced by what is none.
    Delete {
        /// Its key.
        key: Bytes,
    },
}

/// The endpoints of a service, first those that there are, and then every change: from
/// [`Endpoints::watch`](super::Endpoints::watch).
///
/// What happens at once comes in one batch; no batch is empty. It goes on over lost connections and compactions, after
/// which it tells what has changed meanwhile, and ends only with an error that reading again would not mend.
///
/// # Cancellation
///
/// [`next`](Self::next) is cancel-safe. Dropping the object ends the watch on the server.
pub struct EndpointUpdates<S = Channel> {
    changes: ResyncWatch<S>,
    known: HashSet<Bytes>,
}

impl<S: Service + Clone> EndpointUpdates<S> {
    pub(super) fn new(client: &Client<S>, range: KeyRange) -> Self {
        Self { changes: client.watch_resync(Watch::new(range)), known: HashSet::new() }
    }

    /// The next batch of changes.
    ///
    /// # Errors
    ///
    /// One that reading again would not mend; it is the last item.
    pub async fn next(&mut self) -> Option<Result<Vec<EndpointChange>>> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<EndpointChange>>>> {
        loop {
            let Poll::Ready(next) = self.changes.poll(cx) else { return Poll::Pending };
            let change = match next {
                Some(Ok(change)) => apply(&mut self.known, change),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            if !change.is_empty() {
                return Poll::Ready(Some(Ok(change)));
            }
        }
    }
}

/// What a change of keys is to somebody who knows these endpoints.
fn apply(known: &mut HashSet<Bytes>, change: Resync) -> Vec<EndpointChange> {
    let gone = |known: &mut HashSet<Bytes>, key: Bytes| {
        known.remove(&key).then_some(EndpointChange::Delete { key })
    };
    let put = |known: &mut HashSet<Bytes>, kv: &KeyValue| {
        let key = Bytes::copy_from_slice(kv.key());
        let Some(endpoint) = Endpoint::from_json(kv.value()) else { return gone(known, key) };
        known.insert(key.clone());
        Some(EndpointChange::Add { key, endpoint })
    };
    match change {
        Resync::State { changed, vanished, .. } => {
            let mut changes: Vec<_> = changed.iter().filter_map(|kv| put(known, kv)).collect();
            changes.extend(vanished.into_iter().filter_map(|key| gone(known, key)));
            changes
        }
        Resync::Events(events) => {
            let change = |event: &Event| match event.kind() {
                EventKind::Delete => gone(known, Bytes::copy_from_slice(event.key())),
                EventKind::Put => put(known, event.kv()),
            };
            events.iter().filter_map(change).collect()
        }
    }
}

impl<S: Service + Clone + Unpin> Stream for EndpointUpdates<S> {
    type Item = Result<Vec<EndpointChange>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(cx)
    }
}

impl<S> fmt::Debug for EndpointUpdates<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointUpdates").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::Revision;

    #[test]
    fn only_what_is_an_endpoint_comes_and_goes() {
        let kv = |key: &str, value: &str| KeyValue::new(format!("t/{key}"), value);
        let add = |key: &str| EndpointChange::Add {
            key: format!("t/{key}").into(),
            endpoint: Endpoint::new(key),
        };
        let gone = |key: &str| EndpointChange::Delete { key: format!("t/{key}").into() };
        let json = |key: &str| format!(r#"{{"Addr":"{key}"}}"#);
        let mut known = HashSet::new();
        let state =
            |changed, vanished| Resync::State { changed, vanished, revision: Revision::new(5) };
        let first = state(vec![kv("a", &json("a")), kv("x", "?")], Vec::new());
        assert_eq!(apply(&mut known, first), [add("a")]);
        let events = vec![
            Event::put(kv("b", &json("b"))),
            Event::delete(kv("x", "")),
            Event::put(kv("a", "no endpoint any more")),
            Event::delete(kv("a", "")),
        ];
        assert_eq!(apply(&mut known, Resync::Events(events)), [add("b"), gone("a")]);
        let gap = state(vec![kv("c", &json("c"))], vec!["t/b".into(), "t/x".into()]);
        assert_eq!(apply(&mut known, gap), [add("c"), gone("b")]);
    }
}
