//! Observers of an election without a leader, whose members restart meanwhile.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use etcdkit::proto::v3electionpb::LeaderResponse;
use etcdkit::transport::{Channel, Failure, Source, Transport};
use etcdkit::{Cause, Client, ErrorKind};
use prost::Message;
use tokio::time::timeout;

use crate::stub::{Member, Requests, header};

/// A stream that breaks, or has the first leader, after a time.
struct After {
    _requests: Requests,
    time: Duration,
    answer: Result<Option<Bytes>, Failure>,
}

impl Source for After {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let _ = timeout(self.time, pending::<()>()).await;
        self.answer.clone()
    }
}

/// A client of a member that loses so many streams, each after that time, and has a leader on the next one.
fn client(lost: usize, after: Duration) -> Client<Channel<impl Transport>> {
    let opened = AtomicUsize::new(0);
    let member = Member::new(move |requests: Requests| {
        let is_lost = opened.fetch_add(1, Ordering::SeqCst) < lost;
        let leader = LeaderResponse { header: header(), ..LeaderResponse::default() };
        let (time, answer) = match is_lost {
            true => (after, Err(Failure::Unknown(Cause::Disconnected("lost".into())))),
            false => (Duration::from_secs(40), Ok(Some(leader.encode_to_vec().into()))),
        };
        After { _requests: requests, time, answer }
    });
    Client::builder().endpoints(["http://stub:1"]).build_on(member).unwrap()
}

/// The output of `future`, which must not wait for ever.
async fn observed<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(3600), future).await.expect("it comes to an end")
}

/// In the pause after it nobody is asked, but not for as long as a stream may be silent.
#[tokio::test(start_paused = true)]
async fn an_observer_whose_stream_breaks_as_its_silence_is_judged_goes_on() {
    let client = client(1, Duration::from_millis(29_995));
    let mut leaders = observed(client.observe("election")).await.unwrap();
    observed(leaders.next()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_observer_outlives_any_number_of_restarts() {
    let client = client(100, Duration::from_secs(2));
    let mut leaders = observed(client.observe("election")).await.unwrap();
    observed(leaders.next()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_no_member_keeps_gives_up() {
    let client = client(100, Duration::from_millis(10));
    let error = observed(client.observe("election")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(error.attempts().len(), 10, "{error}");
}
