//! Who answers a request.

use std::net::IpAddr;
use std::sync::Arc;

use super::request::Head;
use super::response::Response;
use super::{health, metrics};
use crate::config::{CLUSTER_VERSION, STORAGE_VERSION, VERSION};
use crate::front::Offer;
use crate::node::Node;

/// Who answers a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The gateway makes a call of it, to the RPC with this path.
    Gateway(&'static str),
    /// The gateway does not.
    Refused(Response),
    /// The member, without looking at a body.
    Member,
}

/// Finds who answers, by the head alone.
pub(super) fn route(node: &Node, head: &Head, is_local: bool, offer: Offer) -> Route {
    let path = head.path.strip_prefix("/v3/").or_else(|| head.path.strip_prefix("/v3beta/"));
    match path {
        Some(path) if offer != Offer::Monitoring && node.config.gateway => {
            gateway(node, head, is_local, path)
        }
        _ => Route::Member,
    }
}

/// What the member answers.
pub(super) async fn answer(node: &Arc<Node>, head: &Head) -> Response {
    let known = ["/health", "/version", "/metrics", "/livez", "/readyz"];
    let name =
        head.path.match_indices('/').nth(1).map_or(head.path.as_str(), |(at, _)| &head.path[..at]);
    if !known.contains(&name) {
        return Response::not_found();
    }
    if head.method != "GET" {
        return Response::only_get();
    }
    let check = head.path[name.len()..].trim_start_matches('/');
    match (name, check) {
        ("/health", "") => health::health(node, head).await,
        ("/livez", _) => health::checks(node, head, &health::LIVE, check).await,
        ("/readyz", _) => health::checks(node, head, &health::READY, check).await,
        ("/version", "") => version(),
        ("/metrics", "") => Response::metrics(metrics::text(node)),
        _ => Response::not_found(),
    }
}

fn version() -> Response {
    let body = format!(
        r#"{{"etcdserver":"{VERSION}","etcdcluster":"{CLUSTER_VERSION}","storage":"{STORAGE_VERSION}"}}"#
    );
    Response::json(200, body)
}

/// Only who is on this machine and asks for it by one of its own names gets through to the gateway, and who asks by a name
/// that is allowed: a page in a browser must not, whatever name it has made point here.
fn gateway(node: &Node, head: &Head, is_local: bool, path: &str) -> Route {
    let refused = |status, code, text| {
        let body = format!(r#"{{"code":{code},"message":"{text}"}}"#);
        Route::Refused(Response::json(status, body))
    };
    let host = head.header("host").unwrap_or_default();
    if !allowed(node, is_local, host) {
        return refused(
            403,
            7,
            "the gateway is for this machine alone: allow the name in the Host header by gateway_hosts",
        );
    }
    let origin =
        head.header("origin").map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
    if origin.is_some_and(|origin| !allowed(node, is_local, origin)) {
        return refused(
            403,
            7,
            "the gateway is for this machine alone: allow the page's host by gateway_hosts",
        );
    }
    let found = ROUTES.iter().find(|(known, _)| *known == path);
    match (found, head.method.as_str()) {
        (None, _) => refused(404, 5, "Not Found"),
        (Some((_, rpc)), "POST") => Route::Gateway(rpc),
        (Some(_), _) => refused(501, 12, "Method Not Allowed"),
    }
}

fn allowed(node: &Node, is_local: bool, host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let own_name = name.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    is_local && own_name
        || node
            .config
            .gateway_hosts
            .iter()
            .any(|host| host == "*" || host.eq_ignore_ascii_case(name))
}

/// The gateway's paths, without their first segment, and the RPCs behind them.
const ROUTES: &[(&str, &str)] = &[
    ("kv/range", "/etcdserverpb.KV/Range"),
    ("kv/put", "/etcdserverpb.KV/Put"),
    ("kv/deleterange", "/etcdserverpb.KV/DeleteRange"),
    ("kv/txn", "/etcdserverpb.KV/Txn"),
    ("kv/compaction", "/etcdserverpb.KV/Compact"),
    ("watch", "/etcdserverpb.Watch/Watch"),
    ("lease/grant", "/etcdserverpb.Lease/LeaseGrant"),
    ("lease/revoke", "/etcdserverpb.Lease/LeaseRevoke"),
    ("lease/keepalive", "/etcdserverpb.Lease/LeaseKeepAlive"),
    ("lease/timetolive", "/etcdserverpb.Lease/LeaseTimeToLive"),
    ("lease/leases", "/etcdserverpb.Lease/LeaseLeases"),
    ("kv/lease/revoke", "/etcdserverpb.Lease/LeaseRevoke"),
    ("kv/lease/timetolive", "/etcdserverpb.Lease/LeaseTimeToLive"),
    ("kv/lease/leases", "/etcdserverpb.Lease/LeaseLeases"),
    ("cluster/member/add", "/etcdserverpb.Cluster/MemberAdd"),
    ("cluster/member/remove", "/etcdserverpb.Cluster/MemberRemove"),
    ("cluster/member/update", "/etcdserverpb.Cluster/MemberUpdate"),
    ("cluster/member/list", "/etcdserverpb.Cluster/MemberList"),
    ("cluster/member/promote", "/etcdserverpb.Cluster/MemberPromote"),
    ("maintenance/alarm", "/etcdserverpb.Maintenance/Alarm"),
    ("maintenance/status", "/etcdserverpb.Maintenance/Status"),
    ("maintenance/defragment", "/etcdserverpb.Maintenance/Defragment"),
    ("maintenance/hash", "/etcdserverpb.Maintenance/Hash"),
    ("maintenance/hashkv", "/etcdserverpb.Maintenance/HashKV"),
    ("maintenance/snapshot", "/etcdserverpb.Maintenance/Snapshot"),
    ("maintenance/transfer-leadership", "/etcdserverpb.Maintenance/MoveLeader"),
    ("maintenance/downgrade", "/etcdserverpb.Maintenance/Downgrade"),
    ("auth/enable", "/etcdserverpb.Auth/AuthEnable"),
    ("auth/disable", "/etcdserverpb.Auth/AuthDisable"),
    ("auth/status", "/etcdserverpb.Auth/AuthStatus"),
    ("auth/authenticate", "/etcdserverpb.Auth/Authenticate"),
    ("auth/user/add", "/etcdserverpb.Auth/UserAdd"),
    ("auth/user/get", "/etcdserverpb.Auth/UserGet"),
    ("auth/user/list", "/etcdserverpb.Auth/UserList"),
    ("auth/user/delete", "/etcdserverpb.Auth/UserDelete"),
    ("auth/user/changepw", "/etcdserverpb.Auth/UserChangePassword"),
    ("auth/user/grant", "/etcdserverpb.Auth/UserGrantRole"),
    ("auth/user/revoke", "/etcdserverpb.Auth/UserRevokeRole"),
    ("auth/role/add", "/etcdserverpb.Auth/RoleAdd"),
    ("auth/role/get", "/etcdserverpb.Auth/RoleGet"),
    ("auth/role/list", "/etcdserverpb.Auth/RoleList"),
    ("auth/role/delete", "/etcdserverpb.Auth/RoleDelete"),
    ("auth/role/grant", "/etcdserverpb.Auth/RoleGrantPermission"),
    ("auth/role/revoke", "/etcdserverpb.Auth/RoleRevokePermission"),
    ("lock/lock", "/v3lockpb.Lock/Lock"),
    ("lock/unlock", "/v3lockpb.Lock/Unlock"),
    ("election/campaign", "/v3electionpb.Election/Campaign"),
    ("election/proclaim", "/v3electionpb.Election/Proclaim"),
    ("election/leader", "/v3electionpb.Election/Leader"),
    ("election/observe", "/v3electionpb.Election/Observe"),
    ("election/resign", "/v3electionpb.Election/Resign"),
];
