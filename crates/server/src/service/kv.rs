//! Keys.

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, TxnRequest, TxnResponse,
};

use crate::apply::{check_put, check_txn, is_read_only};
use crate::caller::Caller;
use crate::grpc::{PREFIX, seal};
use crate::node::Node;
use crate::status::Result;

/// What etcd wraps around a request before it measures it.
const WRAPPING: usize = 20;

/// Reads a range. The answer is copied from where the keys lie.
pub(super) fn range(node: &Node, caller: &Caller, request: &RangeRequest) -> Result<Vec<u8>> {
    let state = node.state();
    let who = state.who(caller, node.now())?;
    let found = state.range(who.as_ref(), request)?;
    let mut out = vec![0; PREFIX];
    found.encode(&state.header(state.published()), &mut out);
    seal(&mut out, 0);
    Ok(out)
}

pub(super) async fn put(
    node: &Node,
    caller: &Caller,
    request: &PutRequest,
    size: usize,
) -> Result<PutResponse> {
    check_put(request)?;
    fits(node, size)?;
    node.write_as(caller, |state, who| state.put(who, request)).await
}

pub(super) async fn delete_range(
    node: &Node,
    caller: &Caller,
    request: &DeleteRangeRequest,
) -> Result<DeleteRangeResponse> {
    node.write_as(caller, |state, who| state.delete_range(who, request)).await
}

pub(super) async fn txn(
    node: &Node,
    caller: &Caller,
    request: &TxnRequest,
    size: usize,
) -> Result<TxnResponse> {
    if is_read_only(request) {
        let state = node.state();
        let who = state.who(caller, node.now())?;
        return state.read_txn(who.as_ref(), request);
    }
    check_txn(request, node.config.max_txn_ops)?;
    fits(node, size)?;
    node.write_as(caller, |state, who| state.txn(who, request)).await
}

pub(super) async fn compact(
    node: &Node,
    caller: &Caller,
    request: &CompactionRequest,
) -> Result<CompactionResponse> {
    let response = node.write_as(caller, |state, who| state.compact(who, request)).await?;
    node.compacted.notify_one();
    if request.physical {
        let mut removed = node.removed.subscribe();
        // The sender lives as long as the node.
        let _ = removed.wait_for(|removed| *removed >= request.revision).await;
    }
    Ok(response)
}

fn fits(node: &Node, size: usize) -> Result<(), ServerError> {
    if size + WRAPPING > node.config.max_request_bytes {
        return Err(ServerError::RequestTooLarge);
    }
    Ok(())
}
