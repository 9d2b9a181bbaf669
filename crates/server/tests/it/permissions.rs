//! Who may ask for what: the same users ask this server and etcd 3.7.1 for everything.
#![cfg(test)]

use bytes::Bytes;
use etcdkit_proto::authpb::Permission;
use etcdkit_proto::authpb::permission::Type;
use etcdkit_proto::etcdserverpb::watch_request::RequestUnion;
use etcdkit_proto::etcdserverpb::*;
use etcdkit_proto::method::{self, Shape};
use etcdkit_server::Server;
use etcdkit_testkit::etcd::{Etcd, Version};
use prost::Message;
use tokio::net::TcpStream;

use crate::peer::{Messages, Peer, framed};

/// A lease whose keys the user `u` may write, and one whose keys it may not.
const OPEN: i64 = 7;
const CLOSED: i64 = 8;

/// Has a user `u` who may read and write what begins with a letter from `a` to before `c`, and authentication.
async fn prepare(peer: &mut Peer) {
    for id in [OPEN, CLOSED] {
        let grant = LeaseGrantRequest { id, ttl: 600 };
        peer.call(method::lease::GRANT, &grant).await.unwrap();
    }
    for (key, lease) in [("a", OPEN), ("x", CLOSED)] {
        let put = PutRequest { key: key.into(), lease, ..PutRequest::default() };
        peer.call(method::kv::PUT, &put).await.unwrap();
    }
    for (name, role) in [("root", "root"), ("u", "r")] {
        let (owned, role) = (|| name.to_owned(), role.to_owned());
        let user = AuthUserAddRequest {
            name: owned(),
            password: owned(),
            ..AuthUserAddRequest::default()
        };
        peer.call(method::auth::USER_ADD, &user).await.unwrap();
        let add = AuthRoleAddRequest { name: role.clone() };
        peer.call(method::auth::ROLE_ADD, &add).await.unwrap();
        let grant = AuthUserGrantRoleRequest { user: owned(), role };
        peer.call(method::auth::USER_GRANT_ROLE, &grant).await.unwrap();
    }
    let perm =
        Permission { perm_type: Type::ReadWrite.into(), key: "a".into(), range_end: "c".into() };
    let grant = AuthRoleGrantPermissionRequest { name: "r".to_owned(), perm: Some(perm) };
    peer.call(method::auth::ROLE_GRANT_PERMISSION, &grant).await.unwrap();
    peer.call(method::auth::ENABLE, &AuthEnableRequest {}).await.unwrap();
}

async fn log_in(peer: &mut Peer, name: &str) {
    peer.token = None;
    let login = AuthenticateRequest { name: name.to_owned(), password: name.to_owned() };
    let token = peer.call(method::auth::AUTHENTICATE, &login).await.unwrap().token;
    peer.token = Some(token);
}

async fn both() -> (Server, Etcd, [Peer; 2]) {
    let etcd = Etcd::builder(Version::V3_7).argument("--bcrypt-cost=4").start().await;
    let server = Server::builder().bcrypt_cost(4).start().await.unwrap();
    let stream = TcpStream::connect(etcd.client_addr()).await.unwrap();
    let mut peers = [Peer::over(server.connect()).await, Peer::over(stream).await];
    for peer in &mut peers {
        prepare(peer).await;
    }
    (server, etcd, peers)
}

/// What a stream says first: the bytes of a message, or its end.
async fn first(peer: &Peer, path: &str, request: &[u8]) -> String {
    let (mut body, answer) = peer.open(path).await;
    body.send_data(framed(request), true).unwrap();
    let answer = answer.await.unwrap();
    if let Some(code) = answer.headers().get("grpc-status") {
        return format!("{code:?} {:?}", answer.headers().get("grpc-message"));
    }
    match Messages::new(answer.into_body()).next().await {
        Ok(message) => format!("a message: {}", message.is_some()),
        Err(refused) => format!("{refused:?}"),
    }
}

/// An empty request of every kind, by whoever may do little, by whoever is not known, and by nobody.
#[tokio::test]
async fn every_request_is_refused_to_whom_etcd_refuses_it() {
    let (_server, _etcd, mut peers) = both().await;
    let mut differences = Vec::new();
    for who in ["u", "wrong", "nobody"] {
        for peer in &mut peers {
            match who {
                "u" => log_in(peer, "u").await,
                "wrong" => peer.token = Some("wrong.1".to_owned()),
                _ => peer.token = None,
            }
        }
        for info in method::ALL.iter().filter(|info| info.service.starts_with("etcdserverpb.")) {
            // Nothing is said to an empty request for a watch; and those that answer may tell different things.
            if info.path == method::watch::WATCH.path() {
                continue;
            }
            let mut told = Vec::new();
            for peer in &peers {
                told.push(match info.shape {
                    Shape::Unary => match peer.call_bytes(info.path, Vec::new()).await {
                        Ok(_) => "answered".to_owned(),
                        Err(refused) => format!("{refused:?}"),
                    },
                    _ => first(peer, info.path, &[]).await,
                });
            }
            if told[0] != told[1] {
                differences.push(format!("{} by {who}: {told:?}", info.path));
            }
        }
    }
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Leases belong to whoever may write all of their keys.
#[tokio::test]
async fn leases_are_for_those_who_may_write_their_keys_as_in_etcd() {
    let (_server, _etcd, mut peers) = both().await;
    let mut told = [Vec::new(), Vec::new()];
    for (peer, told) in peers.iter_mut().zip(&mut told) {
        log_in(peer, "u").await;
        for id in [OPEN, CLOSED] {
            let keep_alive = LeaseKeepAliveRequest { id }.encode_to_vec();
            told.push(first(peer, method::lease::KEEP_ALIVE.path(), &keep_alive).await);
            for keys in [false, true] {
                let ask = LeaseTimeToLiveRequest { id, keys };
                let answer = peer.call(method::lease::TIME_TO_LIVE, &ask).await;
                told.push(format!("{:?}", answer.map(|answer| (answer.granted_ttl, answer.keys))));
            }
            let put = PutRequest { key: "b".into(), lease: id, ..PutRequest::default() };
            told.push(format!("{:?}", peer.call(method::kv::PUT, &put).await.map(|_| ())));
        }
        for id in [CLOSED, OPEN] {
            let revoke = LeaseRevokeRequest { id };
            told.push(format!("{:?}", peer.call(method::lease::REVOKE, &revoke).await.map(|_| ())));
        }
    }
    assert_eq!(told[0], told[1]);
    assert!(told[0].iter().any(|told| told.contains("permission denied")), "{told:?}");
}

/// Older servers took a watch of all keys from one on for a watch of that key alone (GHSA-xg4h-6gfc-h4m8).
#[tokio::test]
async fn a_watch_takes_the_right_to_read_all_of_its_range() {
    let (_server, _etcd, mut peers) = both().await;
    let ranges: [(&[u8], &[u8], bool); 10] = [
        (b"a", b"", true),
        (b"a", b"b", true),
        (b"a", b"c", true),
        (b"a", b"d", false),
        (b"a", b"\0", false),
        (b"bb", b"\0", false),
        (b"\0", b"\0", false),
        (b"", b"", false),
        (b"c", b"", false),
        (b"0", b"b", false),
    ];
    for peer in &mut peers {
        log_in(peer, "u").await;
        let (mut requests, response) = peer.open(method::watch::WATCH.path()).await;
        for (key, end, _) in ranges {
            let create = WatchCreateRequest {
                key: Bytes::from_static(key),
                range_end: Bytes::from_static(end),
                ..WatchCreateRequest::default()
            };
            let request = WatchRequest { request_union: Some(RequestUnion::Create(create)) };
            requests.send_data(framed(&request.encode_to_vec()), false).unwrap();
        }
        let mut messages = Messages::new(response.await.unwrap().into_body());
        for (key, end, allowed) in ranges {
            let message = messages.next().await.unwrap().unwrap();
            let response = WatchResponse::decode(message).unwrap();
            assert!(response.created, "{response:?}");
            assert_eq!(response.canceled, !allowed, "{key:?} to {end:?}: {response:?}");
            if !allowed {
                let denied =
                    "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
                assert_eq!(response.cancel_reason, denied);
            }
        }
    }
}
