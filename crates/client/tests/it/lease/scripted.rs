//! Servers that end renewals for every reason that there is, and what they are told beside a renewal.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use etcdkit::proto::etcdserverpb::{
    AuthenticateResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, ResponseHeader,
    StatusResponse,
};
use etcdkit::service::CallOptions;
use etcdkit::transport::{Channel, Failure, Source, Status, Transport};
use etcdkit::{Client, Code, ErrorKind, LeaseId, LeaseState, LossReason, Metadata, ServerError};
use etcdkit_testkit::peer::Peer;
use prost::Message;

use super::{now, pass, seconds};
use crate::kv::members::{fails, in_paused_time, in_time};
use crate::stub::{Member, Requests, header};

const SERVING: &[u8] = &[0x08, 0x01];
const TTL: Duration = seconds(30);

/// What a member in memory does with renewals, the first excepted.
#[derive(Clone, Copy, Debug)]
enum Then {
    Status(Code, &'static str),
    /// Answers of this cluster, with so much time left.
    Answer(u64, Duration),
    Nothing,
}

struct Renewals {
    requests: Requests,
    then: Then,
    /// How many there were, on all streams.
    count: Arc<AtomicUsize>,
}

impl Source for Renewals {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let request: LeaseKeepAliveRequest = self.requests.next().await;
        let first = self.count.fetch_add(1, Ordering::SeqCst) == 0;
        let (cluster_id, ttl) = match self.then {
            _ if first => (1, TTL),
            Then::Answer(cluster_id, ttl) => (cluster_id, ttl),
            Then::Status(code, message) => {
                return Err(Failure::Status(Status { code, message: message.into() }));
            }
            Then::Nothing => std::future::pending().await,
        };
        let header = header().map(|header| ResponseHeader { cluster_id, ..header });
        let ttl = ttl.as_secs().try_into().unwrap();
        let answer = LeaseKeepAliveResponse { header, id: request.id, ttl };
        Ok(Some(answer.encode_to_vec().into()))
    }
}

/// A client of a member in memory, and how many renewals that was asked for.
fn member(then: Then) -> (Client<Channel<impl Transport>>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&count);
    let member =
        Member::new(move |requests| Renewals { requests, then, count: Arc::clone(&counts) });
    (Client::builder().endpoints(["http://stub:1"]).build_on(member).unwrap(), count)
}

/// What the server was told with each stream of renewals.
type Told = Arc<Mutex<Vec<Option<String>>>>;

/// Answers the first renewal on each stream.
async fn server() -> (Client, Told, Peer) {
    let told = Told::default();
    let hears = Arc::clone(&told);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let hears = Arc::clone(&hears);
        async move {
            conn.handshake(&[]).await?;
            loop {
                let request = conn.next_headers().await?;
                let stream = request.stream_id;
                match request.path.as_str() {
                    "/grpc.health.v1.Health/Check" => conn.respond(stream, SERVING).await?,
                    "/etcdserverpb.Maintenance/Status" => {
                        let status = StatusResponse { header: header(), ..Default::default() };
                        conn.respond(stream, &status.encode_to_vec()).await?;
                    }
                    "/etcdserverpb.Lease/LeaseKeepAlive" => {
                        hears.lock().unwrap().push(request.header("tenant").map(str::to_owned));
                        conn.start_response(stream).await?;
                        let Some(message) = conn.next_message(stream).await? else { continue };
                        let id = LeaseKeepAliveRequest::decode(message).unwrap().id;
                        let answer = LeaseKeepAliveResponse { header: header(), id, ttl: 3600 };
                        conn.send_message(stream, &answer.encode_to_vec()).await?;
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
#[tokio::test(start_paused = true)]
async fn each_loss_has_its_reason() {
    use ErrorKind as K;
    use LossReason as R;
    let table = [
        (Then::Answer(1, Duration::ZERO), R::Revoked, K::NotFound),
        (Then::Answer(2, TTL), R::ClusterChanged, K::ClusterChanged),
        (
            Then::Status(Code::PermissionDenied, "etcdserver: permission denied"),
            R::PermissionDenied,
            K::PermissionDenied,
        ),
        (
            Then::Status(Code::Unauthenticated, "etcdserver: invalid auth token"),
            R::Unauthenticated,
            K::Unauthenticated,
        ),
        (
            Then::Status(Code::Unimplemented, "unknown method LeaseKeepAlive"),
            R::Unsupported,
            K::Unsupported,
        ),
        (Then::Status(Code::Unavailable, "the transport is closing"), R::Expired, K::NotFound),
    ];
    for (then, reason, kind) in table {
        let (client, _) = member(then);
        let mut kept = in_paused_time("the first renewal", client.keep_alive(id(7))).await.unwrap();
        let control = kept.control().clone();
        assert_eq!(in_paused_time("the end", control.lost()).await, reason, "{then:?}");
        assert_eq!(control.state(), LeaseState::Lost { reason });
        // What is no longer true can't be read any more.
        let error = kept.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), kind, "{then:?}: {error}");
        assert!(kept.next().await.is_none());
    }
}

/// Nobody answers any more: at risk from two thirds of the time on, and lost when it is over.
#[tokio::test(start_paused = true)]
async fn lease_keep_alive_ttl_timeout() {
    let (client, _) = member(Then::Nothing);
    let mut kept = client.keep_alive(id(7)).await.unwrap();
    let renewal = kept.next().await.unwrap().unwrap();
    let (since, until) = (renewal.until - TTL / 3, renewal.until);
    let millisecond = Duration::from_millis(1);
    pass(since - now() - millisecond).await;
    assert_eq!(kept.control().state(), LeaseState::Alive { until });
    pass(millisecond).await;
    assert_eq!(kept.control().state(), LeaseState::AtRisk { since, until });
    let error = in_paused_time("the end", kept.next()).await.unwrap().unwrap_err();
    let told = now();
    assert!(told >= until && told <= until + millisecond, "{:?} late", told - until);
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let reason = LossReason::Expired;
    assert_eq!(kept.control().state(), LeaseState::Lost { reason });
}

/// A reader that does not read: renewed at the same pace, and it gets the latest. Dropped: renewed no more.
#[tokio::test(start_paused = true)]
async fn lease_keep_alive_full_response_queue() {
    let (client, count) = member(Then::Answer(1, TTL));
    let mut kept = client.keep_alive(id(7)).await.unwrap();
    pass(10 * TTL).await;
    // At a third of the time to live, or up to a fifth of that later.
    let renewals = count.load(Ordering::SeqCst);
    assert!((25..=31).contains(&renewals), "{renewals}");
    let renewal = kept.next().await.unwrap().unwrap();
    assert_eq!(kept.control().state(), LeaseState::Alive { until: renewal.until });
    assert!(renewal.until > now() + TTL / 2, "not the latest");
    drop(kept);
    pass(10 * TTL).await;
    assert_eq!(count.load(Ordering::SeqCst), renewals);
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
    let (client, told, peer) = server().await;
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
