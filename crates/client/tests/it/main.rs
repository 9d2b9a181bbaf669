//! The client against real servers, and against peers that behave as no server should.
//!
//! One binary, a module for each room. What needs etcd runs on every version that is at hand: `cargo xtask test` gets
//! them; see `etcdkit_testkit::etcd`.

mod auth;
mod cache;
mod cluster;
mod concurrency;
mod config;
mod conformance;
mod connectivity;
mod examples;
mod kubernetes;
mod kv;
mod layer;
mod lease;
mod lock_election;
mod maintenance;
mod mirror;
#[cfg(feature = "naming")]
mod naming;
mod users;
mod watch;
