//! Keys.

use std::sync::Arc;

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, TxnRequest, TxnResponse,
};

use crate::apply::{Pieces, Selection, check_put, check_txn, is_read_only};
use crate::caller::Caller;
use crate::grpc::{PREFIX, seal};
use crate::node::Node;
use crate::snapshot::Whole;
use crate::status::Result;

/// What etcd wraps around a request before it measures it.
const WRAPPING: usize = 20;

/// Reads a range. The answer is copied from where the keys lie, a piece at a time: who writes does not wait for all of it.
///
/// Keys in another order, and some of them by their revisions, are found under one lock.
pub(super) async fn range(
    node: &Arc<Node>,
    caller: &Caller,
    request: &RangeRequest,
) -> Result<Vec<u8>> {
    let mut out = vec![0; PREFIX];
    let (mut pieces, whole) = {
        let state = node.state();
        let who = state.who(caller, node.now())?;
        let revision = state.range_at(who.as_ref(), request)?;
        let header = state.header(state.published());
        let Some(mut pieces) = Pieces::of(request, revision) else {
            Selection::find(&state.store, request, revision).encode(header, &mut out);
            seal(&mut out, 0);
            return Ok(out);
        };
        Pieces::begin(header, &mut out);
        let more = pieces.add(&state.store, &mut out);
        // Nothing of what is to be read goes meanwhile.
        (pieces, more.then(|| Whole::keep(&state, node)))
    };
    if whole.is_some() {
        loop {
            tokio::task::yield_now().await;
            if !pieces.add(&node.state().store, &mut out) {
                break;
            }
        }
    }
    pieces.end(request.count_only, &mut out);
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
