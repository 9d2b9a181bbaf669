//! Users, members, maintenance.

use etcdkit::auth::{Permission, UserAdd};
use etcdkit::cluster::MemberAdd;
use etcdkit::maintenance::Status;
use etcdkit::{Compare, Get, KeyRange, Put, Txn};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::wait::eventually;

use crate::auth::users::quick;
use crate::kv::members::*;

#[tokio::test]
async fn example_auth() {
    on_own_member_with(quick, async |client, etcd| {
        let mut printed = Vec::new();
        client.role_add("root").await.unwrap();
        client.user_add(UserAdd::new("root", "123")).await.unwrap();
        client.user_grant_role("root", "root").await.unwrap();
        client.role_add("r").await.unwrap();
        let range = KeyRange::range("foo", "zoo");
        client.role_grant_permission("r", range, Permission::ReadWrite).await.unwrap();
        client.user_add(UserAdd::new("u", "123")).await.unwrap();
        client.user_grant_role("u", "r").await.unwrap();
        client.auth_enable().await.unwrap();

        let login = async |name: &str| {
            let client = tolerant().endpoints([etcd.client_url()]).user(name, "123");
            client.connect().await.unwrap()
        };
        let user = login("u").await;
        user.put("foo1", "bar").await.unwrap();
        let txn = Txn::new()
            .when([Compare::value("zoo1").gt("abc")])
            .then([Put::new("zoo1", "XYZ")])
            .or_else([Put::new("zoo1", "ABC")]);
        printed.push(user.txn(txn).await.unwrap_err().server_error().unwrap().message());

        let root = login("root").await;
        let role = root.role_get("r").await.unwrap();
        let permission = &role.permissions()[0];
        let range = permission.range.clone();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let line = format!(
            "user u permission: key {:?}, range end {:?}",
            text(range.start()),
            text(range.end())
        );
        root.auth_disable().await.unwrap();
        assert_eq!(printed, ["etcdserver: permission denied"]);
        assert_eq!(line, r#"user u permission: key "foo", range end "zoo""#);
    })
    .await;
}

/// `ExampleCluster_memberList`, `_memberAdd`, `_memberAddAsLearner`, `_memberRemove`, `_memberUpdate`,
/// `ExampleMaintenance_status` and `_defragment`, on one cluster.
#[tokio::test]
async fn example_cluster_and_maintenance() {
    let cluster = Cluster::builder(Version::newest()).members(3).start().await;
    let client = tolerant().endpoints(cluster.endpoints()).connect().await.unwrap();
    let mut printed =
        vec![format!("members: {}", client.member_list().await.unwrap().members().len())];

    let mut leaders = 0;
    for endpoint in client.endpoints() {
        let status = client.at(endpoint).unwrap().status().await.unwrap();
        leaders += usize::from(status.is_leader());
    }
    for (_, status) in client.on_each_endpoint(Status::new()).await {
        assert!(status.unwrap().leader().is_some());
    }
    printed.push(format!("leaders: {leaders}"));
    for endpoint in client.endpoints() {
        client.at(endpoint).unwrap().defragment().await.unwrap();
    }

    let learner = MemberAdd::new(["http://localhost:32381"]).learner();
    let learner = eventually("members to be connected", DEADLINE, async || {
        client.member_add(learner.clone()).await.ok()
    })
    .await;
    printed.push(format!("added member.PeerURLs: {:?}", learner.member().peer_urls));
    printed.push(format!("added member.IsLearner: {}", learner.member().is_learner));
    client.member_remove(learner.member().id).await.unwrap();
    let added = client.member_add(MemberAdd::new(["http://localhost:32380"])).await.unwrap();
    printed.push(format!("added member.PeerURLs: {:?}", added.member().peer_urls));
    let id = added.member().id;
    client.member_update(id, ["http://localhost:12380"]).await.unwrap();
    client.member_remove(id).await.unwrap();
    assert_eq!(client.get(Get::new("any")).await.unwrap().count(), 0);
    assert_eq!(
        printed,
        [
            "members: 3",
            "leaders: 1",
            r#"added member.PeerURLs: ["http://localhost:32381"]"#,
            "added member.IsLearner: true",
            r#"added member.PeerURLs: ["http://localhost:32380"]"#,
        ]
    );
}
