//! Servers that answer in every order, and as they should not.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use etcdkit::proto::etcdserverpb::{
    AuthenticateResponse, RangeResponse, ResponseHeader, WatchCreateRequest, WatchRequest,
    WatchResponse as Wire, watch_request::RequestUnion,
};
use etcdkit::proto::mvccpb;
use etcdkit::{Client, ErrorKind, ServerError, Watch};
use etcdkit_testkit::peer::{Connection, Peer};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

const SERVING: &[u8] = &[0x08, 0x01];
/// A header with cluster 1, member 1, revision 1 and term 1, and version 3.7.1.
const STATUS: &[u8] = b"\x0a\x08\x08\x01\x10\x01\x18\x01\x20\x01\x12\x053.7.1";

/// A stream of watches, seen from the server.
struct Server {
    conn: Connection,
    stream: u32,
}

impl Server {
    async fn request(&mut self) -> io::Result<RequestUnion> {
        let message = self.conn.next_message(self.stream).await?.expect("the stream goes on");
        let request = WatchRequest::decode(message).expect("a request");
        Ok(request.request_union.expect("it asks for something"))
    }

    async fn create(&mut self) -> io::Result<WatchCreateRequest> {
        loop {
            match self.request().await? {
                RequestUnion::Create(create) => return Ok(create),
                RequestUnion::Progress(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn cancelled(&mut self) -> io::Result<i64> {
        loop {
            match self.request().await? {
                RequestUnion::Cancel(cancel) => return Ok(cancel.watch_id),
                RequestUnion::Progress(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn say(&mut self, response: Wire) -> io::Result<()> {
        self.conn.send_message(self.stream, &response.encode_to_vec()).await
    }
}

/// Answers calls, and reads with this revision, until a stream of watches is opened.
async fn opened(mut conn: Connection, revision: i64) -> io::Result<Server> {
    loop {
        let request = conn.next_headers().await?;
        let stream = request.stream_id;
        match request.path.as_str() {
            "/grpc.health.v1.Health/Check" => conn.respond(stream, SERVING).await?,
            "/etcdserverpb.Maintenance/Status" => conn.respond(stream, STATUS).await?,
            "/etcdserverpb.KV/Range" => {
                let answer = RangeResponse { header: header(revision), ..Default::default() };
                conn.respond(stream, &answer.encode_to_vec()).await?;
            }
            _ => {
                conn.start_response(stream).await?;
                return Ok(Server { conn, stream });
            }
        }
    }
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 1, member_id: 1, revision, raft_term: 1 })
}

fn created(id: i64) -> Wire {
    Wire { header: header(9), watch_id: id, created: true, ..Wire::default() }
}

fn refused(id: i64, reason: &str) -> Wire {
    Wire { canceled: true, cancel_reason: reason.into(), ..created(id) }
}

fn put(id: i64, key: &'static str, revision: i64) -> Wire {
    let kv = mvccpb::KeyValue {
        key: key.into(),
        value: "v".into(),
        mod_revision: revision,
        ..mvccpb::KeyValue::default()
    };
    let events = vec![mvccpb::Event { kv: Some(kv), ..mvccpb::Event::default() }];
    Wire { header: header(revision), watch_id: id, events, ..Wire::default() }
}

/// A client of a server that follows `script` on its stream of watches.
async fn scripted<F, S>(script: F) -> (Client, Peer)
where
    F: Fn(Server) -> S + Send + Sync + 'static,
    S: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut peer = Peer::bind().await;
    let script = Arc::new(script);
    peer.run(move |mut conn| {
        let script = Arc::clone(&script);
        async move {
            conn.handshake(&[]).await?;
            loop {
                let request = conn.next_headers().await?;
                let stream = request.stream_id;
                match request.path.as_str() {
                    "/grpc.health.v1.Health/Check" => conn.respond(stream, SERVING).await?,
                    "/etcdserverpb.Maintenance/Status" => conn.respond(stream, STATUS).await?,
                    "/etcdserverpb.Watch/Watch" => {
                        conn.start_response(stream).await?;
                        return script(Server { conn, stream }).await;
                    }
                    other => panic!("{other}"),
                }
            }
        }
    });
    let client = Client::builder().endpoints([peer.endpoint()]).build().unwrap();
    (client, peer)
}

fn from_1(key: &str) -> Watch {
    Watch::new(key.to_owned()).from_revision(1)
}

/// The answers to three requests sent at once: the second one has no id, as from etcd 3.5 on.
#[tokio::test]
async fn a_refusal_between_two_that_are_created() {
    for id in [Some(-1), None] {
        let (client, _peer) = scripted(move |mut server| async move {
            let mut ids = Vec::new();
            for _ in 0..3 {
                ids.push(server.create().await?.watch_id);
            }
            let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
            server.say(created(ids[0])).await?;
            server.say(refused(id.unwrap_or(ids[1]), denied)).await?;
            server.say(created(ids[2])).await?;
            server.say(put(ids[2], "c", 2)).await?;
            server.say(put(ids[0], "a", 3)).await?;
            server.conn.wait_close().await
        })
        .await;
        let mut a = watch(&client, from_1("a")).await;
        let mut b = watch(&client, from_1("b")).await;
        let mut c = watch(&client, from_1("c")).await;
        let (seen, error) = end(&mut b).await;
        assert!(seen.is_empty());
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.server_error(), Some(ServerError::PermissionDenied));
        assert_eq!(shown(&events(&mut c, 1).await), ["c=v"]);
        assert_eq!(shown(&events(&mut a, 1).await), ["a=v"]);
    }
}

/// A proxy between chooses ids of its own.
#[tokio::test]
async fn ids_that_the_server_chooses() {
    let (client, _peer) = scripted(|mut server| async move {
        server.create().await?;
        server.create().await?;
        server.say(created(0)).await?;
        server.say(created(1)).await?;
        server.say(put(1, "b", 2)).await?;
        server.say(put(0, "a", 3)).await?;
        assert_eq!(server.cancelled().await?, 0);
        server.conn.wait_close().await
    })
    .await;
    let mut a = watch(&client, from_1("a")).await;
    let mut b = watch(&client, from_1("b")).await;
    assert_eq!(shown(&events(&mut b, 1).await), ["b=v"]);
    assert_eq!(shown(&events(&mut a, 1).await), ["a=v"]);
    drop(a);
    silent(&mut b).await;
}

/// Everything that came, and then the reason, typed.
#[tokio::test]
async fn a_server_that_ends_a_watch_says_why() {
    let (client, _peer) = scripted(|mut server| async move {
        let id = server.create().await?.watch_id;
        server.say(created(id)).await?;
        server.say(put(id, "a", 2)).await?;
        let reason = "etcdserver: permission denied".into();
        let ended = Wire { watch_id: id, canceled: true, cancel_reason: reason, ..Wire::default() };
        server.say(ended).await?;
        server.conn.wait_close().await
    })
    .await;
    let mut stream = watch(&client, from_1("a")).await;
    assert_eq!(shown(&ends_with(&mut stream, ErrorKind::PermissionDenied).await), ["a=v"]);
}

/// A server that goes back in time is reported, after what could be believed, and rid of the watch.
#[tokio::test]
async fn a_server_that_breaks_its_promises_is_reported() {
    let (told, mut hears) = mpsc::channel(1);
    let (client, _peer) = scripted(move |mut server| {
        let told = told.clone();
        async move {
            let id = server.create().await?.watch_id;
            server.say(created(id)).await?;
            server.say(put(id, "a", 5)).await?;
            server.say(put(id, "a", 4)).await?;
            told.send(server.cancelled().await? == id).await.unwrap();
            server.conn.wait_close().await
        }
    })
    .await;
    let mut stream = watch(&client, from_1("a")).await;
    let (seen, error) = end(&mut stream).await;
    assert_eq!(shown(&seen), ["a=v"]);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains("Unique"), "{error}");
    assert_eq!(in_time("the cancellation", hears.recv()).await, Some(true));
}

/// Given up before the server had created it: cancelled as soon as it has.
#[tokio::test]
async fn a_watch_that_is_dropped_before_it_is_created() {
    let (told, mut hears) = mpsc::channel(2);
    let (go, gone) = tokio::sync::watch::channel(false);
    let (client, _peer) = scripted(move |mut server| {
        let (told, mut gone) = (told.clone(), gone.clone());
        async move {
            let keep = server.create().await?.watch_id;
            let drop = server.create().await?.watch_id;
            told.send(false).await.unwrap();
            gone.wait_for(|gone| *gone).await.unwrap();
            server.say(created(keep)).await?;
            server.say(created(drop)).await?;
            told.send(server.cancelled().await? == drop).await.unwrap();
            server.conn.wait_close().await
        }
    })
    .await;
    let keep = watch(&client, from_1("a")).await;
    let dropped = watch(&client, from_1("b")).await;
    assert_eq!(in_time("the requests", hears.recv()).await, Some(false));
    drop(dropped);
    go.send(true).unwrap();
    assert_eq!(in_time("the cancellation", hears.recv()).await, Some(true));
    drop(keep);
}

/// It answers whatever else it is asked, and swallows the creation of watches: another stream is tried.
#[tokio::test]
async fn a_member_that_does_not_create_watches_is_left() {
    let streams = Arc::new(AtomicUsize::new(0));
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let streams = Arc::clone(&streams);
        async move {
            conn.handshake(&[]).await?;
            loop {
                let mut server = opened(conn, 1).await?;
                if streams.fetch_add(1, Ordering::SeqCst) > 0 {
                    let id = server.create().await?.watch_id;
                    server.say(created(id)).await?;
                    server.say(put(id, "a", 2)).await?;
                }
                conn = server.conn;
            }
        }
    });
    let liveness = etcdkit::config::Liveness::new()
        .watch_probe_interval(Duration::from_millis(20))
        .stale_after(Duration::from_millis(100));
    let builder = Client::builder().endpoints([peer.endpoint()]).liveness(liveness);
    let client = builder.build().unwrap();
    let mut stream = watch(&client, from_1("a")).await;
    assert_eq!(shown(&events(&mut stream, 1).await), ["a=v"]);
    assert!(stream.control().state().reconnects >= 1);
}

/// Much comes, though behind what was read elsewhere, so that it is asked how far it is; there it freezes. The question
/// that stays without an answer for ever must not keep it from being found out.
#[tokio::test]
async fn a_member_that_freezes_while_it_is_asked_how_far_it_is_is_left() {
    let streams = Arc::new(AtomicUsize::new(0));
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let streams = Arc::clone(&streams);
        async move {
            conn.handshake(&[]).await?;
            loop {
                let mut server = opened(conn, 1_000_000).await?;
                let create = server.create().await?;
                let id = create.watch_id;
                server.say(created(id)).await?;
                if streams.fetch_add(1, Ordering::SeqCst) > 0 {
                    server.say(put(id, "elsewhere", create.start_revision)).await?;
                    conn = server.conn;
                    continue;
                }
                for revision in 1.. {
                    server.say(put(id, "a", revision)).await?;
                    let asked = server.conn.next_headers();
                    if timeout(Duration::from_millis(1), asked).await.is_ok() {
                        break;
                    }
                }
                return server.conn.wait_close().await;
            }
        }
    });
    let liveness =
        etcdkit::config::Liveness::new().watch_probe_interval(Duration::from_millis(100));
    let builder = Client::builder().endpoints([peer.endpoint()]).liveness(liveness);
    let client = builder.build().unwrap();
    client.get("a").await.unwrap();
    let mut stream = watch(&client, Watch::all().from_revision(1)).await;
    let found = in_time("another stream", async {
        while shown(next(&mut stream).await.events()) != ["elsewhere=v"] {}
    });
    found.await;
}

/// What came next after a read, on a member that was a moment behind, was taken for what is far ahead: it was created anew in
/// the past, and its first events came late.
#[tokio::test]
async fn a_watch_after_a_read_is_created_once_on_a_member_that_is_behind() {
    let (told, mut asked) = mpsc::channel(8);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let told = told.clone();
        async move {
            conn.handshake(&[]).await?;
            let mut server = opened(conn, 20).await?;
            let before = server.create().await?.watch_id;
            server.say(created(before)).await?;
            let after = server.create().await?.watch_id;
            server.say(created(after)).await?;
            server.say(put(after, "k", 21)).await?;
            loop {
                let _ = told.send(server.request().await?).await;
            }
        }
    });
    let client = Client::builder().endpoints([peer.endpoint()]).build().unwrap();
    let mut before = watch(&client, from_1("a").created_notify()).await;
    assert!(next(&mut before).await.is_created());
    let read = client.get("k").await.unwrap().revision();
    let mut after = watch(&client, Watch::new("k").from_revision(read.next())).await;
    tokio::select! {
        biased;
        seen = events(&mut after, 1) => assert_eq!(shown(&seen), ["k=v"]),
        again = asked.recv() => panic!("{again:?}"),
    }
}

/// Between the stream that refused the token and the next one nobody serves the watch.
#[tokio::test]
async fn a_watch_without_a_token_is_not_connected() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (told, mut hears) = mpsc::channel(2);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let (asked, told) = (Arc::clone(&asked), told.clone());
        async move {
            conn.handshake(&[]).await?;
            loop {
                let request = conn.next_headers().await?;
                let stream = request.stream_id;
                match request.path.as_str() {
                    "/grpc.health.v1.Health/Check" => conn.respond(stream, SERVING).await?,
                    "/etcdserverpb.Maintenance/Status" => conn.respond(stream, STATUS).await?,
                    "/etcdserverpb.Auth/Authenticate" => {
                        let number = asked.fetch_add(1, Ordering::SeqCst);
                        let _ = told.try_send(number);
                        if number == 0 {
                            let token = "t".to_owned();
                            let answer = AuthenticateResponse { header: header(1), token };
                            conn.respond(stream, &answer.encode_to_vec()).await?;
                        }
                    }
                    _ => {
                        conn.start_response(stream).await?;
                        let mut server = Server { conn, stream };
                        let id = server.create().await?.watch_id;
                        server.say(refused(id, ServerError::InvalidAuthToken.message())).await?;
                        conn = server.conn;
                    }
                }
            }
        }
    });
    let client = Client::builder().endpoints([peer.endpoint()]).user("alice", "pw");
    let client = client.build().unwrap();
    let stream = watch(&client, from_1("a")).await;
    for number in 0..2 {
        assert_eq!(in_time("a request for a token", hears.recv()).await, Some(number));
    }
    let state = stream.control().state();
    assert_eq!(state.connected_to, None);
    assert!(state.disconnected_for.is_some());
}

/// Pieces of two watches, one among the other.
#[tokio::test]
async fn pieces_of_two_watches_that_mix() {
    let (client, _peer) = scripted(|mut server| async move {
        let a = server.create().await?.watch_id;
        let b = server.create().await?.watch_id;
        server.say(created(a)).await?;
        server.say(created(b)).await?;
        for (id, key, fragment) in
            [(a, "p1", true), (b, "q1", true), (a, "p2", true), (b, "q2", false), (a, "p3", false)]
        {
            server.say(Wire { fragment, ..put(id, key, 4) }).await?;
        }
        server.conn.wait_close().await
    })
    .await;
    let mut p = watch(&client, Watch::prefix("p").from_revision(1)).await;
    let mut q = watch(&client, Watch::prefix("q").from_revision(1)).await;
    assert_eq!(shown(next(&mut q).await.events()), ["q1=v", "q2=v"]);
    assert_eq!(shown(next(&mut p).await.events()), ["p1=v", "p2=v", "p3=v"]);
}

/// The token is refused under an open stream, and for a while there is no other: the watch waits for one.
#[tokio::test]
async fn a_token_that_cannot_be_replaced_for_a_while() {
    const FAILURES: usize = 12;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let asked = Arc::clone(&asked);
        async move {
            conn.handshake(&[]).await?;
            loop {
                let request = conn.next_headers().await?;
                let stream = request.stream_id;
                match request.path.as_str() {
                    "/grpc.health.v1.Health/Check" => conn.respond(stream, SERVING).await?,
                    "/etcdserverpb.Maintenance/Status" => conn.respond(stream, STATUS).await?,
                    "/etcdserverpb.Auth/Authenticate" => {
                        let number = asked.fetch_add(1, Ordering::SeqCst);
                        if (1..=FAILURES).contains(&number) {
                            let busy = "etcdserver: request timed out";
                            conn.respond_status(stream, 14, busy).await?;
                            continue;
                        }
                        let token = format!("t{number}");
                        let answer = AuthenticateResponse { header: header(1), token };
                        conn.respond(stream, &answer.encode_to_vec()).await?;
                    }
                    _ => {
                        let first = request.header("token") == Some("t0");
                        let refusal = ServerError::InvalidAuthToken.message();
                        if first && asked.load(Ordering::SeqCst) > 1 {
                            conn.respond_status(stream, 16, refusal).await?;
                            continue;
                        }
                        conn.start_response(stream).await?;
                        let mut server = Server { conn, stream };
                        let create = server.create().await?;
                        server.say(created(create.watch_id)).await?;
                        server.say(put(create.watch_id, "a", 1 + create.start_revision)).await?;
                        conn = server.conn;
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
    let mut stream = watch(&client, from_1("a")).await;
    let seen = events(&mut stream, 2).await;
    assert_eq!(seen.iter().map(|event| event.revision().get()).collect::<Vec<_>>(), [2, 4]);
    // Once more for each answer that a busy machine takes in too late.
    let count = counted.load(Ordering::SeqCst);
    assert!(count >= FAILURES + 2, "{count} times");
}
