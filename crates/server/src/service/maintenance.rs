//! Care of the member.

use etcdkit_proto::etcdserverpb::DefragmentResponse;

use crate::caller::Caller;
use crate::node::Node;
use crate::status::Result;

/// There is nothing to gather: segments are written anew as they lose records. A storage on disk reuses its pages.
pub(super) async fn defragment(node: &Node, caller: &Caller) -> Result<DefragmentResponse> {
    node.read_as(caller, |state, who| Ok(state.auth.check_root(who)?)).await?;
    Ok(DefragmentResponse::default())
}
