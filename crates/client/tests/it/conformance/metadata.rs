//! What goes along with every call, and what never leaves the client.

use std::time::Duration;

use etcdkit::config::Timeouts;
use etcdkit::service::{CallOptions, Service, Streaming};
use etcdkit::{Client, Metadata, Result, StreamRequest};
use etcdkit_testkit::peer::{Answer, EtcdLike, Request};

use super::support::{self, AUTHENTICATE, HEALTH, PUT, RANGE, STATUS, assert_says, soon};

/// The one value of a header.
#[track_caller]
fn only<'a>(call: &'a Request, name: &str) -> Option<&'a str> {
    let values = call.headers.iter().filter(|(key, _)| key == name).count();
    assert!(values <= 1, "{name} is sent {values} times with {}", call.path);
    call.header(name)
}

/// Checks what every call carries, whatever was configured.
#[track_caller]
fn check_own(call: &Request) {
    assert_eq!(only(call, ":method"), Some("POST"));
    assert_eq!(only(call, ":scheme"), Some("http"));
    assert_eq!(only(call, "te"), Some("trailers"));
    assert_eq!(only(call, "content-type"), Some("application/grpc"));
    assert_eq!(only(call, "client-api-version"), Some("3.7"));
    assert!(only(call, "user-agent").unwrap().starts_with("etcdkit/"));
    assert_eq!(only(call, "grpc-encoding"), None);
    assert_eq!(only(call, "grpc-accept-encoding"), None);
}

#[tokio::test]
async fn test_metadata_with_client_api_version() {
    let etcd = support::etcd().await;
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    soon("the put", client.put("k", "v")).await.unwrap();
    soon("the get", client.get("k")).await.unwrap();
    let calls = etcd.all_requests();
    assert_eq!(calls.len(), 4, "health check, introduction, put and get");
    for call in &calls {
        check_own(call);
        assert_eq!(call.authority, etcd.addr().to_string());
        assert_eq!(only(call, "token"), None);
        assert_eq!(only(call, "hasleader"), None);
    }
}

#[tokio::test]
async fn test_metadata_with_require_leader() {
    let etcd = support::etcd().await;
    let always = support::builder([etcd.endpoint()]).require_leader().build().unwrap();
    soon("the put", always.put("k", "v")).await.unwrap();
    let once = support::builder([etcd.endpoint()]).build().unwrap();
    let required = once.with_options(CallOptions::new().require_leader());
    soon("the get", required.get("k")).await.unwrap();
    soon("another", once.get("k")).await.unwrap();
    assert_eq!(only(&etcd.requests(PUT)[0], "hasleader"), Some("true"));
    let gets = etcd.requests(RANGE);
    assert_eq!(only(&gets[0], "hasleader"), Some("true"));
    assert_eq!(only(&gets[1], "hasleader"), None);
    // A probe asks whether the process lives, not whether the cluster works.
    for call in etcd.requests(HEALTH).iter().chain(&etcd.requests(STATUS)) {
        assert_eq!(only(call, "hasleader"), None);
    }
}

fn milliseconds(call: &Request) -> u64 {
    let value = only(call, "grpc-timeout").unwrap();
    value.strip_suffix('m').unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_time_that_is_left_is_sent_along() {
    let etcd = support::etcd().await;
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    soon("the default", client.get("k")).await.unwrap();
    let quick = client.with_options(CallOptions::new().timeout(Duration::from_millis(4321)));
    // The second attempt has less time than the first.
    etcd.queue(RANGE, Answer::status(14, "etcdserver: leader changed"));
    soon("a deadline of its own", quick.get("k")).await.unwrap();
    let never = client.with_options(CallOptions::new().no_timeout());
    soon("no deadline", never.get("k")).await.unwrap();
    let gets = etcd.requests(RANGE);
    assert_eq!(only(&gets[0], "grpc-timeout"), None);
    let (first, second) = (milliseconds(&gets[1]), milliseconds(&gets[2]));
    assert!((1_000..=4_321).contains(&first), "{first}");
    assert!(second < first, "{second} after {first}");
    assert_eq!(only(&gets[3], "grpc-timeout"), None);
}

/// A deadline that was chosen for all calls of the client, and one that was not, on the same client.
#[tokio::test]
async fn the_deadline_of_a_class_is_sent_along_unless_it_is_the_default() {
    let etcd = support::etcd().await;
    let timeouts = Timeouts::new().write(Duration::from_secs(30));
    let client = support::builder([etcd.endpoint()]).timeouts(timeouts).build().unwrap();
    soon("the put", client.put("k", "v")).await.unwrap();
    soon("the get", client.get("k")).await.unwrap();
    let put = milliseconds(&etcd.requests(PUT)[0]);
    assert!((25_000..=30_000).contains(&put), "{put}");
    assert_eq!(only(&etcd.requests(RANGE)[0], "grpc-timeout"), None);
}

#[tokio::test]
async fn metadata_of_the_client_and_of_the_call_go_together() {
    let etcd = support::etcd().await;
    let always = Metadata::new().with("x-service", "billing").unwrap();
    let client = support::builder([etcd.endpoint()]).metadata(always).build().unwrap();
    let own = Metadata::new()
        .with("x-request", "7")
        .unwrap()
        .with("x-service", "second")
        .unwrap()
        .with("trace-bin", [0xff, 0x00])
        .unwrap();
    let traced = client.with_options(CallOptions::new().metadata(own).require_leader());
    soon("the get", traced.get("k")).await.unwrap();
    let call = &etcd.requests(RANGE)[0];
    check_own(call);
    assert_eq!(only(call, "x-request"), Some("7"));
    assert_eq!(only(call, "trace-bin"), Some("/wA"));
    assert_eq!(only(call, "hasleader"), Some("true"));
    let services: Vec<_> =
        call.headers.iter().filter(|(name, _)| name == "x-service").map(|(_, v)| &**v).collect();
    assert_eq!(services, [b"billing".as_slice(), b"second"]);
}

/// What is ours can neither be replaced nor doubled: it is refused before any call.
#[tokio::test]
async fn user_metadata_cannot_switch_ours_off() {
    let reserved = [
        "client-api-version",
        "te",
        "content-type",
        "grpc-timeout",
        "grpc-encoding",
        "token",
        "authorization",
        "hasleader",
        "user-agent",
        ":path",
        "Token",
        "host",
    ];
    for name in reserved {
        let error = Metadata::new().with(name, "x").unwrap_err();
        assert_eq!(error.kind(), etcdkit::ErrorKind::InvalidArgument);
        assert_says(&error.to_string(), name);
    }
}

/// Throws away all that a call asks for beside its request.
#[derive(Clone)]
struct Forgetful<S>(S);

impl<S: Service> Service for Forgetful<S> {
    async fn call<R: etcdkit::Request>(&self, request: R, _: &CallOptions) -> Result<R::Response> {
        self.0.call(request, &CallOptions::new()).await
    }

    async fn open<R: StreamRequest>(
        &self,
        request: R,
        _: &CallOptions,
    ) -> Result<Streaming<R::Item, R::Control>> {
        self.0.open(request, &CallOptions::new()).await
    }
}

#[tokio::test]
async fn user_layers_cannot_switch_ours_off() {
    let etcd = support::etcd().await;
    let always = Metadata::new().with("x-service", "billing").unwrap();
    let client = support::builder([etcd.endpoint()])
        .metadata(always)
        .require_leader()
        .timeouts(Timeouts::new().write(Duration::from_secs(9)))
        .token("a.b.c")
        .build()
        .unwrap()
        .layer(Forgetful)
        .layer(Forgetful)
        .with_options(CallOptions::new().retry(false));
    soon("the put", client.put("k", "v")).await.unwrap();
    let call = &etcd.requests(PUT)[0];
    check_own(call);
    assert_eq!(only(call, "hasleader"), Some("true"));
    assert_eq!(only(call, "token"), Some("a.b.c"));
    assert_eq!(only(call, "x-service"), Some("billing"));
    assert!(only(call, "grpc-timeout").is_some());
}

const SECRETS: [&str; 3] = ["sesame-open", "t0ken-of-mine", "t0ken-of-the-server"];

#[track_caller]
fn holds_no_secret(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} shows {secret}: {text}");
    }
}

async fn check_debug(etcd: &EtcdLike, builder: etcdkit::ClientBuilder) {
    holds_no_secret("the builder", &format!("{builder:?} {builder:#?}"));
    let client: Client = builder.build().unwrap();
    soon("the put", client.put("k", "v")).await.unwrap();
    let service = client.service();
    holds_no_secret("the client", &format!("{client:?} {client:#?} {service:?} {service:#?}"));
    holds_no_secret("the states", &format!("{:?}", client.endpoint_states()));
    for answer in [
        Answer::status(7, "etcdserver: permission denied"),
        Answer::Rst(2),
        Answer::status(13, "an internal error"),
    ] {
        etcd.queue(PUT, answer);
        let error = soon("the put", client.put("k", "v")).await.unwrap_err();
        holds_no_secret("the error", &format!("{error} {error:?} {error:#?}"));
    }
}

#[tokio::test]
async fn secrets_never_show() {
    let etcd = support::etcd_that(|call| {
        (call.path == AUTHENTICATE).then(|| support::token_answer(SECRETS[2]))
    })
    .await;
    check_debug(&etcd, support::builder([etcd.endpoint()]).user("alice", SECRETS[0])).await;
    assert_eq!(only(&etcd.requests(PUT)[0], "token"), Some(SECRETS[2]));
    check_debug(&etcd, support::builder([etcd.endpoint()]).token(SECRETS[1])).await;
    assert_eq!(only(etcd.requests(PUT).last().unwrap(), "token"), Some(SECRETS[1]));

    etcd.queue(AUTHENTICATE, Answer::status(3, "etcdserver: authentication failed"));
    let wrong = support::builder([etcd.endpoint()]).user("alice", SECRETS[0]).build().unwrap();
    let error = soon("the put", wrong.put("k", "v")).await.unwrap_err();
    holds_no_secret("the error", &format!("{error} {error:?} {error:#?}"));

    // Neither is what can't be sent quoted.
    let bad = format!("{}\n", SECRETS[1]);
    let error = support::builder([etcd.endpoint()]).token(bad).build().unwrap_err();
    holds_no_secret("the error", &format!("{error} {error:?}"));
}
