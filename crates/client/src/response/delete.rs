//! The answer to a deletion.

use etcdkit_proto::etcdserverpb::DeleteRangeResponse;

use super::{KeyValue, ResponseHeader, unsigned};
use crate::revision::Revision;

/// A [`Delete`](crate::Delete) was done.
///
/// ```
/// use etcdkit::{DeleteResponse, ResponseHeader};
///
/// let answer = DeleteResponse::new(ResponseHeader::at(7), 2);
/// assert_eq!(answer.deleted(), 2);
/// assert!(answer.prev_kvs().is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeleteResponse {
    header: ResponseHeader,
    deleted: u64,
    prev_kvs: Vec<KeyValue>,
}

impl DeleteResponse {
    /// An answer that tells how many keys were deleted, and not which.
    #[must_use]
    pub fn new(header: ResponseHeader, deleted: u64) -> Self {
        Self { header, deleted, prev_kvs: Vec::new() }
    }

    /// The same with the keys that were deleted; their number is not touched.
    #[must_use]
    pub fn with_prev_kvs(mut self, prev_kvs: impl IntoIterator<Item = KeyValue>) -> Self {
        self.prev_kvs = prev_kvs.into_iter().collect();
        self
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The revision of the store after the deletion; if nothing was deleted, that is no new one.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.header.revision
    }

    /// How many keys were deleted; 0 if there were none.
    #[must_use]
    pub fn deleted(&self) -> u64 {
        self.deleted
    }

    /// The deleted keys, if [`prev_kv`](crate::Delete::prev_kv) asked for them.
    #[must_use]
    pub fn prev_kvs(&self) -> &[KeyValue] {
        &self.prev_kvs
    }

    /// The deleted keys, if [`prev_kv`](crate::Delete::prev_kv) asked for them.
    #[must_use]
    pub fn into_prev_kvs(self) -> Vec<KeyValue> {
        self.prev_kvs
    }
}

impl From<DeleteRangeResponse> for DeleteResponse {
    fn from(wire: DeleteRangeResponse) -> Self {
        Self {
            header: wire.header.into(),
            deleted: unsigned(wire.deleted),
            prev_kvs: KeyValue::list(wire.prev_kvs),
        }
    }
}
