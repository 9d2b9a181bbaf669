//! Calls under generated schedules to a server of the `h2` crate, over pipes of memory.
//!
//! `h2` ends the connection if a window or another rule is not kept, and this end does if it takes `h2` to break one: either
//! fails the test. What each end got is compared with what the other was to send.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::task::JoinSet;

use super::*;
use crate::frame::DEFAULT_WINDOW;
use crate::hpack::{Field, Indexing};

/// One call, and what becomes of it.
#[derive(Clone, Debug)]
struct Call {
    /// The lengths of the pieces that are sent, either way.
    request: Vec<usize>,
    answer: Vec<usize>,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// It is answered before the request is read.
    AnsweredEarly,
    /// The server gives it up after so many pieces of its answer.
    ResetByServer(usize),
    /// The client gives it up after so many bytes of its answer.
    ResetByClient(usize),
}

#[derive(Clone, Debug)]
struct Schedule {
    calls: Vec<Call>,
    /// How many bytes each way of the pipe holds, and how many are offered to it at once.
    pipe: usize,
    offered: usize,
    options: Options,
    server: Server,
    /// Content is released a turn after it came, not at once.
    releases_late: bool,
}

/// What the server announces, and after how many requests it goes away.
#[derive(Clone, Debug)]
struct Server {
    window: u32,
    connection_window: u32,
    max_frame: u32,
    max_streams: u32,
    header_table: u32,
    farewell: Option<usize>,
}

#[derive(Clone, Copy)]
enum Way {
    Request,
    Answer,
}

/// The byte at a place of what a call sends.
fn byte(call: usize, way: Way, at: usize) -> u8 {
    (call * 31 + way as usize * 100 + at / 7 + at % 251).to_le_bytes()[0]
}

fn piece(call: usize, way: Way, at: &mut usize, length: usize) -> Bytes {
    let from = std::mem::replace(at, *at + length);
    (from..*at).map(|at| byte(call, way, at)).collect()
}

/// Compares what came, in whatever pieces, with what was to come.
fn compare(call: usize, way: Way, at: &mut usize, got: &[u8]) {
    for value in got {
        assert_eq!(*value, byte(call, way, *at), "byte {at} of call {call}");
        *at += 1;
    }
}

/// What the server has seen of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Head,
    Whole,
}

type Log = Arc<Mutex<BTreeMap<usize, Seen>>>;

async fn serve(io: DuplexStream, schedule: Arc<Schedule>, log: Log) {
    let announced = &schedule.server;
    let mut connection = server::Builder::new()
        .initial_window_size(announced.window)
        .initial_connection_window_size(announced.connection_window)
        .max_frame_size(announced.max_frame)
        .max_concurrent_streams(announced.max_streams)
        .header_table_size(announced.header_table)
        .max_pending_accept_reset_streams(1000)
        .handshake(io)
        .await
        .expect("a client");
    let (mut tasks, mut accepted) = (JoinSet::new(), 0);
    while let Some(request) = connection.accept().await {
        let (request, respond) = request.expect("the client keeps to the rules");
        let call = request.uri().path()[1..].parse().expect("the number of a call");
        assert_eq!(log.lock().unwrap().insert(call, Seen::Head), None, "call {call} came twice");
        tasks.spawn(answer(
            call,
            request.into_body(),
            respond,
            Arc::clone(&schedule),
            Arc::clone(&log),
        ));
        accepted += 1;
        if Some(accepted) == announced.farewell {
            connection.graceful_shutdown();
        }
    }
}

/// Answers one call; ends early if the client has reset it.
async fn answer(
    call: usize,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    schedule: Arc<Schedule>,
    log: Log,
) -> Option<()> {
    let plan = &schedule.calls[call];
    if plan.fate != Fate::AnsweredEarly {
        let mut got = 0;
        while let Some(content) = body.data().await {
            let content = content.ok()?;
            compare(call, Way::Request, &mut got, &content);
            body.flow_control().release_capacity(content.len()).ok()?;
        }
        assert_eq!(got, plan.request.iter().sum::<usize>(), "call {call}");
        log.lock().unwrap().insert(call, Seen::Whole);
    }
    let mut send = respond.send_response(Response::new(()), false).ok()?;
    let mut sent = 0;
    for (nth, length) in plan.answer.iter().enumerate() {
        if plan.fate == Fate::ResetByServer(nth) {
            send.send_reset(Reason::INTERNAL_ERROR);
            return None;
        }
        write(&mut send, piece(call, Way::Answer, &mut sent, *length)).await?;
    }
    if let Fate::ResetByServer(_) = plan.fate {
        send.send_reset(Reason::INTERNAL_ERROR);
        return None;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-call", call.into());
    send.send_trailers(trailers).ok()
}

async fn write(send: &mut SendStream<Bytes>, mut content: Bytes) -> Option<()> {
    if content.is_empty() {
        return send.send_data(content, false).ok();
    }
    while !content.is_empty() {
        send.reserve_capacity(content.len());
        let room = poll_fn(|context| send.poll_capacity(context)).await?.ok()?;
        send.send_data(content.split_to(room.min(content.len())), false).ok()?;
    }
    Some(())
}

/// What the client keeps for a stream.
#[derive(Debug)]
struct Asked {
    call: usize,
    /// How many pieces of the request the connection was given, and how many bytes.
    pieces: usize,
    given: usize,
    got: usize,
    /// Bytes that came and were not released.
    held: usize,
    trailer: Option<Vec<u8>>,
}

/// How a call ended: as the connection told, or given up.
type Outcome = Option<End>;

#[derive(Debug)]
struct Asker {
    schedule: Arc<Schedule>,
    outcomes: BTreeMap<usize, Outcome>,
    /// Streams to be given up, and those of which something is to be released.
    tired: Vec<StreamId>,
    unreleased: Vec<StreamId>,
}

impl Asker {
    fn settle(&mut self, call: usize, outcome: Outcome) {
        assert_eq!(self.outcomes.insert(call, outcome), None, "call {call} ended twice");
    }
}

impl Events for Asker {
    type Stream = Asked;

    fn field(&mut self, _: StreamId, asked: &mut Asked, name: &[u8], value: &[u8]) {
        if name == b"x-call" {
            asked.trailer = Some(value.to_vec());
        }
    }

    fn fields_end(&mut self, _: StreamId, _: &mut Asked, _: Part) {}

    fn data(&mut self, id: StreamId, asked: &mut Asked, payload: Payload<'_>) -> usize {
        let content = payload.into_bytes();
        compare(asked.call, Way::Answer, &mut asked.got, &content);
        if let Fate::ResetByClient(after) = self.schedule.calls[asked.call].fate
            && asked.got >= after
        {
            self.tired.push(id);
        }
        if !self.schedule.releases_late {
            return content.len();
        }
        asked.held += content.len();
        self.unreleased.push(id);
        0
    }

    fn ended(&mut self, _: StreamId, asked: Asked, end: End, _: Sent) {
        if end == End::Clean {
            let whole: usize = self.schedule.calls[asked.call].answer.iter().sum();
            assert_eq!(asked.got, whole, "call {}", asked.call);
            assert_eq!(asked.trailer, Some(asked.call.to_string().into_bytes()));
        }
        self.settle(asked.call, Some(end));
    }

    fn pong(&mut self, _: [u8; 8]) {}

    fn going_away(&mut self, code: ErrorCode, _: &[u8]) {
        assert_eq!(code, ErrorCode::NO_ERROR);
        assert!(self.schedule.server.farewell.is_some());
    }

    fn limit(&mut self, _: usize) {}
}

/// Gives the connection as much of a request as it should have unsent.
fn feed(connection: &mut Connection<Asked>, schedule: &Schedule, id: StreamId) {
    while connection.unsent(id) <= schedule.options.unsent_mark {
        let Some(asked) = connection.stream(id) else { return };
        let pieces = &schedule.calls[asked.call].request;
        let Some(length) = pieces.get(asked.pieces) else { return };
        asked.pieces += 1;
        let end = asked.pieces == pieces.len();
        let content = piece(asked.call, Way::Request, &mut asked.given, *length);
        connection.send(id, content, end).expect("it is open");
    }
}

/// Makes all calls, as far as the server takes them.
async fn ask(io: DuplexStream, schedule: Arc<Schedule>) -> BTreeMap<usize, Outcome> {
    let (mut reader, mut writer) = split(io);
    let mut connection = Connection::new(schedule.options);
    let mut asker = Asker {
        schedule: Arc::clone(&schedule),
        outcomes: BTreeMap::new(),
        tired: Vec::new(),
        unreleased: Vec::new(),
    };
    let mut input = BytesMut::new();
    let field =
        |name, value| (Bytes::from_static(name), Bytes::from_static(value), Indexing::Repeats);
    let mut head = Prepared::new([
        field(b":method", b"POST"),
        field(b":scheme", b"http"),
        field(b":authority", b"etcd"),
    ]);
    let mut calls = schedule.calls.iter().enumerate().peekable();
    let mut is_read = true;
    loop {
        while let Some((call, plan)) = calls.next_if(|_| connection.room() > 0) {
            let path = format!("/{call}");
            let path =
                Field { name: b":path", value: path.as_bytes(), indexing: Indexing::Repeats };
            let asked = Asked { call, pieces: 0, given: 0, got: 0, held: 0, trailer: None };
            let id = connection.open(&mut head, [path], asked).expect("there is room");
            feed(&mut connection, &schedule, id);
            if plan.fate == Fate::ResetByClient(0) {
                asker.tired.push(id);
            }
        }
        for id in std::mem::take(&mut asker.unreleased) {
            let held = connection.stream(id).map(|asked| std::mem::take(&mut asked.held));
            connection.release(id, held.unwrap_or(0));
        }
        for id in std::mem::take(&mut asker.tired) {
            if let Some((asked, _)) = connection.reset(id, ErrorCode::CANCEL) {
                asker.settle(asked.call, None);
            }
        }
        while let Some((id, _)) = connection.next_writable() {
            feed(&mut connection, &schedule, id);
        }
        if connection.open_streams() == 0 && (calls.peek().is_none() || connection.is_going_away())
        {
            return asker.outcomes;
        }
        let mut slices = [IoSlice::new(&[]); 3];
        let used = connection.output().slices(&mut slices);
        let offered: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
        let offered = &offered[..offered.len().min(schedule.offered)];
        tokio::select! {
            taken = writer.write(offered), if !offered.is_empty() && is_read => match taken {
                Ok(taken) => connection.output().advance(taken),
                // A server that went away has closed the pipe; what it said last is in there yet.
                Err(_) => is_read = false,
            },
            read = reader.read_buf(&mut input) => {
                if read.expect("the pipe is whole") == 0 {
                    assert!(connection.is_going_away(), "the server closed the pipe");
                    connection.lose(&mut asker);
                    return asker.outcomes;
                }
                connection.receive(&mut input, &mut asker).expect("h2 keeps to the rules");
            }
        }
    }
}

async fn runs(schedule: Schedule) {
    let schedule = Arc::new(schedule);
    let log = Log::default();
    let (ours, theirs) = duplex(schedule.pipe);
    let mut server = JoinSet::new();
    server.spawn(serve(theirs, Arc::clone(&schedule), Arc::clone(&log)));
    // Time stands still as long as anyone has something to do.
    let asked = tokio::time::timeout(Duration::from_secs(1), ask(ours, Arc::clone(&schedule)));
    let outcomes = asked.await.expect("somebody always has something to do");
    if let Some(ended) = server.try_join_next() {
        ended.expect("it did not panic");
    }
    let seen = log.lock().unwrap();
    for (call, plan) in schedule.calls.iter().enumerate() {
        let seen = seen.get(&call);
        let fine = match (plan.fate, outcomes.get(&call)) {
            // The server went away before it could be asked.
            (_, None) => seen.is_none() && schedule.server.farewell.is_some(),
            (_, Some(Some(End::GoneAway))) => seen.is_none() && schedule.server.farewell.is_some(),
            // More were opened at first than it allows.
            (_, Some(Some(End::Refused))) => seen.is_none(),
            (Fate::Answered, Some(Some(End::Clean))) => seen == Some(&Seen::Whole),
            (Fate::AnsweredEarly, Some(Some(End::Clean))) => seen.is_some(),
            (Fate::ResetByServer(_), Some(Some(End::Reset(code)))) => {
                seen.is_some() && *code == ErrorCode::INTERNAL_ERROR
            }
            (Fate::ResetByClient(_), Some(None)) => true,
            // The whole answer was there before it was given up.
            (Fate::ResetByClient(_), Some(Some(End::Clean))) => seen == Some(&Seen::Whole),
            _ => false,
        };
        assert!(fine, "call {call}: {:?}, the server saw {seen:?}", outcomes.get(&call));
    }
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(
        prop_oneof![4 => 0_usize..200, 2 => 0_usize..20_000, 1 => 0_usize..150_000],
        1..6,
    )
}

fn call() -> impl Strategy<Value = Call> {
    let fate = prop_oneof![
        6 => Just(Fate::Answered),
        1 => Just(Fate::AnsweredEarly),
        1 => (0_usize..6).prop_map(Fate::ResetByServer),
        1 => (0_usize..30_000).prop_map(Fate::ResetByClient),
        1 => Just(Fate::ResetByClient(0)),
    ];
    (pieces(), pieces(), fate).prop_map(|(request, answer, fate)| Call { request, answer, fate })
}

fn options() -> impl Strategy<Value = Options> {
    (
        prop_oneof![Just(65_535_u32), 65_535_u32..1 << 20],
        prop_oneof![Just(65_535_u32), 65_535_u32..1 << 20, Just((1 << 31) - 1)],
        (1_u32 << 14)..1 << 18,
        prop_oneof![1_usize..20, Just(100)],
        0_usize..100_000,
        prop_oneof![1_usize..100_000, Just(16 << 20)],
    )
        .prop_map(|(stream_window, connection_window, max_frame, at_first, mark, output)| {
            Options {
                stream_window,
                connection_window,
                max_frame,
                streams_at_first: at_first,
                unsent_mark: mark,
                max_output: output,
                ..Options::default()
            }
        })
}

fn server() -> impl Strategy<Value = Server> {
    (
        prop_oneof![1_u32..2000, Just(65_535), 1_u32..1 << 20],
        prop_oneof![Just(65_535_u32), 65_535_u32..1 << 20],
        (1_u32 << 14)..1 << 18,
        1_u32..30,
        prop::sample::select(vec![0_u32, 100, 4096, 1 << 16]),
        prop::option::weighted(0.2, 1_usize..20),
    )
        .prop_map(
            |(window, connection_window, max_frame, max_streams, header_table, farewell)| Server {
                window,
                connection_window,
                max_frame,
                max_streams,
                header_table,
                farewell,
            },
        )
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let pipe = || prop_oneof![1 => 100_usize..2000, 3 => 2000_usize..1 << 20];
    (prop::collection::vec(call(), 1..25), pipe(), pipe(), options(), server(), any::<bool>())
        .prop_map(|(calls, pipe, offered, mut options, server, releases_late)| {
            if server.window < DEFAULT_WINDOW {
                // What `h2` has read when its settings are acknowledged it does not give back if that was little for
                // the old window, even if it is all of the new one: the request would wait for ever.
                options.streams_at_first = 0;
            }
            Schedule { calls, pipe, offered, options, server, releases_late }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_call_to_h2_ends_once_and_as_it_should(schedule in schedule()) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime starts")
            .block_on(runs(schedule));
    }
}
