//! Snapshots restored by this crate, started by real etcd.

use std::fs;
use std::path::Path;

use etcdkit_datadir::bbolt::Bbolt;
use etcdkit_datadir::schema::{Backend, Version as Number};
use etcdkit_datadir::{ErrorKind, Restore, snap, wal};
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::{Etcd, Version};

use crate::scenario::{Sample, State, hash_kv, keys, token};
use crate::{official, view};

fn number(version: Version) -> Number {
    version.number().parse().expect("a version")
}

/// Replaces the members' data by the snapshot and starts them.
async fn restart_from(sample: &Sample, members: &[Etcd], version: Version) {
    let initial: Vec<String> =
        members.iter().map(|etcd| format!("{}={}", etcd.name(), etcd.peer_url())).collect();
    for etcd in members {
        etcd.kill().await;
    }
    for etcd in members {
        fs::remove_dir_all(etcd.data_dir()).expect("it was there");
        let restored = Restore::new(&sample.snapshot)
            .name(etcd.name())
            .initial_cluster(initial.join(","))
            .initial_advertise_peer_urls([etcd.peer_url()])
            .data_dir(etcd.data_dir())
            .target_version(number(version))
            .run()
            .unwrap_or_else(|error| panic!("{} for {version}: {error}", sample.is()));
        assert!(restored.revision > 1);
    }
    members.iter().for_each(Etcd::spawn);
    for etcd in members {
        etcd.ready().await;
    }
}

async fn check(sample: &Sample, etcd: &Etcd) {
    let what = format!("{} on {}", sample.is(), etcd.version());
    let user = sample.user;
    let token = user.map(|_| token(etcd, "root", "secret")).unwrap_or_default();
    assert_eq!(keys(etcd, &token), sample.keys, "{what}");
    assert_eq!(hash_kv(etcd, user).await, sample.hash_kv, "{what}");
    let leases = etcd.etcdctl(user.into_iter().chain(["lease", "list"])).await;
    for lease in &sample.leases {
        assert!(leases.contains(&format!("{lease:016x}")), "{what}: {leases}");
    }
    if user.is_some() {
        let users = etcd.etcdctl(user.into_iter().chain(["user", "list"])).await;
        assert_eq!(users, "reader\nroot\n", "{what}");
        let denied = etcd.try_etcdctl(["--user=reader:word", "put", "key-1", "x"]).await;
        assert!(!denied.status.success(), "{what}");
        etcd.etcdctl(["--user=reader:word", "get", "key-0002"]).await;
    }
    etcd.etcdctl(user.into_iter().chain(["put", "key-new", "value"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_members_start_in_the_same_and_newer_versions() {
    let available = Version::available();
    for &source in &available {
        for state in [State::Defragmented, State::LeasesAndAuth] {
            let sample = Sample::make(source, state).await;
            for &target in available.iter().filter(|&&target| target >= source) {
                let etcd = Etcd::builder(target).start().await;
                restart_from(&sample, std::slice::from_ref(&etcd), target).await;
                check(&sample, &etcd).await;
                etcd.restart().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_clusters_of_three_start_in_the_same_and_newer_versions() {
    let available = Version::available();
    for &source in &available {
        let sample = Sample::make(source, State::LeasesAndAuth).await;
        for &target in available.iter().filter(|&&target| target >= source) {
            let cluster = Cluster::builder(target).start().await;
            restart_from(&sample, cluster.members(), target).await;
            let leader = cluster.wait_leader().await;
            check(&sample, &cluster[leader]).await;
            let list = cluster.etcdctl(sample.user.into_iter().chain(["member", "list"])).await;
            assert_eq!(list.lines().count(), 3, "{list}");
        }
    }
}

/// TestSnapshotV3RestoreMultiMemberAdd.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_cluster_takes_a_new_member() {
    for version in Version::available() {
        let sample = Sample::make(version, State::Plain).await;
        let mut cluster = Cluster::builder(version).start().await;
        restart_from(&sample, cluster.members(), version).await;
        cluster.wait_leader().await;
        let added = cluster.add_learner().await;
        cluster.promote(added).await;
        assert_eq!(keys(&cluster[added], ""), sample.keys, "{}", sample.is());
        assert_eq!(hash_kv(&cluster[added], None).await, sample.hash_kv, "{}", sample.is());
    }
}

/// All of a restored directory's content, for comparison: the buckets without what is ours by intent, the log's bytes,
/// and what the snap file says of its members.
fn content(data_dir: &Path) -> (view::Buckets, Vec<u8>, String) {
    let db = fs::File::open(data_dir.join("member/snap/db")).expect("a database");
    let mut buckets = view::buckets(&mut Bbolt::open(db).expect("a database"));
    buckets.get_mut("meta").expect("a bucket").remove(b"confState".as_slice());
    let segment = "member/wal/0000000000000000-0000000000000000.wal";
    let log = fs::read(data_dir.join(segment)).expect("a segment");
    assert_eq!(log.len(), 64_000_000);
    let name = snap::SnapName { term: 1, index: 2 }.to_string();
    let file = fs::File::open(data_dir.join("member/snap").join(name)).expect("a snap file");
    let snapshot = snap::read(file).expect("sound");
    let store: serde_json::Value =
        serde_json::from_slice(&snapshot.data.expect("a store")).expect("JSON");
    // Since 3.6 etcdutl numbers the members in any order.
    let root = store["Root"].to_string().replace("Index\":2", "Index\":1");
    let metadata = snapshot.metadata.expect("metadata");
    let state = metadata.conf_state.expect("members");
    (buckets, log, format!("{root}{:?}{:?}{:?}", metadata.index, metadata.term, state.voters))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_is_what_etcdutl_makes() {
    for version in Version::available() {
        let sample = Sample::make(version, State::Defragmented).await;
        let path = sample.snapshot.display().to_string();
        for tool in Version::available() {
            for bump in [0, 1000] {
                if bump > 0 && !tool.at_least(3, 6) || !tool.at_least(3, 5) {
                    continue;
                }
                let (ours, theirs) = (sample.path("ours"), sample.path("theirs"));
                for folder in [&ours, &theirs] {
                    let _ = fs::remove_dir_all(folder);
                }
                let cluster = "a&b=http://127.0.0.1:1,c=http://127.0.0.1:3,a&b=http://127.0.0.1:2";
                let theirs_text = theirs.display().to_string();
                let bump_text = bump.to_string();
                let mut arguments = vec![
                    "snapshot",
                    "restore",
                    &path,
                    "--name",
                    "a&b",
                    "--initial-cluster",
                    cluster,
                    "--initial-cluster-token",
                    "t",
                    "--initial-advertise-peer-urls",
                    "http://127.0.0.1:1,http://127.0.0.1:2",
                    "--data-dir",
                    &theirs_text,
                ];
                if bump > 0 {
                    arguments.extend(["--bump-revision", &bump_text, "--mark-compacted"]);
                }
                official::succeed(tool, &arguments);
                Restore::new(&sample.snapshot)
                    .name("a&b")
                    .initial_cluster(cluster)
                    .initial_cluster_token("t")
                    .initial_advertise_peer_urls(["http://127.0.0.1:1", "http://127.0.0.1:2"])
                    .data_dir(&ours)
                    .bump_revision(bump)
                    .run()
                    .expect("sound");
                let what = format!("{} by {tool}", sample.is());
                let (our, their) = (content(&ours), content(&theirs));
                assert_eq!(our.0, their.0, "{what}");
                assert_eq!(our.2, their.2, "{what}");
                // etcd 3.7 leaves out numbers that are zero; what its log says is the same.
                if tool.at_least(3, 7) {
                    let summary = |folder: &Path| {
                        wal::folder::summary(&folder.join("member/wal")).expect("sound")
                    };
                    let (our, their) = (summary(&ours), summary(&theirs));
                    assert_eq!(
                        (our.metadata, our.state, our.entries),
                        (their.metadata, their.state, their.entries),
                        "{what}"
                    );
                } else {
                    assert!(our.1 == their.1, "{what}: the logs differ");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bumped_revision_compacts_everything_before() {
    for version in Version::available() {
        let sample = Sample::make(version, State::Plain).await;
        let etcd = Etcd::builder(version).start().await;
        etcd.kill().await;
        fs::remove_dir_all(etcd.data_dir()).expect("it was there");
        let restored = Restore::new(&sample.snapshot)
            .name("m0")
            .initial_cluster(format!("m0={}", etcd.peer_url()))
            .initial_advertise_peer_urls([etcd.peer_url()])
            .data_dir(etcd.data_dir())
            .bump_revision(1000)
            .run()
            .expect("sound");
        let last = sample.keys.values().map(|key| key.1).max().expect("keys") + 1;
        assert_eq!(restored.revision, last + 1000, "{version}");
        etcd.start().await;
        assert_eq!(keys(&etcd, ""), sample.keys, "{version}");
        let old = etcd.try_etcdctl(["get", "large", &format!("--rev={last}")]).await;
        assert!(String::from_utf8_lossy(&old.stderr).contains("compacted"), "{version}");
        let put = etcd.etcdctl(["put", "next", "x", "-w", "json"]).await;
        assert!(put.contains(&format!("\"revision\":{}", last + 1001)), "{version}: {put}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_etcd_would_not_start_nothing_is_restored() {
    let available = Version::available();
    if !available.contains(&Version::V3_6) || !available.contains(&Version::V3_7) {
        return;
    }
    let sample = Sample::make(Version::V3_7, State::Plain).await;
    let etcd = Etcd::builder(Version::V3_6).start().await;
    etcd.kill().await;
    fs::remove_dir_all(etcd.data_dir()).expect("it was there");
    let restore = Restore::new(&sample.snapshot)
        .name("m0")
        .initial_cluster(format!("m0={}", etcd.peer_url()))
        .initial_advertise_peer_urls([etcd.peer_url()])
        .data_dir(etcd.data_dir());
    let error = restore.clone().target_version(Number::new(3, 6)).run().expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("3.7.0"), "{error}");
    assert!(!etcd.data_dir().exists());
    // And indeed it would not.
    restore.run().expect("without a target it is restored");
    etcd.spawn();
    etcdkit_testkit::wait::eventually("its end", std::time::Duration::from_secs(30), async || {
        (!etcd.is_running()).then_some(())
    })
    .await;
    let log = fs::read_to_string(etcd.log()).expect("a log");
    assert!(log.contains("is not supported"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_logs_and_snap_files_are_read() {
    for version in Version::available() {
        let cluster = Cluster::builder(version).snapshot_count(10).start().await;
        for number in 0..40 {
            cluster.etcdctl(["put", "key", &number.to_string()]).await;
        }
        let ids =
            [cluster.member_id(0).await, cluster.member_id(1).await, cluster.member_id(2).await];
        cluster[0].kill().await;
        let member = cluster[0].data_dir().join("member");
        let summary = wal::folder::summary(&member.join("wal")).expect("sound");
        assert_eq!(summary.metadata.member_id, ids[0], "{version}");
        assert!(summary.entries > 40 && summary.snapshots.len() > 1, "{version}: {summary:?}");
        let newest = fs::read_dir(member.join("snap"))
            .expect("a folder")
            .filter_map(|entry| snap::SnapName::parse(entry.ok()?.file_name().to_str()?))
            .max();
        if let Some(name) = newest {
            let file = fs::File::open(member.join("snap").join(name.to_string())).expect("there");
            let snapshot = snap::read(file).expect("sound");
            let voters =
                snapshot.metadata.and_then(|metadata| metadata.conf_state).expect("members");
            assert!(ids.iter().all(|id| voters.voters.contains(id)), "{version}");
        } else {
            assert!(version.at_least(3, 7), "{version} writes snap files");
        }
        let mut backend = Backend::open_path(member.join("snap/db")).expect("a database");
        assert!(backend.bbolt().check().expect("readable").is_sound(), "{version}");
    }
}
