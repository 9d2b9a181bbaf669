//! Members that are shut down, and come back: etcd's `server_shutdown_test.go`.

use std::time::Duration;

use etcdkit::service::CallOptions;
use etcdkit::{Client, ErrorKind};
use etcdkit_testkit::etcd::Version;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::black_hole::What;
use super::fronts::{Fronts, wait_ready};
use super::{millis, seconds, within};

/// A call that begins once the member is known to be gone succeeds on another one, whether it was stopped or killed.
async fn shutdown(what: What) {
    for version in Version::available() {
        let fronts = Fronts::start(version).await;
        let client = Client::connect([fronts.endpoint(0)]).await.unwrap();
        what.call(&client).await.unwrap();
        client.set_endpoints(fronts.endpoints()).await.unwrap();
        for (gone, stopped) in [(0, true), (1, false)] {
            wait_ready(&client, &fronts.endpoint(gone), true, seconds(10)).await;
            if stopped {
                fronts.cluster[gone].stop().await;
            } else {
                fronts.cluster[gone].kill().await;
            }
            wait_ready(&client, &fronts.endpoint(gone), false, seconds(5)).await;
            // A write that another member forwards to a leader that is gone is lost, whoever the client is.
            fronts.cluster.wait_leader().await;
            let limit = seconds(7);
            for _ in 0..6 {
                let called = within("a call elsewhere", limit, what.call(&client)).await;
                called.unwrap_or_else(|error| panic!("{what:?} on {version}: {error}"));
            }
            fronts.cluster[gone].start().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_server_shutdown_put() {
    shutdown(What::Put).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_server_shutdown_delete() {
    shutdown(What::Delete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_server_shutdown_txn() {
    shutdown(What::Txn).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_server_shutdown_get_linearizable() {
    shutdown(What::LinearizableGet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_server_shutdown_get_serializable() {
    shutdown(What::SerializableGet).await;
}

/// What a member may take to stop and to start again, on a machine with more to do than it can.
const RESTART: Duration = Duration::from_secs(90);

/// Gets that begin at any time while the only member that the client knows, or all of them one after another, stop and
/// come back: each succeeds.
async fn in_flight(what: What) {
    for version in Version::available() {
        let fronts = Fronts::start(version).await;
        for endpoints in [vec![fronts.endpoint(0)], fronts.endpoints()] {
            for stopped in [true, false] {
                let client = Client::connect(endpoints.clone()).await.unwrap();
                let client = client.with_options(CallOptions::new().timeout(RESTART));
                what.call(&client).await.unwrap();
                let mut gets = JoinSet::new();
                let mut ticks = interval(millis(5));
                let mut restart = std::pin::pin!(async {
                    if stopped {
                        fronts.cluster[0].stop().await;
                    } else {
                        fronts.cluster[0].kill().await;
                    }
                    fronts.cluster[0].start().await;
                });
                loop {
                    tokio::select! {
                        () = &mut restart => break,
                        _ = ticks.tick() => {
                            let client = client.clone();
                            gets.spawn(async move { what.call(&client).await });
                        }
                    }
                }
                within("the last gets", seconds(30), async {
                    while let Some(get) = gets.join_next().await {
                        get.unwrap()
                            .unwrap_or_else(|error| panic!("{what:?} on {version}: {error}"));
                    }
                })
                .await;
                client.close().await;
                assert_eq!(what.call(&client).await.unwrap_err().kind(), ErrorKind::Closed);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_server_stop_inflight_linearizable_get_on_restart() {
    in_flight(What::LinearizableGet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancer_under_server_stop_inflight_serializable_get_on_restart() {
    in_flight(What::SerializableGet).await;
}
