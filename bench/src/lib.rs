//! Load generator, null server and comparison of etcd clients.
//!
//! Every client is driven by the same closed loop ([`load`]) in a process of its own, so that the CPU
//! time of that process is the client's. [`clients`] holds the clients that need nothing but this
//! workspace; those of other authors live in `bench/peers/`, use this library for the loop (or, in Go,
//! repeat it) and print the same line of JSON. [`null_server`] answers at once and alike, which leaves
//! the client as the only cost; [`compare`] runs rounds of everything and makes tables. [`recipes`] has
//! clients contend for locks. Nothing here is
//! part of the client library, and nothing there knows of this crate.

pub mod args;
pub mod clients;
pub mod clock;
pub mod compare;
pub mod histogram;
pub mod load;
pub mod null_server;
pub mod recipes;
pub mod report;
pub mod streams;

/// Why a run could not be carried out: a sentence for the person at the terminal.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
