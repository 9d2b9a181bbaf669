//! A peer that answers unary calls, by a closure or from queues, and remembers them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::watch;

use super::{Answer, Connection, Peer, Request};

/// gRPC's code for a method that a server does not have.
const UNIMPLEMENTED: u32 = 12;

/// `grpc.health.v1.HealthCheckResponse { status: SERVING }`.
const SERVING: &[u8] = &[0x08, 0x01];

/// `etcdserverpb.StatusResponse`: a header (field 1) with cluster 1, revision 1 and term 1 (its 1, 3 and 4), but no member,
/// since all of these are alike; version 3.7.1 (field 2), leader 1 (field 4), raft index 1 (field 5) and raft term 1
/// (field 6).
const STATUS: &[u8] = b"\x0a\x06\x08\x01\x18\x01\x20\x01\x12\x053.7.1\x20\x01\x28\x01\x30\x01";

type Script = Arc<dyn Fn(&Request) -> Option<Answer> + Send + Sync>;

/// A server for unary calls that looks like a member of an etcd cluster.
///
/// A call is answered by the first of these that has an answer: the queue of its path ([`queue`](Self::queue)), the
/// closure ([`answer_with`](Self::answer_with)), and the defaults: SERVING for `/grpc.health.v1.Health/Check`,
/// a small StatusResponse for `/etcdserverpb.Maintenance/Status`, and UNIMPLEMENTED for all others.
///
/// Streams on which the client never ends its side (watches, keep-alives) are neither recorded nor answered: give them
/// to a script of [`Peer::run`].
///
/// # Examples
///
/// ```
/// # use etcdkit_testkit::peer::{Answer, EtcdLike};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let etcd = EtcdLike::start().await;
/// etcd.queue("/etcdserverpb.KV/Range", Answer::status(14, "etcdserver: no leader"));
/// etcd.answer_with(|call| call.path.ends_with("/Range").then(|| Answer::message("")));
/// assert_eq!(etcd.calls("/etcdserverpb.KV/Range"), 0);
/// # }
/// ```
pub struct EtcdLike {
    peer: Peer,
    shared: Arc<Shared>,
}

impl fmt::Debug for EtcdLike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdLike").field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// How many calls came, by path.
    calls: watch::Sender<BTreeMap<String, usize>>,
}

#[derive(Default)]
struct State {
    queues: HashMap<String, VecDeque<Answer>>,
    script: Option<Script>,
    requests: Vec<Request>,
}

impl EtcdLike {
    /// Starts on a loopback port.
    pub async fn start() -> Self {
        Self::on(Peer::bind().await)
    }

    /// Starts on a peer that does not run yet: on a unix socket or with TLS, for example.
    ///
    /// # Panics
    ///
    /// If the peer runs already.
    pub fn on(mut peer: Peer) -> Self {
        let shared: Arc<Shared> = Arc::default();
        let for_scripts = Arc::clone(&shared);
        peer.run(move |conn| serve(conn, Arc::clone(&for_scripts)));
        Self { peer, shared }
    }

    /// The TCP address.
    ///
    /// # Panics
    ///
    /// If this listens on a unix socket.
    pub fn addr(&self) -> SocketAddr {
        self.peer.addr()
    }

    /// The address as a URL.
    pub fn endpoint(&self) -> String {
        self.peer.endpoint()
    }

    /// The peer that this runs on.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Answers the next call of `path` that no earlier entry of its queue answers.
    pub fn queue(&self, path: &str, answer: Answer) {
        self.state().queues.entry(path.to_owned()).or_default().push_back(answer);
    }

    /// Answers calls from now on by `script`, which may pass with `None`; it replaces an earlier one.
    pub fn answer_with<F>(&self, script: F)
    where
        F: Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
    {
        self.state().script = Some(Arc::new(script));
    }

    /// How many calls of `path` came so far.
    pub fn calls(&self, path: &str) -> usize {
        self.shared.calls.borrow().get(path).copied().unwrap_or(0)
    }

    /// Waits until at least `n` calls of `path` have come.
    pub async fn wait_calls(&self, path: &str, n: usize) {
        let mut calls = self.shared.calls.subscribe();
        let enough = |calls: &BTreeMap<String, usize>| calls.get(path).is_some_and(|&k| k >= n);
        if n > 0 {
            calls.wait_for(enough).await.expect("this owns the sender");
        }
    }

    /// The calls of `path` so far, with their headers and messages, in the order in which they came.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        let state = self.state();
        state.requests.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// All calls so far, in the order in which they came.
    pub fn all_requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the state panics")
    }

    /// Records a call and finds its answer.
    fn take(&self, request: Request) -> Answer {
        let mut state = self.state();
        state.requests.push(request.clone());
        let queued = state.queues.get_mut(&request.path).and_then(VecDeque::pop_front);
        let script = state.script.clone();
        drop(state);
        self.calls.send_modify(|calls| *calls.entry(request.path.clone()).or_default() += 1);
        // Without the lock: the closure may use this EtcdLike.
        queued
            .or_else(|| script.and_then(|script| script(&request)))
            .unwrap_or_else(|| default_answer(&request.path))
    }
}

fn default_answer(path: &str) -> Answer {
    match path {
        "/grpc.health.v1.Health/Check" => Answer::Message(Bytes::from_static(SERVING)),
        "/etcdserverpb.Maintenance/Status" => Answer::Message(Bytes::from_static(STATUS)),
        _ => Answer::Status(UNIMPLEMENTED, format!("unknown method {path}")),
    }
}

async fn serve(mut conn: Connection, shared: Arc<Shared>) -> io::Result<()> {
    conn.handshake(&[]).await?;
    loop {
        let request = match conn.next_request().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            request => request?,
        };
        let stream = request.stream_id;
        // What is pushed goes out while the next request is waited for, as far as the windows allow: a client that
        // does not read one answer still gets the others.
        match shared.take(request) {
            Answer::Message(message) => conn.push_response(stream, &message),
            Answer::Status(code, text) => conn.push_status(stream, code, &text),
            Answer::StatusAfterHeaders(code, text) => {
                conn.push_response_headers(stream);
                conn.push_status_trailers(stream, code, &text);
            }
            Answer::Headers(headers) => {
                let headers: Vec<_> = headers.iter().map(|(n, v)| (&**n, &**v)).collect();
                conn.push_headers(stream, &headers, super::frame::flag::END_STREAM);
            }
            Answer::MessageThenHang(message) => conn.push_message(stream, &message),
            Answer::Hang => {}
            Answer::Rst(code) => conn.rst(stream, code).await?,
            Answer::GoAway { last_stream, code, debug } => {
                let last_stream = last_stream.unwrap_or_else(|| stream.saturating_sub(2));
                conn.goaway(last_stream, code, &debug).await?;
            }
            Answer::CloseConnection => return conn.close().await,
            Answer::ResetConnection => return conn.reset(),
        }
    }
}
