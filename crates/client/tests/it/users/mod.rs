//! Users, roles and permissions on real etcd, each version that is at hand: what administrators do, and what everybody
//! else may.
//!
//! Tests are named after those of etcd's own client that they match. Passwords and tokens are the subject of `auth/`.
#![cfg(test)]

mod denied;
mod permissions;
mod roles;
mod user;

use etcdkit::Client;
use etcdkit::auth::UserAdd;
use etcdkit_testkit::etcd::Etcd;

use crate::auth::users::quick;
use crate::kv::members::on_own_member_with;

/// Runs `test` on a member of its own of every version, where passwords are cheap to check.
async fn on_quick_member(test: impl AsyncFn(Client, Etcd)) {
    on_own_member_with(quick, test).await;
}

/// Adds the user `root` with the role `root`.
async fn add_root(client: &Client) {
    client.user_add(UserAdd::new("root", "root")).await.unwrap();
    client.role_add("root").await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
}
