//! Watches on real etcd, each version that is at hand, and on scripted peers.
//!
//! Tests are named after those of etcd's own client that they match. `basic.rs`: what is seen; `options.rs`: option by
//! option; `progress.rs`, `fragment.rs`; `cancel.rs`: what is left on the server; `reconnect.rs`: connections that break;
//! `members.rs`: members that fail; `auth.rs`: tokens and permissions; `slow.rs`: readers that are slow; `resync.rs`;
//! `runtimes.rs`: a runtime that ends; `scripted.rs`: servers that answer as they should not; `flood.rs`: one that never
//! pauses; `left.rs`: members that are good for nothing; `soak.rs`: everything at once.
#![cfg(test)]

mod auth;
mod basic;
mod cancel;
mod flood;
mod fragment;
mod left;
mod members;
mod options;
mod progress;
mod reconnect;
mod resync;
mod runtimes;
mod scripted;
mod slow;
mod soak;

use std::time::Duration;

use etcdkit::service::Service;
use etcdkit::{Client, Error, ErrorKind, Event, Streaming, Watch, WatchControl, WatchResponse};

use crate::kv::members::in_time;

type Watching = Streaming<WatchResponse, WatchControl>;

#[expect(clippy::disallowed_methods, reason = "each is joined by its test")]
fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(future)
}

async fn watch<S: Service>(client: &Client<S>, watch: impl Into<Watch>) -> Watching {
    in_time("the watch", client.watch(watch)).await.expect("a watch begins")
}

/// The next response.
async fn next(stream: &mut Watching) -> WatchResponse {
    let next = in_time("a response", stream.next()).await;
    next.expect("the stream goes on").expect("the watch goes on")
}

/// The next so many events, each response a list; more are a failure.
async fn events(stream: &mut Watching, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        events.extend(next(stream).await.into_events());
    }
    assert_eq!(events.len(), count, "{events:?}");
    events
}

/// The one error that ends the stream, after any number of responses.
async fn end(stream: &mut Watching) -> (Vec<Event>, Error) {
    let mut events = Vec::new();
    let error = loop {
        match in_time("the end", stream.next()).await {
            Some(Ok(response)) => events.extend(response.into_events()),
            Some(Err(error)) => break error,
            None => panic!("it ended without a word after {events:?}"),
        }
    };
    assert!(stream.next().await.is_none(), "something comes after the end");
    (events, error)
}

async fn ends_with(stream: &mut Watching, kind: ErrorKind) -> Vec<Event> {
    let (events, error) = end(stream).await;
    assert_eq!(error.kind(), kind, "{error:?}");
    events
}

/// Nothing comes for a while.
async fn silent(stream: &mut Watching) {
    let pause = Duration::from_millis(300);
    if let Ok(next) = tokio::time::timeout(pause, stream.next()).await {
        panic!("{next:?}");
    }
}

/// `key=value@revision`, or `!key@revision` for a deletion.
fn shown(events: &[Event]) -> Vec<String> {
    let show = |event: &Event| {
        let key = event.kv().key_str().expect("tests use UTF-8");
        if event.is_delete() {
            return format!("!{key}");
        }
        format!("{key}={}", event.kv().value_str().expect("tests use UTF-8"))
    };
    events.iter().map(show).collect()
}
