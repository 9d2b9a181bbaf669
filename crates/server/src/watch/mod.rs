//! Watchers: who is told of which change.
//!
//! `hub.rs` is the machine: it is called under the state's lock when watchers come and go, when revisions are published,
//! and when a stream has room for watchers that lag. `index.rs` finds the watchers of a key. `outbox.rs` is the bounded
//! queue between the hub and a stream's task, which is in `service/watch.rs`. `response.rs` writes the messages.

mod hub;
mod index;
mod outbox;
mod response;

pub(crate) use hub::{Hub, NewWatch, StreamId};
pub(crate) use outbox::{Message, Outbox, Work};
pub(crate) use response::encode;
