//! Streams of answers: `get_stream` over RangeStream, and page by page where the server has none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcdkit::ErrorKind::{self, Unavailable};
use etcdkit::proto::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse};
use etcdkit::{CallOptions, Get, GetResponse, Revision, Streaming};
use etcdkit_testkit::peer::frame::code::{CANCEL, INTERNAL_ERROR};
use etcdkit_testkit::peer::{Answer, Connection, EtcdLike, Frame, Peer, Request, grpc_message};
use prost::Message;
use tokio::sync::Notify;

use super::case::{Doing, Then};
use super::paused::pass;
use super::subject::{Failed, Reference, Rpc, Subject};
use super::support::{
    self, CLUSTER, RANGE, RANGE_STREAM, assert_says, header, healthy, key_value, range_request,
    soon,
};

/// One piece of a streamed range, with one key.
pub(super) fn piece(key: &str) -> Bytes {
    let range_response = RangeResponse {
        header: Some(header()),
        kvs: vec![key_value(key, 3)],
        ..Default::default()
    };
    RangeStreamResponse { range_response: Some(range_response) }.encode_to_vec().into()
}

/// A member that does this with every RangeStream, and is healthy otherwise.
pub(super) async fn streaming(act: for<'a> fn(&'a mut Connection, Request) -> Doing<'a>) -> Peer {
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| async move {
        conn.handshake(&[]).await?;
        loop {
            let call = conn.next_request().await?;
            match healthy(&call.path) {
                Some(Answer::Message(message)) => conn.respond(call.stream_id, &message).await?,
                _ => match act(&mut conn, call).await? {
                    Then::Serve => {}
                    Then::Close => return conn.close().await,
                    Then::Reset => return conn.reset(),
                },
            }
        }
    });
    peer
}

fn keys(piece: &GetResponse) -> Vec<String> {
    piece.kvs().iter().map(|kv| String::from_utf8(kv.key().to_vec()).unwrap()).collect()
}

/// All keys, and the error at the end if there is one. Nothing may follow an error.
async fn read(mut pieces: Streaming<GetResponse>) -> (Vec<String>, Option<etcdkit::Error>) {
    let mut all = Vec::new();
    while let Some(piece) = soon("a piece", pieces.next()).await {
        match piece {
            Ok(piece) => all.extend(keys(&piece)),
            Err(error) => {
                assert!(soon("the end", pieces.next()).await.is_none());
                return (all, Some(error));
            }
        }
    }
    (all, None)
}

#[tokio::test]
async fn pieces_come_as_the_server_sends_them() {
    let peer = streaming(|conn, call| {
        Box::pin(async move {
            let id = call.stream_id;
            assert_eq!(call.path, RANGE_STREAM);
            assert_eq!(range_request(&call).key, Bytes::from_static(b"/a/"));
            conn.start_response(id).await?;
            // One by one, two in one frame, and one in two.
            conn.send_message(id, &piece("/a/1")).await?;
            let two = [grpc_message(&piece("/a/2")), grpc_message(&piece("/a/3"))].concat();
            conn.send_data(id, two).await?;
            let mut last = grpc_message(&piece("/a/4"));
            conn.send_data(id, last.split_to(6)).await?;
            conn.send_data(id, last).await?;
            conn.finish_response(id, 0, "").await?;
            Ok(Then::Serve)
        })
    })
    .await;
    let client = support::builder([peer.endpoint()]).build().unwrap();
    for _ in 0..2 {
        let pieces = soon("opening", client.get_stream(Get::prefix("/a/"))).await.unwrap();
        let (keys, error) = read(pieces).await;
        assert_eq!(keys, ["/a/1", "/a/2", "/a/3", "/a/4"]);
        assert!(error.is_none(), "{error:?}");
    }
    assert_eq!(peer.connections(), 1);
}

/// How a stream can end after its first piece, and what its last item says then.
#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error() {
    macro_rules! after_a_piece {
        (|$conn:ident, $id:ident| $then:expr) => {
            |$conn: &mut Connection, call: Request| {
                Box::pin(async move {
                    let $id = call.stream_id;
                    $conn.start_response($id).await?;
                    $conn.send_message($id, &piece("a")).await?;
                    Ok($then)
                })
            }
        };
    }
    type Way = for<'a> fn(&'a mut Connection, Request) -> Doing<'a>;
    let ways: [(&str, Way, ErrorKind, &str); 8] = [
        ("FIN", after_a_piece!(|conn, id| Then::Close), Unavailable, "connection lost"),
        ("RST", after_a_piece!(|conn, id| Then::Reset), Unavailable, "connection lost"),
        (
            "RST_STREAM",
            after_a_piece!(|conn, id| {
                conn.rst(id, INTERNAL_ERROR).await?;
                Then::Serve
            }),
            Unavailable,
            "stream reset: by the server",
        ),
        (
            "an error of etcd's",
            after_a_piece!(|conn, id| {
                let text = "etcdserver: mvcc: required revision has been compacted";
                conn.finish_response(id, 11, text).await?;
                Then::Serve
            }),
            ErrorKind::Compacted,
            "required revision has been compacted",
        ),
        (
            "no status",
            after_a_piece!(|conn, id| {
                conn.end_stream(id).await?;
                Then::Serve
            }),
            Unavailable,
            "without a status",
        ),
        (
            "half a piece",
            after_a_piece!(|conn, id| {
                conn.send_data(id, vec![0, 0, 0]).await?;
                conn.finish_response(id, 0, "").await?;
                Then::Serve
            }),
            Unavailable,
            "ends in the middle of a message",
        ),
        (
            "no piece of a range",
            after_a_piece!(|conn, id| {
                conn.send_message(id, &[0xff]).await?;
                Then::Serve
            }),
            ErrorKind::Internal,
            "can't be decoded",
        ),
        (
            "a piece above the limit",
            after_a_piece!(|conn, id| {
                conn.send_data(id, vec![0, 0, 1, 0, 1, 0]).await?;
                Then::Serve
            }),
            ErrorKind::ResourceExhausted,
            "65537 bytes, and this client receives at most 65536",
        ),
    ];
    for (what, act, kind, says) in ways {
        let peer = streaming(act).await;
        let builder = support::builder([peer.endpoint()]).limits(support::limits());
        let client = builder.build().unwrap();
        let pieces = soon("opening", client.get_stream(Get::all())).await.unwrap();
        let (keys, error) = read(pieces).await;
        assert_eq!(keys, ["a"], "{what}");
        let error = error.unwrap_or_else(|| panic!("{what}: no error"));
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert!(!error.maybe_applied());
        assert_eq!(error.rpc(), Some(RANGE_STREAM), "{what}");
        assert_says(&error.to_string(), says);
        soon("the next call", client.get("k")).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_rests_too_long_ends_with_an_error() {
    let peer = streaming(|conn, call| {
        Box::pin(async move {
            conn.start_response(call.stream_id).await?;
            conn.send_message(call.stream_id, &piece("a")).await?;
            Ok(Then::Serve)
        })
    })
    .await;
    let timeouts = etcdkit::config::Timeouts::new().stream_idle(Duration::from_millis(200));
    let client = support::builder([peer.endpoint()]).timeouts(timeouts).build().unwrap();
    let pieces = soon("opening", client.get_stream(Get::all())).await.unwrap();
    let (keys, error) = read(pieces).await;
    assert_eq!(keys, ["a"]);
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_says(&error.to_string(), "silent for too long");
}

/// A stream of data, and one that waits for others once a member has heard of it.
#[tokio::test]
async fn a_stream_that_no_member_can_be_asked_for_ends_with_an_error() {
    let timeouts = etcdkit::config::Timeouts::new().stream_idle(Duration::from_millis(200));
    let client = support::builder([support::NOBODY]).timeouts(timeouts).build().unwrap();
    let pieces = soon("opening", client.get_stream(Get::all())).await.map(drop);
    let leaders = soon("opening", client.observe("e")).await.map(drop);
    for outcome in [pieces, leaders] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert_eq!(error.endpoint(), Some(support::NOBODY), "{error}");
    }
}

/// The server has to know that nobody reads on.
#[tokio::test]
async fn a_stream_that_is_dropped_is_reset() {
    let was_reset = Arc::new(Notify::new());
    let tell = Arc::clone(&was_reset);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let tell = Arc::clone(&tell);
        async move {
            conn.handshake(&[]).await?;
            loop {
                let call = conn.next_request().await?;
                match healthy(&call.path) {
                    Some(Answer::Message(message)) => {
                        conn.respond(call.stream_id, &message).await?
                    }
                    _ => {
                        conn.start_response(call.stream_id).await?;
                        conn.send_message(call.stream_id, &piece("a")).await?;
                        assert_eq!(conn.wait_reset(call.stream_id).await?, CANCEL);
                        tell.notify_one();
                    }
                }
            }
        }
    });
    let client = support::builder([peer.endpoint()]).build().unwrap();
    let mut pieces = soon("opening", client.get_stream(Get::all())).await.unwrap();
    soon("a piece", pieces.next()).await.unwrap().unwrap();
    drop(pieces);
    soon("the reset", was_reset.notified()).await;
    soon("the next call", client.get("k")).await.unwrap();
    assert_eq!(peer.connections(), 1);
}

/// Until the first piece is there, a stream is opened again as a get would be repeated.
#[tokio::test]
async fn opening_is_repeated() {
    let etcd = support::etcd().await;
    etcd.queue(RANGE_STREAM, Answer::status(14, "etcdserver: leader changed"));
    etcd.queue(RANGE_STREAM, Answer::Rst(INTERNAL_ERROR));
    etcd.queue(RANGE_STREAM, Answer::CloseConnection);
    etcd.queue(RANGE_STREAM, Answer::Message(piece("a")));
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    let pieces = soon("opening", client.get_stream(Get::all())).await.unwrap();
    let (keys, error) = read(pieces).await;
    assert_eq!((keys, error.is_none()), (vec!["a".to_owned()], true));
    assert_eq!(etcd.calls(RANGE_STREAM), 4);

    etcd.queue(RANGE_STREAM, Answer::status(7, "etcdserver: permission denied"));
    let error = soon("opening", client.get_stream(Get::all())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(etcd.calls(RANGE_STREAM), 5);
}

/// Members before 3.7 have no RangeStream. All pages are read at the revision of the first, though writes go on.
#[tokio::test]
async fn an_older_server_is_read_page_by_page_at_one_revision() {
    let etcd = paged().await;
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    let pieces = soon("opening", client.get_stream(Get::prefix("a"))).await.unwrap();
    let (keys, error) = read(pieces).await;
    assert_eq!(keys, ["a1", "a2", "a3"]);
    assert!(error.is_none(), "{error:?}");
    let revisions: Vec<_> =
        etcd.requests(RANGE).iter().map(|call| range_request(call).revision).collect();
    assert_eq!(revisions, [0, 50, 50]);
    assert_eq!(etcd.calls(RANGE_STREAM), 1);

    let client = support::builder([etcd.endpoint()]).build().unwrap();
    let old = Get::prefix("a").at_revision(Revision::new(9));
    let pieces = soon("opening", client.get_stream(old)).await.unwrap();
    assert!(read(pieces).await.1.is_none());
    let pinned = etcd.requests(RANGE)[3..].iter().all(|call| range_request(call).revision == 9);
    assert!(pinned, "a revision that was asked for is kept");
}

/// As of the stream that newer members send.
#[tokio::test]
async fn a_timeout_holds_for_all_pages_of_an_older_server_together() {
    const TOTAL: Duration = Duration::from_secs(60);
    const PAUSE: Duration = Duration::from_millis(50);
    let etcd = paged().await;
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    let client = client.with_options(CallOptions::new().timeout(TOTAL));
    let mut pieces = soon("opening", client.get_stream(Get::prefix("a"))).await.unwrap();
    for number in 1..=3u32 {
        soon("a page", pieces.next()).await.unwrap().unwrap();
        let asked = etcd.requests(RANGE).pop().unwrap();
        let left = asked.header("grpc-timeout").unwrap();
        let left = Duration::from_millis(left.strip_suffix('m').unwrap().parse().unwrap());
        // Rounded up.
        let at_most = TOTAL - PAUSE * (number - 1) + Duration::from_millis(1);
        assert!(left <= at_most, "{left:?} for page {number}");
        pass(PAUSE).await;
    }
}

/// A member before 3.7 with three keys, of which each page has one.
async fn paged() -> EtcdLike {
    support::etcd_that(|call| {
        if call.path == RANGE_STREAM {
            return Some(Answer::status(
                12,
                "unknown method RangeStream for service etcdserverpb.KV",
            ));
        }
        if call.path != RANGE {
            return None;
        }
        let RangeRequest { key, revision, limit, range_end, .. } = range_request(call);
        assert_eq!(range_end, Bytes::from_static(b"b"));
        assert!(limit > 0, "a page without a limit");
        // The store is at revision 50, and one further with each page.
        let (key, more, at) = match &key[..] {
            b"a" => ("a1", true, 50),
            b"a1\0" => ("a2", true, 51),
            b"a2\0" => ("a3", false, 52),
            other => panic!("asked for {other:?} at {revision}"),
        };
        let answer = RangeResponse {
            header: Some(support::header_at(CLUSTER, at)),
            kvs: vec![key_value(key, 3)],
            more,
            count: 3,
        };
        Some(Answer::message(answer.encode_to_vec()))
    })
    .await
}

/// libraries.md §10.1: h2 charges every unread DATA frame below 256 bytes to a budget of the connection's, and ends the
/// connection when it is spent; with the windows of hyper and tonic, at the 16 800th.
const FLOOD: usize = 20_000;

async fn flooding() -> Peer {
    streaming(|conn, call| {
        Box::pin(async move {
            // A message of 95 bytes, 100 with its prefix, in a frame of its own.
            let mut message = piece("a").to_vec();
            let filler = 95 - message.len() - 2;
            message.extend([0x7a, u8::try_from(filler).unwrap()]);
            message.extend(vec![0; filler]);
            let message = grpc_message(&message);
            assert_eq!(message.len(), 100);
            conn.start_response(call.stream_id).await?;
            for _ in 0..FLOOD {
                conn.send_frame(&Frame::data(call.stream_id, 0, message.clone())).await?;
            }
            conn.finish_response(call.stream_id, 0, "").await?;
            // It has all been read off the wire.
            conn.ping([5; 8]).await?;
            Ok(Then::Serve)
        })
    })
    .await
}

#[tokio::test]
async fn a_flood_of_small_frames_that_nobody_reads_harms_no_one() {
    let peer = flooding().await;
    let client = support::builder([peer.endpoint()]).build().unwrap();
    let pieces = soon("opening", client.get_stream(Get::all())).await.unwrap();
    for _ in 0..20 {
        soon("a get", client.get("k")).await.unwrap();
        soon("a put", client.put("k", "v")).await.unwrap();
    }
    let (keys, error) = read(pieces).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(keys.len(), FLOOD);
    assert_eq!(peer.connections(), 1, "the connection has survived");
}

/// The reference shows that the flood is one: it ends tonic's connection, with every call on it.
#[tokio::test]
async fn the_same_flood_ends_tonics_connection() {
    let peer = flooding().await;
    let mut reference = Reference::new(&peer.endpoint());
    let request = RangeRequest { key: "a".into(), ..Default::default() };
    let mut pieces = soon("opening", reference.stream(RANGE_STREAM, &request)).await;
    // While the stream rests, the connection takes in what comes, until it gives up: then this is on another.
    let mut calls = 0;
    while peer.connections() < 2 {
        let _ = soon("a put", reference.call(Rpc::Put, b"v", support::PATIENCE)).await;
        calls += 1;
        assert!(calls < FLOOD, "the connection has survived");
    }
    let mut read = 0;
    let error = loop {
        match soon("a piece", pieces.message()).await {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("the whole flood was read: {read}"),
            Err(status) => break Failed::from(&status),
        }
    };
    assert!((1..FLOOD).contains(&read), "{read}");
    assert_says(&error.text, "too_many_data_frames");
}
