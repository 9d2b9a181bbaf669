//! A range in pieces, all at one revision.

use etcdkit_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdkit_proto::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse};
use etcdkit_proto::{Code, ServerError};

use crate::apply::{Ranged, has_filters};
use crate::caller::Caller;
use crate::grpc::Outbound;
use crate::node::Node;
use crate::status::{Result, Status};

/// Keys of the first piece.
const FIRST: i64 = 10;

/// Sends the pieces. Header, `more` and `count` come with the last one.
pub(super) async fn range_stream(
    node: &Node,
    caller: &Caller,
    request: RangeRequest,
    outbound: &mut Outbound,
) -> Result<()> {
    let by_key =
        request.sort_target() == SortTarget::Key && request.sort_order() != SortOrder::Descend;
    if has_filters(&request) || !by_key {
        let text = "RangeStream only supports ascending keys without filters";
        return Err(Status::new(Code::Unimplemented, text));
    }
    if !request.serializable && !node.faults.has_leader() {
        return Err(ServerError::NoLeader.into());
    }
    let range = request.range();
    let mut rest = request.clone();
    let mut at_once = FIRST;
    let mut left = if request.limit > 0 { request.limit } else { i64::MAX };
    let mut total = None;
    loop {
        let (response, bytes, last_key) = {
            let state = node.state();
            let who = state.who(caller, node.now())?;
            if rest.revision <= 0 {
                rest.revision = state.published();
            }
            rest.limit = at_once.min(left);
            let found = state.range(who.as_ref(), &rest)?;
            let last_key = found.last_key().map(|key| range.after(key).start().clone());
            total.get_or_insert_with(|| found.count());
            left -= i64::try_from(found.len()).unwrap_or(i64::MAX);
            let mut response = found.response(state.header(state.published()));
            let done = !response.more || left <= 0 || last_key.is_none();
            if done {
                response.count = total.unwrap_or_default();
            } else {
                response = RangeResponse { kvs: response.kvs, ..RangeResponse::default() };
            }
            (response, found.bytes(), last_key.filter(|_| !done))
        };
        let piece = RangeStreamResponse { range_response: Some(response) };
        outbound.send(&piece).await?;
        let Some(next) = last_key else { return Ok(()) };
        if range.is_single() {
            return Ok(());
        }
        rest.key = next;
        // Pieces grow and shrink towards the size of the largest request.
        let target = node.config.max_request_bytes;
        if bytes * 2 <= target {
            at_once *= 2;
        } else if bytes > target {
            at_once = (at_once / 2).max(1);
        }
    }
}
