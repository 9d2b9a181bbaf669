//! Grants and revocations at random, and reads of ranges: who may read is who was granted all of the range.

#![no_main]

use std::cell::OnceCell;
use std::collections::BTreeMap;

use bytes::Bytes;
use etcdkit_fuzz::{Peer, runtime};
use etcdkit_proto::authpb::{Permission, permission::Type};
use etcdkit_proto::etcdserverpb::*;
use etcdkit_proto::method::{auth, kv};
use etcdkit_server::Server;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

/// A server that asks who asks, and the tokens of those who do.
struct Guarded {
    runtime: Runtime,
    _server: Server,
    peer: Peer,
    root: String,
    user: String,
}

impl Guarded {
    fn start() -> Self {
        let runtime = runtime();
        let (server, peer, root, user) = runtime.block_on(async {
            let server = Server::start_ephemeral().await.expect("it starts");
            // No token expires.
            server.clock().stop();
            let peer = Peer::to(&server).await;
            for name in ["root", "u"] {
                let add = AuthUserAddRequest {
                    name: name.to_owned(),
                    password: name.to_owned(),
                    ..AuthUserAddRequest::default()
                };
                peer.call(auth::USER_ADD, &add, "").await.expect("a user is added");
            }
            let grant =
                AuthUserGrantRoleRequest { user: "root".to_owned(), role: "root".to_owned() };
            peer.call(auth::USER_GRANT_ROLE, &grant, "").await.expect("root is root");
            let role = AuthRoleAddRequest { name: "r".to_owned() };
            peer.call(auth::ROLE_ADD, &role, "").await.expect("a role is added");
            let grant = AuthUserGrantRoleRequest { user: "u".to_owned(), role: "r".to_owned() };
            peer.call(auth::USER_GRANT_ROLE, &grant, "").await.expect("the user has the role");
            peer.call(auth::ENABLE, &AuthEnableRequest {}, "").await.expect("it matters who asks");
            let mut tokens = Vec::new();
            for name in ["root", "u"] {
                let login =
                    AuthenticateRequest { name: name.to_owned(), password: name.to_owned() };
                let answer = peer.call(auth::AUTHENTICATE, &login, "").await;
                tokens.push(answer.expect("the password is right").token);
            }
            let user = tokens.pop().expect("there are two");
            (server, peer, tokens.pop().expect("there are two"), user)
        });
        Self { runtime, _server: server, peer, root, user }
    }

    async fn revoke(&self, key: Bytes, range_end: Bytes) -> bool {
        let revoke = AuthRoleRevokePermissionRequest { role: "r".to_owned(), key, range_end };
        self.peer.call(auth::ROLE_REVOKE_PERMISSION, &revoke, &self.root).await.is_some()
    }
}

/// Keys of two letters out of four at most.
fn key(byte: u8) -> Bytes {
    let letters =
        [byte & 3, byte >> 2 & 3].map(|letter| [0, b'a', b'b', 0xff][usize::from(letter)]);
    let length = usize::from(byte >> 4 & 3).min(2);
    Bytes::copy_from_slice(&letters[..length])
}

/// From a key to before another; without one, to infinity.
type Span = (Bytes, Option<Bytes>);

fn span(key: &Bytes, end: &Bytes) -> Span {
    match end.as_ref() {
        [] => (key.clone(), Some([key, &[0][..]].concat().into())),
        [0] => (key.clone(), None),
        _ => (key.clone(), Some(end.clone())),
    }
}

fn contains(span: &Span, key: &Bytes) -> bool {
    span.0 <= key && span.1.as_ref().is_none_or(|end| key < end)
}

/// Whether spans leave nothing of another out: what they cover changes at their ends alone.
fn cover(spans: &[Span], asked: &Span) -> bool {
    let ends = spans.iter().flat_map(|span| [Some(&span.0), span.1.as_ref()]).flatten();
    let mut places = ends.chain([&asked.0]).filter(|place| contains(asked, place));
    places.all(|place| spans.iter().any(|span| contains(span, place)))
}

fuzz_target!(|data: &[u8]| {
    thread_local!(static GUARDED: OnceCell<Guarded> = const { OnceCell::new() });
    GUARDED.with(|guarded| {
        let guarded = guarded.get_or_init(Guarded::start);
        guarded.runtime.block_on(run(guarded, data));
    });
});

async fn run(guarded: &Guarded, data: &[u8]) {
    let Guarded { peer, root, user, .. } = guarded;
    let mut granted: BTreeMap<(Bytes, Bytes), i32> = BTreeMap::new();
    for step in data.chunks_exact(3).take(100) {
        let (begin, end) = (key(step[1]), key(step[2]));
        match step[0] % 8 {
            0..3 => {
                let perm_type = i32::from(step[0] % 3);
                // What is granted twice is changed or granted besides, depending on its place among others: as in etcd.
                if granted.remove(&(begin.clone(), end.clone())).is_some() {
                    assert!(guarded.revoke(begin.clone(), end.clone()).await);
                }
                let perm = Permission { perm_type, key: begin.clone(), range_end: end.clone() };
                let grant =
                    AuthRoleGrantPermissionRequest { name: "r".to_owned(), perm: Some(perm) };
                if peer.call(auth::ROLE_GRANT_PERMISSION, &grant, root).await.is_some() {
                    granted.insert((begin, end), perm_type);
                }
            }
            3 => {
                let revoked = guarded.revoke(begin.clone(), end.clone()).await;
                assert_eq!(revoked, granted.remove(&(begin, end)).is_some());
            }
            write => {
                let asked = span(&begin, &end);
                // Nothing is asked of nothing, and of the empty key.
                if begin.is_empty() || asked.1.as_ref().is_some_and(|end| *end <= asked.0) {
                    continue;
                }
                let write = write < 6;
                let needed = if write { Type::Write } else { Type::Read } as i32;
                let spans: Vec<Span> = granted
                    .iter()
                    .filter(|(_, kind)| **kind == needed || **kind == Type::ReadWrite as i32)
                    .map(|((key, end), _)| span(key, end))
                    .collect();
                let may = if write {
                    let delete = DeleteRangeRequest {
                        key: begin.clone(),
                        range_end: end.clone(),
                        ..DeleteRangeRequest::default()
                    };
                    peer.call(kv::DELETE_RANGE, &delete, user).await.is_some()
                } else {
                    let range = RangeRequest {
                        key: begin.clone(),
                        range_end: end.clone(),
                        ..RangeRequest::default()
                    };
                    peer.call(kv::RANGE, &range, user).await.is_some()
                };
                assert_eq!(may, cover(&spans, &asked), "{begin:?} to {end:?} with {spans:?}");
            }
        }
    }
    // The next run begins without permissions.
    for (key, end) in granted.into_keys() {
        assert!(guarded.revoke(key, end).await);
    }
}
