//! What stops etcd from starting stops restore, and stopped restores leave nothing behind.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use etcdkit_datadir::bbolt::Bbolt;
use etcdkit_datadir::schema::{Revision, RevisionKey, Version as Number};
use etcdkit_datadir::{ErrorKind, Progress, Restore, Stage};
use etcdkit_testkit::etcd::{Etcd, Version};
use etcdkit_testkit::wait::eventually;

use crate::official;
use crate::scenario::{Sample, State};
use crate::view::{self, Buckets};

type Change = fn(&mut Buckets);

fn put(buckets: &mut Buckets, bucket: &str, key: &[u8], value: &[u8]) {
    buckets.get_mut(bucket).expect("a bucket").insert(key.to_vec(), value.to_vec());
}

/// Changes after which etcd of that version does not start.
fn fatal(version: Version) -> Vec<(&'static str, Change, ErrorKind)> {
    let mut changes: Vec<(&str, Change, ErrorKind)> = vec![
        (
            "a key-value that is none",
            |buckets| {
                let revision = Revision { main: 1 << 40, sub: 0 };
                let key = RevisionKey { revision, tombstone: false }.encode();
                put(buckets, "key", &key, b"\xff\xff");
            },
            ErrorKind::Corrupt,
        ),
        (
            "a lease that is none",
            |buckets| put(buckets, "lease", &[1; 8], b"\xff"),
            ErrorKind::Corrupt,
        ),
    ];
    if version == Version::V3_5 {
        let downgrade: Change = |buckets| {
            let json = br#"{"target-version":"3.4.0","enabled":true}"#;
            put(buckets, "cluster", b"downgrade", json);
        };
        changes.push(("a downgrade in progress", downgrade, ErrorKind::Refused));
    }
    if version.at_least(3, 6) {
        let newer: Change = |buckets| put(buckets, "cluster", b"clusterVersion", b"3.9.0");
        changes.push(("a newer cluster", newer, ErrorKind::Refused));
        let newer: Change = |buckets| put(buckets, "meta", b"storageVersion", b"3.9.0");
        changes.push(("a newer storage", newer, ErrorKind::Refused));
    }
    changes
}

#[tokio::test(flavor = "multi_thread")]
async fn where_etcd_dies_restore_refuses() {
    for version in Version::available() {
        let sample = Sample::make(version, State::Plain).await;
        let file = fs::File::open(&sample.snapshot).expect("it was saved");
        let sound = view::buckets(&mut Bbolt::open(file).expect("a database"));
        for (what, change, kind) in fatal(version) {
            let mut buckets = sound.clone();
            change(&mut buckets);
            let path = sample.path("changed.db");
            view::write(&buckets, &path);
            let etcd = Etcd::builder(version).start().await;
            etcd.kill().await;
            fs::remove_dir_all(etcd.data_dir()).expect("it was there");
            let initial = format!("m0={}", etcd.peer_url());
            let error = Restore::new(&path)
                .skip_hash_check()
                .name("m0")
                .initial_cluster(&initial)
                .initial_advertise_peer_urls([etcd.peer_url()])
                .data_dir(etcd.data_dir())
                .target_version(version.number().parse::<Number>().expect("a version"))
                .run()
                .expect_err(what);
            assert_eq!(error.kind(), kind, "{version}, {what}: {error}");
            assert!(!etcd.data_dir().exists(), "{version}, {what}");

            let (path, data_dir) =
                (path.display().to_string(), etcd.data_dir().display().to_string());
            let peer_url = etcd.peer_url();
            let output = official::run(
                version,
                &[
                    "snapshot",
                    "restore",
                    &path,
                    "--skip-hash-check",
                    "--name",
                    "m0",
                    "--initial-cluster",
                    &initial,
                    "--initial-advertise-peer-urls",
                    &peer_url,
                    "--data-dir",
                    &data_dir,
                ],
            );
            // The tool of 3.4 opens the keys as a server does, and dies there already.
            if output.status.success() {
                etcd.spawn();
                eventually(what, Duration::from_secs(30), async || {
                    (!etcd.is_running()).then_some(())
                })
                .await;
            }
        }
    }
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_never_overwritten_and_failures_leave_nothing() {
    let sample = Sample::make(Version::newest(), State::Plain).await;
    let folder = sample.folder.path();
    let restore = Restore::new(&sample.snapshot);
    let check = |restore: &Restore, kind: ErrorKind, left: &[&str]| {
        let error = restore.run().expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(names(folder), left, "{error}");
    };

    let used = sample.path("used");
    fs::create_dir(&used).expect("a folder");
    fs::write(used.join("file"), "mine").expect("a folder");
    let left = ["snapshot.db", "used"];
    check(&restore.clone().data_dir(&used), ErrorKind::AlreadyExists, &left);
    let file = used.join("file");
    check(&restore.clone().data_dir(&file), ErrorKind::AlreadyExists, &left);
    assert_eq!(fs::read_to_string(&file).expect("untouched"), "mine");
    let target = sample.path("a/b/c");
    check(&restore.clone().data_dir(&target).wal_dir(&used), ErrorKind::AlreadyExists, &left);
    check(&restore.clone().data_dir(&target).name("other"), ErrorKind::InvalidArgument, &left);
    check(
        &restore.clone().data_dir(&target).bump_revision(u64::MAX),
        ErrorKind::InvalidArgument,
        &left,
    );
    check(&Restore::new(sample.path("missing")).data_dir(&target), ErrorKind::NotFound, &left);

    for stage in [Stage::Copying, Stage::Checking, Stage::Syncing] {
        let error =
            restore.clone().data_dir(&target).wal_dir(sample.path("d/wal")).run_with_progress(
                &mut |progress: Progress| {
                    assert!(progress.done <= progress.total, "{progress:?}");
                    if progress.stage == stage {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            );
        match error {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}"),
            // So small a database is checked before there is anything to report.
            Ok(_) => {
                assert_eq!(stage, Stage::Checking);
                fs::remove_dir_all(sample.path("a")).expect("restored");
                fs::remove_dir_all(sample.path("d")).expect("restored");
            }
        }
        assert_eq!(names(folder), left, "{stage:?}");
    }

    // An empty folder is taken, and the log goes where it is told to.
    let empty = sample.path("empty");
    fs::create_dir(&empty).expect("a folder");
    restore.clone().data_dir(&empty).wal_dir(sample.path("d/wal")).run().expect("sound");
    assert_eq!(names(&empty.join("member")), ["snap"]);
    assert_eq!(names(&sample.path("d/wal")).len(), 1);
    let within = sample.path("within");
    restore.data_dir(&within).wal_dir(within.join("logs/wal")).run().expect("sound");
    assert_eq!(names(&within), ["logs", "member"]);
    assert_eq!(names(folder), ["d", "empty", "snapshot.db", "used", "within"]);
}
