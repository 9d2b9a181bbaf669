//! Locks that the server waits for.

use std::sync::Arc;

use bytes::Bytes;
use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::RangeRequest;
use etcdkit_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};

use super::session;
use crate::caller::Caller;
use crate::node::Node;
use crate::status::Result;

pub(super) async fn lock(
    node: &Arc<Node>,
    caller: &Caller,
    request: LockRequest,
) -> Result<LockResponse> {
    let place = session::join(node, caller, &request.name, request.lease, Bytes::new()).await?;
    let owner = session::read(node, caller, &session::first(&request.name, None))?;
    if owner.kvs.first().is_none_or(|owner| owner.create_revision == place.created) {
        return Ok(LockResponse { header: place.response.header, key: place.key });
    }
    session::wait(node, caller, &request.name, &place).await?;
    let own = RangeRequest { key: place.key.clone(), ..RangeRequest::default() };
    let own = session::read(node, caller, &own)?;
    if own.kvs.is_empty() {
        return Err(ServerError::MutexSessionExpired.into());
    }
    Ok(LockResponse { header: own.header, key: place.key })
}

pub(super) async fn unlock(
    node: &Node,
    caller: &Caller,
    request: UnlockRequest,
) -> Result<UnlockResponse> {
    let deleted = session::delete(node, caller, request.key).await?;
    Ok(UnlockResponse { header: deleted.header })
}
