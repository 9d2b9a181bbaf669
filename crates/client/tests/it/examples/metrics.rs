//! `ExampleClient_metrics`: calls are counted by service, method and type.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcdkit::Get;
use etcdkit_testkit::etcd::{Etcd, Version};
use etcdkit_testkit::wait::eventually;
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};

use crate::kv::members::*;

/// Counters and gauges by the text that Prometheus reads.
#[derive(Default)]
struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels = key.labels().map(|label| format!("{}={:?}", label.key(), label.value()));
        let mut labels: Vec<String> = labels.collect();
        labels.sort();
        let line = format!("{}{{{}}}", key.name(), labels.join(","));
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(line).or_default()))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let name = key.name().to_owned();
        Gauge::from_arc(Arc::clone(self.0.lock().unwrap().entry(name).or_default()))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// TestV3ClientMetrics and the example: unary calls and streams, with how they ended.
#[test]
fn example_client_metrics() {
    for version in Version::available() {
        let _named = Named::new(version);
        let counters = Counters::default();
        // The recorder is this thread's, and so are all tasks of the runtime.
        with_local_recorder(&counters, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let client = connect(shared(version).await).await;
                client.get("test_key").await.unwrap();
                client.put("test_key", "bar").await.unwrap();
                let future = Get::new("test_key").at_revision(i64::MAX);
                client.get(future).await.unwrap_err();
                let pieces = client.get_stream("test_key").await.unwrap();
                collect(pieces).await.unwrap();
            });
        });
        let counters = counters.0.into_inner().unwrap();
        let count = |line: &str| counters.get(line).map_or(0, |n| n.load(Ordering::Relaxed));
        let streams = version.at_least(3, 7);
        let reads = if streams { 2 } else { 3 };
        for (line, expected) in [
            (
                r#"grpc_client_started_total{grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"}"#,
                reads,
            ),
            (
                r#"grpc_client_msg_sent_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}"#,
                1,
            ),
            (
                r#"grpc_client_msg_received_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}"#,
                1,
            ),
            (
                r#"grpc_client_started_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}"#,
                1,
            ),
            (
                r#"grpc_client_started_total{grpc_method="RangeStream",grpc_service="etcdserverpb.KV",grpc_type="server_stream"}"#,
                1,
            ),
            (
                r#"grpc_client_handled_total{grpc_code="OutOfRange",grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"}"#,
                1,
            ),
            (
                r#"grpc_client_handled_total{grpc_code="OK",grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"}"#,
                reads - 1,
            ),
            (
                r#"grpc_client_handled_total{grpc_code="OK",grpc_method="RangeStream",grpc_service="etcdserverpb.KV",grpc_type="server_stream"}"#,
                u64::from(streams),
            ),
        ] {
            assert_eq!(count(line), expected, "{line} in {:?}", counters.keys());
        }
    }
}

/// A stream that many share is one stream, whose messages are counted one by one: as gRPC's exporter for Go does it.
#[test]
fn streams_in_both_directions_are_counted() {
    for version in Version::available() {
        let _named = Named::new(version);
        let counters = Counters::default();
        let count = |name: &str, rpc: &str, code: &str| {
            let (service, method) = rpc.split_once('/').unwrap();
            let labels = format!(
                "{code}grpc_method={method:?},grpc_service={service:?},grpc_type=\"bidi_stream\""
            );
            let line = format!("grpc_client_{name}_total{{{labels}}}");
            counters.0.lock().unwrap().get(&line).map_or(0, |n| n.load(Ordering::Relaxed))
        };
        let messages = |rpc: &str| (count("msg_sent", rpc, ""), count("msg_received", rpc, ""));
        const WATCH: &str = "etcdserverpb.Watch/Watch";
        const RENEWALS: &str = "etcdserverpb.Lease/LeaseKeepAlive";
        with_local_recorder(&counters, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let etcd = Etcd::builder(version).start().await;
                let client = connect(&etcd).await;
                let (mut watches, mut leases) = (Vec::new(), Vec::new());
                for key in ["counted/a", "counted/b"] {
                    let mut watch = in_time("the watch", client.watch(key)).await.unwrap();
                    client.put(key, "value").await.unwrap();
                    in_time("the event", watch.next()).await.unwrap().unwrap();
                    watches.push(watch);
                    let lease = client.grant(Duration::from_secs(600)).await.unwrap().id();
                    leases.push(in_time("the lease", client.keep_alive(lease)).await.unwrap());
                }
                assert_eq!((count("started", WATCH, ""), count("started", RENEWALS, "")), (1, 1));
                assert_eq!(messages(RENEWALS), (2, 2));
                // Requests for progress come to it if this takes long.
                let (sent, received) = messages(WATCH);
                assert!(sent >= 2 && received >= 4, "{sent} requests, {received} responses");

                let once = client.grant(Duration::from_secs(600)).await.unwrap().id();
                client.keep_alive_once(once).await.unwrap();
                let handled =
                    |rpc: &str, code: &str| count("handled", rpc, &format!("grpc_code={code:?},"));
                assert_eq!((messages(RENEWALS), handled(RENEWALS, "OK")), ((3, 3), 1));
                assert_eq!(count("started", RENEWALS, ""), 2);

                drop(leases);
                eventually("the end of the renewals", DEADLINE, async || {
                    (handled(RENEWALS, "Canceled") == 1).then_some(())
                })
                .await;
                assert_eq!(handled(WATCH, "Unavailable"), 0);
                etcd.kill().await;
                eventually("the end of the stream", DEADLINE, async || {
                    (handled(WATCH, "Unavailable") >= 1).then_some(())
                })
                .await;
                drop(watches);
            });
        });
    }
}

/// What watches hold for slow readers is gauged, and given back when it is read and when the stream is dropped.
#[test]
fn the_backlog_of_watches_is_gauged() {
    for version in Version::available() {
        let _named = Named::new(version);
        let gauges = Counters::default();
        let gauge = |name: &str| {
            let bits = gauges.0.lock().unwrap().get(name).map_or(0, |n| n.load(Ordering::Relaxed));
            f64::from_bits(bits)
        };
        let backlog = || {
            let responses = gauge("etcd_client_watch_backlog_responses");
            (gauge("etcd_client_watches"), responses, gauge("etcd_client_watch_backlog_bytes"))
        };
        with_local_recorder(&gauges, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let client = connect(shared(version).await).await;
                let mut watches = Vec::new();
                for key in ["gauged/a", "gauged/b"] {
                    watches.push(in_time("the watch", client.watch(key)).await.unwrap());
                }
                assert_eq!(backlog(), (2.0, 0.0, 0.0));
                for count in [1, 2] {
                    client.put("gauged/a", "value").await.unwrap();
                    eventually("the event", DEADLINE, async || {
                        let held = watches[0].control().state().buffered_responses;
                        (held == count).then_some(())
                    })
                    .await;
                }
                let state = watches[0].control().state();
                assert_eq!(backlog(), (2.0, 2.0, state.buffered_bytes as f64));
                watches[0].next().await.unwrap().unwrap();
                let state = watches[0].control().state();
                assert_eq!(backlog(), (2.0, 1.0, state.buffered_bytes as f64));
                drop(watches);
                eventually("the end", DEADLINE, async || (backlog().0 == 0.0).then_some(())).await;
                assert_eq!(backlog(), (0.0, 0.0, 0.0));
            });
        });
    }
}
