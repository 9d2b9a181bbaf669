//! The answer to a write.

use etcdkit_proto::etcdserverpb;

use super::{KeyValue, ResponseHeader};
use crate::revision::Revision;

/// A [`Put`](crate::Put) was done.
///
/// ```
/// use etcdkit::{KeyValue, PutResponse, ResponseHeader};
///
/// let answer = PutResponse::new(ResponseHeader::at(7)).with_prev_kv(KeyValue::new("/a", "0"));
/// assert_eq!(answer.revision().get(), 7);
/// assert_eq!(answer.prev_kv().map(KeyValue::value), Some(b"0".as_slice()));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PutResponse {
    header: ResponseHeader,
    prev_kv: Option<KeyValue>,
}

impl PutResponse {
    /// An answer without the former state of the key.
    #[must_use]
    pub fn new(header: ResponseHeader) -> Self {
        Self { header, prev_kv: None }
    }

    /// The same, of a key that was like `prev_kv` before.
    #[must_use]
    pub fn with_prev_kv(mut self, prev_kv: KeyValue) -> Self {
        self.prev_kv = Some(prev_kv);
        self
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The revision of the write: the key's modification revision now.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.header.revision
    }

    /// The key as it was before, if it existed and [`prev_kv`](crate::Put::prev_kv) asked for it.
    #[must_use]
    pub fn prev_kv(&self) -> Option<&KeyValue> {
        self.prev_kv.as_ref()
    }

    /// The key as it was before, if it existed and [`prev_kv`](crate::Put::prev_kv) asked for it.
    #[must_use]
    pub fn into_prev_kv(self) -> Option<KeyValue> {
        self.prev_kv
    }
}

impl From<etcdserverpb::PutResponse> for PutResponse {
    fn from(wire: etcdserverpb::PutResponse) -> Self {
        Self { header: wire.header.into(), prev_kv: wire.prev_kv.map(KeyValue::from) }
    }
}
