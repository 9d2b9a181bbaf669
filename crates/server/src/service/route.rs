//! From a path to the function that serves it. The table in `proto` gives the types.

use std::sync::Arc;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{MemberAddRequest, MemberAddResponse};
use etcdkit_proto::grpc_health_v1::{HealthCheckResponse, health_check_response::ServingStatus};
use etcdkit_proto::method::{
    self, Method, cluster, election as elections, health, kv as keys, lease as leases,
    lock as locks, maintenance as care, watch as watches,
};
use etcdkit_proto::{Code, ServerError};
use prost::Message;

use super::{
    auth, election, kv, lease, lock, maintenance, range_stream, reflection, snapshot, watch,
};
use crate::apply::{check_peer_urls, is_serializable};
use crate::budget::Hold;
use crate::caller::Caller;
use crate::clock::time_of_day;
use crate::grpc::{Inbound, Outbound, decode, framed};
use crate::node::Node;
use crate::status::{Result, Status};

/// Decodes the request of a method.
fn request<Q: Message + Default, A>(_: Method<Q, A>, message: Bytes) -> Result<Q> {
    decode(message)
}

/// Encodes the answer of a method, with the prefix of gRPC.
fn answer<Q, A: Message>(_: Method<Q, A>, response: &A) -> Vec<u8> {
    framed(response)
}

macro_rules! serve {
    ($path:ident, $message:ident; $($method:expr => |$request:pat_param| $work:expr;)*) => {
        $(
            if $path == $method.path() {
                let $request = request($method, $message)?;
                return Ok(answer($method, &$work));
            }
        )*
    };
}

/// Serves a call with one request and one answer, which comes with the prefix of gRPC. A large one is held as it is made.
///
/// Dropping the future does not undo what was applied.
pub(crate) async fn unary(
    node: &Arc<Node>,
    path: &str,
    caller: &Caller,
    message: Bytes,
    hold: &mut Hold,
) -> Result<Vec<u8>> {
    node.while_intact(answered(node, path, caller, message, hold)).await
}

async fn answered(
    node: &Arc<Node>,
    path: &str,
    caller: &Caller,
    message: Bytes,
    hold: &mut Hold,
) -> Result<Vec<u8>> {
    if !node.faults.has_leader() && (caller.needs_leader || !is_local(path, &message)?) {
        return Err(ServerError::NoLeader.into());
    }
    let size = message.len();
    if path == keys::RANGE.path() {
        return kv::range(node, caller, &request(keys::RANGE, message)?, hold).await;
    }
    if path == keys::TXN.path() {
        return kv::txn(node, caller, &request(keys::TXN, message)?, size, hold).await;
    }
    if path == keys::PUT.path() {
        return kv::put(node, caller, &request(keys::PUT, message)?, size, hold).await;
    }
    if path == keys::DELETE_RANGE.path() {
        return kv::delete_range(node, caller, &request(keys::DELETE_RANGE, message)?, hold).await;
    }
    serve! { path, message;
        keys::COMPACT => |compact| kv::compact(node, caller, &compact).await?;
        leases::GRANT => |grant| lease::grant(node, caller, &grant).await?;
        leases::REVOKE => |revoke| lease::revoke(node, caller, &revoke).await?;
        leases::TIME_TO_LIVE => |asked| lease::time_to_live(node, caller, &asked).await?;
        leases::LEASES => |_| lease::leases(node, caller).await?;
        locks::LOCK => |lock| lock::lock(node, caller, lock).await.map_err(Status::unknown)?;
        locks::UNLOCK => |unlock| lock::unlock(node, caller, unlock).await.map_err(Status::unknown)?;
        elections::CAMPAIGN => |campaign| election::campaign(node, caller, campaign).await.map_err(Status::unknown)?;
        elections::PROCLAIM => |proclaim| election::proclaim(node, caller, proclaim).await.map_err(Status::unknown)?;
        elections::LEADER => |leader| election::leader(node, caller, &leader).map_err(Status::unknown)?;
        elections::RESIGN => |resign| election::resign(node, caller, resign).await.map_err(Status::unknown)?;
        cluster::MEMBER_LIST => |_| node.read_as(caller, |state, who| state.member_list(who)).await?;
        cluster::MEMBER_ADD => |add| member_add(node, caller, &add).await?;
        cluster::MEMBER_REMOVE => |remove| node.write_as(caller, |state, who| state.member_remove(who, &remove)).await?;
        cluster::MEMBER_UPDATE => |update| node.write_as(caller, |state, who| state.member_update(who, &update)).await?;
        cluster::MEMBER_PROMOTE => |promote| node.write_as(caller, |state, who| state.member_promote(who, &promote)).await?;
        care::ALARM => |alarm| node.write_as(caller, |state, who| state.alarm(who, &alarm)).await?;
        care::STATUS => |_| maintenance::status(node, caller).await?;
        care::HASH => |_| maintenance::hash(node, caller).await?;
        care::HASH_KV => |hash| maintenance::hash_kv(node, caller, &hash).await?;
        care::DEFRAGMENT => |_| maintenance::defragment(node, caller).await?;
        care::MOVE_LEADER => |to| node.read_as(caller, |state, who| state.move_leader(who, &to)).await?;
        care::DOWNGRADE => |to| node.write_as(caller, |state, who| state.downgrade(who, &to)).await?;
        method::auth::ENABLE => |_| node.write_as(caller, |state, who| state.auth_enable(who)).await?;
        method::auth::DISABLE => |_| node.write_as(caller, |state, who| state.auth_disable(who)).await?;
        method::auth::STATUS => |_| node.read_as(caller, |state, _| Ok(state.auth_status())).await?;
        method::auth::AUTHENTICATE => |login| auth::authenticate(node, login).await?;
        method::auth::USER_ADD => |add| auth::user_add(node, caller, add).await?;
        method::auth::USER_GET => |get| node.read_as(caller, |state, who| state.user_get(who, &get)).await?;
        method::auth::USER_LIST => |_| node.read_as(caller, |state, who| state.user_list(who)).await?;
        method::auth::USER_DELETE => |delete| node.write_as(caller, |state, who| state.user_delete(who, &delete)).await?;
        method::auth::USER_CHANGE_PASSWORD => |change| auth::change_password(node, caller, change).await?;
        method::auth::USER_GRANT_ROLE => |grant| node.write_as(caller, |state, who| state.user_grant_role(who, &grant)).await?;
        method::auth::USER_REVOKE_ROLE => |revoke| node.write_as(caller, |state, who| state.user_revoke_role(who, &revoke)).await?;
        method::auth::ROLE_ADD => |add| node.write_as(caller, |state, who| state.role_add(who, &add)).await?;
        method::auth::ROLE_GET => |get| node.read_as(caller, |state, who| state.role_get(who, &get)).await?;
        method::auth::ROLE_LIST => |_| node.read_as(caller, |state, who| state.role_list(who)).await?;
        method::auth::ROLE_DELETE => |delete| node.write_as(caller, |state, who| state.role_delete(who, &delete)).await?;
        method::auth::ROLE_GRANT_PERMISSION => |grant| node.write_as(caller, |state, who| state.role_grant_permission(who, &grant.name, grant.perm)).await?;
        method::auth::ROLE_REVOKE_PERMISSION => |revoke| node.write_as(caller, |state, who| state.role_revoke_permission(who, &revoke)).await?;
        health::CHECK => |check| healthy(&check.service)?;
    }
    Err(unknown(path))
}

/// What is wrong with the request is said before who asks for it.
async fn member_add(
    node: &Node,
    caller: &Caller,
    request: &MemberAddRequest,
) -> Result<MemberAddResponse> {
    check_peer_urls(&request.peer_urls)?;
    node.write_as(caller, |state, who| state.member_add(who, request, time_of_day())).await
}

/// Whether a member answers a request by itself, without asking a leader.
fn is_local(path: &str, message: &Bytes) -> Result<bool> {
    let local = [
        care::STATUS.path(),
        care::HASH.path(),
        care::HASH_KV.path(),
        care::DEFRAGMENT.path(),
        health::CHECK.path(),
    ];
    if path == keys::RANGE.path() {
        return Ok(request(keys::RANGE, message.clone())?.serializable);
    }
    if path == keys::TXN.path() {
        return Ok(is_serializable(&request(keys::TXN, message.clone())?));
    }
    if path == cluster::MEMBER_LIST.path() {
        return Ok(!request(cluster::MEMBER_LIST, message.clone())?.linearizable);
    }
    Ok(local.contains(&path))
}

/// Serves a call in which either side streams.
pub(crate) async fn stream(
    node: &Arc<Node>,
    path: &str,
    caller: &Caller,
    inbound: &mut Inbound,
    outbound: &mut Outbound,
) -> Result<()> {
    node.while_intact(streamed(node, path, caller, inbound, outbound)).await
}

async fn streamed(
    node: &Arc<Node>,
    path: &str,
    caller: &Caller,
    inbound: &mut Inbound,
    outbound: &mut Outbound,
) -> Result<()> {
    if caller.needs_leader && !node.faults.has_leader() {
        return Err(ServerError::NoLeader.into());
    }
    if path == watches::WATCH.path() {
        return watch::watch(node, caller, inbound, outbound).await;
    }
    if path == leases::KEEP_ALIVE.path() {
        return lease::keep_alive(node, caller, inbound, outbound).await;
    }
    if [method::reflection::INFO.path(), method::reflection_v1alpha::INFO.path()].contains(&path) {
        return reflection::info(inbound, outbound).await;
    }
    let message = inbound.only().await?;
    if path == keys::RANGE_STREAM.path() {
        let range = request(keys::RANGE_STREAM, message)?;
        return range_stream::range_stream(node, caller, range, outbound).await;
    }
    if path == care::SNAPSHOT.path() {
        return snapshot::snapshot(node, caller, outbound).await;
    }
    if path == elections::OBSERVE.path() {
        let observed = request(elections::OBSERVE, message)?;
        let outcome = election::observe(node, caller, &observed, outbound).await;
        return outcome.map_err(Status::unknown);
    }
    if path == health::WATCH.path() {
        let check = request(health::WATCH, message)?;
        outbound.send(&healthy(&check.service)?).await?;
        outbound.given_up().await;
        return Ok(());
    }
    Err(unknown(path))
}

fn healthy(service: &str) -> Result<HealthCheckResponse> {
    if !service.is_empty() {
        return Err(Status::new(Code::NotFound, "unknown service"));
    }
    let mut response = HealthCheckResponse::default();
    response.set_status(ServingStatus::Serving);
    Ok(response)
}

fn unknown(path: &str) -> Status {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    let known = method::ALL.iter().any(|info| info.service == service);
    let text = if known {
        format!("unknown method {method} for service {service}")
    } else {
        format!("unknown service {service}")
    };
    Status::new(Code::Unimplemented, text)
}
