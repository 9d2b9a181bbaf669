//! What the server offers to tests of those who use it: connections without a socket, a clock, faults, restarts.
#![cfg(test)]

use std::time::Duration;

use etcdkit::config::RetryPolicy;
use etcdkit::transport::in_process;
use etcdkit::{CallOptions, Client, ErrorKind, Event, Get, Put, ServerError, Watch};
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::{
    MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest, MoveLeaderRequest, PutRequest, RangeRequest, RequestOp, StatusRequest,
    TxnRequest,
};
use etcdkit_proto::v3lockpb::{LockRequest, UnlockRequest};
use etcdkit_proto::{Code, method};
use etcdkit_server::storage::Disk;
use etcdkit_server::{AutoCompaction, Server};
use etcdkit_testkit::etcd::{Etcd, Version};
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::peer::Peer;

const DEADLINE: Duration = Duration::from_secs(30);

async fn connect(server: &Server) -> Client {
    // A fault is to be seen, not to be repeated away.
    let client =
        Client::builder().connector(in_process(server.connector())).retry(RetryPolicy::off());
    client.endpoints(["inprocess:etcd"]).connect().await.unwrap()
}

async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

#[expect(clippy::disallowed_methods, reason = "each is joined by its test")]
fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(future)
}

#[tokio::test]
async fn leases_end_when_the_clock_says_so() {
    let server = Server::start_ephemeral().await.unwrap();
    server.clock().stop();
    let client = connect(&server).await;
    let lease = client.grant(Duration::from_secs(60)).await.unwrap().id();
    client.call(Put::new("a", "1").lease(lease)).await.unwrap();
    let mut watch = client.watch("a").await.unwrap();

    server.clock().advance(Duration::from_secs(59));
    assert_eq!(client.get("a").await.unwrap().count(), 1);
    server.clock().advance(Duration::from_secs(1));
    let response = in_time("the end of the lease", watch.next()).await.unwrap().unwrap();
    assert!(response.events().iter().all(Event::is_delete) && response.events().len() == 1);
    assert_eq!(client.get("a").await.unwrap().count(), 0);
}

#[tokio::test]
async fn tokens_expire_by_the_clock_and_at_will() {
    let server = Server::start_ephemeral().await.unwrap();
    server.clock().stop();
    let mut peer = Peer::over(server.connect()).await;
    let add = |name: &str| etcdkit_proto::etcdserverpb::AuthUserAddRequest {
        name: name.to_owned(),
        password: name.to_owned(),
        ..Default::default()
    };
    peer.call(method::auth::USER_ADD, &add("root")).await.unwrap();
    let grant = etcdkit_proto::etcdserverpb::AuthUserGrantRoleRequest {
        user: "root".to_owned(),
        role: "root".to_owned(),
    };
    peer.call(method::auth::USER_GRANT_ROLE, &grant).await.unwrap();
    peer.call(method::auth::ENABLE, &Default::default()).await.unwrap();
    let login = etcdkit_proto::etcdserverpb::AuthenticateRequest {
        name: "root".to_owned(),
        password: "root".to_owned(),
    };
    let get = etcdkit_proto::etcdserverpb::RangeRequest { key: "a".into(), ..Default::default() };
    let invalid = Err((16, "etcdserver: invalid auth token".to_owned()));
    for expire in [
        (|server: &Server| server.clock().advance(Duration::from_secs(300))) as fn(&Server),
        Server::expire_tokens,
    ] {
        let answer = peer.call(method::auth::AUTHENTICATE, &login).await.unwrap();
        peer.token = Some(answer.token);
        peer.call(method::kv::RANGE, &get).await.unwrap();
        expire(&server);
        assert_eq!(peer.call(method::kv::RANGE, &get).await, invalid);
    }
}

#[tokio::test]
async fn the_next_calls_fail_as_they_are_told_to() {
    let server = Server::start_ephemeral().await.unwrap();
    let client = connect(&server).await;
    let path = method::kv::PUT.path();
    server.faults().fail_next(path, 2, ServerError::NoSpace);
    for left in [1, 0] {
        let error = client.put("a", "1").await.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::NoSpace), "{error}");
        assert_eq!(server.faults().pending(path), left);
    }
    server.faults().fail_next_with(path, 1, Code::Internal, "100 % broken");
    let error = client.put("a", "1").await.unwrap_err();
    assert!(error.to_string().contains("100 % broken"), "{error}");
    assert_eq!(client.get("a").await.unwrap().count(), 0, "a refused put did something");
    client.put("a", "1").await.unwrap();
}

#[tokio::test]
async fn a_lost_leader_ends_what_needs_one() {
    let server = Server::start_ephemeral().await.unwrap();
    let client = connect(&server).await;
    let mut watch =
        client.watch(Watch::new("a").require_leader(true).end_without_leader()).await.unwrap();
    server.faults().lose_leader();
    let end = in_time("the end of the watch", watch.next()).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::NoLeader);
    let error = client.put("a", "1").await.unwrap_err();
    assert_eq!(error.server_error(), Some(ServerError::NoLeader), "{error}");
    server.faults().elect_leader();
    client.put("a", "1").await.unwrap();
}

#[tokio::test]
async fn a_member_without_a_leader_answers_what_it_knows_by_itself() {
    let server = Server::start_ephemeral().await.unwrap();
    let mut peer = Peer::over(server.connect()).await;
    server.faults().lose_leader();
    let get = |serializable| RangeRequest { key: "a".into(), serializable, ..Default::default() };
    let txn = |serializable| TxnRequest {
        success: vec![RequestOp { request: Some(Request::Range(get(serializable))) }],
        ..Default::default()
    };
    let put = PutRequest { key: "a".into(), ..Default::default() };
    let calls = |serializable: bool| {
        [
            (method::kv::RANGE.path(), get(serializable).encode_to_vec()),
            (method::kv::TXN.path(), txn(serializable).encode_to_vec()),
            (
                method::cluster::MEMBER_LIST.path(),
                MemberListRequest { linearizable: !serializable }.encode_to_vec(),
            ),
        ]
    };
    let lost = Err((14, "etcdserver: no leader".to_owned()));
    for (path, message) in calls(true) {
        peer.call_bytes(path, message).await.unwrap_or_else(|error| panic!("{path}: {error:?}"));
    }
    for (path, message) in
        calls(false).into_iter().chain([(method::kv::PUT.path(), put.encode_to_vec())])
    {
        assert_eq!(peer.call_bytes(path, message).await, lost, "{path}");
    }
    peer.call(method::maintenance::STATUS, &Default::default()).await.unwrap();
    peer.needs_leader = true;
    for (path, message) in calls(true) {
        assert_eq!(peer.call_bytes(path, message).await, lost, "{path} that asks for a leader");
    }
}

#[tokio::test]
async fn a_long_read_lets_writers_in_and_sees_nothing_of_what_they_do() {
    let server = Server::start_ephemeral().await.unwrap();
    let client = connect(&server).await;
    let value = [b'v'; 1000];
    for first in (0..20_000_u32).step_by(100) {
        let puts = (first..first + 100).map(|number| Put::new(number.to_be_bytes(), value).into());
        client.txn(etcdkit::Txn::new().then(puts.collect::<Vec<etcdkit::Op>>())).await.unwrap();
    }
    let peer = Peer::over(server.connect()).await;
    let everything =
        RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
    let reading = spawn(async move { peer.call(method::kv::RANGE, &everything).await });
    let before = server.revision();
    let mut writes = 0;
    while !reading.is_finished() {
        client.put("new", "1").await.unwrap();
        if writes == 1 {
            // What is being read is kept until it was.
            server.compact(server.revision()).await.unwrap();
        }
        writes += 1;
    }
    assert!(writes > 5, "{writes} writes while much was read");
    let answer = reading.await.unwrap().unwrap();
    let new = usize::from(answer.header.unwrap().revision > before);
    assert_eq!(answer.kvs.len(), 20_000 + new);
    assert_eq!(answer.count, 20_000 + i64::try_from(new).unwrap());
}

#[tokio::test]
async fn who_asks_for_much_and_reads_nothing_waits_and_others_do_not() {
    let server = Server::start_ephemeral().await.unwrap();
    let client = connect(&server).await;
    let large = vec![b'v'; 1 << 20];
    for number in 0..8_u8 {
        client.put([number], large.clone()).await.unwrap();
    }
    // It has no room for any answer.
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, bytes::Bytes>(server.connect())
        .await
        .unwrap();
    let driver = spawn(connection);
    let message = |request: &RangeRequest| crate::peer::framed(&request.encode_to_vec());
    let everything =
        RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
    let mut made = 0;
    let mut kept = Vec::new();
    loop {
        let request = http::Request::post("http://etcd/etcdserverpb.KV/Range")
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let mut ready = send.clone().ready().await.unwrap();
        let (answer, mut body) = ready.send_request(request, false).unwrap();
        body.send_data(message(&everything), true).unwrap();
        // The headers of an answer come when it is made. If it is not, calls of somebody else are many times in between.
        tokio::select! {
            answer = answer => kept.push(answer.unwrap()),
            () = async { for _ in 0..500 { client.get("a").await.unwrap(); } } => break,
        }
        made += 1;
    }
    // Eight MiB each.
    assert_eq!(made, 8, "answers that are held");
    // Gone with the connection.
    driver.abort();
    client.get([0_u8]).await.unwrap();
}

#[tokio::test]
async fn a_learner_is_added_once_and_waited_for_in_vain() {
    let server = Server::start_ephemeral().await.unwrap();
    let etcd = Etcd::builder(Version::V3_7).start().await;
    let stream = TcpStream::connect(etcd.client_addr()).await.unwrap();
    let ours = Peer::over(server.connect()).await;
    let real = Peer::over(stream).await;
    let outcome = async |peer: &Peer| {
        let learner = |ports: &[u16]| MemberAddRequest {
            peer_urls: ports.iter().map(|port| format!("http://127.0.0.1:{port}")).collect(),
            is_learner: true,
        };
        let mut told = Vec::new();
        let added = peer.call(method::cluster::MEMBER_ADD, &learner(&[1])).await.unwrap();
        let id = added.member.as_ref().unwrap().id;
        let learners = added.members.iter().filter(|member| member.is_learner).count();
        told.push(format!(
            "{learners} of {}, {:?}",
            added.members.len(),
            added.member.map(|member| member.name)
        ));
        let id_shown = |text: String| text.replace(&id.to_string(), "id");
        // The id follows from the URLs and the second.
        for ports in [&[1, 4][..], &[2]] {
            let again = peer.call(method::cluster::MEMBER_ADD, &learner(ports)).await;
            told.push(format!("{:?}", again.unwrap_err()));
        }
        let promoted =
            peer.call(method::cluster::MEMBER_PROMOTE, &MemberPromoteRequest { id }).await;
        told.push(format!("{:?}", promoted.unwrap_err()));
        let transfer = MoveLeaderRequest { target_id: id };
        let moved = peer.call(method::maintenance::MOVE_LEADER, &transfer).await;
        told.push(format!("{:?}", moved.unwrap_err()));
        let urls = vec!["http://127.0.0.1:3".to_owned()];
        let update = MemberUpdateRequest { id, peer_urls: urls };
        let updated = peer.call(method::cluster::MEMBER_UPDATE, &update).await.unwrap();
        told.push(id_shown(format!("{:?}", updated.members.iter().find(|member| member.id == id))));
        for _ in 0..2 {
            let removed =
                peer.call(method::cluster::MEMBER_REMOVE, &MemberRemoveRequest { id }).await;
            told.push(format!("{:?}", removed.map(|removed| removed.members.len())));
        }
        told
    };
    assert_eq!(outcome(&ours).await, outcome(&real).await);
}

/// etcd takes the first one in, and stands still until it has started. Here nobody starts.
#[tokio::test]
async fn a_voter_is_refused_as_etcd_refuses_one_when_another_has_not_started() {
    let server = Server::start_ephemeral().await.unwrap();
    let etcd = Etcd::builder(Version::V3_7).start().await;
    let stream = TcpStream::connect(etcd.client_addr()).await.unwrap();
    let ours = Peer::over(server.connect()).await;
    let real = Peer::over(stream).await;
    let voter = |port: u16| MemberAddRequest {
        peer_urls: vec![format!("http://127.0.0.1:{port}")],
        is_learner: false,
    };
    real.call(method::cluster::MEMBER_ADD, &voter(1)).await.unwrap();
    let refused = real.call(method::cluster::MEMBER_ADD, &voter(2)).await.unwrap_err();
    for _ in 0..2 {
        let outcome = ours.call(method::cluster::MEMBER_ADD, &voter(1)).await;
        assert_eq!(outcome.unwrap_err(), refused);
    }
    let listed = ours.call(method::cluster::MEMBER_LIST, &MemberListRequest::default()).await;
    assert_eq!(listed.unwrap().members.len(), 1);
}

#[tokio::test]
async fn a_paused_server_answers_when_it_goes_on() {
    let server = Server::start_ephemeral().await.unwrap();
    let peer = Peer::over(server.connect()).await;
    server.faults().pause();
    let get = etcdkit_proto::etcdserverpb::RangeRequest { key: "a".into(), ..Default::default() };
    let waiting = spawn(async move { peer.call(method::kv::RANGE, &get).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    server.faults().resume();
    in_time("the answer", waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_restart_breaks_connections_and_keeps_the_rest() {
    let server = Server::builder().listen("127.0.0.1:0").start().await.unwrap();
    let client = Client::connect(server.client_urls()).await.unwrap();
    let lease = client.grant(Duration::from_secs(60)).await.unwrap().id();
    client.call(Put::new("a", "1").lease(lease)).await.unwrap();
    let mut watch = client.watch(Watch::new("a")).await.unwrap();
    let term = client.status().await.unwrap().raft_term();
    server.restart();
    let reconnected = client.get("a").await.unwrap();
    assert_eq!(reconnected.first().unwrap().lease(), Some(lease));
    assert_eq!(client.status().await.unwrap().raft_term(), term + 1);
    // The watch comes back by itself, and misses nothing.
    client.put("a", "2").await.unwrap();
    let response = in_time("the event", watch.next()).await.unwrap().unwrap();
    assert_eq!(response.events()[0].kv().value_str(), Ok("2"));
    server.shutdown().await;
    let hasty = client.with_options(CallOptions::new().timeout(Duration::from_millis(100)));
    assert!(hasty.get("a").await.is_err(), "a server that was shut down answers");
}

/// What is read of anything but keys waited until somebody wrote.
#[tokio::test(start_paused = true)]
async fn a_durable_server_tells_its_status_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Disk::open(folder.path()).unwrap();
    let server = Server::builder().storage(storage).start().await.unwrap();
    let peer = Peer::over(server.connect()).await;
    let put = PutRequest { key: "a".into(), ..PutRequest::default() };
    let term = peer.call(method::kv::PUT, &put).await.unwrap().header.unwrap().raft_term;
    server.restart();
    let peer = Peer::over(server.connect()).await;
    let request = StatusRequest::default();
    let status = peer.call(method::maintenance::STATUS, &request);
    let status = in_time("the status", status).await.unwrap();
    assert_eq!(status.raft_term, term + 1);
}

#[tokio::test]
async fn who_gives_up_a_lock_leaves_the_queue() {
    let server = Server::start_ephemeral().await.unwrap();
    let first = Peer::over(server.connect()).await;
    let lock = LockRequest { name: "l".into(), lease: 0 };
    let held = first.call(method::lock::LOCK, &lock).await.unwrap();
    let second = Peer::over(server.connect()).await;
    let waiting = spawn({
        let lock = lock.clone();
        async move { second.call(method::lock::LOCK, &lock).await }
    });
    let client = connect(&server).await;
    let mut watch = client.watch(Watch::prefix("l/").from_revision(1)).await.unwrap();
    let mut seen = 0;
    while seen < 2 {
        seen += in_time("both places", watch.next()).await.unwrap().unwrap().events().len();
    }
    waiting.abort();
    let left = in_time("the end of a place", watch.next()).await.unwrap().unwrap();
    assert!(left.events()[0].is_delete());
    let keys = client.get(Get::prefix("l/").keys_only()).await.unwrap();
    assert_eq!(keys.first().unwrap().key(), held.key.as_ref());

    let third = Peer::over(server.connect()).await;
    let unlock = UnlockRequest { key: held.key };
    let (locked, _) = tokio::join!(
        third.call(method::lock::LOCK, &lock),
        first.call(method::lock::UNLOCK, &unlock)
    );
    locked.unwrap();
}

#[tokio::test]
async fn history_is_forgotten_by_itself_and_at_will() {
    let server =
        Server::builder().auto_compaction(AutoCompaction::Revisions(3)).start().await.unwrap();
    server.clock().stop();
    let client = connect(&server).await;
    for _ in 0..9 {
        client.put("a", "1").await.unwrap();
    }
    let mut lagging = client.watch(Watch::new("a").from_revision(2)).await.unwrap();
    let first = in_time("the history", lagging.next()).await.unwrap().unwrap();
    assert_eq!(first.events().len(), 9);
    server.clock().advance(Duration::from_secs(300));
    // Ten less three.
    in_time("the compaction", async {
        while server.compact(7).await != Err(ServerError::Compacted) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(client.get(Get::new("a").at_revision(7)).await.is_ok());
    let error = client.get(Get::new("a").at_revision(6)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Compacted);
    assert_eq!(server.compact(99).await, Err(ServerError::FutureRevision));
    server.compact(9).await.unwrap();
    assert!(client.get(Get::new("a").at_revision(8)).await.is_err());
}

#[tokio::test]
async fn an_ephemeral_server_is_gone_with_its_handle() {
    let server = Server::start_ephemeral().await.unwrap();
    let connector = server.connector();
    let mut peer = Peer::over(server.connect()).await;
    drop(server);
    assert!(connector().is_err());
    in_time("the end of the connection", peer.ended()).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_served_and_removed() {
    let folder = std::env::temp_dir().join(format!("etcdkit-server-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("etcd.sock");
    let address = format!("unix:{}", path.display());
    let server = Server::builder().listen(&address).start().await.unwrap();
    let error = Server::builder().listen(&address).start().await.unwrap_err();
    assert!(error.to_string().contains("etcd.sock"), "{error}");
    let client = Client::connect([address.as_str()]).await.unwrap();
    client.put("a", "1").await.unwrap();
    client.close().await;
    server.shutdown().await;
    assert!(!path.exists());
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn settings_that_make_no_sense_are_named() {
    let cost = Server::builder().bcrypt_cost(3).start().await.unwrap_err();
    assert!(cost.to_string().contains("bcrypt is 3"), "{cost}");
    let election = Server::builder().election_timeout(Duration::from_millis(100));
    let election = election.start().await.unwrap_err();
    assert!(election.to_string().contains("at least five heartbeats"), "{election}");
    let listen = Server::builder().listen("nowhere.invalid:1").start().await.unwrap_err();
    assert_eq!(listen.kind(), etcdkit_server::ErrorKind::Listen);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_certificate_is_demanded_and_names_the_user() {
    use etcdkit::config::Tls;
    use etcdkit_server::ServerTls;
    use etcdkit_testkit::certs::TestCa;

    let authority = TestCa::new();
    let (server, alice) = (authority.server("127.0.0.1"), authority.client("alice"));
    let tls =
        ServerTls::new(server.cert_path(), server.key_path()).client_ca(authority.cert_path());
    let builder = Server::builder().bcrypt_cost(4).listen("127.0.0.1:0").tls(&tls).unwrap();
    let server = builder.start().await.unwrap();
    assert!(server.client_urls()[0].starts_with("https://"));
    let trusting = || Tls::new().ca_file(authority.cert_path());
    let shown = trusting().client_certificate_files(alice.cert_path(), alice.key_path());
    let connect = |tls: Tls| Client::builder().endpoints(server.client_urls()).tls(tls).connect();

    let client = connect(shown).await.unwrap();
    client.put("a", "1").await.unwrap();
    for user in ["root", "alice"] {
        client.user_add(etcdkit::auth::UserAdd::new(user, user)).await.unwrap();
    }
    client.user_grant_role("root", "root").await.unwrap();
    client.auth_enable().await.unwrap();
    // Alice is known, and may do nothing; nobody would be told that the user's name is empty.
    let error = client.get("a").await.unwrap_err();
    assert_eq!(error.server_error(), Some(ServerError::PermissionDenied), "{error}");

    let error = connect(trusting()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let missing = ServerTls::new("/nowhere/cert.pem", "/nowhere/key.pem");
    let error = Server::builder().tls(&missing).unwrap_err();
    assert!(error.to_string().contains("/nowhere/cert.pem"), "{error}");
}

/// As members of etcd have it: the stream of a client that was told that it needs no token has none, and is replaced.
#[tokio::test]
async fn a_watch_begins_on_a_stream_from_before_auth_was_turned_on() {
    let server = Server::builder().bcrypt_cost(4).start().await.unwrap();
    let anonymous = connect(&server).await;
    anonymous.user_add(etcdkit::auth::UserAdd::new("root", "root")).await.unwrap();
    anonymous.user_grant_role("root", "root").await.unwrap();
    let root = Client::builder().connector(in_process(server.connector())).user("root", "root");
    let root = root.endpoints(["inprocess:etcd"]).connect().await.unwrap();
    let mut old = root.watch("a").await.unwrap();
    anonymous.auth_enable().await.unwrap();
    let mut new = root.watch(Watch::new("a").from_revision(1)).await.unwrap();
    root.put("a", "1").await.unwrap();
    for stream in [&mut old, &mut new] {
        let response = in_time("an event", stream.next()).await.unwrap().unwrap();
        assert_eq!(response.events().len(), 1);
    }
}

#[cfg(feature = "jwt")]
#[tokio::test]
async fn web_tokens_go_by_the_clock_and_by_the_users() {
    use etcdkit_proto::etcdserverpb::{AuthUserAddRequest, AuthUserGrantRoleRequest, RangeRequest};
    use etcdkit_server::AuthJwt;

    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "of nobody").unwrap();
    let jwt = AuthJwt::new("HS256", &secret).ttl(Duration::from_secs(60));
    let server = Server::builder().bcrypt_cost(4).auth_jwt(&jwt).unwrap().start().await.unwrap();
    server.clock().stop();
    let mut peer = Peer::over(server.connect()).await;
    let root = || "root".to_owned();
    let add = AuthUserAddRequest { name: root(), password: root(), ..Default::default() };
    peer.call(method::auth::USER_ADD, &add).await.unwrap();
    let grant = AuthUserGrantRoleRequest { user: root(), role: root() };
    peer.call(method::auth::USER_GRANT_ROLE, &grant).await.unwrap();
    peer.call(method::auth::ENABLE, &Default::default()).await.unwrap();
    let login = etcdkit_proto::etcdserverpb::AuthenticateRequest { name: root(), password: root() };
    let get = RangeRequest { key: "a".into(), ..Default::default() };

    peer.token = Some(peer.call(method::auth::AUTHENTICATE, &login).await.unwrap().token);
    peer.call(method::kv::RANGE, &get).await.unwrap();
    server.restart();
    let token = peer.token.take();
    let mut peer = Peer::over(server.connect()).await;
    peer.token = token;
    peer.call(method::kv::RANGE, &get).await.unwrap();
    let role = etcdkit_proto::etcdserverpb::AuthRoleAddRequest { name: "r".to_owned() };
    peer.call(method::auth::ROLE_ADD, &role).await.unwrap();
    let old = (3, "etcdserver: revision of auth store is old".to_owned());
    assert_eq!(peer.call(method::kv::RANGE, &get).await, Err(old));

    peer.token = Some(peer.call(method::auth::AUTHENTICATE, &login).await.unwrap().token);
    peer.call(method::kv::RANGE, &get).await.unwrap();
    server.clock().advance(Duration::from_secs(60));
    let invalid = (16, "etcdserver: invalid auth token".to_owned());
    assert_eq!(peer.call(method::kv::RANGE, &get).await, Err(invalid));

    let error = Server::builder().auth_jwt(&AuthJwt::new("RS256", &secret)).unwrap_err();
    assert!(error.to_string().contains("RS256"), "{error}");
}
