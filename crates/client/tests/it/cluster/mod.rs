//! Members of real clusters, each version that is at hand: listed, added, changed, removed, promoted.
//!
//! Tests are named after those of etcd's own client that they match.
#![cfg(test)]

mod learners;
mod members;
