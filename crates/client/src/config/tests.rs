//! What a builder takes and refuses, setting by setting.

use std::time::Duration;

use super::*;
use crate::error::ErrorKind;
use crate::metadata::Metadata;
use crate::transport::{ConnectFuture, Connector};

const SECOND: Duration = Duration::from_secs(1);

fn builder() -> ClientBuilder {
    ClientBuilder::new().endpoints(["http://127.0.0.1:2379"])
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = builder().config().unwrap();
    assert_eq!(config.credentials, Credentials::None);
    assert_eq!(config.timeouts.connect, Duration::from_secs(5));
    assert_eq!(config.timeouts.read, Duration::from_secs(10));
    assert_eq!(config.timeouts.write, Duration::from_secs(10));
    assert_eq!(config.timeouts.admin, Duration::from_secs(10));
    assert_eq!(config.timeouts.long, Duration::from_secs(600));
    assert_eq!(config.timeouts.stream_idle, Duration::from_secs(30));
    assert_eq!(config.limits.max_send_message, 2 << 20);
    assert_eq!(config.limits.max_receive_message, (1 << 31) - 1);
    assert_eq!(config.limits.max_queued_calls, 10_000);
    assert_eq!(config.limits.connections_per_endpoint, 1);
    assert_eq!(config.liveness.doubt_after, Duration::from_millis(100));
    assert_eq!(config.liveness.probe_after, Duration::from_millis(500));
    assert_eq!(config.liveness.probe_timeout, Duration::from_millis(750));
    assert_eq!(config.retry.max_attempts, 10);
    assert!(matches!(config.balance, Balance::RoundRobin));
    assert!(
        !config.require_leader
            && !config.reject_old_cluster
            && !config.forbid_plaintext_credentials
    );
    assert!(config.metadata.is_empty());
    assert_eq!((config.keep_alive, config.auto_sync), (None, None));
    assert!(!config.connect.tls_configured());
}

#[test]
fn new_client_config() {
    let config = builder()
        .endpoints(["http://127.0.0.1:22379"])
        .user("alice", "wonderland")
        .timeouts(Timeouts::new().stream_idle(SECOND))
        .timeout(2 * SECOND)
        .connect_timeout(3 * SECOND)
        .retry(RetryPolicy::off())
        .balance(Balance::LeastInFlight)
        .require_leader()
        .metadata(Metadata::new().with("a", "b").unwrap())
        .keep_alive(5 * SECOND)
        .auto_sync(SECOND)
        .reject_old_cluster()
        .config()
        .unwrap();
    assert_eq!(config.endpoints.as_slice().len(), 2);
    let Credentials::Password { user, password } = &config.credentials else {
        panic!("{:?}", config.credentials);
    };
    assert_eq!((user.as_str(), password.expose()), ("alice", "wonderland"));
    let timeouts = Timeouts::new().read(2 * SECOND).write(2 * SECOND).admin(2 * SECOND);
    assert_eq!(config.timeouts, timeouts.long(2 * SECOND).connect(3 * SECOND).stream_idle(SECOND));
    assert!(!config.retry.is_on);
    assert!(matches!(config.balance, Balance::LeastInFlight));
    assert!(config.require_leader && config.reject_old_cluster);
    assert_eq!(config.metadata.len(), 1);
    let keep_alive = KeepAlive { interval: 5 * SECOND, timeout: 20 * SECOND };
    assert_eq!(config.keep_alive, Some(keep_alive));
    assert_eq!(config.auto_sync, Some(SECOND));

    let config = builder().token("e.y.J").config().unwrap();
    assert_eq!(config.credentials, Credentials::Token(Secret::new("e.y.J")));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let zero = Duration::ZERO;
    let limits = |limits| builder().limits(limits);
    let retry = |retry| builder().retry(retry);
    for (builder, reason) in [
        (ClientBuilder::new(), "no endpoints: name at least one, such as http://127.0.0.1:2379"),
        (ClientBuilder::new().endpoints(["a:1", "b:0", "c:0"]), "endpoint `b:0`"),
        (builder().endpoints(["inprocess:m0"]), "ClientBuilder::connector"),
        (builder().user("a", "b").token("c"), "mutually exclusive"),
        (builder().user("a", ""), "user `a` without a password"),
        (builder().user("", "b"), "a password without a user name"),
        (builder().user("", ""), "user name and password are empty"),
        (builder().token(""), "the token is empty"),
        (builder().token("a\n"), "a newline"),
        (builder().user("a", "b").forbid_plaintext_credentials(), "is plain text"),
        (builder().token("a").forbid_plaintext_credentials(), "is plain text"),
        (builder().timeout(zero), "the read timeout is zero"),
        (builder().connect_timeout(zero), "the connect timeout is zero"),
        (builder().timeouts(Timeouts::new().write(zero)), "the write timeout is zero"),
        (builder().timeouts(Timeouts::new().admin(zero)), "the admin timeout is zero"),
        (builder().timeouts(Timeouts::new().long(zero)), "the long timeout is zero"),
        (builder().timeouts(Timeouts::new().stream_idle(zero)), "the stream idle timeout is zero"),
        (limits(Limits::new().max_send_message(0)), "0 bytes"),
        (
            limits(Limits::new().max_send_message(20).max_receive_message(10)),
            "the receive limit (10 bytes) must not be less than the send limit (20 bytes)",
        ),
        (
            limits(Limits::new().max_receive_message(10)),
            "must not be less than the send limit (2097152",
        ),
        (limits(Limits::new().max_receive_message(1 << 31)), "above 2147483647 bytes"),
        (limits(Limits::new().max_queued_calls(0)), "queued calls"),
        (limits(Limits::new().connections_per_endpoint(0)), "from 1 to 64"),
        (limits(Limits::new().connections_per_endpoint(65)), "from 1 to 64"),
        (
            builder().liveness(Liveness::new().doubt_after(SECOND)),
            "doubt_after (1s) is longer than probe_after",
        ),
        (builder().liveness(Liveness::new().doubt_after(zero)), "doubt_after is zero"),
        (builder().liveness(Liveness::new().probe_timeout(zero)), "probe_timeout is zero"),
        (retry(RetryPolicy::new().max_attempts(0)), "RetryPolicy::off"),
        (retry(RetryPolicy::new().backoff(zero, SECOND)), "the first backoff is zero"),
        (retry(RetryPolicy::new().backoff(2 * SECOND, SECOND)), "is longer than the last"),
        (retry(RetryPolicy::new().backoff(SECOND, Duration::MAX)), "a day"),
        (retry(RetryPolicy::new().budget(-1.0, 1.0)), "ratio is -1"),
        (retry(RetryPolicy::new().budget(0.1, f64::NAN)), "per second is NaN"),
        (builder().reconnect(Reconnect::new().first(zero)), "is zero"),
        (builder().reconnect(Reconnect::new().first(60 * SECOND)), "is longer than the longest"),
        (builder().reconnect(Reconnect::new().max(Duration::MAX)), "a day"),
        (builder().reconnect(Reconnect::new().factor(0.5)), "between 1 and 10"),
        (builder().reconnect(Reconnect::new().jitter(2.0)), "between 0 and 1"),
        (
            builder().keep_alive(SECOND),
            "etcd closes connections that ping more often than every 5s",
        ),
        (
            builder().keep_alive(5 * SECOND).keep_alive_timeout(zero),
            "the keep-alive timeout is zero",
        ),
        (builder().keep_alive_timeout(SECOND), "without `keep_alive`"),
        (builder().auto_sync(zero), "the auto-sync interval is zero"),
        (builder().tls(Tls::new().ca_file("/no/such/ca.pem")), "/no/such/ca.pem can't be read"),
    ] {
        let shown = format!("{builder:?}");
        let error = builder.config().unwrap_err();
        let text = error.to_string();
        assert!(text.contains(reason), "{reason}: {text}\n{shown}");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
    }
}

#[test]
fn secrets_are_not_in_debug() {
    let builders = [builder().user("alice", "hush"), builder().token("hush")];
    for builder in builders {
        assert!(!format!("{builder:?}").contains("hush"));
        assert!(!format!("{:?}", builder.config().unwrap()).contains("hush"));
    }
}

#[test]
fn sockets_of_this_machine_may_carry_credentials() {
    let strict = ClientBuilder::new().user("a", "b").forbid_plaintext_credentials();
    let config = strict.clone().endpoints(["unix:///x"]).config().unwrap();
    let error = config
        .check_endpoints(&Endpoints::parse(["unix:///x", "http://a:1"]).unwrap())
        .unwrap_err();
    assert!(error.to_string().starts_with("endpoint `http://a:1` is plain text"), "{error}");
    assert!(ClientBuilder::new().forbid_plaintext_credentials().endpoints(["a"]).config().is_ok());
}

#[derive(Debug)]
struct Nowhere;

impl Connector for Nowhere {
    fn connect<'a>(&'a self, _: &'a Address) -> ConnectFuture<'a> {
        Box::pin(async { Err(std::io::Error::other("nowhere")) })
    }
}

#[tokio::test]
async fn a_connector_is_asked_for_every_kind_of_address() {
    let config = builder().endpoints(["inprocess:m0"]).connector(Nowhere).config().unwrap();
    for endpoint in &config.endpoints {
        let cause = crate::transport::establish(endpoint, &config.connect).await.unwrap_err();
        assert_eq!(cause.to_string(), "not connected: nowhere");
    }
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
#[test]
fn without_a_provider_tls_is_unsupported_and_the_rest_is_not() {
    let error = ClientBuilder::new().endpoints(["https://a:1"]).config().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("`aws-lc-rs`"), "{error}");
    assert!(builder().config().is_ok());
}

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#[test]
fn names_that_no_certificate_can_be_for_are_refused() {
    let tls = || Tls::new().danger_skip_verification();
    for (builder, reason) in [
        (builder().tls(tls().server_name("a b")), "`a b` is no name"),
        (
            ClientBuilder::new().endpoints(["unixs:///x/a b"]),
            "endpoint `unixs:///x/a b`: `a b` is no name",
        ),
    ] {
        let text = builder.config().unwrap_err().to_string();
        assert!(text.contains(reason) && text.contains("Tls::server_name"), "{text}");
    }
    let cured = ClientBuilder::new().endpoints(["unixs:///x/a b"]).tls(tls().server_name("a"));
    assert!(cured.config().is_ok());
}

#[test]
fn a_choice_sees_its_candidates() {
    let endpoint: Endpoint = "a:1".parse().unwrap();
    let candidate = Candidate::new(&endpoint, 3, true);
    assert_eq!(candidate.endpoint(), &endpoint);
    assert_eq!((candidate.in_flight(), candidate.is_learner()), (3, true));
}
