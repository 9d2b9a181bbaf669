//! Copies of a backend in files.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use etcdkit::ErrorKind;
use etcdkit::maintenance::{SaveSnapshot, Version};
use etcdkit_testkit::etcd;
use etcdkit_testkit::proxy::{Direction, Proxy};

use super::damage::{abcdef, peer};
use crate::kv::members::*;

/// A name in a folder of the test's own.
fn target(etcd: &etcd::Etcd) -> PathBuf {
    let folder = etcd.data_dir().join("../saved");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join("snapshot.db")
}

fn names(target: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(target.parent().unwrap()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// TestSaveSnapshotFilePermissions, TestSaveSnapshotVersion; what is there is not overwritten.
#[tokio::test]
async fn save_snapshot() {
    for version in etcd::Version::available() {
        let _named = Named::new(version);
        let etcd = etcd::Etcd::builder(version).start().await;
        let client = connect(&etcd).await;
        let put = client.put("key", vec![b'x'; 1 << 20]).await.unwrap();
        let path = target(&etcd);
        let told = Arc::new(Mutex::new(Vec::new()));
        let save = SaveSnapshot::to(&path).on_progress({
            let told = Arc::clone(&told);
            move |progress| told.lock().unwrap().push(progress)
        });
        let saved = client.save_snapshot(save).await.unwrap();
        assert_eq!(saved.revision, put.revision());
        let expected = version.at_least(3, 6).then(|| Version::new(3, version.minor(), 0));
        assert_eq!(saved.version, expected);
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, saved.bytes));
        assert_eq!(saved.bytes % 512, 32);
        let file = std::fs::read(&path).unwrap();
        assert!(file.ends_with(&saved.sha256));
        let told = std::mem::take(&mut *told.lock().unwrap());
        assert!(told.is_sorted_by_key(|progress| progress.received));
        let last = told.last().unwrap();
        assert_eq!((last.received, last.total), (saved.bytes - 32, saved.bytes - 32));
        assert_eq!(names(&path), ["snapshot.db"]);

        let error = client.save_snapshot(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), file);
        let error = client.save_snapshot(path.join("below")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
}

/// What is written between the question where the member is and the copy is in the copy, and so is its revision.
#[tokio::test]
async fn the_revision_is_that_of_the_last_change_in_the_file() {
    for version in etcd::Version::available() {
        let _named = Named::new(version);
        let etcd = etcd::Etcd::builder(version).start().await;
        let client = connect(&etcd).await;
        let mut last = client.put("key", "0").await.unwrap().revision();
        for puts in [0, 1, 1000] {
            for number in 0..puts {
                last = client.put(format!("{number}"), "x".repeat(200)).await.unwrap().revision();
            }
            let mut pieces = client.snapshot().await.unwrap();
            let mut messages = Vec::new();
            while let Some(piece) = pieces.next().await {
                let piece = piece.unwrap();
                messages.push((piece.bytes().to_vec(), piece.remaining()));
            }
            // A peer that says nothing of where it is.
            let silent = peer(messages).await;
            let path = target(&etcd).with_file_name(format!("{puts}.db"));
            let silent = etcdkit::Client::connect([silent.endpoint()]).await.unwrap();
            let saved = silent.save_snapshot(&path).await.unwrap();
            assert_eq!(saved.revision, last, "{puts} puts");
        }
    }
}

/// A connection that breaks in the middle: the next endpoint is asked, and nothing of the first is in the file.
#[tokio::test]
async fn a_snapshot_that_breaks_off_begins_anew_elsewhere() {
    let etcd = etcd::Etcd::start_newest().await;
    connect(&etcd).await.put("key", vec![b'x'; 1 << 20]).await.unwrap();
    let proxy = Proxy::start(etcd.client_addr()).await;
    proxy.cut_after(Direction::ToClient, 600_000);
    let endpoints = [format!("http://{}", proxy.addr()), etcd.client_url()];
    let client = tolerant().endpoints(endpoints.clone()).build().unwrap();
    let path = target(&etcd);
    let saved = client.save_snapshot(&path).await.unwrap();
    assert_eq!(format!("{}", saved.endpoint), endpoints[1]);
    let file = std::fs::read(&path).unwrap();
    assert_eq!(file.len() as u64, saved.bytes);
    assert!(file.ends_with(&saved.sha256));
}

/// What comes damaged from everybody leaves no file, and neither does a future that is dropped.
#[tokio::test]
async fn no_partial_file_is_left() {
    let etcd = etcd::Etcd::start_newest().await;
    let path = target(&etcd);
    let mut flipped = abcdef();
    flipped[0] ^= 1;
    let damaged = peer(vec![(b"abc".to_vec(), 3), (b"def".to_vec(), 0), (flipped, 0)]).await;
    let client = etcdkit::Client::builder()
        .endpoints([format!("http://{}", damaged.addr())])
        .build()
        .unwrap();
    let error = in_time("the end", client.save_snapshot(&path)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(names(&path).is_empty(), "{:?}", names(&path));

    let client = connect(&etcd).await;
    client.put("key", vec![b'x'; 1 << 20]).await.unwrap();
    let (seen, mut first) = tokio::sync::mpsc::channel(1);
    let save = SaveSnapshot::to(&path).on_progress({
        let path = path.clone();
        move |_| {
            let _ = seen.try_send(names(&path));
        }
    });
    tokio::select! {
        biased;
        names = first.recv() => assert_eq!(names.unwrap(), ["snapshot.db.part"]),
        _ = client.save_snapshot(save) => panic!("it was to be dropped"),
    }
    etcdkit_testkit::wait::eventually("the draft to be gone", DEADLINE, async || {
        names(&path).is_empty().then_some(())
    })
    .await;
}
