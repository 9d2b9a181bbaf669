//! What a member that is given up still gets, and what does not count as frozen: seen from the member's side.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use etcdkit::{Cause, Client, ErrorKind};
use etcdkit_testkit::peer::{Connection, Peer};
use etcdkit_testkit::wait::eventually;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::fronts::{wait_all_ready, wait_ready};
use super::{hold, millis, now, seconds, within};

const RANGE: &str = "/etcdserverpb.KV/Range";
const PUT: &str = "/etcdserverpb.KV/Put";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// `grpc.health.v1.HealthCheckResponse { status: SERVING }`.
const SERVING: &[u8] = b"\x08\x01";

/// `PutResponse` and `RangeResponse` alike: a header (field 1) with cluster 1, member 1, revision 1 and term 1.
const HEADER: &[u8] = b"\x0a\x08\x08\x01\x10\x01\x18\x01\x20\x01";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Serving,
    /// Answers probes, and holds everything that takes a leader.
    Leaderless,
    /// Answers nothing, not even by a frame of HTTP/2.
    Silent,
}

/// The paths of calls, and when they came.
type Calls = Arc<Mutex<Vec<(String, Instant)>>>;

/// A member that does as it is told.
struct Member {
    peer: Peer,
    calls: Calls,
    mode: watch::Sender<Mode>,
}

impl Member {
    async fn start() -> Self {
        let calls = Calls::default();
        let (mode, current) = watch::channel(Mode::Serving);
        let mut peer = Peer::bind().await;
        let seen = Arc::clone(&calls);
        peer.run(move |conn| serve(conn, Arc::clone(&seen), current.clone()));
        Self { peer, calls, mode }
    }

    fn be(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    fn count(&self, path: &str) -> usize {
        let calls = self.calls.lock().expect("no holder panics");
        calls.iter().filter(|(call, _)| call == path).count()
    }

    /// Calls that programs make, as opposed to probes.
    fn calls(&self) -> usize {
        self.count(RANGE) + self.count(PUT)
    }
}

/// Reads all calls; those that come while this is silent are never answered.
async fn serve(mut conn: Connection, calls: Calls, mode: watch::Receiver<Mode>) -> io::Result<()> {
    // What a few thousand calls send fits into the first window.
    conn.hold_windows();
    conn.ignore_pings();
    if *mode.borrow() == Mode::Silent {
        conn.handshake_silent().await?;
    } else {
        conn.handshake(&[]).await?;
    }
    loop {
        let call = conn.next_request().await?;
        calls.lock().expect("no holder panics").push((call.path.clone(), now()));
        let mode = *mode.borrow();
        let kv = call.path.starts_with("/etcdserverpb.KV/");
        if mode == Mode::Serving || (mode == Mode::Leaderless && !kv) {
            let answer = if call.path == HEALTH { SERVING } else { HEADER };
            conn.respond(call.stream_id, answer).await?;
        }
    }
}

/// Gets and puts, 200 a second, whose failures are returned.
fn steady_calls(client: &Client) -> JoinSet<Result<(), etcdkit::Error>> {
    let mut tasks = JoinSet::new();
    let client = client.clone();
    tasks.spawn(async move {
        let mut ticks = interval(millis(10));
        let mut calls = JoinSet::new();
        loop {
            ticks.tick().await;
            let (getter, putter) = (client.clone(), client.clone());
            calls.spawn(async move { getter.get("k").await.map(drop) });
            calls.spawn(async move { putter.put("k", "v").await.map(drop) });
            while let Some(ended) = calls.try_join_next() {
                match ended.expect("no call panics") {
                    Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
                    Err(error) if error.maybe_applied() => {}
                    ended => ended?,
                }
            }
        }
    });
    tasks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_member_gets_probes_only_until_it_answers_one() {
    let members = [Member::start().await, Member::start().await, Member::start().await];
    let client = Client::builder()
        .endpoints(members.each_ref().map(|member| member.peer.endpoint()))
        // Several attempts within the test's time.
        .connect_timeout(millis(500))
        .connect()
        .await
        .unwrap();
    wait_all_ready(&client).await;
    let mut load = steady_calls(&client);
    let frozen = &members[1];
    let endpoint = frozen.peer.endpoint();
    eventually("a first call", seconds(5), async || (frozen.calls() > 0).then_some(())).await;

    frozen.be(Mode::Silent);
    wait_ready(&client, &endpoint, false, seconds(5)).await;
    // By then it has read all that was sent to it.
    let _ = within("the end of the old connection", seconds(5), frozen.peer.next_outcome()).await;
    let (calls, probes) = (frozen.calls(), frozen.count(HEALTH));
    hold(seconds(4)).await;
    assert_eq!(frozen.calls(), calls, "a call went to a member that answers nothing");
    let probes = frozen.count(HEALTH) - probes;
    assert!((1..=12).contains(&probes), "{probes} probes in 4 s");

    // Attempts that wait for an answer now do so in vain: the next one succeeds.
    frozen.be(Mode::Serving);
    wait_ready(&client, &endpoint, true, seconds(10)).await;
    let calls = frozen.calls();
    eventually("calls again", seconds(5), async || (frozen.calls() > calls + 10).then_some(()))
        .await;
    client.close().await;
    let ended = within("the load", seconds(5), load.join_next()).await;
    ended.unwrap().unwrap().unwrap();
}

/// A member that wakes up answers before its connections to the others are back: what it forwards to the leader then is
/// lost, and holds its caller for seven seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_frozen_has_to_reach_its_leader_first() {
    let members = [Member::start().await, Member::start().await];
    let client = Client::builder()
        .endpoints(members.each_ref().map(|member| member.peer.endpoint()))
        .connect_timeout(seconds(3))
        .connect()
        .await
        .unwrap();
    wait_all_ready(&client).await;
    let mut load = steady_calls(&client);
    let (frozen, endpoint) = (&members[0], members[0].peer.endpoint());
    frozen.be(Mode::Silent);
    wait_ready(&client, &endpoint, false, seconds(5)).await;
    let _ = within("the end of the old connection", seconds(5), frozen.peer.next_outcome()).await;
    let before = frozen.calls.lock().unwrap().len();

    // An attempt that waits for an answer now does so in vain: the next one is answered, and asks for the leader. It may
    // be that the whole cluster has none: that is no reason to leave the member out for ever.
    frozen.be(Mode::Leaderless);
    wait_ready(&client, &endpoint, true, seconds(20)).await;
    let ready = now();
    let calls = frozen.calls.lock().unwrap()[before..].to_vec();
    let read = calls.iter().position(|(path, _)| path == RANGE);
    // The read that takes a leader is sent once what came before it is answered.
    let (_, woken) = calls[read.expect("it is asked for its leader") - 1];
    assert!(ready - woken >= millis(1300), "{:?}", ready - woken);
    client.close().await;
    let ended = within("the load", seconds(5), load.join_next()).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_member_is_not_hammered() {
    let member = Member::start().await;
    let client = Client::builder()
        .endpoints([member.peer.endpoint()])
        .connect_timeout(millis(200))
        .connect()
        .await
        .unwrap();
    member.be(Mode::Silent);
    let started = now();
    // Reads wait all of their time, and wake the balancer over and over.
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        readers.spawn(async move { client.get("k").await });
    }
    let before = member.peer.connections();
    within("the readers", seconds(12), async {
        while let Some(read) = readers.join_next().await {
            let error = read.unwrap().unwrap_err();
            assert!(!error.maybe_applied(), "{error}");
            assert!(started.elapsed() <= seconds(11), "{error}");
            let frozen = error.attempts().iter().any(|attempt| *attempt.cause() == Cause::Frozen);
            assert!(frozen, "{error}");
        }
    })
    .await;
    // 10 s of 200 ms attempts with pauses of up to 500 ms.
    let tried = member.peer.connections() - before;
    assert!((5..=30).contains(&tried), "{tried} connections in 10 s");
}

/// A member that holds back the answer to every put for two seconds, and answers probes at once.
async fn slow_disk() -> (Peer, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let paths = Arc::clone(&seen);
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| {
        let paths = Arc::clone(&paths);
        async move {
            conn.handshake(&[]).await?;
            let mut due: VecDeque<(Instant, u32)> = VecDeque::new();
            loop {
                let next = due.front().map(|(at, _)| *at);
                let call = tokio::select! {
                    call = conn.next_request() => call?,
                    () = async {
                        match next {
                            Some(at) => tokio::time::sleep_until(at).await,
                            None => std::future::pending().await,
                        }
                    } => {
                        let (_, stream) = due.pop_front().expect("one is due");
                        conn.respond(stream, HEADER).await?;
                        continue;
                    }
                };
                paths.lock().expect("no holder panics").push(call.path.clone());
                match call.path.as_str() {
                    PUT => due.push_back((now() + seconds(2), call.stream_id)),
                    HEALTH => conn.respond(call.stream_id, SERVING).await?,
                    _ => conn.respond(call.stream_id, HEADER).await?,
                }
            }
        }
    });
    (peer, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_is_not_taken_for_a_frozen_process() {
    let (peer, seen) = slow_disk().await;
    let client = Client::connect([peer.endpoint()]).await.unwrap();
    for _ in 0..2 {
        let started = now();
        let (first, second) = tokio::join!(client.put("a", "1"), client.put("b", "2"));
        first.unwrap();
        second.unwrap();
        assert!(started.elapsed() >= seconds(2), "{:?}", started.elapsed());
    }
    assert_eq!(peer.connections(), 1, "the connection was given up");
    let probes = seen.lock().unwrap().iter().filter(|path| *path == HEALTH).count();
    // The first is the one that connecting takes.
    assert!(probes >= 3, "two seconds of silence were not looked into: {probes}");
    assert!(client.endpoint_states().iter().all(|state| state.is_ready()));
}
