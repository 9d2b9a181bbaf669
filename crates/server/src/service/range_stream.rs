//! A range in pieces, all at one revision.

use etcdkit_proto::etcdserverpb::RangeRequest;
use etcdkit_proto::{Code, ServerError};
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::apply::{Pieces, check_range, in_order_of_keys};
use crate::caller::Caller;
use crate::grpc::{Outbound, PREFIX, seal};
use crate::node::Node;
use crate::status::{Result, Status};

/// The number of the field that holds the answer.
const RANGE_RESPONSE: u32 = 1;

/// Keys of the first piece.
const FIRST: usize = 10;

/// Sends the pieces. Header, `more` and `count` come with the last one.
pub(super) async fn range_stream(
    node: &Node,
    caller: &Caller,
    mut request: RangeRequest,
    outbound: &mut Outbound,
) -> Result<()> {
    check_range(&request)?;
    if !in_order_of_keys(&request) {
        let text = "RangeStream only supports ascending keys without filters";
        return Err(Status::new(Code::Unimplemented, text));
    }
    if !request.serializable && !node.faults.has_leader() {
        return Err(ServerError::NoLeader.into());
    }
    // Pieces grow and shrink towards the size of the largest request.
    let target = node.config.max_request_bytes;
    let mut keys = FIRST;
    let mut pieces = None;
    let mut out = Vec::new();
    loop {
        outbound.room().await;
        let next = {
            let state = node.state();
            let who = state.who(caller, node.now())?;
            if request.revision <= 0 {
                request.revision = state.published();
            }
            let revision = state.range_at(who.as_ref(), &request)?;
            let pieces = pieces.get_or_insert_with(|| Pieces::of(&request, revision));
            let next = if pieces.has_all() {
                if pieces.add_count(&state.store) { Next::Counting } else { Next::Nothing }
            } else {
                let piece = pieces.add_records(&state.store, keys, usize::MAX, &mut out);
                if piece.bytes * 2 <= target {
                    keys = keys.saturating_mul(2);
                } else if piece.bytes > target {
                    keys = (keys / 2).max(1);
                }
                match piece.is_full {
                    true if pieces.has_all() => Next::Counting,
                    true => Next::Keys,
                    false => Next::Nothing,
                }
            };
            if let Next::Nothing = next {
                Pieces::begin(state.header(state.published()), &mut out);
                pieces.end(&mut out);
            }
            next
        };
        match next {
            Next::Keys => outbound.send_framed(piece(std::mem::take(&mut out))).await?,
            Next::Counting => tokio::task::yield_now().await,
            Next::Nothing => {
                node.observed.read(1);
                return outbound.send_framed(piece(out)).await;
            }
        }
    }
}

/// What may follow a piece.
enum Next {
    Keys,
    /// Only keys that count.
    Counting,
    Nothing,
}

/// An encoded answer as a piece.
fn piece(answer: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX + answer.len() + 8);
    out.resize(PREFIX, 0);
    encode_key(RANGE_RESPONSE, WireType::LengthDelimited, &mut out);
    encode_varint(answer.len() as u64, &mut out);
    out.extend_from_slice(&answer);
    seal(&mut out, 0);
    out
}
