//! Keys.

use std::sync::Arc;

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, TxnRequest, TxnResponse,
};

use crate::apply::{Answer, check_delete, check_put, check_range, check_txn, is_read_only};
use crate::caller::Caller;
use crate::grpc::{PREFIX, framed, seal};
use crate::node::Node;
use crate::snapshot::Whole;
use crate::status::Result;
use crate::task;

/// What etcd wraps around a request before it measures it.
const WRAPPING: usize = 20;

/// Reads a range. The answer is copied from where the keys lie, a piece at a time: who writes does not wait for all of it.
pub(super) async fn range(
    node: &Arc<Node>,
    caller: &Caller,
    request: &RangeRequest,
) -> Result<Vec<u8>> {
    check_range(request)?;
    let mut out = vec![0; PREFIX];
    let (mut answer, whole) = {
        let state = node.state();
        let who = state.who(caller, node.now())?;
        let revision = state.range_at(who.as_ref(), request)?;
        let header = state.header(state.published());
        let mut answer = Answer::begin(header, request, revision, &mut out);
        let more = answer.add(&state.store, &mut out);
        // Nothing of what is to be read goes meanwhile.
        (answer, more.then(|| Whole::keep(&state, node)))
    };
    let is_long = whole.is_some() && answer.is_gathered();
    if whole.is_some() {
        loop {
            tokio::task::yield_now().await;
            if !answer.add(&node.state().store, &mut out) {
                break;
            }
        }
    }
    drop(whole);
    node.observed.read(1);
    let end = move || {
        answer.end(&mut out);
        seal(&mut out, 0);
        out
    };
    // Other calls of the connection go on while many keys are sorted.
    if is_long { task::blocking(end).await } else { Ok(end()) }
}

/// Runs a transaction. One of reads alone is made a piece at a time, as a range.
pub(super) async fn txn(
    node: &Arc<Node>,
    caller: &Caller,
    request: &TxnRequest,
    size: usize,
) -> Result<Vec<u8>> {
    if !is_read_only(request) {
        return write_txn(node, caller, request, size).await.map(|response| framed(&response));
    }
    check_txn(request, node.config.max_txn_ops)?;
    let (mut reads, whole) = {
        let state = node.state();
        let who = state.who(caller, node.now())?;
        let mut reads = state.read_txn(who.as_ref(), request)?;
        let more = reads.add(&state.store);
        (reads, more.then(|| Whole::keep(&state, node)))
    };
    let is_long = whole.is_some() && reads.is_gathered();
    if whole.is_some() {
        loop {
            tokio::task::yield_now().await;
            if !reads.add(&node.state().store) {
                break;
            }
        }
    }
    drop(whole);
    node.observed.read(reads.ranges());
    let end = move || {
        let mut out = vec![0; PREFIX];
        reads.end(&mut out);
        seal(&mut out, 0);
        out
    };
    if is_long { task::blocking(end).await } else { Ok(end()) }
}

/// Runs a transaction that may change something, all of it under the lock: others see what it did or nothing of it.
pub(super) async fn write_txn(
    node: &Node,
    caller: &Caller,
    request: &TxnRequest,
    size: usize,
) -> Result<TxnResponse> {
    check_txn(request, node.config.max_txn_ops)?;
    fits(node, size)?;
    node.write_as(caller, |state, who| state.txn(who, request)).await
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
    check_delete(request)?;
    node.write_as(caller, |state, who| state.delete_range(who, request)).await
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
