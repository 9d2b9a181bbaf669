//! Members that vote.

use std::collections::BTreeSet;
use std::time::Duration;

use etcdkit::cluster::{MemberAdd, MemberAddResponse, MemberList, MemberUpdate};
use etcdkit::{Client, ErrorKind, MemberId, Result, ServerError};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::Version;
use etcdkit_testkit::wait::eventually;

use crate::kv::members::*;

async fn client_of(cluster: &Cluster) -> Client {
    let client = tolerant().endpoints(cluster.endpoints()).connect().await.unwrap();
    client.put("ready", "").await.unwrap();
    client
}

/// Changes the members, once the one that is asked is so well connected to the others that it allows that: the check of
/// the quorum wants five seconds, and begins anew with each connection between them.
pub(super) async fn once_connected<T>(change: impl AsyncFn() -> Result<T>) -> Result<T> {
    eventually("members to be connected", DEADLINE, async || match change().await {
        Err(error) if error.server_error() == Some(ServerError::Unhealthy) => None,
        outcome => Some(outcome),
    })
    .await
}

/// Adds a member as soon as the others are connected.
pub(super) async fn add(client: &Client, member: MemberAdd) -> Result<MemberAddResponse> {
    once_connected(async || client.member_add(member.clone()).await).await
}

/// TestMemberList, TestMemberUpdate, TestMemberAdd, TestMemberAddWithExistingURLs and TestMemberRemove, on one cluster.
#[tokio::test]
async fn member_list_update_add_and_remove() {
    for version in Version::available() {
        let _named = Named::new(version);
        let cluster = Cluster::builder(version).members(3).start().await;
        let client = client_of(&cluster).await;
        // Before 3.5 a member lists what it has heard of itself, which is what was done through it at the least.
        let at = client.at(cluster[0].client_url()).unwrap();

        at.put("ready", "").await.unwrap();
        let list = at.member_list().await.unwrap();
        assert_ne!(list.header().cluster_id, 0);
        let ids: BTreeSet<MemberId> = list.members().iter().map(|member| member.id).collect();
        assert_eq!(ids.len(), 3);
        for member in list.members() {
            assert!(member.is_started() && !member.is_learner);
            assert_eq!((member.peer_urls.len(), member.client_urls.len()), (1, 1));
        }
        let own = cluster.member_id(0).await;
        let member = list.member(own).unwrap();
        assert_eq!(member.peer_urls, [cluster[0].peer_url()]);
        assert_eq!(member.client_urls, [cluster[0].client_url()]);

        let urls = ["http://127.0.0.1:1", "unix://127.0.0.1:2"];
        let updated = at.member_update(own, [" http://127.0.0.1:1", urls[1]]).await.unwrap();
        assert_eq!(updated.member(own).unwrap().peer_urls, urls);
        let listed = at.member_list().await.unwrap();
        assert_eq!(listed.member(own).unwrap().peer_urls, urls);
        client.member_update(own, [cluster[0].peer_url()]).await.unwrap();
        refused(client.member_update(1, urls).await, ServerError::MemberNotFound);

        let existing = add(&client, MemberAdd::new([cluster[0].peer_url()])).await;
        assert_eq!(existing.as_ref().unwrap_err().kind(), ErrorKind::Conflict);
        refused(existing, ServerError::PeerUrlExist);
        let added = add(&client, MemberAdd::new(["http://127.0.0.1:1234"])).await.unwrap();
        assert_eq!(added.member().peer_urls, ["http://127.0.0.1:1234"]);
        assert!(!added.member().is_started());
        assert_eq!(added.members().len(), 4);

        let removed = client.member_remove(added.member().id).await.unwrap();
        assert_eq!(removed.members().len(), 3);
        refused(client.member_remove(added.member().id).await, ServerError::MemberNotFound);
        // Another one than that which answers.
        let other = cluster.member_id(1).await;
        once_connected(async || at.member_remove(other).await).await.unwrap();
        let left = at.member_list().await.unwrap();
        assert_eq!(left.members().len(), 2);
        assert!(left.member(other).is_none());
    }
}

#[tokio::test]
async fn member_add_update_wrong_urls() {
    // Nothing of it is sent: there is nobody to send it to.
    let client = Client::builder().endpoints(["http://127.0.0.1:1"]).build().unwrap();
    let table = [
        vec![],
        vec!["://127.0.0.1:2379"],
        vec!["mailto://127.0.0.1:2379"],
        vec!["http://127.0.0.1"],
        vec!["http://127.0.0.1:2379/path"],
        vec!["127.0.0.1:1234"],
        vec!["localhost:1234"],
        vec!["http://127.0.0.1:2380", "http://127.0.0.1"],
    ];
    for urls in table {
        let add = in_time("the refusal", client.member_add(MemberAdd::new(urls.clone()))).await;
        fails(add, ErrorKind::InvalidArgument);
        let update = MemberUpdate::new(7, urls);
        fails(client.call(update).await, ErrorKind::InvalidArgument);
    }
}

/// Without a quorum one member still tells what it knows, and the cluster nothing.
#[tokio::test]
async fn member_list_serializable() {
    for version in Version::available() {
        let _named = Named::new(version);
        let cluster = Cluster::builder(version).members(3).start().await;
        let client = client_of(&cluster).await;
        let at = client.at(cluster[0].client_url()).unwrap();
        at.member_list().await.unwrap();
        cluster[1].kill().await;
        cluster[2].kill().await;
        let list = in_time("the list", at.call(MemberList::new().serializable())).await.unwrap();
        assert_eq!(list.members().len(), 3);
        let agreed = at.with_options(at.options().clone().timeout(Duration::from_secs(2)));
        let agreed = agreed.member_list().await;
        // etcd 3.4 answers by itself, whatever it is asked.
        assert_eq!(agreed.is_ok(), !version.at_least(3, 5), "{agreed:?}");
    }
}
