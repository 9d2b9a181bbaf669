//! Settings of the builder, and what servers see of them.

use std::time::Duration;

use etcdkit::config::{Limits, RetryPolicy, Timeouts};
use etcdkit::{CallOptions, Client, ClientBuilder, ErrorKind, ServerError};
use etcdkit_testkit::peer::{Answer, EtcdLike};

use super::{RANGE, metadata, serve_reads};

fn builder() -> ClientBuilder {
    Client::builder().endpoints(["http://127.0.0.1:1"])
}

/// Settings that make no sense are refused before anything is connected to.
#[test]
fn settings_that_make_no_sense() {
    let second = Duration::from_secs(1);
    let table: [(ClientBuilder, &str); 12] = [
        (Client::builder(), "no endpoints"),
        // TestNewOnlyJWTExclusivity
        (builder().token("jwt").user("alice", "secret"), "token"),
        (builder().user("", "secret"), "user"),
        (builder().token(""), "token"),
        (builder().token("two\nlines"), "token"),
        (builder().limits(Limits::new().max_send_message(0)), "send limit"),
        (
            builder().limits(Limits::new().max_send_message(100).max_receive_message(10)),
            "receive limit (10 bytes)",
        ),
        (builder().retry(RetryPolicy::new().max_attempts(0)), "max_attempts"),
        (builder().timeouts(Timeouts::new().read(Duration::ZERO)), "read timeout"),
        (builder().keep_alive(second), "keep-alive"),
        (builder().keep_alive_timeout(second), "keep_alive"),
        (builder().user("alice", "secret").forbid_plaintext_credentials(), "https"),
    ];
    for (settings, said) in table {
        let shown = format!("{settings:?}");
        assert!(!shown.contains("secret") && !shown.contains("jwt"), "{shown}");
        let error = settings.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains(said), "{said}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

/// What goes along with each call.
#[tokio::test]
async fn metadata_with_client_api_version_and_require_leader() {
    let etcd = EtcdLike::start().await;
    serve_reads(&etcd);
    let settings = || Client::builder().endpoints([etcd.endpoint()]);
    let plain = settings().connect().await.unwrap();
    let demanding = settings().require_leader().metadata(metadata("x-a", "1"));
    let demanding = demanding.connect().await.unwrap();
    let own = CallOptions::new().metadata(metadata("x-a", "2")).require_leader();
    let both = demanding.with_options(own.clone());
    let call = plain.with_options(own);
    // (client, the value of hasleader, the values of x-a)
    for (client, leader, values) in [
        (plain, None, vec![]),
        (demanding, Some("true"), vec!["1"]),
        (both, Some("true"), vec!["1", "2"]),
        (call, Some("true"), vec!["2"]),
    ] {
        client.get("a").await.unwrap();
        let call = etcd.requests(RANGE).pop().unwrap();
        assert_eq!(call.header("client-api-version"), Some("3.7"));
        assert_eq!(call.header("hasleader"), leader);
        assert_eq!(call.header("token"), None);
        let sent = call.headers.iter().filter(|(name, _)| name == "x-a");
        let sent: Vec<_> = sent.map(|(_, value)| std::str::from_utf8(value).unwrap()).collect();
        assert_eq!(sent, values);
        assert!(call.header("grpc-timeout").is_some());
    }
}

#[tokio::test]
async fn max_unary_retries() {
    let etcd = EtcdLike::start().await;
    etcd.answer_with(|call| {
        (call.path == RANGE).then(|| Answer::status(14, "etcdserver: leader changed"))
    });
    let quick = Duration::from_millis(1);
    for (policy, attempts) in [
        (RetryPolicy::new().max_attempts(1), 1),
        (RetryPolicy::off(), 1),
        (RetryPolicy::new().max_attempts(3).backoff(quick, quick).budget(10.0, 1e6), 3),
        (RetryPolicy::new().max_attempts(7).backoff(quick, quick).budget(10.0, 1e6), 7),
    ] {
        let client = Client::builder().endpoints([etcd.endpoint()]).retry(policy.clone());
        let client = client.connect().await.unwrap();
        let before = etcd.calls(RANGE);
        let error = client.get("a").await.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::LeaderChanged), "{error}");
        assert_eq!(error.attempts().len(), attempts, "{policy:?}");
        assert_eq!(etcd.calls(RANGE) - before, attempts, "{policy:?}");
        let once = client.with_options(CallOptions::new().retry(false));
        once.get("a").await.unwrap_err();
        assert_eq!(etcd.calls(RANGE) - before, attempts + 1, "{policy:?}");
    }
}
