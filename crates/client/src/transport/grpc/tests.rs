//! Connections over bytes in memory: to a server of the `h2` crate that echoes, under generated schedules of calls, and to
//! one that says anything.

mod server;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use etcdkit_http2::frame::{Head as FrameHead, Kind, PREFACE};
use etcdkit_http2::hpack::{DEFAULT_TABLE, Decoder};
use etcdkit_testkit::certs::{ClientAuth, TestCa};
use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use self::server::{FLOOD, FLOODED, HOLD, MESSAGE, NUMBER, Server, leave};
use super::*;
use crate::clock;
use crate::config::{Address, Tls};
use crate::metadata::Metadata;
use crate::task;
use crate::transport::connector::{ConnectFuture, Connector, Io, establish};
use crate::transport::traits::{Connection, Failure, Head, Sink, Source};

/// Time stands still while anybody has something to do: whoever waits for so long waits for nothing.
const NEVER: Duration = Duration::from_secs(3600);
const LIMIT: usize = 4 << 20;
/// One without TLS, and one with it where we are built with it.
const ENDPOINTS: &[&str] = if cfg!(any(feature = "aws-lc-rs", feature = "ring")) {
    &["inprocess:m0", "https://localhost:2379"]
} else {
    &["inprocess:m0"]
};
/// `:status` and `content-type` of an answer, and the trailers of one that succeeded.
const STATUS: &[u8] = b"\x88\x0f\x10\x10application/grpc";
const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x010";

#[derive(Debug)]
struct Given<T>(Mutex<Option<T>>);

impl<T: Io + fmt::Debug> Connector for Given<T> {
    fn connect<'a>(&'a self, _: &'a Address) -> ConnectFuture<'a> {
        let stream = self.0.lock().unwrap().take();
        Box::pin(async { Ok(Box::new(stream.unwrap()) as Box<dyn Io>) })
    }
}

/// A connection, and the server's end of it, with so many bytes on their way at most.
async fn connected(buffer: usize) -> (H2Connection, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(buffer);
    (connected_over(ours, "inprocess:m0", None).await, theirs)
}

async fn connected_over(
    stream: impl Io + fmt::Debug,
    endpoint: &str,
    tls: Option<Tls>,
) -> H2Connection {
    let given = Given(Mutex::new(Some(stream)));
    let endpoint = endpoint.parse().unwrap();
    let settings = ConnectSettings::new(tls, Some(Arc::new(given)));
    let established = establish(&endpoint, &settings).await.unwrap();
    H2Connection::start(&endpoint, established, LIMIT, None).unwrap()
}

fn head<'a>(
    path: &'static str,
    metadata: &'a Metadata,
    unsent: Option<&'a AtomicBool>,
) -> Head<'a> {
    Head { path, timeout: None, token: None, require_leader: false, metadata, unsent }
}

fn framed(content: &[u8]) -> Bytes {
    let length = u32::try_from(content.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], content].concat().into()
}

/// Runs `future` until it is ready, or was polled for `polls` turns and is given up.
async fn unless_given_up<T>(future: impl Future<Output = T>, polls: Option<u8>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if let Some(left) = &mut left {
            let Some(less) = left.checked_sub(1) else { return Poll::Ready(None) };
            *left = less;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

/// The numbers of all calls of which there is a whole head in what a client sent.
fn numbers_in(mut came: &[u8]) -> Vec<usize> {
    let mut numbers = Vec::new();
    let mut decoder = Decoder::new(DEFAULT_TABLE, usize::MAX);
    came = came.strip_prefix(PREFACE).unwrap_or_default();
    while let Some(head) = FrameHead::peek(came)
        && let Some((payload, rest)) = came[FrameHead::LENGTH..].split_at_checked(head.length)
    {
        came = rest;
        if head.kind == Kind::Headers {
            let _ = decoder
                .decode(payload, |name, value| {
                    if name == NUMBER.as_bytes() {
                        numbers.push(std::str::from_utf8(value).unwrap().parse().unwrap());
                    }
                })
                .unwrap();
        }
    }
    numbers
}

/// Makes a call with a message of each length, all at once, and gives the connection up when all have ended.
async fn make_all(connection: H2Connection, lengths: &[usize]) -> Vec<Result<(), Failure>> {
    let calls = lengths.iter().enumerate().map(async |(number, length)| {
        let metadata = Metadata::new().with(NUMBER, number.to_string()).unwrap();
        let message = vec![u8::try_from(number).unwrap(); *length];
        let head = head(UNARY, &metadata, None);
        let answer = connection.unary(head, framed(&message)).await?;
        assert!(answer == message, "call {number} has another's answer");
        Ok(())
    });
    join_all(calls).await
}

fn unprocessed_are_unseen(outcomes: &[Result<(), Failure>], seen: &[usize]) {
    for (number, outcome) in outcomes.iter().enumerate() {
        let unprocessed = matches!(outcome, Err(Failure::NotProcessed(_)));
        assert!(!(unprocessed && seen.contains(&number)), "call {number}: {outcome:?}");
    }
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![6 => 0usize..300, 2 => 300usize..20_000, 1 => 20_000usize..200_000], 1..40)
}

#[derive(Clone, Debug)]
struct Call {
    /// The lengths of its messages; a unary call has one.
    messages: Vec<usize>,
    path: &'static str,
    give_up_after: Option<u8>,
}

fn call() -> impl Strategy<Value = Call> {
    let length = || prop_oneof![6 => 0usize..300, 2 => 300usize..20_000, 1 => 20_000usize..200_000];
    let given_up = || proptest::option::weighted(0.4, 0u8..40);
    let unary =
        |path| move |(length, give_up_after)| Call { messages: vec![length], path, give_up_after };
    prop_oneof![
        3 => (length(), given_up()).prop_map(unary(UNARY)),
        1 => (length(), (0u8..40).prop_map(Some)).prop_map(unary(HOLD)),
        1 => (vec(length(), 0..5), given_up())
            .prop_map(|(messages, give_up_after)| Call { messages, path: STREAM, give_up_after }),
    ]
}

const UNARY: &str = "/a/Unary";
const STREAM: &str = "/a/Stream";

fn server() -> impl Strategy<Value = Server> {
    let window = prop_oneof![1u32..1000, Just(65_535), Just(1 << 20)];
    (1u32..8, window, prop_oneof![Just(16_384), Just(1 << 20)])
        .prop_map(|(streams, window, frame)| Server { streams, window, frame })
}

/// Makes a call, and checks that what comes back is its own.
async fn make(connection: &H2Connection, number: usize, call: &Call) {
    let content = |index: usize, length: usize| {
        let byte = u8::try_from((number * 31 + index) % 251).unwrap();
        vec![byte; length]
    };
    let metadata = Metadata::new();
    if call.path != STREAM {
        let message = content(0, call.messages[0]);
        let answer = connection.unary(head(call.path, &metadata, None), framed(&message)).await;
        assert!(answer.as_deref() == Ok(&message), "call {number}: another's answer, or none");
        return;
    }
    let (mut sink, mut source) = connection.open(head(STREAM, &metadata, None)).await.unwrap();
    let send = async {
        for (index, length) in call.messages.iter().enumerate() {
            sink.send(framed(&content(index, *length))).await.unwrap();
        }
        sink.finish().unwrap();
    };
    let receive = async {
        for (index, length) in call.messages.iter().enumerate() {
            let got = source.next().await.unwrap();
            assert!(
                got.as_deref() == Some(&content(index, *length)[..]),
                "call {number}, message {index} is another"
            );
        }
        assert_eq!(source.next().await, Ok(None));
    };
    tokio::join!(send, receive);
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { timeout(NEVER, test).await.expect("somebody waits for nothing") })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is given up, and whenever: every other call gets its own answer, and each leaves its place to the next.
    #[test]
    fn every_call_gets_its_own_answer_whatever_others_do(
        server in server(),
        calls in vec(call(), 1..40),
        buffer in prop_oneof![16usize..200, Just(64 << 10)],
    ) {
        run(async {
            let (connection, stream) = connected(buffer).await;
            let streams = server.streams as usize;
            let serving = task::spawn(server.serve(stream));
            let probe = Call { messages: vec![3], path: UNARY, give_up_after: None };
            // Until the server has said how many it allows, there may be too many.
            make(&connection, 0, &probe).await;
            assert_eq!(connection.capacity(), streams);
            join_all(calls.iter().enumerate().map(|(number, call)| {
                unless_given_up(make(&connection, number, call), call.give_up_after)
            }))
            .await;
            join_all((0..2 * streams).map(|number| make(&connection, number, &probe))).await;
            assert!(!connection.is_full() && !serving.is_over());
        });
    }

    /// Whenever a server leaves: each call has its own answer or fails, and none that is said to be unprocessed has come to
    /// the server's program.
    #[test]
    fn what_a_server_that_left_has_begun_is_not_said_to_be_unprocessed(
        lengths in lengths(),
        leaves_after in 1usize..60,
        abruptly in any::<bool>(),
    ) {
        run(async {
            let (connection, stream) = connected(1 << 16).await;
            let leaving = leave(stream, leaves_after, abruptly);
            let (seen, outcomes) = tokio::join!(leaving, make_all(connection, &lengths));
            unprocessed_are_unseen(&outcomes, &seen);
        });
    }

    /// Wherever a connection breaks off: each call ends, and of none that is said to be unprocessed the server has the head.
    #[test]
    fn what_came_over_a_connection_that_broke_off_is_not_said_to_be_unprocessed(
        endpoint in prop::sample::select(ENDPOINTS),
        limit in prop_oneof![1usize..3000, 3000usize..100_000, Just(usize::MAX)],
        lengths in lengths(),
    ) {
        run(async {
            let (connection, mut theirs) = cut(endpoint, limit).await;
            let mut came = Vec::new();
            let peer = async {
                let windows = [frame(4, 0, 0, b"\0\x04\x7f\0\0\0"), frame(8, 0, 0, b"\x7f\0\0\0")];
                // Who has nothing more to read closes.
                let _ = theirs.write_all(&windows.concat()).await;
                let _ = timeout(Duration::from_secs(1), theirs.read_to_end(&mut came)).await;
                drop(theirs);
            };
            let ((), outcomes) = tokio::join!(peer, make_all(connection, &lengths));
            unprocessed_are_unseen(&outcomes, &numbers_in(&came));
        });
    }

    /// Whatever a server says: every call ends, the task does not panic, and the connection's end has a reason.
    #[test]
    fn no_server_brings_the_task_down(
        says in vec(said(), 0..40),
        settings in prop::bool::weighted(0.9),
        pieces in 1usize..2000,
        give_up_after in 0u8..20,
    ) {
        run(async {
            let (connection, mut stream) = connected(1 << 20).await;
            let mut bytes = if settings { frame(4, 0, 0, b"") } else { Vec::new() };
            bytes.extend(says.concat());
            let metadata = Metadata::new();
            let peer = async {
                let mut request = [0; 24];
                stream.read_exact(&mut request).await.unwrap();
                for piece in bytes.chunks(pieces) {
                    // The client may have had enough.
                    if stream.write_all(piece).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                drop(stream);
            };
            let unary = || connection.unary(head(UNARY, &metadata, None), framed(b"request"));
            let streaming = async {
                let (mut sink, mut source) =
                    connection.open(head(STREAM, &metadata, None)).await?;
                let _ = sink.send(framed(b"request")).await;
                while source.next().await?.is_some() {}
                Ok(())
            };
            let given_up = unless_given_up(unary(), Some(give_up_after));
            let (first, second, third, fourth, ()) =
                tokio::join!(unary(), streaming, given_up, unary(), peer);
            let outcomes =
                [first.map(drop), second, third.unwrap_or(Ok(Bytes::new())).map(drop), fourth.map(drop)];
            for outcome in outcomes.into_iter().chain([unary().await.map(drop)]) {
                assert!(!format!("{outcome:?}").contains("task ended"), "{outcome:?}");
            }
            let cause = connection.closed().await.to_string();
            assert!(!cause.contains("task ended"), "{cause}");
        });
    }
}

/// Something that a server says: mostly frames that HTTP/2 knows, on streams that may be open.
fn said() -> impl Strategy<Value = Vec<u8>> {
    let (status, trailers) = (STATUS.to_vec(), TRAILERS.to_vec());
    let payload = prop_oneof![
        Just(status.clone()),
        Just(trailers.clone()),
        Just([status, trailers].concat()),
        Just(framed(b"answer").to_vec()),
        Just(framed(&[7; 20_000]).to_vec()),
        vec(any::<u8>(), 0..40),
        vec(any::<u8>(), 4..=4),
        vec(any::<u8>(), 6..=6),
        vec(any::<u8>(), 8..=8),
    ];
    let stream = prop_oneof![1 => Just(0u32), 6 => (0u32..5).prop_map(|number| 2 * number + 1), 1 => any::<u32>()];
    let flags = prop_oneof![Just(0u8), Just(1), Just(4), Just(5), any::<u8>()];
    prop_oneof![
        12 => (0u8..11, flags, stream, payload)
            .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload)),
        // An answer as it should be.
        4 => (0u32..5).prop_map(|number| {
            let stream = 2 * number + 1;
            [
                frame(1, 4, stream, STATUS),
                frame(0, 0, stream, &framed(b"answer")),
                frame(1, 5, stream, TRAILERS),
            ]
            .concat()
        }),
        1 => vec(any::<u8>(), 0..100),
    ]
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A write that fails says nothing of what the server had answered before it closed.
#[test]
fn an_answer_that_came_before_a_write_failed_is_not_lost() {
    run(async {
        let (connection, mut stream) = connected(1 << 20).await;
        let metadata = Metadata::new();
        let call = connection.unary(head(UNARY, &metadata, None), framed(b"request"));
        let peer = async {
            let mut request = vec![0; 1 << 16];
            // The beginning of the connection, and the call.
            while !request.ends_with(b"request") {
                request.resize(1 << 16, 0);
                let read = stream.read(&mut request).await.unwrap();
                request.truncate(read);
            }
            let said = [
                frame(4, 0, 0, b""),
                frame(1, 4, 1, STATUS),
                frame(0, 0, 1, &framed(b"answer")),
                frame(1, 5, 1, TRAILERS),
            ];
            stream.write_all(&said.concat()).await.unwrap();
            drop(stream);
            // This is what the task finds first when it has its turn, and can't send.
            connection.unary(head(UNARY, &metadata, None), framed(b"late")).await
        };
        let (answer, late) = tokio::join!(call, peer);
        assert_eq!(answer, Ok(Bytes::from_static(b"answer")));
        assert!(late.is_err(), "{late:?}");
    });
}

/// A stream on which the write fails, or panics, that reaches the limit, after it has sent what there was room for.
#[derive(Debug)]
struct Limited {
    stream: DuplexStream,
    left: Arc<AtomicUsize>,
    panics: bool,
}

impl AsyncRead for Limited {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Limited {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = self.left.load(Ordering::Relaxed);
        let room = bytes.len().min(left);
        let taken = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[..room]))?;
        self.left.store(left - taken, Ordering::Relaxed);
        assert!(!(self.panics && taken == left), "a stream that panics");
        Poll::Ready(match taken == left {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(taken),
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connection whose writes fail after so many bytes, and the server's end of it; over TLS if the endpoint says so.
async fn cut(endpoint: &str, limit: usize) -> (H2Connection, Box<dyn Io>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let left = Arc::new(AtomicUsize::new(usize::MAX));
    let limited = Limited { stream: ours, left: Arc::clone(&left), panics: false };
    let connected = if endpoint.starts_with("https") {
        let ca = TestCa::new();
        let tls = Tls::new().ca_pem(ca.cert_pem());
        let server = TlsAcceptor::from(ca.server("etcd").server_config(ClientAuth::None));
        let accept = async { Box::new(server.accept(theirs).await.unwrap()) as Box<dyn Io> };
        tokio::join!(connected_over(limited, endpoint, Some(tls)), accept)
    } else {
        (connected_over(limited, endpoint, None).await, Box::new(theirs) as Box<dyn Io>)
    };
    left.store(limit, Ordering::Relaxed);
    connected
}

/// What there is to read up to the end, however that comes.
async fn read(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

/// A request of which a server may know must not be said to be certainly not processed, or a write is made twice. TLS sends
/// one record after the other and fails with the first that can't be sent.
#[test]
fn a_request_that_a_failed_write_has_sent_is_not_said_to_be_unprocessed() {
    run(async {
        for &endpoint in ENDPOINTS {
            // The second call has the write of both reach the limit: in TLS within its second record.
            let (second, limit) =
                if endpoint.starts_with("https") { (40_000, 20_000) } else { (4_000, 2_000) };
            let (connection, theirs) = cut(endpoint, limit).await;
            let metadata = Metadata::new();
            let second = framed(&vec![0; second]);
            let (failure, _, sent) = tokio::join!(
                connection.unary(head(UNARY, &metadata, None), framed(b"first")),
                connection.unary(head(UNARY, &metadata, None), second),
                read(theirs),
            );
            let has_first = sent.windows(5).any(|bytes| bytes == b"first");
            assert!(has_first, "{endpoint}: the server has the first request");
            assert!(matches!(failure, Err(Failure::Unknown(_))), "{endpoint}: {failure:?}");
        }
    });
}

#[derive(Debug)]
struct Caller;

impl Wake for Caller {
    fn wake(self: Arc<Self>) {}
}

/// A waker may be all that keeps a task's memory, and that be freed with whatever it holds while the queue is locked.
#[test]
fn a_call_that_was_given_up_in_the_queue_does_not_keep_its_caller() {
    run(async {
        let (connection, _stream) = connected(1 << 10).await;
        let metadata = Metadata::new();
        let caller = Arc::new(Caller);
        let waker = Waker::from(Arc::clone(&caller));
        let mut cx = Context::from_waker(&waker);
        {
            let mut unary =
                pin!(connection.unary(head(UNARY, &metadata, None), framed(b"request")));
            assert!(unary.as_mut().poll(&mut cx).is_pending());
            let mut stream = pin!(connection.open(head(STREAM, &metadata, None)));
            assert!(stream.as_mut().poll(&mut cx).is_pending());
            assert_eq!(Arc::strong_count(&caller), 4);
        }
        assert_eq!(Arc::strong_count(&caller), 2, "the connection's task had no turn yet");
    });
}

/// Who waits for a connection whose stream panics is told, and not that the server never saw the call.
#[test]
fn calls_end_with_a_stream_that_panics() {
    run(async {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let left = Arc::new(AtomicUsize::new(2000));
        let stream = Limited { stream: ours, left, panics: true };
        let connection = connected_over(stream, "inprocess:m0", None).await;
        let metadata = Metadata::new();
        let (first, second, sent) = tokio::join!(
            connection.unary(head(UNARY, &metadata, None), framed(b"first")),
            connection.unary(head(UNARY, &metadata, None), framed(&[0; 4000])),
            read(theirs),
        );
        assert_eq!(sent.len(), 2000);
        assert!(matches!(first, Err(Failure::Unknown(_))), "{first:?}");
        assert!(matches!(second, Err(Failure::Unknown(_))), "{second:?}");
        let late = connection.unary(head(UNARY, &metadata, None), framed(b"late")).await;
        assert!(matches!(late, Err(Failure::NotProcessed(_))), "{late:?}");
    });
}

/// A socket takes nothing of a write that fails, and so the call can be made elsewhere.
#[cfg(unix)]
#[tokio::test]
async fn a_request_that_a_socket_refused_is_known_not_to_be_processed() {
    let path = std::env::temp_dir().join(format!("etcdkit-refused-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let endpoint = format!("unix://{}", path.display()).parse().unwrap();
    let established = establish(&endpoint, &ConnectSettings::new(None, None)).await.unwrap();
    drop(listener.accept().await.unwrap());
    std::fs::remove_file(&path).unwrap();
    let connection = H2Connection::start(&endpoint, established, LIMIT, None).unwrap();
    let metadata = Metadata::new();
    // The connection's task writes before it reads, so the write is what fails first.
    let outcome = connection.unary(head(UNARY, &metadata, None), framed(b"request")).await;
    assert!(matches!(outcome, Err(Failure::NotProcessed(_))), "{outcome:?}");
}

/// Who does not read makes the server stop, and nobody else wait; who reads on gets all of it.
#[test]
fn a_stream_that_is_not_read_keeps_its_bounds_and_stops_nobody() {
    run(async {
        let (connection, stream) = connected(1 << 16).await;
        let server = Server { streams: 10, window: 65_535, frame: 16_384 };
        let _serving = task::spawn(server.serve(stream));
        let metadata = Metadata::new();
        let (mut sink, mut source) = connection.open(head(FLOOD, &metadata, None)).await.unwrap();
        sink.finish().unwrap();
        let answer = connection.unary(head(UNARY, &metadata, None), framed(b"request")).await;
        assert_eq!(answer, Ok(Bytes::from_static(b"request")));
        // The window, and what was released until enough was unread.
        clock::sleep(Duration::from_secs(1)).await;
        let received = connection.received();
        assert!((2 << 20..3_200_000).contains(&received), "{received} bytes are held");
        for _ in 0..FLOODED {
            assert_eq!(source.next().await.unwrap().unwrap().len(), MESSAGE);
        }
        assert_eq!(source.next().await, Ok(None));
    });
}

/// While the server takes nothing in, a sender waits, and calls that did not leave are known not to have.
#[test]
fn a_server_that_takes_nothing_in_makes_senders_wait_and_calls_stay() {
    run(async {
        let (connection, stream) = connected(1 << 10).await;
        let metadata = Metadata::new();
        let (mut sink, _source) = connection.open(head(STREAM, &metadata, None)).await.unwrap();
        let message = framed(&[0; 1 << 20]);
        let mut sent = 0;
        while unless_given_up(sink.send(message.clone()), Some(100)).await.is_some() {
            sent += 1;
            assert!(sent < 10, "{sent} MiB are held for a server that takes nothing in");
        }
        assert!(sent >= 4, "{sent}");

        let large = framed(&[0; 300 << 10]);
        let unsent: Vec<_> = (0..8).map(|_| AtomicBool::new(false)).collect();
        let calls = unsent.iter().map(|unsent| {
            let head = head(UNARY, &metadata, Some(unsent));
            unless_given_up(connection.unary(head, large.clone()), Some(100))
        });
        assert!(join_all(calls).await.iter().all(Option::is_none));
        let late = async {
            drop(stream);
            connection.closed().await;
            connection.unary(head(UNARY, &metadata, None), framed(b"late")).await
        };
        let waiting = connection.unary(head(UNARY, &metadata, None), framed(b"waiting"));
        let (waiting, late) = tokio::join!(waiting, late);
        assert!(waiting.is_err(), "{waiting:?}");
        assert!(matches!(late, Err(Failure::NotProcessed(_))), "{late:?}");
    });
}
