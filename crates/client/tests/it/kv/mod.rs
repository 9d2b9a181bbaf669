//! Keys on real etcd, each version that is at hand: reads, writes, transactions, compaction, and what becomes of calls
//! when members or connections go.
//!
//! Tests are named after those of etcd's own client that they match. `members.rs` starts the members: one of each
//! version is shared by all tests that keep to keys of their own; whoever reads everything, compacts or stops it starts
//! another.
#![cfg(test)]

pub(crate) mod backup;
mod compact;
mod delete;
mod get;
mod large;
mod learner;
mod lifetime;
pub(crate) mod lost;
pub(crate) mod members;
mod op;
mod put;
mod put_once;
mod quorum;
mod range_stream;
mod txn;
mod txn_compare;
mod txn_lost;
