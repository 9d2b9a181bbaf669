//! Copies of a backend.

use std::time::Duration;

use etcdkit::maintenance::{SnapshotPiece, Version};
use etcdkit::{Client, ErrorKind, Result, Streaming};
use etcdkit_testkit::etcd;
use etcdkit_testkit::proxy::Proxy;

use crate::kv::members::*;

async fn fill(client: &Client, megabytes: usize) {
    for number in 0..megabytes {
        client.put(format!("k{number}"), vec![b'x'; 1 << 20]).await.unwrap();
    }
}

async fn read(mut pieces: Streaming<SnapshotPiece>) -> Result<Vec<SnapshotPiece>> {
    let mut all = Vec::new();
    while let Some(piece) = pieces.next().await {
        all.push(piece?);
    }
    Ok(all)
}

/// TestMaintenanceSnapshotContentDigest, TestMaintenanceSnapshotWithVersionVersion: and etcd's own tool takes the file.
#[tokio::test]
async fn maintenance_snapshot_content_digest() {
    for version in etcd::Version::available() {
        let _named = Named::new(version);
        let etcd = etcd::Etcd::builder(version).start().await;
        let client = connect(&etcd).await;
        fill(&client, 3).await;
        let pieces = read(client.snapshot().await.unwrap()).await.unwrap();
        let (last, backend) = pieces.split_last().unwrap();
        assert!(last.is_digest() && last.bytes().len() == 32);
        let mut left: u64 = backend.iter().map(|piece| piece.bytes().len() as u64).sum();
        assert!(left >= 3 << 20 && left.is_multiple_of(512));
        for piece in backend {
            left -= piece.bytes().len() as u64;
            assert_eq!(piece.remaining(), left);
            assert!(!piece.is_digest());
            let expected = version.at_least(3, 6).then(|| Version::new(3, version.minor(), 0));
            assert_eq!(piece.version(), expected);
        }

        let file = etcd.data_dir().join("../snapshot.db");
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes().to_vec()).collect();
        std::fs::write(&file, bytes).unwrap();
        let tool = version.etcdutl().unwrap_or_else(|| version.etcdctl());
        let restored = std::process::Command::new(tool)
            .args(["snapshot", "restore", "--data-dir"])
            .arg(etcd.data_dir().join("../restored"))
            .arg(&file)
            .env("ETCDCTL_API", "3")
            .output()
            .unwrap();
        assert!(restored.status.success(), "{restored:?}");
    }
}

/// TestMaintenanceSnapshotTimeout, …ErrorInflight: the deadline holds for the whole stream, and dropping it is enough
/// to cancel it.
#[tokio::test]
async fn maintenance_snapshot_timeout_and_cancel() {
    on_own_member(async |client, etcd| {
        fill(&client, 16).await;
        let proxy = Proxy::start(etcd.client_addr()).await;
        let slow = tolerant().endpoints([format!("http://{}", proxy.addr())]).build().unwrap();
        let hurried = slow.with_options(within(Duration::from_secs(5)));
        let mut pieces = hurried.snapshot().await.unwrap();
        pieces.next().await.unwrap().unwrap();
        // What a reader does not take, the server can't have sent.
        proxy.freeze();
        let error = in_time("the end", read(pieces)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");

        let mut pieces = client.snapshot().await.unwrap();
        pieces.next().await.unwrap().unwrap();
        drop(pieces);
        // A close while it is read is told too.
        let mut pieces = client.snapshot().await.unwrap();
        pieces.next().await.unwrap().unwrap();
        client.close().await;
        let error = in_time("the end", read(pieces)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    })
    .await;
}
