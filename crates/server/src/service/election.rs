//! Elections that the server waits for.

use std::sync::Arc;

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::{DeleteRangeRequest, PutRequest};
use etcdkit_proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};

use super::session::{self, Events};
use crate::caller::Caller;
use crate::grpc::Outbound;
use crate::mvcc::KeyRange;
use crate::node::Node;
use crate::status::Result;

pub(super) async fn campaign(
    node: &Arc<Node>,
    caller: &Caller,
    request: CampaignRequest,
) -> Result<CampaignResponse> {
    let CampaignRequest { name, lease, value } = request;
    let place = session::join(node, caller, &name, lease, value.clone()).await?;
    let leader = LeaderKey {
        name: name.clone(),
        key: place.key.clone(),
        rev: place.created,
        lease: place.lease,
    };
    // Who campaigns again with another value proclaims it.
    if place.before.as_ref().is_some_and(|before| before.value != value) {
        let proclaim = ProclaimRequest { leader: Some(leader.clone()), value };
        proclaim_as(node, caller, proclaim).await?;
    }
    session::wait(node, caller, &name, &place).await?;
    // etcd tells where the store was when the candidate came, however long it waited.
    Ok(CampaignResponse { header: place.response.header, leader: Some(leader) })
}

pub(super) async fn proclaim(
    node: &Node,
    caller: &Caller,
    request: ProclaimRequest,
) -> Result<ProclaimResponse> {
    proclaim_as(node, caller, request).await
}

async fn proclaim_as(
    node: &Node,
    caller: &Caller,
    request: ProclaimRequest,
) -> Result<ProclaimResponse> {
    let leader = request.leader.ok_or(ServerError::LeaderFieldMissing)?;
    let put = PutRequest {
        key: leader.key.clone(),
        value: request.value,
        lease: leader.lease,
        ..PutRequest::default()
    };
    let done =
        session::if_created_at(node, caller, &leader.key, leader.rev, Request::Put(put)).await?;
    if !done.succeeded {
        return Err(ServerError::ElectionNotLeader.into());
    }
    Ok(ProclaimResponse { header: done.header })
}

pub(super) fn leader(
    node: &Node,
    caller: &Caller,
    request: &LeaderRequest,
) -> Result<LeaderResponse> {
    let found = session::read(node, caller, &session::first(&request.name, None))?;
    let kv = found.kvs.into_iter().next().ok_or(ServerError::ElectionNoLeader)?;
    Ok(LeaderResponse { header: found.header, kv: Some(kv) })
}

pub(super) async fn resign(
    node: &Node,
    caller: &Caller,
    request: ResignRequest,
) -> Result<ResignResponse> {
    let leader = request.leader.ok_or(ServerError::LeaderFieldMissing)?;
    let delete = DeleteRangeRequest { key: leader.key.clone(), ..DeleteRangeRequest::default() };
    let delete = Request::DeleteRange(delete);
    let done = session::if_created_at(node, caller, &leader.key, leader.rev, delete).await?;
    Ok(ResignResponse { header: done.header })
}

/// Sends the leader, and again whenever it or its value has changed. Values between two that are sent may be left out.
pub(super) async fn observe(
    node: &Arc<Node>,
    caller: &Caller,
    request: &LeaderRequest,
    outbound: &mut Outbound,
) -> Result<()> {
    outbound.open()?;
    let range = KeyRange::prefix(&session::prefix(&request.name));
    let mut events = Events::of(node, caller, range, 0)?;
    let mut told = 0;
    loop {
        let found = session::read(node, caller, &session::first(&request.name, None))?;
        if let Some(kv) = found.kvs.into_iter().next().filter(|kv| kv.mod_revision != told) {
            told = kv.mod_revision;
            outbound.send(&LeaderResponse { header: found.header, kv: Some(kv) }).await?;
        }
        if outbound.until_given_up(events.next()).await.transpose()?.is_none() {
            return Ok(());
        }
    }
}
