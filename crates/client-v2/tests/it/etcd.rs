//! Real etcd 3.4: that the whole API does there what it says.

use std::time::{Duration, SystemTime};

use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::{Etcd, Version};
use etcdkit_testkit::wait::eventually;
use etcdkit_v2::{
    Action, Client, CreateInOrder, Delete, ErrorCode, ErrorKind, Get, Node, Permissions, Response,
    Set, Watch,
};
use tokio::time::timeout;

use crate::server::{SOON, begun};

pub(crate) async fn start() -> (Etcd, Client) {
    let etcd = Etcd::builder(Version::V3_4).enable_v2().start().await;
    let client = Client::new([etcd.client_url()]).unwrap();
    (etcd, client)
}

fn node(response: &Response) -> &Node {
    response.node().expect("a key")
}

fn code(result: etcdkit_v2::Result<Response>) -> u32 {
    let error = result.expect_err("it is refused");
    assert!(!error.maybe_applied(), "an answer is certain");
    error.error_code().expect("a code").get()
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn keys_are_written_read_and_deleted() {
    let (_etcd, client) = start().await;
    let keys = client.keys();
    let set = keys.set("/a/ü b?c#d%", "1 &=\n\"ü").await.unwrap();
    assert_eq!((set.action(), node(&set).key()), (&Action::Set, "/a/ü b?c#d%"));
    assert_eq!(set.index(), node(&set).modified_index());
    assert!(set.raft_index().is_some() && set.raft_term().is_some() && set.cluster_id().is_some());
    let get = keys.get(Get::new("/a/ü b?c#d%").quorum()).await.unwrap();
    assert_eq!(node(&get).value(), Some("1 &=\n\"ü"));
    assert_eq!(node(&keys.set("/empty", "").await.unwrap()).value(), Some(""));

    assert_eq!(keys.create("/k", "1").await.unwrap().action(), &Action::Create);
    assert_eq!(code(keys.create("/k", "2").await), 105);
    let update = keys.update("/k", "2").await.unwrap();
    assert_eq!(
        (update.action(), update.prev_node().unwrap().value()),
        (&Action::Update, Some("1"))
    );
    assert_eq!(code(keys.update("/none", "2").await), 100);
    let error = keys.get("/none").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.cause(), error.status()),
        (ErrorKind::NotFound, Some("/none"), Some(404))
    );
    let delete = keys.delete("/k").await.unwrap();
    assert_eq!(
        (delete.action(), delete.prev_node().unwrap().value()),
        (&Action::Delete, Some("2"))
    );
    assert_eq!(code(keys.delete("/k").await), 100);
}

#[tokio::test]
async fn comparisons_decide_over_writes_and_deletions() {
    let (_etcd, client) = start().await;
    let keys = client.keys();
    let index = node(&keys.set("/k", "1").await.unwrap()).modified_index();
    assert_eq!(code(keys.call(Set::new("/k", "2").prev_value("x")).await), 101);
    assert_eq!(code(keys.call(Set::new("/k", "2").prev_index(index + 1)).await), 101);
    let both = Set::new("/k", "2").prev_value("1").prev_index(index).must_exist();
    assert_eq!(keys.call(both).await.unwrap().action(), &Action::CompareAndSwap);
    assert_eq!(code(keys.call(Delete::new("/k").prev_value("1")).await), 101);
    assert_eq!(code(keys.call(Delete::new("/k").prev_index(index)).await), 101);
    let delete = keys.call(Delete::new("/k").prev_value("2")).await.unwrap();
    assert_eq!(delete.action(), &Action::CompareAndDelete);
    let quiet = keys.call(Set::new("/k", "3").no_value_on_success()).await.unwrap();
    assert!(quiet.node().is_none() && quiet.index() > index);
}

#[tokio::test]
async fn directories_hold_keys() {
    let (_etcd, client) = start().await;
    let keys = client.keys();
    keys.create_directory("/d").await.unwrap();
    assert_eq!(code(keys.create_directory("/d").await), 105);
    keys.set("/d/y", "1").await.unwrap();
    keys.set("/d/x/z", "2").await.unwrap();
    let flat = keys.get(Get::new("/d").sorted()).await.unwrap();
    let names: Vec<&str> = node(&flat).nodes().iter().map(Node::name).collect();
    assert_eq!(names, ["x", "y"]);
    assert!(node(&flat).is_directory() && node(&flat).nodes()[0].nodes().is_empty());
    let deep = keys.get(Get::new("/d").recursive().sorted()).await.unwrap();
    assert_eq!(node(&deep).nodes()[0].nodes()[0].value(), Some("2"));

    assert_eq!(code(keys.set("/d", "v").await), 102);
    assert_eq!(code(keys.set("/d/y/below", "v").await), 104);
    assert_eq!(code(keys.delete("/d").await), 102);
    assert_eq!(code(keys.delete(Delete::new("/d").directory()).await), 108);
    assert_eq!(code(keys.set("/", "v").await), 107);
    keys.delete(Delete::new("/d").recursive()).await.unwrap();
    assert_eq!(code(keys.get("/d").await), 100);

    // In the order of their creation, which their names keep.
    for value in ["a", "b", "c"] {
        keys.create_in_order("/jobs", value).await.unwrap();
    }
    let last = keys.call(CreateInOrder::new("/jobs", "d").ttl(MINUTE)).await.unwrap();
    assert_eq!((last.action(), node(&last).ttl()), (&Action::Create, Some(MINUTE)));
    let jobs = keys.get(Get::new("/jobs").sorted()).await.unwrap();
    let values: Vec<Option<&str>> = node(&jobs).nodes().iter().map(Node::value).collect();
    assert_eq!(values, [Some("a"), Some("b"), Some("c"), Some("d")]);
}

#[tokio::test]
async fn keys_end_after_their_ttl_unless_it_is_refreshed_or_removed() {
    let (_etcd, client) = start().await;
    let keys = client.keys();
    let ttl = |response: &Response| node(response).ttl();
    let set = keys.call(Set::new("/k", "1").ttl(MINUTE)).await.unwrap();
    assert_eq!(ttl(&set), Some(MINUTE));
    let left = node(&set).expiration().unwrap().duration_since(wall()).unwrap();
    assert!(left > MINUTE / 2 && left <= MINUTE + Duration::from_secs(1), "{left:?}");

    // A refresh keeps the value, and nobody who watches is told.
    let mut watcher = keys.watch(Watch::new("/k").after_index(set.index()));
    let refreshed = keys.call(Set::refresh("/k", 2 * MINUTE).prev_value("1")).await.unwrap();
    assert_eq!((ttl(&refreshed), node(&refreshed).value()), (Some(2 * MINUTE), Some("1")));
    keys.call(Set::refresh("/k", 3 * MINUTE)).await.unwrap();
    assert_eq!(code(keys.call(Set::refresh("/none", MINUTE)).await), 100);

    let updated = keys.call(Set::new("/k", "2").must_exist().remove_ttl()).await.unwrap();
    assert_eq!((ttl(&updated), updated.action()), (None, &Action::Update));
    assert_eq!(node(&updated).expiration(), None);
    assert_eq!(watcher.next().await.unwrap().action(), &Action::Update);

    // A directory's too, with everything in it.
    keys.call(Set::directory("/d").ttl(MINUTE)).await.unwrap();
    keys.set("/d/a", "1").await.unwrap();
    let kept = keys.call(Set::directory("/d").must_exist().remove_ttl()).await.unwrap();
    assert_eq!(ttl(&kept), None);
    assert_eq!(node(&keys.get("/d/a").await.unwrap()).value(), Some("1"));

    let brief = keys.call(Set::new("/k", "3").ttl(Duration::from_secs(1))).await.unwrap();
    let mut watcher = keys.watch(Watch::new("/k").after_index(brief.index()));
    let expired = timeout(SOON, watcher.next()).await.unwrap().unwrap();
    assert_eq!(expired.action(), &Action::Expire);
    assert_eq!(expired.prev_node().unwrap().value(), Some("3"));
}

#[expect(clippy::disallowed_methods, reason = "the server tells wall-clock time")]
fn wall() -> SystemTime {
    SystemTime::now()
}

#[tokio::test]
async fn watches_see_every_event_once() {
    let (_etcd, client) = start().await;
    let keys = client.keys();
    let begin = keys.set("/d/a", "0").await.unwrap().index();
    let mut all = keys.watch(Watch::new("/d").recursive().after_index(begin));
    let mut one = keys.watch(Watch::new("/d/b").after_index(begin));
    for value in 1..=20 {
        keys.set("/d/a", value.to_string()).await.unwrap();
        keys.set("/d/b", value.to_string()).await.unwrap();
    }
    for value in 1..=20 {
        for key in ["/d/a", "/d/b"] {
            let event = all.next().await.unwrap();
            assert_eq!(
                (node(&event).key(), node(&event).value()),
                (key, Some(&*value.to_string()))
            );
        }
        assert_eq!(node(&one.next().await.unwrap()).value(), Some(&*value.to_string()));
    }
    // One that begins now, and one whose future is dropped in between.
    let mut now = keys.watch("/d/a");
    begun(&mut now).await;
    keys.delete("/d/a").await.unwrap();
    assert_eq!(now.next().await.unwrap().action(), &Action::Delete);
}

#[tokio::test]
async fn events_that_are_no_longer_kept_are_told_or_looked_up() {
    let (_etcd, client) = start().await;
    let keys = client.keys();
    let begin = keys.set("/k", "0").await.unwrap().index();
    for value in 1..=1_100 {
        let set = Set::new("/k", value.to_string()).no_value_on_success();
        keys.call(set).await.unwrap();
    }
    let watch = Watch::new("/k").after_index(begin);
    let error = keys.watch(watch.clone()).next().await.unwrap_err();
    assert_eq!(error.error_code(), Some(ErrorCode::EVENT_INDEX_CLEARED));
    assert_eq!(error.kind(), ErrorKind::IndexCleared);
    let mut watcher = keys.watch(watch.resync());
    let state = watcher.next().await.unwrap();
    assert_eq!((state.action(), node(&state).value()), (&Action::Get, Some("1100")));
    keys.set("/k", "last").await.unwrap();
    assert_eq!(node(&watcher.next().await.unwrap()).value(), Some("last"));
}

#[tokio::test]
async fn members_version_health_and_statistics_are_told() {
    // etcd refuses to change a cluster that is younger than five seconds otherwise.
    let cluster = Cluster::builder(Version::V3_4)
        .enable_v2()
        .argument("--strict-reconfig-check=false")
        .start()
        .await;
    let leads = cluster.wait_leader().await;
    let client = Client::new(cluster.endpoints()).unwrap();
    let members = client.members();
    let list = members.list().await.unwrap();
    let mut urls: Vec<&str> =
        list.iter().flat_map(|member| member.client_urls()).map(String::as_str).collect();
    let mut expected = cluster.endpoints();
    urls.sort_unstable();
    expected.sort_unstable();
    assert_eq!(urls, expected);
    assert_eq!(members.leader().await.unwrap().client_urls(), [cluster.endpoints()[leads].clone()]);

    let added = members.add(["http://127.0.0.1:1"]).await.unwrap();
    assert_eq!(added.name(), "");
    assert_eq!(members.add(["http://127.0.0.1:1"]).await.unwrap_err().kind(), ErrorKind::Conflict);
    members.update(added.id(), ["http://127.0.0.1:2"]).await.unwrap();
    eventually("the update", SOON, async || {
        let list = members.list().await.unwrap();
        let found = list.iter().find(|member| member.id() == added.id())?;
        (found.peer_urls() == ["http://127.0.0.1:2"]).then_some(())
    })
    .await;
    members.remove(added.id()).await.unwrap();
    members.remove(added.id()).await.unwrap();
    assert_eq!(members.remove("abcdef").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(
        members.update("abcdef", ["http://a:1"]).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );

    assert_eq!(client.version().await.unwrap().server(), "3.4.23");
    assert!(client.is_healthy().await.unwrap());
    let health = client.health().await;
    assert!(health.len() == 3 && health.iter().all(|(_, health)| matches!(health, Ok(true))));

    let leader = client.stats().leader().await.unwrap();
    assert_eq!(leader.followers().len(), 2);
    assert!(leader.followers().values().any(|follower| follower.counts().success() > 0));
    client.keys().set("/k", "v").await.unwrap();
    let own = client.only(cluster.endpoints()[leads].as_str()).unwrap();
    let stats = own.stats().member().await.unwrap();
    assert_eq!((stats.state(), stats.id()), ("StateLeader", leader.leader()));
    assert_eq!(stats.leader_info().leader(), leader.leader());
    assert!(own.stats().store().await.unwrap().sets_success() > 0);
}

#[tokio::test]
async fn users_and_roles_guard_the_keys() {
    let (_etcd, client) = start().await;
    let auth = client.auth();
    assert!(!auth.is_enabled().await.unwrap());
    auth.add_user("root", "secret").await.unwrap();
    auth.enable().await.unwrap();
    assert!(auth.is_enabled().await.unwrap());
    let with = |user: &str, password: &str| {
        Client::builder().endpoints(client.endpoints()).user(user, password).build().unwrap()
    };
    let root = with("root", "secret");
    let auth = root.auth();
    assert_eq!(auth.enable().await.unwrap_err().kind(), ErrorKind::Conflict);
    auth.add_role("hosts").await.unwrap();
    assert_eq!(auth.add_role("hosts").await.unwrap_err().kind(), ErrorKind::Conflict);
    let granted = auth
        .grant_permissions("hosts", &Permissions::new().read_write("/hosts/*").read("/x"))
        .await
        .unwrap();
    assert_eq!(granted.permissions().readable().len(), 2);
    let left = auth.revoke_permissions("hosts", &Permissions::new().read("/x")).await.unwrap();
    assert_eq!(left.permissions().readable(), ["/hosts/*"]);
    auth.revoke_permissions("guest", &Permissions::new().read_write("/*")).await.unwrap();

    auth.add_user("ann", "1").await.unwrap();
    let user = auth.grant_roles("ann", ["hosts"]).await.unwrap();
    assert_eq!(user.roles().collect::<Vec<_>>(), ["hosts"]);
    assert_eq!(auth.user("ann").await.unwrap().roles().collect::<Vec<_>>(), ["hosts"]);
    assert!(auth.users().await.unwrap().iter().any(|user| user.name() == "ann"));
    assert!(auth.roles().await.unwrap().iter().any(|role| role.name() == "guest"));
    auth.change_password("ann", "2").await.unwrap();

    with("ann", "2").keys().set("/hosts/a", "up").await.unwrap();
    for refused in [with("ann", "1"), with("ann", "2"), client.clone()] {
        let error = refused.keys().set("/elsewhere", "v").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
        assert!(!error.maybe_applied());
    }
    auth.revoke_roles("ann", ["hosts"]).await.unwrap();
    assert!(with("ann", "2").keys().set("/hosts/a", "up").await.is_err());
    assert_eq!(auth.user("none").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(auth.role("none").await.unwrap_err().kind(), ErrorKind::NotFound);
    auth.remove_user("ann").await.unwrap();
    assert_eq!(auth.remove_user("ann").await.unwrap_err().kind(), ErrorKind::NotFound);
    auth.remove_role("hosts").await.unwrap();
    auth.disable().await.unwrap();
    client.keys().set("/elsewhere", "v").await.unwrap();
}

#[tokio::test]
async fn a_server_without_the_v2_api_is_told_apart() {
    for version in Version::available() {
        let etcd = Etcd::builder(version).start().await;
        let client = Client::new([etcd.client_url()]).unwrap();
        let error = client.keys().get("/k").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{version}: {error}");
        let error = client.keys().set("/k", "v").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{version}: {error}");
    }
}

#[tokio::test]
async fn a_restarted_member_is_used_again() {
    let (etcd, client) = start().await;
    let keys = client.keys();
    let index = keys.set("/k", "1").await.unwrap().index();
    etcd.kill().await;
    // A write could still leave on a connection whose end was not seen yet. A read finds out, and is tried on another.
    assert_eq!(keys.get("/k").await.unwrap_err().kind(), ErrorKind::Unavailable);
    let error = keys.set("/k", "2").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && !error.maybe_applied(), "{error}");
    etcd.start().await;
    keys.set("/k", "3").await.unwrap();
    let mut watcher = keys.watch(Watch::new("/k").after_index(index));
    assert_eq!(node(&watcher.next().await.unwrap()).value(), Some("3"));
}
