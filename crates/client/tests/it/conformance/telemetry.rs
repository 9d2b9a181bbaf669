//! What a subscriber is told of calls: a span for each, and no secrets.

use std::io;
use std::sync::{Arc, Mutex};

use etcdkit::Metadata;
use etcdkit::config::RetryPolicy;
use etcdkit::service::CallOptions;
use etcdkit_testkit::peer::Answer;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::format::FmtSpan;

use super::support::{self, AUTHENTICATE, PUT, RANGE, assert_says, soon, token_answer};

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
