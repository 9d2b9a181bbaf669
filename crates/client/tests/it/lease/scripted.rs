//! Servers that end renewals for every reason that there is, and what they are told beside a renewal.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcdkit::proto::etcdserverpb::{
    AuthenticateResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, ResponseHeader,
    StatusResponse,
};
use etcdkit::service::CallOptions;
use etcdkit::{Client, ErrorKind, LeaseId, LeaseState, LossReason, Metadata, ServerError};
use etcdkit_testkit::peer::Peer;
use prost::Message;

use crate::kv::members::{fails, in_time};

const SERVING: &[u8] = &[0x08, 0x01];
const TTL: i64 = 2;

/// What a server does with renewals, the first excepted.
#[derive(Clone, Copy, Debug)]
enum Then {
    Status(u32, &'static str),
    /// Answers of this cluster, with so much time left.
    Answer(u64, i64),
    /// Nothing more, on any stream.
    Nothing,
}

/// What the server was told with each stream of renewals.
type Told = Arc<Mutex<Vec<Option<String>>>>;

async fn server(then: Then) -> (Client, Told, Peer) {
    let (told, renewals) = (Told::default(), Arc::new(AtomicUsize::new(0)));
    let hears = Arc::clone(&told);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let (hears, renewals) = (Arc::clone(&hears), Arc::clone(&renewals));
        async move {
            let header = |cluster_id| Some(ResponseHeader { cluster_id, ..Default::default() });
            conn.handshake(&[]).await?;
            loop {
                let request = conn.next_headers().await?;
                let stream = request.stream_id;
                match request.path.as_str() {
                    "/grpc.health.v1.Health/Check" => conn.respond(stream, SERVING).await?,
                    "/etcdserverpb.Maintenance/Status" => {
                        let status = StatusResponse { header: header(1), ..Default::default() };
                        conn.respond(stream, &status.encode_to_vec()).await?;
                    }
                    "/etcdserverpb.Lease/LeaseKeepAlive" => {
                        hears.lock().unwrap().push(request.header("tenant").map(str::to_owned));
                        conn.start_response(stream).await?;
                        while let Some(message) = conn.next_message(stream).await? {
                            let id = LeaseKeepAliveRequest::decode(message).unwrap().id;
                            let first = renewals.fetch_add(1, Ordering::SeqCst) == 0;
                            let (cluster, ttl) = match then {
                                Then::Nothing => (1, 1000 * TTL),
                                _ if first => (1, TTL),
                                Then::Answer(cluster, ttl) => (cluster, ttl),
                                Then::Status(code, text) => {
                                    conn.finish_response(stream, code, text).await?;
                                    break;
                                }
                            };
                            let header = header(cluster);
                            let answer = LeaseKeepAliveResponse { header, id, ttl };
                            conn.send_message(stream, &answer.encode_to_vec()).await?;
                            if matches!(then, Then::Nothing) {
                                break;
                            }
                        }
                    }
                    other => panic!("{other}"),
                }
            }
        }
    });
    let client = Client::builder().endpoints([peer.endpoint()]).build().unwrap();
    (client, told, peer)
}

fn id(number: i64) -> LeaseId {
    LeaseId::new(number).unwrap()
}

/// After the last renewal comes one error, and the state says the same.
#[tokio::test]
async fn each_loss_has_its_reason() {
    use ErrorKind as K;
    use LossReason as R;
    let table = [
        (Then::Answer(1, 0), R::Revoked, K::NotFound),
        (Then::Answer(2, TTL), R::ClusterChanged, K::ClusterChanged),
        (
            Then::Status(7, "etcdserver: permission denied"),
            R::PermissionDenied,
            K::PermissionDenied,
        ),
        (
            Then::Status(16, "etcdserver: invalid auth token"),
            R::Unauthenticated,
            K::Unauthenticated,
        ),
        (Then::Status(12, "unknown method LeaseKeepAlive"), R::Unsupported, K::Unsupported),
        (Then::Status(14, "the transport is closing"), R::Expired, K::NotFound),
    ];
    for (then, reason, kind) in table {
        let (client, _, _peer) = server(then).await;
        let mut kept = in_time("the first renewal", client.keep_alive(id(7))).await.unwrap();
        let control = kept.control().clone();
        assert_eq!(in_time("the end", control.lost()).await, reason, "{then:?}");
        assert_eq!(control.state(), LeaseState::Lost { reason });
        // What is no longer true can't be read any more.
        let error = kept.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{then:?}: {error}");
        assert!(kept.next().await.is_none());
    }
}

/// The token is refused under an open stream, and for a while there is no other: the lease waits for one.
#[tokio::test]
async fn a_token_that_cannot_be_replaced_for_a_while() {
    const FAILURES: usize = 8;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let asked = Arc::clone(&asked);
        async move {
            let header = Some(ResponseHeader { cluster_id: 1, ..Default::default() });
            let refusal = ServerError::InvalidAuthToken.message();
            conn.handshake(&[]).await?;
            loop {
                let request = conn.next_headers().await?;
                let stream = request.stream_id;
                let first = request.header("token") == Some("t0");
                match request.path.as_str() {
                    "/grpc.health.v1.Health/Check" => conn.respond(stream, SERVING).await?,
                    "/etcdserverpb.Maintenance/Status" => {
                        let header = header.clone();
                        let status = StatusResponse { header, ..Default::default() };
                        conn.respond(stream, &status.encode_to_vec()).await?;
                    }
                    "/etcdserverpb.Auth/Authenticate" => {
                        let number = asked.fetch_add(1, Ordering::SeqCst);
                        if (1..=FAILURES).contains(&number) {
                            let busy = "etcdserver: request timed out";
                            conn.respond_status(stream, 14, busy).await?;
                            continue;
                        }
                        let (header, token) = (header.clone(), format!("t{number}"));
                        let answer = AuthenticateResponse { header, token };
                        conn.respond(stream, &answer.encode_to_vec()).await?;
                    }
                    _ if first && asked.load(Ordering::SeqCst) > 1 => {
                        conn.respond_status(stream, 16, refusal).await?;
                    }
                    _ => {
                        conn.start_response(stream).await?;
                        let Some(message) = conn.next_message(stream).await? else { continue };
                        let id = LeaseKeepAliveRequest::decode(message).unwrap().id;
                        let ttl = if first { 20 } else { 21 };
                        let answer = LeaseKeepAliveResponse { header: header.clone(), id, ttl };
                        conn.send_message(stream, &answer.encode_to_vec()).await?;
                        if first {
                            conn.finish_response(stream, 16, refusal).await?;
                        }
                    }
                }
            }
        }
    });
    let timeouts = etcdkit::config::Timeouts::new().connect(Duration::from_millis(300));
    let builder = Client::builder().endpoints([peer.endpoint()]).timeouts(timeouts);
    let client = builder.user("alice", "pw").build().unwrap();
    let mut kept = in_time("the first renewal", client.keep_alive(id(7))).await.unwrap();
    let mut ttl = Duration::ZERO;
    while ttl != Duration::from_secs(21) {
        ttl = in_time("a renewal", kept.next()).await.unwrap().unwrap().ttl;
    }
    // Once more for each answer that a busy machine takes in too late.
    let count = counted.load(Ordering::SeqCst);
    assert!(count >= FAILURES + 2, "{count} times");
}

/// Renewals say what the call said that asked for them, on a stream for each set of metadata.
#[tokio::test]
async fn leases_with_other_metadata_have_another_stream() {
    let (client, told, peer) = server(Then::Nothing).await;
    let metadata = Metadata::new().with("tenant", "blue").unwrap();
    let blue = client.with_options(CallOptions::new().metadata(metadata));
    let mut kept = Vec::new();
    for (client, number) in [(&client, 1), (&blue, 2)] {
        kept.push(in_time("the first renewal", client.keep_alive(id(number))).await.unwrap());
    }
    assert_eq!(*told.lock().unwrap(), [None, Some("blue".to_owned())]);
    fails(client.at(peer.endpoint()).unwrap().keep_alive(id(9)).await, ErrorKind::Unsupported);
    in_time("closing", client.close()).await;
    for kept in &kept {
        assert_eq!(in_time("the end", kept.control().lost()).await, LossReason::Closed);
    }
}
