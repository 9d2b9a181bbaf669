//! Reads that one member holds: another is asked too, and one more when that one can't say either.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcdkit::service::CallOptions;
use etcdkit::{Client, ErrorKind};
use etcdkit_testkit::peer::{Answer, EtcdLike};

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

impl Reply {
    fn answer(self) -> Answer {
        match self {
            Self::Found => Answer::message(EMPTY),
            Self::Silence => Answer::Hang,
            Self::LeaderChanged => Answer::status(14, "etcdserver: leader changed"),
            Self::Compacted => {
                Answer::status(11, "etcdserver: mvcc: required revision has been compacted")
            }
        }
    }
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

async fn check(case: Case) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut members = Vec::new();
    for _ in 0..3 {
        let member = EtcdLike::start().await;
        let (next, replies) = (Arc::clone(&next), case.replies);
        member.answer_with(move |call| {
            let read = (call.path == RANGE).then(|| next.fetch_add(1, Ordering::SeqCst))?;
            Some(replies.get(read).copied().unwrap_or(Reply::Found).answer())
        });
        members.push(member);
    }
    let client = Client::connect(members.iter().map(EtcdLike::endpoint)).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_held_is_answered_by_another_member() {
    use Reply::{Compacted, Found, LeaderChanged, Silence};
    let options = CallOptions::new;
    let after_hedge = (millis(1000), seconds(3));
    for case in [
        Case {
            replies: &[Found],
            options: options(),
            ends: Ok(()),
            between: (millis(0), millis(900)),
            reads: 1,
        },
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
            between: after_hedge,
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
            between: (seconds(4), seconds(5)),
            reads: 2,
        },
        // A short deadline leaves the second member half of it.
        Case {
            replies: &[Silence, Found],
            options: options().timeout(seconds(1)),
            ends: Ok(()),
            between: (millis(500), millis(1000)),
            reads: 2,
        },
        // With retries off, a call is sent once, whatever comes of it.
        Case {
            replies: &[Silence],
            options: options().retry(false).timeout(seconds(3)),
            ends: Err(ErrorKind::Timeout),
            between: (seconds(3), seconds(4)),
            reads: 1,
        },
    ] {
        check(case).await;
    }
}
