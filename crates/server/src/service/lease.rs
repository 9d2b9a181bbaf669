//! Leases.

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};

use crate::caller::Caller;
use crate::grpc::{Inbound, Outbound};
use crate::node::Node;
use crate::state::State;
use crate::status::{Result, Status};

pub(super) async fn grant(
    node: &Node,
    caller: &Caller,
    request: &LeaseGrantRequest,
) -> Result<LeaseGrantResponse> {
    let now = node.now();
    let granted = node.write_as(caller, |state, who| state.lease_grant(who, request, now)).await;
    node.leases_changed.notify_one();
    if let Ok(granted) = &granted {
        node.observed.ttls.count(granted.ttl as f64);
    }
    granted
}

pub(super) async fn revoke(
    node: &Node,
    caller: &Caller,
    request: &LeaseRevokeRequest,
) -> Result<LeaseRevokeResponse> {
    node.write_as(caller, |state, who| state.lease_revoke(who, request)).await
}

pub(super) async fn time_to_live(
    node: &Node,
    caller: &Caller,
    request: &LeaseTimeToLiveRequest,
) -> Result<LeaseTimeToLiveResponse> {
    let now = node.now();
    node.read_as(caller, |state, who| state.lease_time_to_live(who, request, now)).await
}

pub(super) async fn leases(node: &Node, caller: &Caller) -> Result<LeaseLeasesResponse> {
    node.read_as(caller, |state, who| state.lease_leases(who)).await
}

/// Answers each renewal in turn.
pub(super) async fn keep_alive(
    node: &Node,
    caller: &Caller,
    inbound: &mut Inbound,
    outbound: &mut Outbound,
) -> Result<()> {
    while let Some(request) = inbound.next::<LeaseKeepAliveRequest>().await? {
        if !node.faults.has_leader() {
            return Err(ServerError::NoLeader.into());
        }
        node.faults.running().await;
        let response = loop {
            match renew(node, caller, request.id).await {
                // What it rested on was lost to a full disk: it is as if that had not been.
                Err(lost) if lost == ServerError::NoSpace.into() => {}
                outcome => break outcome?,
            }
        };
        outbound.send(&response).await?;
    }
    Ok(())
}

/// Renews a lease. The answer comes when what it rests on is durable, which is no more than the grants and ends of leases.
pub(super) async fn renew(node: &Node, caller: &Caller, id: i64) -> Result<LeaseKeepAliveResponse> {
    // What has expired by now is not renewed, even if nobody has come round to end it.
    node.expire().await?;
    let now = node.now();
    let (renewed, rests_on, has_checkpoint) = {
        let mut state = node.state_mut();
        let who = state.who(caller, now).map_err(Status::from);
        let renewed = who.and_then(|who| state.lease_keep_alive(who.as_ref(), id, now));
        let rests_on = if renewed.is_ok() { state.leased } else { state.index };
        (renewed, rests_on, state.lessor.has_checkpoint(id))
    };
    if has_checkpoint && renewed.is_ok() {
        let forget = |state: &mut State| {
            state.forget_checkpoint(id);
            Ok(())
        };
        match node.write(forget).await {
            // A full disk keeps it, until a later renewal finds room. The lease is on that disk, and renewed.
            Err(full) if full == ServerError::NoSpace.into() => {}
            forgotten => forgotten?,
        }
    } else {
        node.durable(rests_on).await?;
    }
    renewed
}
