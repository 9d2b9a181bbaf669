//! Care of the member.

use std::sync::atomic::Ordering;

use etcdkit_proto::etcdserverpb::{DefragmentResponse, StatusResponse};

use crate::caller::Caller;
use crate::node::Node;
use crate::status::Result;

/// What there is to know, with the size that is on disk if there is one.
pub(super) async fn status(node: &Node, caller: &Caller) -> Result<StatusResponse> {
    let mut status = node.read_as(caller, |state, who| state.status(who)).await?;
    if node.is_durable() {
        let size = node.commits().size.load(Ordering::Relaxed);
        status.db_size = i64::try_from(size).unwrap_or(i64::MAX);
        status.db_size_in_use = status.db_size_in_use.min(status.db_size);
    }
    Ok(status)
}

/// In memory there is nothing to gather: segments are written anew as they lose records.
pub(super) async fn defragment(node: &Node, caller: &Caller) -> Result<DefragmentResponse> {
    node.read_as(caller, |state, who| Ok(state.auth.check_root(who)?)).await?;
    if node.is_durable() {
        node.commits().defragment().await?;
    }
    Ok(DefragmentResponse::default())
}
