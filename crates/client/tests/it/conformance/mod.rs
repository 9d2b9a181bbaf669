//! One conformance suite on a scripted HTTP/2 peer: what peers, and what only looks like one, may do to a client.
//!
//! Cases that are about a single call ([`case::Case`]) run against every [`subject::Subject`]: our client, the same with
//! other calls on its connection, and tonic's as a reference. Each case says what ours and what tonic's is expected to
//! do, so that a difference is stated and never skipped. What only ours offers (retries, tokens, identity, streams)
//! follows in files of its own. The peer's framing is the testkit's and shares no code with the client.
//!
//! Nothing here sleeps: a test waits for an event, and every wait has a deadline.
#![expect(clippy::unwrap_used, reason = "tests state their invariants by unwrapping")]

mod auth;
mod case;
mod closing;
mod connection;
mod endpoints;
mod identity;
mod keep_alive;
mod learners;
mod listeners;
mod messages;
mod metadata;
mod paused;
mod retry;
mod settings;
mod stalls;
mod status;
mod stream_limit;
mod streams;
mod subject;
mod support;
mod telemetry;
