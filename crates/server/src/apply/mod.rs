//! The only place where the state changes.
//!
//! Each request is a method of `State`: it checks who asks and what for, changes all or nothing, and makes the answer. It
//! is called under the write lock, by `Node::write`, which ends it with `State::applied`. `range.rs`, `check.rs` and the
//! like only read.

mod admin;
mod alarm;
mod auth;
mod changes;
mod check;
mod compact;
mod gathered;
mod kv;
mod lease;
mod member;
mod pieces;
mod range;
mod reads;
mod txn;

pub(crate) use check::{check_delete, check_put, check_range, check_txn};
pub(crate) use member::check_peer_urls;
pub(crate) use pieces::{Answer, Pieces};
pub(crate) use range::{Selection, in_order_of_keys};
pub(crate) use reads::Reads;
pub(crate) use txn::{is_read_only, is_serializable};

use etcdkit_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest};

use crate::mvcc::KeyRange;

/// The range that a request names.
pub(crate) trait Ranged {
    fn range(&self) -> KeyRange;
}

impl Ranged for RangeRequest {
    fn range(&self) -> KeyRange {
        KeyRange::new(self.key.clone(), self.range_end.clone())
    }
}

impl Ranged for DeleteRangeRequest {
    fn range(&self) -> KeyRange {
        KeyRange::new(self.key.clone(), self.range_end.clone())
    }
}

impl Ranged for PutRequest {
    fn range(&self) -> KeyRange {
        KeyRange::single(self.key.clone())
    }
}
