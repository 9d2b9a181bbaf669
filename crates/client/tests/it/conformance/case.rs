//! Cases about a single call, and how they run against any subject.

use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcdkit::ErrorKind;
use etcdkit_testkit::clock;
use etcdkit_testkit::peer::{Answer, Connection, Peer};

use super::subject::{Busy, Failed, HELD, Kind, Ours, Reference, Rpc, Subject};
use super::support::{self, PUT, RANGE, REVISION};

/// What a peer does instead of answering: it gets the connection and the call's stream.
pub(super) type Act = for<'a> fn(&'a mut Connection, u32) -> Doing<'a>;
pub(super) type Doing<'a> = Pin<Box<dyn Future<Output = io::Result<Then>> + Send + 'a>>;

/// What becomes of the connection afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// It serves the calls that follow.
    Serve,
    /// It is closed with FIN.
    Close,
    /// It is closed with RST.
    Reset,
}

/// The peer acts upon the first call and is a healthy member for all others. Then a second call is made, which has to
/// succeed whatever the first did.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) act: Act,
    /// Our put, our get, and tonic's put.
    pub(super) expect: [Expect; 3],
    /// The deadline of the first call.
    pub(super) deadline: Duration,
}

/// What comes of the first call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expect {
    outcome: Result<(), (Kind, Option<bool>, &'static str)>,
    /// How often the call reaches the peer.
    sent: usize,
}

/// Nothing that is not stalled takes as long as this.
const DEADLINE: Duration = Duration::from_secs(5);

impl Case {
    pub(super) const fn new(name: &'static str, act: Act, expect: [Expect; 3]) -> Self {
        Self { name, act, expect, deadline: DEADLINE }
    }

    pub(super) const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// The call succeeds at the attempt number `sent`.
pub(super) const fn answer(sent: usize) -> Expect {
    Expect { outcome: Ok(()), sent }
}

/// Our put fails, and may have been applied.
pub(super) const fn unknown(kind: ErrorKind, says: &'static str) -> Expect {
    Expect { outcome: Err((Kind::Ours(kind), Some(true), says)), sent: 1 }
}

/// Our call fails, and has certainly changed nothing.
pub(super) const fn fails(kind: ErrorKind, says: &'static str) -> Expect {
    Expect { outcome: Err((Kind::Ours(kind), Some(false), says)), sent: 1 }
}

/// tonic's call fails.
pub(super) const fn tonic(code: tonic::Code, says: &'static str) -> Expect {
    Expect { outcome: Err((Kind::Reference(code), None, says)), sent: 1 }
}

/// tonic panics.
pub(super) const fn panics(says: &'static str) -> Expect {
    Expect { outcome: Err((Kind::Panic, None, says)), sent: 1 }
}

/// tonic's call goes on after its deadline.
pub(super) const fn hangs() -> Expect {
    Expect { outcome: Err((Kind::Hangs, None, "")), sent: 1 }
}

impl Expect {
    /// What is different from this, if anything.
    fn difference(&self, seen: &Result<i64, Failed>, sent: usize) -> Option<String> {
        let matches = match (&self.outcome, seen) {
            (Ok(()), Ok(revision)) => *revision == REVISION,
            (Err((kind, applied, says)), Err(failed)) => {
                *kind == failed.kind && *applied == failed.applied && failed.text.contains(says)
            }
            _ => false,
        };
        (!matches || self.sent != sent)
            .then(|| format!("expected {self:?}\n     got {seen:?}, sent {sent} times"))
    }
}

/// Runs cases against all subjects, and fails with all that differs.
pub(super) async fn check(cases: &[Case]) {
    let mut report = String::new();
    for case in cases {
        let [put, get, reference] = &case.expect;
        let (direct_put, direct_get, busy_put, busy_get, reference) = tokio::join!(
            Box::pin(run::<Ours>(case, Rpc::Put, put)),
            Box::pin(run::<Ours>(case, Rpc::Get, get)),
            Box::pin(run::<Busy>(case, Rpc::Put, put)),
            Box::pin(run::<Busy>(case, Rpc::Get, get)),
            Box::pin(run::<Reference>(case, Rpc::Put, reference)),
        );
        for (subject, difference) in [
            ("our put", direct_put),
            ("our get", direct_get),
            ("our put among others", busy_put),
            ("our get among others", busy_get),
            ("tonic's put", reference),
        ] {
            if let Some(difference) = difference {
                let _ = writeln!(report, "{}, {subject}: {difference}", case.name);
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

async fn run<S: Subject>(case: &Case, rpc: Rpc, expect: &Expect) -> Option<String> {
    let stage = Stage::start(case.act).await;
    let mut subject = S::new(&stage.peer.endpoint());
    subject.connect().await;
    let grace = case.deadline + Duration::from_secs(1);
    let what = format!("{}: {rpc:?} of {}", case.name, S::NAME);
    let call = subject.call(rpc, b"v", case.deadline);
    let hangs = || Failed { kind: Kind::Hangs, applied: None, text: String::new() };
    let seen = clock::timeout(grace, call).await.unwrap_or_else(|| Err(hangs()));
    let difference = expect.difference(&seen, stage.calls());
    let again = subject.call(rpc, b"v", DEADLINE);
    let again = support::within(DEADLINE * 2, &what, again).await;
    match again {
        _ if difference.is_some() => difference,
        Err(failed) => Some(format!("the second call fails: {failed:?}")),
        Ok(_) => None,
    }
}

/// The peer of one run.
pub(super) struct Stage {
    pub(super) peer: Peer,
    calls: Arc<AtomicUsize>,
}

impl Stage {
    pub(super) async fn start(act: Act) -> Self {
        let mut peer = Peer::bind().await;
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        peer.run(move |conn| serve(conn, act, Arc::clone(&counted)));
        Self { peer, calls }
    }

    /// How many calls came, those for the client's own purposes not counted.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn serve(mut conn: Connection, act: Act, calls: Arc<AtomicUsize>) -> io::Result<()> {
    conn.handshake(&[]).await?;
    loop {
        let call = conn.next_request().await?;
        if call.path == RANGE && support::range_request(&call).key == HELD {
            continue;
        }
        let counts = call.path == PUT || call.path == RANGE;
        if counts && calls.fetch_add(1, Ordering::SeqCst) == 0 {
            match act(&mut conn, call.stream_id).await? {
                Then::Serve => {}
                Then::Close => return conn.close().await,
                Then::Reset => return conn.reset(),
            }
            continue;
        }
        match support::healthy(&call.path) {
            Some(Answer::Message(message)) => conn.respond(call.stream_id, &message).await?,
            _ => conn.respond_status(call.stream_id, 12, "unknown method").await?,
        }
    }
}
