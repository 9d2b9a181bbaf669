//! Reads that one member holds: another is asked too, and one more when that one can't say either.
//!
//! The members are in this process and the clock is paused, so that times are what they are meant to be.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcdkit::service::CallOptions;
use etcdkit::transport::duplex;
use etcdkit::{Client, ErrorKind};
use etcdkit_testkit::peer::Connection;
use tokio::task::JoinSet;

use super::fronts::wait_all_ready;
use super::{millis, now, seconds};

const RANGE: &str = "/etcdserverpb.KV/Range";

/// `RangeResponse`: a header (field 1) with cluster 1, member 1, revision 1 and term 1.
const EMPTY: &[u8] = b"\x0a\x08\x08\x01\x10\x01\x18\x01\x20\x01";

/// How reads are answered, whichever member they reach: by their number.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Found,
    Silence,
    LeaderChanged,
    Compacted,
}

struct Case {
    replies: &'static [Reply],
    options: CallOptions,
    ends: Result<(), ErrorKind>,
    /// When.
    between: (Duration, Duration),
    /// How many reads were sent for it.
    reads: usize,
}

/// What any member does on a connection.
async fn serve(
    mut conn: Connection,
    replies: &'static [Reply],
    next: Arc<AtomicUsize>,
) -> io::Result<()> {
    conn.handshake(&[]).await?;
    loop {
        let call = conn.next_request().await?;
        let id = call.stream_id;
        if call.path != RANGE {
            // An answer to a probe, if not a good one.
            conn.respond_status(id, 12, "unknown method").await?;
            continue;
        }
        match replies.get(next.fetch_add(1, Ordering::SeqCst)).copied().unwrap_or(Reply::Found) {
            Reply::Found => conn.respond(id, EMPTY).await?,
            Reply::Silence => {}
            Reply::LeaderChanged => {
                conn.respond_status(id, 14, "etcdserver: leader changed").await?;
            }
            Reply::Compacted => {
                let compacted = "etcdserver: mvcc: required revision has been compacted";
                conn.respond_status(id, 11, compacted).await?;
            }
        }
    }
}

async fn check(case: Case) {
    let next = Arc::new(AtomicUsize::new(0));
    let (connector, mut listener) = duplex();
    let mut members = JoinSet::new();
    members.spawn({
        let next = Arc::clone(&next);
        async move {
            let mut connections = JoinSet::new();
            while let Some(stream) = listener.accept().await {
                connections.spawn(serve(Connection::new(stream), case.replies, Arc::clone(&next)));
            }
        }
    });
    let endpoints = ["inprocess:a", "inprocess:b", "inprocess:c"];
    let builder = Client::builder().endpoints(endpoints).connector(connector);
    let client = builder.connect().await.unwrap();
    wait_all_ready(&client).await;
    let client = client.with_options(case.options);
    let started = now();
    let ended = client.get("k").await.map(drop);
    let took = started.elapsed();
    let what = format!("{:?}: {ended:?} after {took:?}", case.replies);
    assert_eq!(ended.map_err(|error| error.kind()), case.ends, "{what}");
    assert!(took >= case.between.0 && took <= case.between.1, "{what}");
    assert_eq!(next.load(Ordering::SeqCst), case.reads, "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_held_is_answered_by_another_member() {
    use Reply::{Compacted, Found, LeaderChanged, Silence};
    let options = CallOptions::new;
    let at_once = (millis(0), millis(10));
    let after_hedge = (millis(1000), millis(1010));
    for case in [
        Case { replies: &[Found], options: options(), ends: Ok(()), between: at_once, reads: 1 },
        Case {
            replies: &[Silence, Found],
            options: options(),
            ends: Ok(()),
            between: after_hedge,
            reads: 2,
        },
        // As while a leader is replaced: the second member answers, but to no avail.
        Case {
            replies: &[Silence, LeaderChanged, LeaderChanged, Found],
            options: options(),
            ends: Ok(()),
            // Two pauses, of 25 and 50 ms, or a half of that.
            between: (millis(1030), millis(1090)),
            reads: 4,
        },
        // What is certain ends the call, though the first member is silent.
        Case {
            replies: &[Silence, Compacted],
            options: options(),
            ends: Err(ErrorKind::Compacted),
            between: after_hedge,
            reads: 2,
        },
        // Two at a time, not all.
        Case {
            replies: &[Silence, Silence],
            options: options().timeout(seconds(4)),
            ends: Err(ErrorKind::Timeout),
            between: (seconds(4), millis(4010)),
            reads: 2,
        },
        // A short deadline leaves the second member half of it.
        Case {
            replies: &[Silence, Found],
            options: options().timeout(seconds(1)),
            ends: Ok(()),
            between: (millis(500), millis(510)),
            reads: 2,
        },
        // With retries off, a call is sent once, whatever comes of it.
        Case {
            replies: &[Silence],
            options: options().retry(false).timeout(seconds(3)),
            ends: Err(ErrorKind::Timeout),
            between: (seconds(3), millis(3010)),
            reads: 1,
        },
    ] {
        check(case).await;
    }
}
