//! Requests at random, of every kind and with every option, about few keys, leases, users and roles.

use std::collections::HashMap;

use bytes::Bytes;
use etcdkit_proto::authpb::{Permission, UserAddOptions};
use etcdkit_proto::etcdserverpb::compare::TargetUnion;
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::*;
use etcdkit_proto::method::{Method, auth, kv, lease, maintenance};
use etcdkit_testkit::etcd::Version;
use fastrand::Rng;
use prost::Message;

/// A request, encoded.
pub(super) struct Call {
    pub(super) path: &'static str,
    pub(super) message: Vec<u8>,
    pub(super) shown: String,
}

fn call<Q: Message + std::fmt::Debug, A>(method: Method<Q, A>, request: &Q) -> Call {
    let shown = format!("{} {request:?}", method.path());
    Call { path: method.path(), message: request.encode_to_vec(), shown }
}

/// What etcd 3.5.1 does not do for just anybody once it matters who asks. Of other requests, some it does for all, and
/// transactions in others it does not look into.
const CHECKED: [&str; 5] = [
    kv::PUT.path(),
    kv::RANGE.path(),
    kv::DELETE_RANGE.path(),
    auth::USER_LIST.path(),
    auth::ROLE_LIST.path(),
];

pub(super) struct Generator {
    rng: Rng,
    revision: i64,
    compacted: i64,
    /// From here on no range is empty: whether one may look into nothing depends on the shape of a tree in etcd.
    asked: bool,
    version: Version,
    /// Permissions that each role has at most.
    permissions: HashMap<String, usize>,
}

/// How many permissions a role gets by itself, and by `users_matter` beyond them. Of more than twelve that begin alike, etcd
/// keeps no order: it sorts them in a way that leaves only short lists as they are.
const PERMISSIONS: usize = 9;

impl Generator {
    /// Requests that etcd of this version survives.
    pub(super) fn new(rng: Rng, version: Version) -> Self {
        let permissions = HashMap::new();
        Self { rng, revision: 1, compacted: 0, asked: false, version, permissions }
    }

    /// Takes notice of a request that succeeded.
    pub(super) fn done(&mut self, done: &Call) {
        if done.path == auth::ROLE_DELETE.path() {
            let request = AuthRoleDeleteRequest::decode(&*done.message).unwrap();
            self.permissions.remove(&request.role);
        }
    }

    /// The users root, u and v with a role each, and authentication.
    pub(super) fn users_matter(&mut self) -> Vec<Call> {
        self.asked = true;
        let mut calls = Vec::new();
        for name in ["root", "u", "v"] {
            let owned = || name.to_owned();
            calls.push(call(auth::USER_DELETE, &AuthUserDeleteRequest { name: owned() }));
            let user = AuthUserAddRequest {
                name: owned(),
                password: owned(),
                ..AuthUserAddRequest::default()
            };
            calls.push(call(auth::USER_ADD, &user));
            let role = match name {
                "u" => "r",
                "v" => "s",
                name => name,
            };
            calls.push(call(auth::ROLE_ADD, &AuthRoleAddRequest { name: role.to_owned() }));
            let grant = AuthUserGrantRoleRequest { user: owned(), role: role.to_owned() };
            calls.push(call(auth::USER_GRANT_ROLE, &grant));
            for _ in 0..3 {
                let perm = self.permission();
                let grant =
                    AuthRoleGrantPermissionRequest { name: role.to_owned(), perm: Some(perm) };
                *self.permissions.entry(role.to_owned()).or_default() += 1;
                calls.push(call(auth::ROLE_GRANT_PERMISSION, &grant));
            }
        }
        calls.push(call(auth::ENABLE, &AuthEnableRequest {}));
        calls
    }

    /// Whether somebody else is to ask from here on.
    pub(super) fn log_in(&mut self) -> bool {
        self.rng.u8(..10) == 0
    }

    /// The next request, and who makes it.
    pub(super) fn next(&mut self, revision: i64, user: &str) -> Call {
        self.revision = revision;
        loop {
            let call = self.request();
            if self.version > Version::V3_5
                || !self.asked
                || user == "root"
                || CHECKED.contains(&call.path)
            {
                return call;
            }
        }
    }

    fn request(&mut self) -> Call {
        match self.rng.u8(..100) {
            0..25 => call(kv::PUT, &self.put()),
            25..50 => call(kv::RANGE, &self.range()),
            50..60 => call(kv::DELETE_RANGE, &self.delete()),
            60..78 => {
                let mut txn = self.txn(0);
                bound(&mut txn);
                call(kv::TXN, &txn)
            }
            78 => call(kv::COMPACT, &self.compact()),
            79..82 => {
                let revision = self.old();
                call(maintenance::HASH_KV, &HashKvRequest { revision })
            }
            82..85 => {
                let ttl = self.pick(&[3600, 5000, 0, -1, 9_000_000_001]);
                let ttl = if ttl <= 0 { 4000 } else { ttl };
                call(lease::GRANT, &LeaseGrantRequest { id: self.lease(), ttl })
            }
            85..87 => call(lease::REVOKE, &LeaseRevokeRequest { id: self.lease() }),
            87..89 => {
                let request = LeaseTimeToLiveRequest { id: self.lease(), keys: self.rng.bool() };
                call(lease::TIME_TO_LIVE, &request)
            }
            89 => call(lease::LEASES, &LeaseLeasesRequest {}),
            _ => self.users(),
        }
    }

    /// What leads to a put and a deletion that every watch sees, whoever may write by then.
    pub(super) fn ending(&mut self) -> Vec<Call> {
        let put = PutRequest { key: "c".into(), value: "end".into(), ..PutRequest::default() };
        let delete = DeleteRangeRequest { key: "c".into(), ..DeleteRangeRequest::default() };
        let hash = HashKvRequest::default();
        vec![
            call(kv::PUT, &put),
            call(kv::DELETE_RANGE, &delete),
            call(maintenance::HASH_KV, &hash),
        ]
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }

    fn rare(&mut self) -> bool {
        self.rng.u8(..12) == 0
    }

    fn half(&mut self) -> bool {
        self.rng.bool()
    }

    fn key(&mut self) -> Bytes {
        match self.rng.u8(..40) {
            0 => Bytes::new(),
            1 => vec![0].into(),
            number => vec![b'a' + number % 8].into(),
        }
    }

    /// A range: its key and end.
    fn span(&mut self) -> (Bytes, Bytes) {
        let (key, end) = (self.key(), self.end());
        if self.asked && key >= end && end != [0][..] { (key, Bytes::new()) } else { (key, end) }
    }

    fn end(&mut self) -> Bytes {
        match self.rng.u8(..10) {
            0..5 => Bytes::new(),
            5 => vec![0].into(),
            _ => vec![b'a' + self.rng.u8(..9)].into(),
        }
    }

    fn value(&mut self) -> Bytes {
        vec![b'0' + self.rng.u8(..4); self.rng.usize(..4)].into()
    }

    fn lease(&mut self) -> i64 {
        self.pick(&[1, 2, 3, 4, -5])
    }

    /// A revision that mostly can be read.
    fn old(&mut self) -> i64 {
        match self.rng.u8(..10) {
            0..4 => 0,
            4 => self.revision + self.rng.i64(-1..3),
            5 => self.pick(&[-1, 1, 2]),
            _ => self.rng.i64(self.compacted.min(self.revision)..=self.revision),
        }
    }

    fn put(&mut self) -> PutRequest {
        PutRequest {
            key: self.key(),
            value: if self.rare() { Bytes::new() } else { self.value() },
            lease: if self.rng.u8(..4) == 0 { self.lease() } else { 0 },
            prev_kv: self.half(),
            ignore_value: self.rare(),
            ignore_lease: self.rare(),
        }
    }

    fn range(&mut self) -> RangeRequest {
        let near = |generator: &mut Self| {
            if generator.rare() { generator.rng.i64(0..=generator.revision) } else { 0 }
        };
        let (key, range_end) = self.span();
        // etcd 3.5.1 ends with a panic when it is to sort by what it does not know.
        let unknown = i32::from(self.version > Version::V3_5);
        RangeRequest {
            key,
            range_end,
            limit: if self.half() { 0 } else { self.rng.i64(-1..6) },
            revision: self.old(),
            sort_order: if self.half() { 0 } else { self.rng.i32(0..3 + unknown) },
            sort_target: if self.half() { 0 } else { self.rng.i32(0..5 + unknown) },
            serializable: self.rare(),
            keys_only: self.rare(),
            count_only: self.rare(),
            min_mod_revision: near(self),
            max_mod_revision: near(self),
            min_create_revision: near(self),
            max_create_revision: near(self),
        }
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        let (key, range_end) = self.span();
        DeleteRangeRequest { key, range_end, prev_kv: self.half() }
    }

    fn compact(&mut self) -> CompactionRequest {
        let revision = match self.rng.u8(..4) {
            0 => self.revision + self.rng.i64(-1..2),
            1 => self.rng.i64(-2..4),
            _ => self.revision - self.rng.i64(0..40),
        };
        // etcd 3.5.1 remembers a compaction to no revision at all in another way, which its hash shows.
        let revision = if self.version == Version::V3_5 { revision.max(1) } else { revision };
        self.compacted = self.compacted.max(revision.min(self.revision));
        CompactionRequest { revision, physical: true }
    }

    fn txn(&mut self, depth: u32) -> TxnRequest {
        let many = |generator: &mut Self| generator.rng.usize(..3);
        let (compares, success, failure) = (many(self), many(self), many(self));
        TxnRequest {
            compare: (0..compares).map(|_| self.compare()).collect(),
            success: (0..success).map(|_| self.operation(depth)).collect(),
            failure: (0..failure).map(|_| self.operation(depth)).collect(),
        }
    }

    fn operation(&mut self, depth: u32) -> RequestOp {
        let request = match self.rng.u8(..10) {
            0..3 => Request::Range(self.range()),
            3..6 => Request::Put(self.put()),
            6..8 => Request::DeleteRange(self.delete()),
            _ if depth < 2 => Request::Txn(self.txn(depth + 1)),
            _ => return RequestOp { request: None },
        };
        RequestOp { request: Some(request) }
    }

    fn compare(&mut self) -> Compare {
        let number = self.pick(&[0, 1, 2, self.revision - 1, self.revision]);
        let target = self.rng.i32(0..5);
        let union = match target {
            0 => TargetUnion::Version(number),
            1 => TargetUnion::CreateRevision(number),
            2 => TargetUnion::ModRevision(number),
            3 => TargetUnion::Value(self.value()),
            _ => TargetUnion::Lease(self.lease()),
        };
        let (key, range_end) = self.span();
        Compare {
            result: self.rng.i32(0..4),
            target,
            key,
            target_union: if self.rare() { None } else { Some(union) },
            range_end,
        }
    }

    fn permission(&mut self) -> Permission {
        let (mut key, mut range_end) = (self.key(), self.end());
        // etcd 3.5.1 grants permissions for the empty key, and for ranges that end before they begin.
        if self.version == Version::V3_5 {
            key = if key.is_empty() { "a".into() } else { key };
            range_end =
                if key >= range_end && range_end != [0][..] { Bytes::new() } else { range_end };
        }
        Permission { perm_type: self.rng.i32(0..3), key, range_end }
    }

    fn name(&mut self) -> String {
        self.pick(&["u", "v", "w", ""]).to_owned()
    }

    fn role(&mut self) -> String {
        self.pick(&["r", "s", "root", ""]).to_owned()
    }

    fn users(&mut self) -> Call {
        let (name, role) = (self.name(), self.role());
        match self.rng.u8(..14) {
            0 => {
                let options = Some(UserAddOptions { no_password: self.rare() });
                let request = AuthUserAddRequest {
                    name,
                    password: "p".to_owned(),
                    options,
                    ..AuthUserAddRequest::default()
                };
                call(auth::USER_ADD, &request)
            }
            1 => call(auth::USER_GET, &AuthUserGetRequest { name }),
            2 => call(auth::USER_LIST, &AuthUserListRequest {}),
            3 if self.rare() => call(auth::USER_DELETE, &AuthUserDeleteRequest { name }),
            4 => {
                let request = AuthUserChangePasswordRequest {
                    name,
                    password: "q".to_owned(),
                    ..AuthUserChangePasswordRequest::default()
                };
                call(auth::USER_CHANGE_PASSWORD, &request)
            }
            5 => call(auth::USER_GRANT_ROLE, &AuthUserGrantRoleRequest { user: name, role }),
            6 => call(auth::USER_REVOKE_ROLE, &AuthUserRevokeRoleRequest { name, role }),
            7 => call(auth::ROLE_ADD, &AuthRoleAddRequest { name: role }),
            8 => call(auth::ROLE_GET, &AuthRoleGetRequest { role }),
            9 => call(auth::ROLE_LIST, &AuthRoleListRequest {}),
            10 if self.rare() => call(auth::ROLE_DELETE, &AuthRoleDeleteRequest { role }),
            11 if self.permissions.get(&role).is_some_and(|count| *count >= PERMISSIONS) => {
                call(auth::ROLE_DELETE, &AuthRoleDeleteRequest { role })
            }
            11 => {
                *self.permissions.entry(role.clone()).or_default() += 1;
                let perm = self.permission();
                let perm = if self.rare() { None } else { Some(perm) };
                call(
                    auth::ROLE_GRANT_PERMISSION,
                    &AuthRoleGrantPermissionRequest { name: role, perm },
                )
            }
            12 => {
                let (key, range_end) = (self.key(), self.end());
                call(
                    auth::ROLE_REVOKE_PERMISSION,
                    &AuthRoleRevokePermissionRequest { role, key, range_end },
                )
            }
            13 if self.half() => call(auth::ENABLE, &AuthEnableRequest {}),
            _ => call(auth::STATUS, &AuthStatusRequest {}),
        }
    }
}

/// Gives deletions within a transaction an end. Those without may delete what the transaction puts, and then etcd is not
/// to be compared with: it ends with a panic when the put is to keep the value that was there, and its hash is at odds with
/// its index when the put comes after the deletion.
fn bound(txn: &mut TxnRequest) {
    for operation in txn.success.iter_mut().chain(&mut txn.failure) {
        match &mut operation.request {
            Some(Request::DeleteRange(delete)) if delete.range_end == [0][..] => {
                delete.range_end = "z".into();
            }
            Some(Request::Txn(inner)) => bound(inner),
            _ => {}
        }
    }
}
