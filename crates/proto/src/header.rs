//! The header that answers have in common.

use crate::etcdserverpb::{RangeStreamResponse, ResponseHeader};
use crate::grpc_health_v1::HealthCheckResponse;

/// An answer that may carry a [`ResponseHeader`].
///
/// Implemented for every response message with a field `header`. Some answers never fill it (a
/// defragmentation, a snapshot), and those within a transaction fill only its revision.
///
/// ```
/// use etcdkit_proto::HasHeader;
/// use etcdkit_proto::etcdserverpb::{PutResponse, ResponseHeader};
///
/// let header = ResponseHeader { revision: 7, ..Default::default() };
/// let response = PutResponse { header: Some(header), ..Default::default() };
/// assert_eq!(response.header().map(|header| header.revision), Some(7));
/// ```
pub trait HasHeader {
    /// The header, if the server sent one.
    fn header(&self) -> Option<&ResponseHeader>;
}

/// The pieces of a range carry their header inside the piece.
impl HasHeader for RangeStreamResponse {
    fn header(&self) -> Option<&ResponseHeader> {
        self.range_response.as_ref().and_then(HasHeader::header)
    }
}

/// etcd's part of the standard health service carries none.
impl HasHeader for HealthCheckResponse {
    fn header(&self) -> Option<&ResponseHeader> {
        None
    }
}
