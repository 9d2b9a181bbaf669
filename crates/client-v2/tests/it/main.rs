//! The client against scripted servers, and against real etcd 3.4 with its v2 API on.
//!
//! One binary, a module for each room. Where Go's client has a test of the same behaviour, the name is that test's.
#![allow(
    clippy::unwrap_used,
    reason = "tests state their invariants by unwrapping, in helpers too"
)]

mod auth;
mod debug;
mod discovery;
mod etcd;
mod examples;
mod failover;
mod frozen;
mod keys;
mod members;
mod proxy;
mod redirect;
mod server;
mod simple;
mod sync;
mod tls;
mod watcher;
