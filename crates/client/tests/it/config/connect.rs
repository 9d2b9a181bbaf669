//! Connecting: at once, late, or not at all.

use std::time::Duration;

use etcdkit::transport::EndpointStatus;
use etcdkit::{CallOptions, Cause, Client, ErrorKind};
use etcdkit_testkit::peer::Peer;
use etcdkit_testkit::proxy::Proxy;

use crate::kv::members::*;

/// Each endpoint's failure is named.
#[tokio::test]
async fn connect_says_how_each_endpoint_failed() {
    let [http1, silent, closes] = [Peer::http1().await, Peer::silent().await, Peer::closes().await];
    let endpoints = [
        "http://127.0.0.1:1".to_owned(),
        "http://nonexistent.invalid:2379".to_owned(),
        "unix:/nonexistent/etcd.sock".to_owned(),
        http1.endpoint(),
        silent.endpoint(),
        closes.endpoint(),
    ];
    let client = tolerant().endpoints(&endpoints[..]).connect_timeout(Duration::from_secs(2));
    let error = client.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let text = error.to_string();
    for endpoint in &endpoints {
        let mut attempts = error.attempts().iter();
        let cause = attempts.rfind(|attempt| attempt.endpoint() == endpoint);
        let cause = cause.unwrap_or_else(|| panic!("{endpoint} is not in {text}")).cause();
        assert!(text.contains(endpoint.as_str()), "{endpoint} is not in {text}");
        let fits = match endpoint {
            _ if endpoint.contains("invalid") => matches!(cause, Cause::Resolve(_)),
            _ if endpoint.contains("127.0.0.1:1") && endpoint.ends_with(":1") => {
                matches!(cause, Cause::Connect(_))
            }
            _ if endpoint.starts_with("unix") => matches!(cause, Cause::Connect(_)),
            _ if *endpoint == http1.endpoint() => {
                matches!(cause, Cause::Protocol(_) | Cause::Tls(_))
            }
            _ if *endpoint == silent.endpoint() => matches!(cause, Cause::ConnectTimeout),
            _ => matches!(cause, Cause::Disconnected(_) | Cause::Connect(_) | Cause::Protocol(_)),
        };
        assert!(fits, "{endpoint}: {cause:?}");
    }
}

/// `connect` takes the first member that is ready, whatever the others do.
#[tokio::test]
async fn connect_needs_one_member() {
    on_every_version(async |_, etcd| {
        let silent = Peer::silent().await;
        let endpoints = ["http://127.0.0.1:1".to_owned(), silent.endpoint(), etcd.client_url()];
        let client = Client::connect(endpoints).await.unwrap();
        for _ in 0..5 {
            client.get("foo").await.unwrap();
        }
        let ready: Vec<bool> =
            client.endpoint_states().iter().map(|state| state.is_ready()).collect();
        assert_eq!(ready, [false, false, true]);
    })
    .await;
}

/// Nothing is connected to before the first call, and a cluster that comes late is waited for.
#[tokio::test]
async fn build_is_lazy_and_wait_ready_waits() {
    on_every_version(async |_, etcd| {
        let proxy = Proxy::start(etcd.client_addr()).await;
        proxy.refuse().await;
        let client = tolerant().endpoints([proxy.addr().to_string()]).build().unwrap();
        assert_eq!(client.endpoint_states()[0].status(), &EndpointStatus::Idle);
        let late = async {
            let mut states = client.watch_endpoint_states();
            in_time("the first failure", async {
                while let Some(now) = states.next().await {
                    if matches!(now[0].status(), EndpointStatus::Failed(_)) {
                        return;
                    }
                }
            })
            .await;
            proxy.listen_again().await;
        };
        let patient = client.with_options(CallOptions::new().no_timeout());
        let all = async { tokio::join!(client.wait_ready(), patient.get("foo"), late) };
        let (ready, answer, ()) = in_time("a member", all).await;
        ready.unwrap();
        answer.unwrap();
        assert!(client.endpoint_states()[0].is_ready());
    })
    .await;
}

/// Closing while a connection is being made to something that never answers.
#[tokio::test]
async fn dial_cancel() {
    let silent = Peer::silent().await;
    let client = tolerant().endpoints([silent.endpoint()]).build().unwrap();
    let close = async {
        silent.wait_connections(1).await;
        client.close().await;
    };
    let both = async { tokio::join!(client.get("foo"), close) };
    let (outcome, ()) = at_most(Duration::from_secs(4), "closing", both).await;
    fails(outcome, ErrorKind::Closed);
    // As does dropping the future of `connect`, which is all there is of that client.
    let connecting = Client::connect([silent.endpoint()]);
    let given_up = tokio::time::timeout(Duration::from_millis(50), connecting).await;
    assert!(given_up.is_err());
}
