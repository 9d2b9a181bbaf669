//! Setting users up.

use etcdkit::proto::authpb::{Permission, permission};
use etcdkit::proto::etcdserverpb::*;
use etcdkit::proto::method::auth;
use etcdkit::{Client, KeyRange};
use etcdkit_testkit::etcd::{Builder, Etcd};

use crate::kv::members::tolerant;

/// Has passwords checked with the least effort: etcd's default takes a core a tenth of a second for each.
pub(crate) fn quick<T>(etcd: Builder<T>) -> Builder<T> {
    etcd.argument("--bcrypt-cost=4")
}

/// Adds a user with the password `password` and the role `role`, which is made if it does not exist.
pub(crate) async fn add(client: &Client, name: &str, role: &str) {
    let password = name.to_owned();
    let user = AuthUserAddRequest { name: name.into(), password, ..Default::default() };
    client.raw(auth::USER_ADD, &user).await.expect("a user is added");
    // Roles that exist stay as they are.
    let _ = client.raw(auth::ROLE_ADD, &AuthRoleAddRequest { name: role.into() }).await;
    let grant = AuthUserGrantRoleRequest { user: name.into(), role: role.into() };
    client.raw(auth::USER_GRANT_ROLE, &grant).await.expect("a role is granted");
}

/// Adds a user who may do everything with the keys that begin with `prefix`, and nothing else.
pub(crate) async fn add_with_prefix(client: &Client, name: &str, prefix: &str) {
    add(client, name, name).await;
    allow(client, name, prefix).await;
}

/// Allows a role everything with the keys that begin with `prefix`.
pub(crate) async fn allow(client: &Client, role: &str, prefix: &str) {
    let range = KeyRange::prefix(prefix.to_owned());
    let permission = Permission {
        perm_type: permission::Type::ReadWrite.into(),
        key: range.start().to_vec().into(),
        range_end: range.end().to_vec().into(),
    };
    let request = AuthRoleGrantPermissionRequest { name: role.into(), perm: Some(permission) };
    client.raw(auth::ROLE_GRANT_PERMISSION, &request).await.expect("a permission is granted");
}

/// Turns authentication on.
pub(crate) async fn enable(client: &Client) {
    client.raw(auth::ENABLE, &AuthEnableRequest {}).await.expect("authentication is turned on");
}

/// Adds `root` and `alice`, who may use `alice/`, and turns authentication on. A user's password is the name.
pub(crate) async fn set_up(client: &Client) {
    add(client, "root", "root").await;
    add_with_prefix(client, "alice", "alice/").await;
    enable(client).await;
}

/// A client of one member with a user's password, which is the name.
pub(crate) async fn login(etcd: &Etcd, name: &str) -> Client {
    let client = tolerant().endpoints([etcd.client_url()]).user(name, name);
    client.connect().await.expect("the password is right")
}

/// A client with a token.
pub(crate) async fn with_token(etcd: &Etcd, token: &str) -> Client {
    let client = tolerant().endpoints([etcd.client_url()]).token(token);
    client.connect().await.expect("the member serves")
}

/// A token of a user's.
pub(crate) async fn token(client: &Client, name: &str) -> String {
    let request = AuthenticateRequest { name: name.into(), password: name.into() };
    client.raw(auth::AUTHENTICATE, &request).await.expect("the password is right").token
}

/// How many passwords the member was shown so far.
pub(crate) async fn authenticated(etcd: &Etcd) -> u64 {
    let started = r#"grpc_server_started_total{grpc_method="Authenticate",grpc_service="etcdserverpb.Auth",grpc_type="unary"}"#;
    etcd.metric(started).await.expect("etcd counts calls") as u64
}
