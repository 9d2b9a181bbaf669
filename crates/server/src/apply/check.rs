//! What is wrong with a request whatever the state is.

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest};

use super::changes::Changes;

type Result<T, E = ServerError> = std::result::Result<T, E>;

pub(crate) fn check_range(request: &RangeRequest) -> Result<()> {
    if request.key.is_empty() {
        return Err(ServerError::EmptyKey);
    }
    if SortOrder::from_i32(request.sort_order).is_none()
        || SortTarget::from_i32(request.sort_target).is_none()
    {
        return Err(ServerError::InvalidSortOption);
    }
    Ok(())
}

pub(crate) fn check_put(request: &PutRequest) -> Result<()> {
    if request.key.is_empty() {
        Err(ServerError::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(ServerError::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(ServerError::LeaseProvided)
    } else {
        Ok(())
    }
}

pub(crate) fn check_delete(request: &DeleteRangeRequest) -> Result<()> {
    if request.key.is_empty() { Err(ServerError::EmptyKey) } else { Ok(()) }
}

/// Checks a transaction that may have so many operations in each of its lists, those of inner transactions counted with
/// the longest of the outer one's.
pub(crate) fn check_txn(request: &TxnRequest, max_ops: usize) -> Result<()> {
    check_operations(request, max_ops)?;
    Changes::of(&request.success)?;
    Changes::of(&request.failure)?;
    Ok(())
}

fn check_operations(request: &TxnRequest, max_ops: usize) -> Result<()> {
    let longest = request.compare.len().max(request.success.len()).max(request.failure.len());
    let left = max_ops.checked_sub(longest).ok_or(ServerError::TooManyOps)?;
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(ServerError::EmptyKey);
    }
    for operation in request.success.iter().chain(&request.failure) {
        match &operation.request {
            Some(Request::Range(range)) => check_range(range)?,
            Some(Request::Put(put)) => check_put(put)?,
            Some(Request::DeleteRange(delete)) => check_delete(delete)?,
            Some(Request::Txn(inner)) => check_operations(inner, left)?,
            None => return Err(ServerError::KeyNotFound),
        }
    }
    Ok(())
}
