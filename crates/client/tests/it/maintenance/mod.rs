//! The care of members, on real etcd, each version that is at hand, and on a scripted peer where etcd does not err.
//!
//! Tests are named after those of etcd's own client that they match.
#![cfg(test)]

mod alarm;
mod damage;
mod downgrade;
mod leader;
mod members;
mod save;
mod snapshot;
