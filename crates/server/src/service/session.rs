//! What locks and elections have in common: keys with a lease under a name, of which the oldest one owns it.

use std::sync::Arc;

use bytes::Bytes;
use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use etcdkit_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::response_op::Response;
use etcdkit_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest, PutRequest, RangeRequest,
    RangeResponse, RequestOp, TxnRequest, TxnResponse, WatchCreateRequest,
};
use etcdkit_proto::mvccpb::KeyValue;
use tokio::task::yield_now;

use super::lease;
use super::watch::Opened;
use crate::apply::{check_delete, check_txn};
use crate::auth::Access;
use crate::caller::Caller;
use crate::mvcc::KeyRange;
use crate::node::Node;
use crate::status::Result;
use crate::watch::{Message, NewWatch, Work};

/// Seconds of a lease that the server grants for who brings none.
const TTL: i64 = 60;

/// A key in the queue under a name.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: Bytes,
    pub(super) lease: i64,
    /// The revision that it was created at: the order of the queue.
    pub(super) created: i64,
    /// What is there already, if the lease had a place before.
    pub(super) before: Option<KeyValue>,
    pub(super) response: TxnResponse,
}

/// Takes a place, or finds the one that the lease has.
pub(super) async fn join(
    node: &Node,
    caller: &Caller,
    name: &Bytes,
    lease: i64,
    value: Bytes,
) -> Result<Place> {
    let lease = if lease == 0 {
        lease::grant(node, caller, &LeaseGrantRequest { ttl: TTL, id: 0 }).await?.id
    } else {
        lease
    };
    let key = Bytes::from([prefix(name).as_ref(), format!("{lease:x}").as_bytes()].concat());
    let put = PutRequest { key: key.clone(), value, lease, ..PutRequest::default() };
    let get = RangeRequest { key: key.clone(), ..RangeRequest::default() };
    let txn = TxnRequest {
        compare: vec![created_at(&key, 0)],
        success: vec![operation(Request::Put(put))],
        failure: vec![operation(Request::Range(get))],
    };
    let response = write(node, caller, &txn).await?;
    let revision = response.header.as_ref().map_or(0, |header| header.revision);
    let before = found(&response);
    let created = before.as_ref().map_or(revision, |kv| kv.create_revision);
    Ok(Place { key, lease, created, before, response })
}

async fn write(node: &Node, caller: &Caller, txn: &TxnRequest) -> Result<TxnResponse> {
    check_txn(txn, node.config.max_txn_ops)?;
    node.write_as(caller, |state, who| state.txn(who, txn)).await
}

fn found(response: &TxnResponse) -> Option<KeyValue> {
    match response.responses.first()?.response.as_ref()? {
        Response::Range(range) => range.kvs.first().cloned(),
        _ => None,
    }
}

pub(super) fn prefix(name: &Bytes) -> Bytes {
    [name.as_ref(), b"/"].concat().into()
}

fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn created_at(key: &Bytes, revision: i64) -> Compare {
    let mut compare = Compare {
        key: key.clone(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Compare::default()
    };
    compare.set_target(CompareTarget::Create);
    compare.set_result(CompareResult::Equal);
    compare
}

/// Does something to a key if it is still the one that was created at the revision.
pub(super) async fn if_created_at(
    node: &Node,
    caller: &Caller,
    key: &Bytes,
    revision: i64,
    then: Request,
) -> Result<TxnResponse> {
    let compare = vec![created_at(key, revision)];
    let txn = TxnRequest { compare, success: vec![operation(then)], failure: Vec::new() };
    write(node, caller, &txn).await
}

pub(super) fn read(node: &Node, caller: &Caller, request: &RangeRequest) -> Result<RangeResponse> {
    let state = node.state();
    let who = state.who(caller, node.now())?;
    let found = state.range(who.as_ref(), request)?;
    node.observed.read(1);
    Ok(found.response(state.header(state.published())))
}

/// The oldest key under a name, or the newest one up to a revision of creation.
pub(super) fn first(name: &Bytes, newest_until: Option<i64>) -> RangeRequest {
    let prefix = prefix(name);
    let mut request = RangeRequest {
        range_end: end_of(&prefix),
        key: prefix,
        limit: 1,
        max_create_revision: newest_until.unwrap_or_default(),
        ..RangeRequest::default()
    };
    request.set_sort_target(SortTarget::Create);
    let newest = newest_until.is_some();
    request.set_sort_order(if newest { SortOrder::Descend } else { SortOrder::Ascend });
    request
}

/// The end of the keys under a prefix, which ends with `/`.
fn end_of(prefix: &Bytes) -> Bytes {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

pub(super) async fn delete(
    node: &Node,
    caller: &Caller,
    key: Bytes,
) -> Result<DeleteRangeResponse> {
    let request = DeleteRangeRequest { key, ..DeleteRangeRequest::default() };
    check_delete(&request)?;
    node.write_as(caller, |state, who| state.delete_range(who, &request)).await
}

/// Waits until nobody is before a place. Whoever gives up waiting leaves the queue.
pub(super) async fn wait(
    node: &Arc<Node>,
    caller: &Caller,
    name: &Bytes,
    place: &Place,
) -> Result<()> {
    let mut leaving = Leaving { node, caller, key: Some(place.key.clone()) };
    while let Some(before) = read(node, caller, &first(name, Some(place.created - 1)))?.kvs.first()
    {
        deleted(node, caller, before).await?;
    }
    leaving.key = None;
    Ok(())
}

struct Leaving<'a> {
    node: &'a Node,
    caller: &'a Caller,
    key: Option<Bytes>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let request = DeleteRangeRequest { key, ..DeleteRangeRequest::default() };
            self.node.apply_as(self.caller, |state, who| state.delete_range(who, &request));
        }
    }
}

/// Waits until a key is deleted that was read at the present revision or before.
async fn deleted(node: &Arc<Node>, caller: &Caller, kv: &KeyValue) -> Result<()> {
    let mut events =
        Events::of(node, caller, KeyRange::single(kv.key.clone()), kv.mod_revision + 1)?;
    loop {
        // It may be gone since it was read, and the deletion compacted.
        let request = RangeRequest { key: kv.key.clone(), ..RangeRequest::default() };
        let now = read(node, caller, &request)?.kvs;
        if now.first().is_none_or(|now| now.create_revision != kv.create_revision) {
            return Ok(());
        }
        events.next().await?;
    }
}

/// A watch of the server's own: what it is told is only that something happened.
pub(super) struct Events {
    opened: Opened,
}

impl Events {
    pub(super) fn of(
        node: &Arc<Node>,
        caller: &Caller,
        range: KeyRange,
        from: i64,
    ) -> Result<Self> {
        let opened = Opened::new(node);
        let mut state = node.state_mut();
        let who = state.who(caller, node.now())?;
        state.auth.check(who.as_ref(), Access::Read, &range)?;
        let start_revision = from.max(state.store.compacted());
        let request = WatchCreateRequest { start_revision, ..WatchCreateRequest::default() };
        state.hub.create(opened.id, NewWatch { range, request });
        drop(state);
        Ok(Self { opened })
    }

    /// Waits for changes.
    pub(super) async fn next(&mut self) -> Result<()> {
        loop {
            match self.opened.outbox.next().await {
                Work::Send(messages) => {
                    let about = |message: &Message| {
                        matches!(message, Message::Events { .. } | Message::Compacted { .. })
                    };
                    if messages.iter().any(about) {
                        return Ok(());
                    }
                }
                Work::CatchUp => {
                    self.opened.catch_up();
                    yield_now().await;
                }
                Work::Closed => return Err(ServerError::Stopped.into()),
            }
        }
    }
}
