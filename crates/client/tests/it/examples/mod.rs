//! The examples of Go's client reference, with the results that they print there.
//!
//! Each collects the lines that it would print. The programs in the folder `examples` of this repository show the same
//! for reading.
#![cfg(test)]

mod admin;
mod concurrency;
mod kv;
mod lease;
#[cfg(feature = "metrics")]
mod metrics;
mod secure;
mod watch;
