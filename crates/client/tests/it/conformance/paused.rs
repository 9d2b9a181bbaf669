//! A member in this process that counts pings, for tests in which tokio's clock is paused: seconds pass as soon as nobody
//! has anything to do.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcdkit::Client;
use etcdkit::config::ClientBuilder;
use etcdkit::transport::{DuplexListener, duplex};
use etcdkit_testkit::peer::frame::flag;
use etcdkit_testkit::peer::{Answer, Connection, FrameKind};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::support::{RANGE_STREAM, healthy};

/// What the member saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    connections: AtomicUsize,
    closed: AtomicUsize,
    /// When each came.
    pings: Mutex<Vec<Instant>>,
    unanswered: AtomicUsize,
}

impl Seen {
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The connections that the client has closed.
    pub(super) fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn pings(&self) -> usize {
        self.pings.lock().unwrap().len()
    }

    /// The shortest time between two pings.
    pub(super) fn between_pings(&self) -> Option<Duration> {
        self.pings.lock().unwrap().windows(2).map(|two| two[1] - two[0]).min()
    }

    /// The calls that came and were not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::SeqCst)
    }
}

/// How the member behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// HTTP/2's SETTINGS.
    pub(super) settings: &'static [(u16, u32)],
    pub(super) answers_pings: bool,
    /// The RPCs that it never answers. A streamed read gets one piece and then rests.
    pub(super) unanswered: &'static [&'static str],
}

impl Member {
    /// The member, which runs as long as the set is held, and its client.
    pub(super) fn start(
        self,
        configure: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> (Client, Arc<Seen>, JoinSet<()>) {
        let (connector, listener) = duplex();
        let seen = Arc::default();
        let mut server = JoinSet::new();
        server.spawn(self.accept(listener, Arc::clone(&seen)));
        let builder = Client::builder().endpoints(["inprocess:etcd"]).connector(connector);
        (configure(builder).build().unwrap(), seen, server)
    }

    async fn accept(self, mut listener: DuplexListener, seen: Arc<Seen>) {
        let mut connections = JoinSet::new();
        while let Some(stream) = listener.accept().await {
            seen.connections.fetch_add(1, Ordering::SeqCst);
            let seen = Arc::clone(&seen);
            connections.spawn(async move {
                let ended = self.serve(Connection::new(stream), Arc::clone(&seen)).await;
                seen.closed.fetch_add(1, Ordering::SeqCst);
                ended
            });
        }
    }

    async fn serve(self, mut conn: Connection, seen: Arc<Seen>) -> io::Result<()> {
        conn.handshake(self.settings).await?;
        if !self.answers_pings {
            conn.ignore_pings();
        }
        let mut logged = 0;
        loop {
            // Whatever ends the wait: a call, or a while without any.
            let call = timeout(LOOK, conn.next_request()).await;
            let pings = conn.log()[logged..]
                .iter()
                .filter(|frame| frame.kind == FrameKind::Ping && !frame.has(flag::ACK))
                .count();
            logged = conn.log().len();
            seen.pings.lock().unwrap().extend(std::iter::repeat_n(now(), pings));
            let Ok(call) = call else { continue };
            let call = call?;
            if self.unanswered.contains(&&*call.path) {
                seen.unanswered.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            match healthy(&call.path) {
                Some(Answer::Message(message)) => conn.respond(call.stream_id, &message).await?,
                _ => {
                    assert_eq!(call.path, RANGE_STREAM);
                    conn.start_response(call.stream_id).await?;
                    conn.send_message(call.stream_id, &super::streams::piece("a")).await?;
                }
            }
        }
    }
}

/// How closely the times of pings are told.
const LOOK: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "tokio's clock is paused")]
fn now() -> Instant {
    Instant::now()
}

/// Lets time pass.
pub(super) async fn pass(duration: Duration) {
    let _ = timeout(duration, std::future::pending::<()>()).await;
}
