//! A server whose disk is gone: nothing is answered any more, and everybody is told.
#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::watch_request::RequestUnion;
use etcdkit_proto::etcdserverpb::*;
use etcdkit_proto::grpc_health_v1::HealthCheckRequest;
use etcdkit_proto::method::{self, Method, Shape, health, kv, lease, watch};
use etcdkit_proto::v3lockpb::LockRequest;
use etcdkit_server::Server;
use etcdkit_server::storage::{Batch, Load, Source, Storage, StorageError};
use h2::SendStream;
use prost::Message;
use tokio::time::timeout;

use crate::http::client::Http;
use crate::peer::{Messages, Peer, Refused, framed, refused};

/// A disk whose syncs can be made to fail. It keeps nothing.
#[derive(Clone, Debug, Default)]
struct Drive(Arc<AtomicBool>);

impl Drive {
    fn fail(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Storage for Drive {
    fn load(&mut self, _: &mut Load<'_>) -> Result<(), StorageError> {
        Ok(())
    }

    fn commit(&mut self, _: &Batch) -> Result<(), StorageError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(StorageError::Broken("sync: the drive is gone".to_owned()));
        }
        Ok(())
    }

    fn fill(&mut self, _: &mut Source<'_>) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Opens a stream, and waits for its first answer.
async fn open<Q: Message, A>(
    peer: &Peer,
    method: Method<Q, A>,
    request: &Q,
) -> (SendStream<Bytes>, Messages) {
    let (mut requests, response) = peer.open(method.path()).await;
    requests.send_data(framed(&request.encode_to_vec()), false).unwrap();
    let mut messages = Messages::new(response.await.unwrap().into_body());
    messages.next().await.unwrap().expect("an answer");
    (requests, messages)
}

/// Waits for the end of a call that must not go on.
async fn end<F: Future>(what: &str, call: F) -> F::Output {
    timeout(Duration::from_secs(30), call).await.unwrap_or_else(|_| panic!("{what} goes on"))
}

#[track_caller]
fn broken<T>(outcome: Result<T, Refused>, what: &str) {
    let why =
        "etcdserver: storage is broken: broken until it is opened again: sync: the drive is gone";
    assert_eq!(outcome.err(), Some((14, why.to_owned())), "{what}");
}

/// It was 0.
#[tokio::test]
async fn a_storage_that_does_not_tell_its_size_has_that_of_what_is_in_it() {
    let server = Server::builder().listen("127.0.0.1:0").storage(Drive::default());
    let server = server.start().await.unwrap();
    let peer = Peer::over(server.connect()).await;
    let put = PutRequest { key: "a".into(), value: vec![7; 1000].into(), ..Default::default() };
    peer.call(kv::PUT, &put).await.unwrap();
    let status = peer.call(method::maintenance::STATUS, &StatusRequest::default()).await.unwrap();
    assert!(status.db_size > 1000, "{status:?}");
    assert_eq!(status.db_size_in_use, status.db_size);
    let mut http = Http::to(&server.client_urls()[0]).await;
    let metrics = http.ask("GET", "/metrics", "", "").await.body;
    let size = format!("\netcd_mvcc_db_total_size_in_bytes {}\n", status.db_size);
    assert!(metrics.contains(&size), "{metrics}");
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_answered_and_every_stream_ends() {
    let drive = Drive::default();
    let server = Server::builder().listen("127.0.0.1:0").storage(drive.clone());
    let server = server.start().await.unwrap();
    let peer = Peer::over(server.connect()).await;
    for id in [7, 8] {
        peer.call(lease::GRANT, &LeaseGrantRequest { id, ttl: 600 }).await.unwrap();
    }
    let lock = |lease| LockRequest { name: "l".into(), lease };
    peer.call(method::lock::LOCK, &lock(7)).await.unwrap();
    let create = WatchCreateRequest { key: "a".into(), ..Default::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::Create(create)) };
    let renew = LeaseKeepAliveRequest { id: 7 };
    let mut streams = vec![
        open(&peer, watch::WATCH, &create).await,
        open(&peer, lease::KEEP_ALIVE, &renew).await,
        open(&peer, health::WATCH, &HealthCheckRequest::default()).await,
    ];
    let failed = timeout(Duration::ZERO, server.failed());
    assert!(failed.await.is_err(), "it has not failed yet");

    let second_lock = lock(8);
    let waiting = peer.call(method::lock::LOCK, &second_lock);
    let breaking = async {
        // The one that waits for the lock has its place.
        let places =
            RangeRequest { key: "l/".into(), range_end: "l0".into(), ..Default::default() };
        while peer.call(kv::RANGE, &places).await.unwrap().count < 2 {}
        drive.fail();
        let put = PutRequest { key: "a".into(), ..Default::default() };
        peer.call(kv::PUT, &put).await
    };
    let calls = futures_util::future::join(waiting, breaking);
    let (lock, put) = end("who waits for a lock", calls).await;
    broken(put, "the put whose sync failed");
    broken(lock, "who waits for a lock");
    for (_requests, messages) in &mut streams {
        broken(end("an open stream", messages.next()).await, "an open stream");
    }
    for info in method::ALL {
        let outcome = if info.shape == Shape::Unary {
            peer.call_bytes(info.path, Vec::new()).await.map(drop)
        } else {
            let (mut requests, response) = peer.open(info.path).await;
            requests.send_data(framed(&[]), false).unwrap();
            refused(response.await.unwrap().headers())
        };
        broken(outcome, info.path);
    }
    assert!(matches!(server.failed().await, StorageError::Broken(_)));

    let mut http = Http::to(&server.client_urls()[0]).await;
    for path in ["/livez", "/readyz", "/health", "/health?serializable=true"] {
        let answer = http.ask("GET", path, "", "").await;
        assert_eq!(answer.status, 503, "{path}: {}", answer.body);
        assert!(answer.body.contains("the drive is gone"), "{path}: {}", answer.body);
    }
}
