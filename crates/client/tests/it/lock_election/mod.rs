//! etcd's own locks and elections, and that waiting for them says nothing about the member.
//!
//! Tests are named after those of etcd's own client that they match. `observing.rs`: observers whose streams break.
#![cfg(test)]

mod election;
mod lock;
mod observing;
mod waiting;
