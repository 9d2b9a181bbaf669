//! What the generated requests of `differential` leave out, one request after the other to this server and to etcd: watch
//! streams and renewals, alarms, members, locks and elections, and requests that are wrong as a whole.
#![cfg(test)]

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::alarm_request::AlarmAction;
use etcdkit_proto::etcdserverpb::downgrade_request::DowngradeAction;
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::watch_request::RequestUnion;
use etcdkit_proto::etcdserverpb::*;
use etcdkit_proto::method::{
    Method, auth, cluster, election, health, kv, lease, lock, maintenance, watch,
};
use etcdkit_proto::{grpc_health_v1::HealthCheckRequest, v3electionpb::*, v3lockpb::*};
use etcdkit_server::Server;
use etcdkit_testkit::etcd::{Etcd, Version};
use etcdkit_testkit::wait::eventually;
use h2::SendStream;
use h2::client::ResponseFuture;
use prost::Message;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::peer::{Messages, Peer, framed};

/// This server and etcd, each with the numbers that are its own, as they are called in what is compared.
struct Pair {
    _server: Server,
    _etcd: Etcd,
    peers: [(Peer, HashMap<String, &'static str>); 2],
}

impl Pair {
    async fn start() -> Self {
        let etcd = Etcd::builder(Version::V3_7).argument("--bcrypt-cost=4").start().await;
        let builder = Server::builder().bcrypt_cost(4).name(etcd.name());
        let server = builder.listen("127.0.0.1:0").start().await.unwrap();
        let real = TcpStream::connect(etcd.client_addr()).await.unwrap();
        real.set_nodelay(true).unwrap();
        let mut peers = Vec::new();
        for peer in [Peer::over(server.connect()).await, Peer::over(real).await] {
            let status = peer.call(maintenance::STATUS, &StatusRequest::default()).await.unwrap();
            let header = status.header.unwrap();
            let own = [(header.cluster_id, "CLUSTER"), (header.member_id, "MEMBER")];
            let own = own.map(|(id, name)| (id.to_string(), name));
            peers.push((peer, HashMap::from(own)));
        }
        let peers = peers.try_into().unwrap_or_else(|_| unreachable!("there are two"));
        Self { _server: server, _etcd: etcd, peers }
    }

    /// The member's own id, by which each of the two is asked about itself.
    fn member(&self, which: usize) -> u64 {
        let (_, own) = &self.peers[which];
        own.iter().find(|(_, name)| **name == "MEMBER").unwrap().0.parse().unwrap()
    }

    /// Both answer the same. `request` makes the request for one of them.
    async fn each<Q: Message + Debug, A: Message + Default + Debug>(
        &self,
        method: Method<Q, A>,
        request: impl Fn(usize) -> Q,
        change: impl Fn(&mut A),
    ) -> String {
        let mut outcomes = Vec::new();
        for (which, (peer, own)) in self.peers.iter().enumerate() {
            let mut answer = peer.call(method, &request(which)).await;
            let _ = answer.as_mut().map(&change);
            outcomes.push(named(format!("{answer:?}"), own));
        }
        assert_eq!(outcomes[0], outcomes[1], "{} {:?}", method.path(), request(0));
        outcomes.swap_remove(0)
    }

    /// What each tells of itself. etcd answers before it counts an entry as applied, and finds out its storage's version
    /// only after it has begun to serve.
    async fn same_status(&self) {
        let [(ours, _), (etcd, _)] = &self.peers;
        let request = StatusRequest::default();
        let version = ours.call(maintenance::STATUS, &request).await.unwrap().storage_version;
        eventually("etcd to settle", Duration::from_secs(60), async || {
            let status = etcd.call(maintenance::STATUS, &request).await.unwrap();
            let applied = status.raft_applied_index == status.raft_index;
            (applied && status.storage_version == version).then_some(())
        })
        .await;
        let sizes = |status: &mut StatusResponse| (status.db_size, status.db_size_in_use) = (0, 0);
        self.each(maintenance::STATUS, |_| request.clone(), sizes).await;
    }

    async fn same<Q: Message + Debug + Clone, A: Message + Default + Debug>(
        &self,
        method: Method<Q, A>,
        request: Q,
    ) -> String {
        self.each(method, |_| request.clone(), |_| ()).await
    }

    async fn refused<Q: Message + Debug + Clone, A: Message + Default + Debug>(
        &self,
        method: Method<Q, A>,
        request: Q,
    ) {
        let shown = self.same(method, request).await;
        assert!(shown.starts_with("Err"), "{shown}");
    }
}

fn named(mut text: String, own: &HashMap<String, &'static str>) -> String {
    for (number, name) in own {
        text = text.replace(number, name);
    }
    // Go's text form of a message has one space or two between its fields, as the build will have it.
    text.replace("  alarm:", " alarm:")
}

fn put(key: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: "v".into(), ..PutRequest::default() }
}

fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

#[tokio::test]
async fn a_member_tells_of_itself_what_etcd_tells() {
    let pair = Pair::start().await;
    pair.same_status().await;
    for (action, version) in [
        (DowngradeAction::Validate, "3.6.0"),
        (DowngradeAction::Validate, "3.6"),
        (DowngradeAction::Validate, "3.5.0"),
        (DowngradeAction::Validate, "3.7.0"),
        (DowngradeAction::Validate, "three"),
        (DowngradeAction::Validate, ""),
        (DowngradeAction::Cancel, ""),
    ] {
        let request = DowngradeRequest { action: action.into(), version: version.to_owned() };
        pair.same(maintenance::DOWNGRADE, request).await;
    }
    pair.refused(maintenance::MOVE_LEADER, MoveLeaderRequest { target_id: 1 }).await;
    let to_itself = |which| MoveLeaderRequest { target_id: pair.member(which) };
    pair.each(maintenance::MOVE_LEADER, to_itself, |_| ()).await;
    pair.same(maintenance::DEFRAGMENT, DefragmentRequest::default()).await;

    for url in ["", "10.0.0.1:2380", "http://10.0.0.1", "ftp://10.0.0.1:2380", "http://a:2380/x"] {
        let peer_urls = vec![url.to_owned()];
        let is_learner = true;
        pair.refused(cluster::MEMBER_ADD, MemberAddRequest { peer_urls, is_learner }).await;
    }
    pair.refused(cluster::MEMBER_ADD, MemberAddRequest::default()).await;
    pair.refused(cluster::MEMBER_REMOVE, MemberRemoveRequest { id: 1 }).await;
    pair.refused(cluster::MEMBER_PROMOTE, MemberPromoteRequest { id: 1 }).await;
    let peer_urls = vec!["http://10.0.0.1:2380".to_owned()];
    pair.refused(cluster::MEMBER_UPDATE, MemberUpdateRequest { id: 1, peer_urls }).await;
    let itself = |which| MemberPromoteRequest { id: pair.member(which) };
    pair.each(cluster::MEMBER_PROMOTE, itself, |_| ()).await;
    let urls = |list: &mut MemberListResponse| {
        for member in &mut list.members {
            (member.peer_urls, member.client_urls) = Default::default();
        }
    };
    pair.each(cluster::MEMBER_LIST, |_| MemberListRequest::default(), urls).await;

    for service in ["", "etcdserverpb.KV"] {
        let service = service.to_owned();
        pair.same(health::CHECK, HealthCheckRequest { service }).await;
    }
    for path in ["/etcdserverpb.KV/Nothing", "/nothing.Service/Call", "/etcdserverpb.KV/"] {
        let mut outcomes = Vec::new();
        for (peer, _) in &pair.peers {
            outcomes.push(peer.call_bytes(path, Vec::new()).await);
        }
        assert_eq!(outcomes[0], outcomes[1], "{path}");
    }
    // A value of half a MiB more than a request may have, and one that is no message for gRPC any more.
    for size in [1_572_864, 2_097_152] {
        let value = vec![b'v'; size].into();
        pair.refused(kv::PUT, PutRequest { value, ..put("a") }).await;
    }
}

#[tokio::test]
async fn alarms_refuse_what_they_refuse_in_etcd() {
    let pair = Pair::start().await;
    pair.same(kv::PUT, put("a")).await;
    pair.same(lease::GRANT, LeaseGrantRequest { ttl: 60, id: 7 }).await;
    for kind in [AlarmType::NoSpace, AlarmType::Corrupt] {
        let alarm = |action: AlarmAction, kind: AlarmType, which: usize| AlarmRequest {
            action: action.into(),
            member_id: pair.member(which),
            alarm: kind.into(),
        };
        for action in [AlarmAction::Deactivate, AlarmAction::Activate, AlarmAction::Activate] {
            pair.each(maintenance::ALARM, |which| alarm(action, kind, which), |_| ()).await;
        }
        let get = AlarmRequest::default();
        pair.same(maintenance::ALARM, get).await;
        pair.same_status().await;

        pair.refused(kv::PUT, put("a")).await;
        let delete = DeleteRangeRequest { key: "b".into(), ..DeleteRangeRequest::default() };
        let range = RangeRequest { key: "a".into(), ..RangeRequest::default() };
        pair.same(kv::RANGE, range.clone()).await;
        pair.same(kv::RANGE, RangeRequest { serializable: true, ..range.clone() }).await;
        pair.same(kv::DELETE_RANGE, delete.clone()).await;
        let nested = TxnRequest {
            failure: vec![operation(Request::Put(put("n")))],
            ..TxnRequest::default()
        };
        for operations in [
            vec![Request::Range(range)],
            vec![Request::DeleteRange(delete)],
            vec![Request::Put(put("b"))],
            vec![Request::Txn(nested)],
            vec![],
        ] {
            let failure = operations.into_iter().map(operation).collect();
            pair.same(kv::TXN, TxnRequest { failure, ..TxnRequest::default() }).await;
        }
        pair.same(lease::GRANT, LeaseGrantRequest { ttl: 60, id: 8 }).await;
        let seconds = |answer: &mut LeaseTimeToLiveResponse| answer.ttl = answer.ttl.signum();
        let about = |_| LeaseTimeToLiveRequest { id: 7, keys: true };
        pair.each(lease::TIME_TO_LIVE, about, seconds).await;
        pair.same(lease::REVOKE, LeaseRevokeRequest { id: 99 }).await;
        pair.same(kv::COMPACT, CompactionRequest { revision: 99, physical: false }).await;

        let none = |which| alarm(AlarmAction::Deactivate, AlarmType::None, which);
        pair.each(maintenance::ALARM, none, |_| ()).await;
        let off = |which| alarm(AlarmAction::Deactivate, kind, which);
        pair.each(maintenance::ALARM, off, |_| ()).await;
        pair.same(kv::PUT, put("a")).await;
    }
}

#[tokio::test]
async fn leases_locks_and_elections_answer_as_etcds() {
    let pair = Pair::start().await;
    for (id, ttl) in [(7, 600), (7, 600), (-7, 600), (8, 0), (9, -5), (10, 9_000_000_001)] {
        pair.same(lease::GRANT, LeaseGrantRequest { ttl, id }).await;
    }
    let mut streams = Vec::new();
    for (peer, own) in &pair.peers {
        let (mut requests, response) = peer.open(lease::KEEP_ALIVE.path()).await;
        let mut shown = Vec::new();
        let mut messages = None;
        let mut response = Some(response);
        for id in [7, -7, 99, 0] {
            let request = LeaseKeepAliveRequest { id }.encode_to_vec();
            requests.send_data(framed(&request), false).unwrap();
            if let Some(response) = response.take() {
                messages = Some(Messages::new(response.await.unwrap().into_body()));
            }
            let answer = messages.as_mut().unwrap().next().await.unwrap().unwrap();
            let answer = LeaseKeepAliveResponse::decode(answer).unwrap();
            shown.push(named(format!("{answer:?}"), own));
        }
        streams.push(shown);
    }
    assert_eq!(streams[0], streams[1]);

    let locking = |name: &'static str, lease| LockRequest { name: name.into(), lease };
    for request in [locking("l", 7), locking("l", 7), locking("m", 99), locking("", 7)] {
        pair.same(lock::LOCK, request).await;
    }
    for key in ["l/7", "l/7", "", "none"] {
        pair.same(lock::UNLOCK, UnlockRequest { key: key.into() }).await;
    }
    let leader = |name: &'static str| LeaderRequest { name: name.into() };
    pair.refused(election::LEADER, leader("e")).await;
    pair.refused(election::PROCLAIM, ProclaimRequest::default()).await;
    pair.refused(election::RESIGN, ResignRequest::default()).await;
    let campaign = |lease, value: &'static str| CampaignRequest {
        name: "e".into(),
        lease,
        value: value.into(),
    };
    pair.refused(election::CAMPAIGN, campaign(99, "a")).await;
    pair.same(election::CAMPAIGN, campaign(7, "a")).await;
    pair.same(election::CAMPAIGN, campaign(7, "b")).await;
    pair.same(election::LEADER, leader("e")).await;
    let key = |rev| LeaderKey { name: "e".into(), key: "e/7".into(), rev, lease: 7 };
    let get = RangeRequest { key: "e/7".into(), ..RangeRequest::default() };
    let found = pair.peers[0].0.call(kv::RANGE, &get).await.unwrap();
    let created = found.kvs[0].create_revision;
    for rev in [created, 1] {
        let proclaim = ProclaimRequest { leader: Some(key(rev)), value: "c".into() };
        pair.same(election::PROCLAIM, proclaim).await;
    }
    pair.same(kv::RANGE, get).await;
    for rev in [1, created, created] {
        pair.same(election::RESIGN, ResignRequest { leader: Some(key(rev)) }).await;
        pair.same(election::LEADER, leader("e")).await;
    }
    let login = AuthenticateRequest { name: "a".to_owned(), password: "b".to_owned() };
    pair.refused(auth::AUTHENTICATE, login).await;
}

/// A watch stream to one of the two.
struct Stream {
    requests: SendStream<Bytes>,
    /// etcd says nothing before its first response.
    opening: Option<ResponseFuture>,
    messages: Option<Messages>,
}

impl Stream {
    async fn open(peer: &Peer) -> Self {
        let (requests, response) = peer.open(watch::WATCH.path()).await;
        Self { requests, opening: Some(response), messages: None }
    }

    fn send(&mut self, request: Option<RequestUnion>) {
        let request = WatchRequest { request_union: request }.encode_to_vec();
        self.requests.send_data(framed(&request), false).unwrap();
    }

    /// So many responses, those to several watches in the order of their ids.
    async fn responses(&mut self, step: usize, count: usize) -> Vec<WatchResponse> {
        let mut responses = Vec::new();
        for _ in 0..count {
            if let Some(opening) = self.opening.take() {
                self.messages = Some(Messages::new(opening.await.unwrap().into_body()));
            }
            let messages = self.messages.as_mut().expect("they begin with the first");
            let next = timeout(Duration::from_secs(10), messages.next()).await;
            let next = next
                .unwrap_or_else(|_| panic!("step {step}: {count} responses, not {responses:?}"));
            responses.push(WatchResponse::decode(next.unwrap().unwrap()).unwrap());
        }
        responses.sort_by_key(|response| response.watch_id);
        responses
    }
}

#[tokio::test]
async fn watch_streams_answer_as_etcds() {
    enum Do {
        Send(Option<RequestUnion>),
        Put(&'static str),
        Delete(&'static str),
        /// A put of the one and a deletion of the other.
        Txn(&'static str, &'static str),
    }
    let pair = Pair::start().await;
    for key in ["a", "b", "a"] {
        pair.same(kv::PUT, put(key)).await;
    }
    let delete = |key: &'static str| DeleteRangeRequest { key: key.into(), ..Default::default() };
    pair.same(kv::DELETE_RANGE, delete("b")).await;
    pair.same(kv::PUT, put("a")).await;
    pair.same(kv::COMPACT, CompactionRequest { revision: 5, physical: true }).await;

    let range = |key: &'static str, end: &'static str| WatchCreateRequest {
        key: key.into(),
        range_end: end.into(),
        ..WatchCreateRequest::default()
    };
    let create = |request| Do::Send(Some(RequestUnion::Create(request)));
    let with_id = |watch_id| WatchCreateRequest { watch_id, ..range("a", "") };
    let from = |start_revision| WatchCreateRequest { start_revision, ..range("a", "z") };
    let cancel = |watch_id| Do::Send(Some(RequestUnion::Cancel(WatchCancelRequest { watch_id })));
    let progress = || Do::Send(Some(RequestUnion::Progress(WatchProgressRequest::default())));
    let filtered = WatchCreateRequest { filters: vec![0], prev_kv: true, ..range("a", "z") };
    let steps = [
        // A stream without a watch has no progress; nor has it answers to what is no request.
        (progress(), 0),
        (Do::Send(None), 0),
        (cancel(5), 0),
        (create(range("a", "")), 1),
        (create(with_id(-7)), 1),
        (create(with_id(-7)), 1),
        (create(range("b", "a")), 1),
        (create(range("b", "b")), 1),
        (create(from(-1)), 1),
        // Begun at what was compacted, and with what it left.
        (create(WatchCreateRequest { watch_id: 40, ..from(5) }), 2),
        (create(WatchCreateRequest { watch_id: 41, ..from(6) }), 2),
        (create(WatchCreateRequest { watch_id: 50, ..from(100) }), 1),
        // One that begins later has no progress, nor has its stream.
        (progress(), 0),
        (cancel(50), 1),
        (progress(), 1),
        (Do::Put("a"), 4),
        (Do::Put("b"), 2),
        (cancel(40), 1),
        (cancel(40), 0),
        (cancel(-7), 1),
        (create(with_id(-7)), 1),
        // The next number is taken, and passed over.
        (create(with_id(2)), 1),
        (create(with_id(3)), 1),
        (create(range("x", "")), 1),
        (create(range("y", "")), 1),
        (create(WatchCreateRequest { watch_id: 60, ..filtered }), 1),
        (Do::Delete("b"), 2),
        (Do::Txn("c", "a"), 6),
        (create(WatchCreateRequest { key: Bytes::new(), watch_id: 70, ..range("", "\0") }), 1),
        (create(WatchCreateRequest { key: Bytes::new(), watch_id: 71, ..range("", "") }), 1),
        (Do::Put("c"), 2),
        (progress(), 1),
        (create(from(3)), 2),
    ];
    let mut streams = [Stream::open(&pair.peers[0].0).await, Stream::open(&pair.peers[1].0).await];
    for (number, (step, count)) in steps.into_iter().enumerate() {
        match step {
            Do::Put(key) => drop(pair.same(kv::PUT, put(key)).await),
            Do::Delete(key) => drop(pair.same(kv::DELETE_RANGE, delete(key)).await),
            Do::Txn(key, deleted) => {
                let success = vec![
                    operation(Request::Put(put(key))),
                    operation(Request::DeleteRange(delete(deleted))),
                ];
                pair.same(kv::TXN, TxnRequest { success, ..TxnRequest::default() }).await;
            }
            Do::Send(request) => {
                streams.iter_mut().for_each(|stream| stream.send(request.clone()));
            }
        }
        let mut shown = Vec::new();
        for (stream, (_, own)) in streams.iter_mut().zip(&pair.peers) {
            shown.push(named(format!("{:#?}", stream.responses(number, count).await), own));
        }
        assert_eq!(shown[0], shown[1], "step {number}");
    }
}
