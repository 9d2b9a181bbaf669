//! What a subscriber is told of calls: a span for each, and no secrets.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcdkit::config::RetryPolicy;
use etcdkit::service::CallOptions;
use etcdkit::{Get, LeaseId, Metadata, Watch};
use etcdkit_testkit::peer::{Answer, Peer};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::format::FmtSpan;

use super::paused::Member;
use super::support::{self, AUTHENTICATE, PUT, RANGE, assert_says, soon, token_answer};

const WATCH: &str = "/etcdserverpb.Watch/Watch";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

/// What was written so far.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes down all that the crate says on this thread, as long as the guard lives.
fn listen() -> (Lines, DefaultGuard) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("etcdkit=trace")
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn a_call_is_a_span_that_says_who_answered_or_how_it_failed() {
    let (lines, _guard) = listen();
    let etcd = support::etcd().await;
    let client = support::builder([etcd.endpoint()]).retry(RetryPolicy::off()).build().unwrap();
    soon("the put", client.put("k", "v")).await.unwrap();
    let text = lines.text();
    let put = text.lines().find(|line| line.contains("etcd.call")).expect("a span");
    assert_says(put, r#"rpc="/etcdserverpb.KV/Put""#);
    assert_says(put, &format!("endpoint={}", etcd.endpoint()));
    assert!(!put.contains("kind="), "{put}");
    assert_says(&text, "ready");

    etcd.queue(RANGE, Answer::status(14, "etcdserver: leader changed"));
    soon("the get", client.get("k")).await.unwrap_err();
    let text = lines.text();
    let get = text.lines().find(|line| line.contains("KV/Range")).expect("a span");
    for said in ["attempts=1", "kind=Unavailable", "code=", &etcd.endpoint()] {
        assert_says(get, said);
    }
}

/// From the moment in which it is asked for until it is dropped, or fails, for whatever reason.
#[tokio::test]
async fn a_stream_is_a_span_from_its_opening_to_its_end() {
    let (lines, _guard) = listen();
    let spans = |rpc: &str| {
        let text = lines.text();
        let of_rpc = |line: &&str| line.contains("etcd.stream") && line.contains(rpc);
        text.lines().filter(of_rpc).map(str::to_owned).collect::<Vec<_>>()
    };
    let member = Member { settings: &[], answers_pings: true, unanswered: &[] };
    let (client, _, _server) = member.start(|builder| builder);
    let mut pieces = soon("the stream", client.get_stream(Get::all())).await.unwrap();
    soon("a piece", pieces.next()).await.unwrap().unwrap();
    assert!(spans("KV/RangeStream").is_empty(), "it goes on");
    drop(pieces);
    let dropped = spans("KV/RangeStream").pop().expect("a span");
    assert_says(&dropped, "endpoint=inprocess:etcd");
    assert!(!dropped.contains("kind="), "{dropped}");

    let mut etcd = Peer::bind().await;
    etcd.run(|mut conn| async move {
        conn.handshake(&[]).await?;
        loop {
            let call = conn.next_headers().await?;
            match support::healthy(&call.path) {
                Some(Answer::Message(message)) => conn.respond(call.stream_id, &message).await?,
                _ => conn.respond_status(call.stream_id, 14, "the server is stopping").await?,
            }
        }
    });
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    let watching = client.watch(Watch::all().from_revision(1).max_attempts(1));
    let mut watch = soon("the watch", watching).await.unwrap();
    soon("its end", watch.next()).await.unwrap().unwrap_err();
    let renewing = client.with_options(CallOptions::new().timeout(Duration::from_millis(200)));
    let lease = LeaseId::new(7).unwrap();
    soon("the renewal", renewing.keep_alive(lease)).await.unwrap_err();
    for rpc in [WATCH, KEEP_ALIVE] {
        let refused = spans(rpc);
        let refused = refused.first().expect("a span");
        for said in ["kind=Unavailable", "code=", &etcd.endpoint()] {
            assert_says(refused, said);
        }
    }
}

#[tokio::test]
async fn secrets_are_never_logged() {
    let (lines, _guard) = listen();
    let etcd = support::etcd().await;
    for token in ["t0ken-one", "t0ken-two"] {
        etcd.queue(AUTHENTICATE, token_answer(token));
    }
    let client = support::builder([etcd.endpoint()])
        .user("alice", "hunter2")
        .metadata(Metadata::new().with("cookie", "crumb").unwrap())
        .build()
        .unwrap();
    soon("the put", client.put("k", "s3cret-value")).await.unwrap();
    // The token is refused once and replaced; then a call fails with all that an error knows.
    etcd.queue(PUT, Answer::status(16, "etcdserver: invalid auth token"));
    soon("the put", client.put("k", "s3cret-value")).await.unwrap();
    etcd.queue(PUT, Answer::status(14, "etcdserver: request timed out"));
    let call = CallOptions::new().metadata(Metadata::new().with("x-key", "open-sesame").unwrap());
    let client = client.with_options(call);
    let error = soon("the put", client.put("k", "s3cret-value")).await;
    tracing::info!(target: "etcdkit", ?client, error = ?error.unwrap_err(), "all that there is");
    assert_eq!(etcd.calls(AUTHENTICATE), 2);
    let text = lines.text();
    assert_says(&text, "all that there is");
    assert_says(&text, "x-key");
    for secret in ["hunter2", "t0ken", "crumb", "open-sesame", "s3cret-value"] {
        assert!(!text.contains(secret), "{secret} in:\n{text}");
    }
}
