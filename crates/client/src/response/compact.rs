//! The answer to a compaction.

use etcdkit_proto::etcdserverpb::CompactionResponse;

use super::ResponseHeader;

/// A [`Compact`](crate::Compact) was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompactResponse {
    header: ResponseHeader,
}

impl CompactResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader) -> Self {
        Self { header }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }
}

impl From<CompactionResponse> for CompactResponse {
    fn from(wire: CompactionResponse) -> Self {
        Self { header: wire.header.into() }
    }
}
