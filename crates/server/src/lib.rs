//! An etcd v3 server with one member, in your process.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(dead_code, reason = "the services that call the machines come next")]

mod apply;
mod auth;
mod clock;
mod config;
mod fault;
mod identity;
mod lease;
mod mvcc;
mod node;
mod snapshot;
mod state;
mod status;
pub mod storage;
mod task;
mod transfer;
mod watch;
