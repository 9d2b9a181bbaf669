//! `snapshot save`, over and over under one name.

use std::fs;
use std::path::Path;
use std::time::Duration;

use etcdkit_testkit::wait::eventually;
use rustix::process::Signal;

use super::{address, served, start};

const DEADLINE: Duration = Duration::from_secs(60);
const SNAPSHOT: &str = "/etcdserverpb.Maintenance/Snapshot";

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it can be read");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("it is there").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_save_that_was_interrupted_leaves_nothing_behind() {
    let (server, _client) = served("a").await;
    server.faults().delay(SNAPSHOT, Duration::from_secs(600));
    for (signal, number) in [(Signal::INT, 2), (Signal::TERM, 15)] {
        let folder = tempfile::tempdir().expect("a folder");
        let live = start(&address(&server), folder.path(), &["snapshot", "save", "cron.db"]);
        eventually("a draft", DEADLINE, async || {
            (names(folder.path()) == ["cron.db.part"]).then_some(())
        })
        .await;
        let ran = live.end_by(signal).await;
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (None, "", ""), "by {number}");
        assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
    }
}

/// A process that was killed could not clean up.
#[tokio::test]
async fn a_save_is_not_stopped_by_what_an_earlier_one_left() {
    let (server, _client) = served("a").await;
    let folder = tempfile::tempdir().expect("a folder");
    let stale = ["cron.db.new", "cron.db.new.part", "cron.db.part"];
    for name in stale {
        fs::write(folder.path().join(name), "stale").expect("it is written");
    }
    for _ in 0..2 {
        let saving = start(&address(&server), folder.path(), &["snapshot", "save", "cron.db"]);
        let ran = saving.ended().await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        assert!(fs::metadata(folder.path().join("cron.db")).expect("it is there").len() > 1_000);
        assert_eq!(names(folder.path()), [&["cron.db"], &stale[..]].concat());
    }
}

#[tokio::test]
async fn a_link_that_leads_nowhere_is_replaced() {
    let (server, _client) = served("a").await;
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("latest.db");
    std::os::unix::fs::symlink("nowhere", &link).expect("it is made");
    let ran = start(&address(&server), folder.path(), &["snapshot", "save", "latest.db"]);
    let ran = ran.ended().await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(link.symlink_metadata().expect("it is there").is_file());
    assert_eq!(names(folder.path()), ["latest.db"]);
}
