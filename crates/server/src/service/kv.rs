//! Keys.

use std::mem;
use std::sync::Arc;

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest,
};
use prost::Message;

use crate::apply::{Answer, Reads, check_delete, check_put, check_range, check_txn, is_read_only};
use crate::auth::Who;
use crate::budget::Hold;
use crate::caller::Caller;
use crate::grpc::{PREFIX, framed, seal};
use crate::mvcc::Store;
use crate::node::Node;
use crate::snapshot::Whole;
use crate::state::State;
use crate::status::{Result, Status};
use crate::task;

/// Bytes of an answer that is being made from which on the next ones get a place of their own.
const PIECE: usize = 256 * 1024;

/// What etcd wraps around a request before it measures it.
const WRAPPING: usize = 20;

/// An answer that is made a piece at a time: who writes does not wait for all of it.
trait Making: Send + Sized + 'static {
    /// Adds the next keys. Returns whether there may be others.
    fn add(&mut self, store: &Store) -> bool;

    /// Bytes of what is there.
    fn held(&self) -> usize;

    /// Whether ending it takes long, if there are many keys.
    fn is_gathered(&self) -> bool;

    /// How many reads it is.
    fn reads(&self) -> u64;

    /// Ends it. It begins with the prefix of gRPC.
    fn end(self) -> Vec<u8>;
}

/// Makes an answer. A long one waits for its turn, and is held from its beginning on.
async fn made<M: Making>(
    node: &Arc<Node>,
    hold: &mut Hold,
    begin: impl Fn(&State) -> Result<M>,
) -> Result<Vec<u8>> {
    let begin = || {
        let state = node.state();
        let mut making = begin(&state)?;
        let more = making.add(&state.store);
        // Nothing of what is to be read goes meanwhile.
        Ok::<_, Status>((making, more.then(|| Whole::keep(&state, node))))
    };
    let (making, whole) = begin()?;
    if whole.is_none() {
        node.observed.read(making.reads());
        return Ok(making.end());
    }
    // While it is the turn of others nothing of it is kept.
    drop((making, whole));
    let budget = hold.budget();
    let turn = budget.turn().await;
    let (mut making, whole) = begin()?;
    while whole.is_some() {
        hold.grow(making.held())?;
        tokio::task::yield_now().await;
        if !making.add(&node.state().store) {
            break;
        }
    }
    drop((whole, turn));
    node.observed.read(making.reads());
    // Other calls of the connection go on while many keys are sorted.
    let out = if making.is_gathered() {
        task::blocking(move || making.end()).await?
    } else {
        making.end()
    };
    hold.grow(out.len())?;
    Ok(out)
}

/// The answer to a range, copied from where the keys lie.
struct Range {
    answer: Answer,
    /// Pieces that are long enough. One that grew with all of them would leave holes in memory that nothing fits into.
    full: Vec<Vec<u8>>,
    /// Bytes of those.
    bytes: usize,
    out: Vec<u8>,
}

impl Making for Range {
    fn add(&mut self, store: &Store) -> bool {
        let more = self.answer.add(store, &mut self.out);
        if more && self.out.len() >= PIECE {
            self.bytes += self.out.len();
            // Mostly the last key goes a little beyond.
            let next = Vec::with_capacity(PIECE + PIECE / 4);
            self.full.push(mem::replace(&mut self.out, next));
        }
        more
    }

    fn held(&self) -> usize {
        self.bytes + self.out.len() + self.answer.held()
    }

    fn is_gathered(&self) -> bool {
        self.answer.is_gathered()
    }

    fn reads(&self) -> u64 {
        1
    }

    fn end(mut self) -> Vec<u8> {
        self.answer.end(&mut self.out);
        let mut out = self.out;
        if !self.full.is_empty() {
            let mut whole = Vec::with_capacity(self.bytes + out.len());
            for piece in self.full {
                whole.extend_from_slice(&piece);
            }
            whole.append(&mut out);
            out = whole;
        }
        seal(&mut out, 0);
        out
    }
}

impl Making for Reads {
    fn add(&mut self, store: &Store) -> bool {
        self.add(store)
    }

    fn held(&self) -> usize {
        self.held()
    }

    fn is_gathered(&self) -> bool {
        self.is_gathered()
    }

    fn reads(&self) -> u64 {
        self.ranges()
    }

    fn end(self) -> Vec<u8> {
        let mut out = vec![0; PREFIX];
        self.end(&mut out);
        seal(&mut out, 0);
        out
    }
}

/// Reads a range.
pub(super) async fn range(
    node: &Arc<Node>,
    caller: &Caller,
    request: &RangeRequest,
    hold: &mut Hold,
) -> Result<Vec<u8>> {
    check_range(request)?;
    let begin = |state: &State| {
        let who = state.who(caller, node.now())?;
        let revision = state.range_at(who.as_ref(), request)?;
        let header = state.header(state.published());
        let mut out = vec![0; PREFIX];
        let answer = Answer::begin(header, request, revision, &mut out);
        Ok(Range { answer, full: Vec::new(), bytes: 0, out })
    };
    made(node, hold, begin).await
}

/// Runs a transaction. One of reads alone is made a piece at a time, as a range.
pub(super) async fn txn(
    node: &Arc<Node>,
    caller: &Caller,
    request: &TxnRequest,
    size: usize,
    hold: &mut Hold,
) -> Result<Vec<u8>> {
    check_txn(request, node.config.max_txn_ops)?;
    if !is_read_only(request) {
        fits(node, size)?;
        return write(node, caller, hold, |state, who| state.txn(who, request)).await;
    }
    let begin = |state: &State| {
        let who = state.who(caller, node.now())?;
        state.read_txn(who.as_ref(), request)
    };
    made(node, hold, begin).await
}

/// Applies a request under the lock: others see all that it did or nothing of it. What it answers cannot be refused any more, and
/// is held while it waits to be durable.
async fn write<M: Message>(
    node: &Node,
    caller: &Caller,
    hold: &mut Hold,
    apply: impl FnOnce(&mut State, Option<&Who>) -> Result<M>,
) -> Result<Vec<u8>> {
    hold.may_grow()?;
    let applied = node.write_as(caller, |state, who| {
        let response = apply(state, who)?;
        if node.is_durable() {
            hold.keep(response.encoded_len());
        }
        Ok(response)
    });
    applied.await.map(|response| framed(&response))
}

pub(super) async fn put(
    node: &Node,
    caller: &Caller,
    request: &PutRequest,
    size: usize,
    hold: &mut Hold,
) -> Result<Vec<u8>> {
    check_put(request)?;
    fits(node, size)?;
    write(node, caller, hold, |state, who| state.put(who, request)).await
}

pub(super) async fn delete_range(
    node: &Node,
    caller: &Caller,
    request: &DeleteRangeRequest,
    hold: &mut Hold,
) -> Result<Vec<u8>> {
    check_delete(request)?;
    write(node, caller, hold, |state, who| state.delete_range(who, request)).await
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
