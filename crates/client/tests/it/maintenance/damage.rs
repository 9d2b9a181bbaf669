//! Snapshots that come damaged, from a scripted peer.

use bytes::Bytes;
use etcdkit::proto::etcdserverpb::SnapshotResponse;
use etcdkit::proto::method;
use etcdkit::{Client, ErrorKind};
use etcdkit_testkit::peer::Peer;
use prost::Message;

use crate::kv::members::in_time;

/// SHA-256 of `abcdef`.
const DIGEST: &str = "bef57ec7f53a6d40beb640a780a639c83bc29ac8a9816f1fc6c5c6dcd93c4721";

pub(super) fn abcdef() -> Vec<u8> {
    (0..32).map(|at| u8::from_str_radix(&DIGEST[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// A peer whose snapshots are these messages, ended well.
pub(super) async fn peer(messages: Vec<(Vec<u8>, u64)>) -> Peer {
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let messages = messages.clone();
        async move {
            conn.handshake(&[]).await?;
            loop {
                let request = conn.next_request().await?;
                if request.path != method::maintenance::SNAPSHOT.path() {
                    conn.respond(request.stream_id, b"").await?;
                    continue;
                }
                conn.start_response(request.stream_id).await?;
                for (blob, remaining_bytes) in &messages {
                    let blob = Bytes::copy_from_slice(blob);
                    let message = SnapshotResponse {
                        blob,
                        remaining_bytes: *remaining_bytes,
                        ..Default::default()
                    };
                    conn.send_message(request.stream_id, &message.encode_to_vec()).await?;
                }
                conn.finish_response(request.stream_id, 0, "").await?;
            }
        }
    });
    peer
}

#[tokio::test]
async fn flipped_and_truncated_snapshots_are_detected() {
    let flipped = || {
        let mut digest = abcdef();
        digest[0] ^= 1;
        digest
    };
    let table = [
        (vec![(b"abc".to_vec(), 3), (b"def".to_vec(), 0), (abcdef(), 0)], 3, true),
        (vec![(b"abc".to_vec(), 3), (b"dex".to_vec(), 0), (abcdef(), 0)], 2, false),
        (vec![(b"abc".to_vec(), 3), (b"def".to_vec(), 0), (flipped(), 0)], 2, false),
        (vec![(b"abc".to_vec(), 3), (b"def".to_vec(), 0)], 2, false),
        (vec![(b"abc".to_vec(), 3)], 1, false),
        // The digest where the rest of the backend should be.
        (vec![(b"abc".to_vec(), 3), (abcdef(), 0)], 2, false),
        (vec![], 0, false),
    ];
    for (messages, good, whole) in table {
        let peer = peer(messages.clone()).await;
        let client = Client::connect([peer.endpoint()]).await.unwrap();
        let mut pieces = in_time("the stream", client.snapshot()).await.unwrap();
        for _ in 0..good {
            pieces.next().await.unwrap().unwrap();
        }
        if !whole {
            let error = pieces.next().await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{messages:?}: {error}");
            assert_eq!(error.rpc(), Some(method::maintenance::SNAPSHOT.path()));
        }
        assert!(pieces.next().await.is_none(), "{messages:?}");
    }
}
