//! Snapshots of ours started by etcd, and of etcd's by us.

use std::path::{Path, PathBuf};
use std::slice;

use etcdkit_server::storage::Disk;
use etcdkit_server::{ErrorKind, Server, ServerBuilder};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::{Etcd, Version};

use super::official::{View, check_alive, etcdctl, fill, restart_from};

async fn start(builder: ServerBuilder) -> (Server, String) {
    let server = builder.listen("127.0.0.1:0").bcrypt_cost(4).start().await.expect("it starts");
    let url = server.client_urls()[0].clone();
    (server, url)
}

/// Runs what blocks beside the server that it talks to.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

fn save(url: &str, who: &[&str], folder: &Path) -> PathBuf {
    let path = folder.join("snapshot.db");
    etcdctl(url, who, &["snapshot", "save", &path.display().to_string()]);
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_ours_boots_a_real_etcd_and_a_cluster_with_the_same_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let (server, url) = start(Server::builder()).await;
    let (ours, snapshot, who) = beside(move || {
        let who = fill(&url);
        (View::of(&url, who), save(&url, who, &path), who)
    })
    .await;
    server.shutdown().await;

    let etcd = Etcd::builder(Version::newest()).start().await;
    restart_from(&snapshot, slice::from_ref(&etcd), &[]).await;
    let url = etcd.client_url();
    let view = beside(move || (View::of(&url, who), check_alive(&url)).0).await;
    view.is(&ours, "a single member");
    drop(etcd);

    let cluster = Cluster::builder(Version::newest()).members(3).start().await;
    restart_from(&snapshot, cluster.members(), &[]).await;
    cluster.wait_leader().await;
    for etcd in cluster.members() {
        let url = etcd.client_url();
        beside(move || View::of(&url, who)).await.is(&ours, etcd.name());
    }
    let url = cluster[1].client_url();
    beside(move || check_alive(&url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_real_etcd_starts_ours_with_the_same_state() {
    for version in Version::available() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let etcd = Etcd::builder(version).start().await;
        let url = etcd.client_url();
        let (theirs, snapshot, who) = beside(move || {
            let who = fill(&url);
            (View::of(&url, who), save(&url, who, &path), who)
        })
        .await;
        drop(etcd);

        let (server, url) = start(Server::builder().snapshot(&snapshot)).await;
        let view = beside(move || (View::of(&url, who), check_alive(&url)).0).await;
        view.is(&theirs, version.number());
        server.shutdown().await;

        // On disk it needs the snapshot once.
        let data = folder.path().join("data");
        let disk = Disk::open(&data).unwrap();
        let (server, _) = start(Server::builder().storage(disk).snapshot(&snapshot)).await;
        server.shutdown().await;
        let (server, url) = start(Server::builder().storage(Disk::open(&data).unwrap())).await;
        let view = beside(move || (View::of(&url, who), check_alive(&url)).0).await;
        view.is(&theirs, version.number());
        server.shutdown().await;

        let disk = Disk::open(&data).unwrap();
        let twice = Server::builder().storage(disk).snapshot(&snapshot).start().await;
        let error = twice.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSetting, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_whose_revisions_were_bumped_starts_as_in_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let etcd = Etcd::builder(Version::newest()).start().await;
    let url = etcd.client_url();
    let (snapshot, who) = beside(move || {
        let who = fill(&url);
        (save(&url, who, &path), who)
    })
    .await;
    let bumped = ["--bump-revision", "1000", "--mark-compacted"];
    restart_from(&snapshot, slice::from_ref(&etcd), &bumped).await;
    let (url, path) = (etcd.client_url(), folder.path().join("bumped"));
    std::fs::create_dir(&path).unwrap();
    let (theirs, snapshot) = beside(move || (View::of(&url, who), save(&url, who, &path))).await;
    let (server, url) = start(Server::builder().snapshot(&snapshot)).await;
    assert!(server.revision() > 1000);
    beside(move || View::of(&url, who)).await.is(&theirs, "bumped");
}
