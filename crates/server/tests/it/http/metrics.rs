//! The metrics of this server and of etcd after the same requests.

use std::collections::BTreeSet;

use etcdkit_server::Server;
use etcdkit_testkit::etcd::{Etcd, Version};

use super::client::Http;

/// What there is of etcd's and not here, with the reasons.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/design/metrics.md");

/// Metrics that depend on what was done and on nothing else.
const EXACT: [&str; 18] = [
    "etcd_debugging_auth_revision",
    "etcd_debugging_lease_granted_total",
    "etcd_debugging_lease_revoked_total",
    "etcd_debugging_lease_ttl_total_count",
    "etcd_debugging_lease_ttl_total_sum",
    "etcd_debugging_mvcc_compact_revision",
    "etcd_debugging_mvcc_current_revision",
    "etcd_debugging_mvcc_db_compaction_keys_total",
    "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_pending_events_total",
    "etcd_debugging_mvcc_total_put_size_in_bytes",
    "etcd_debugging_server_lease_expired_total",
    "etcd_mvcc_delete_total",
    "etcd_mvcc_put_total",
    "etcd_mvcc_txn_total",
    "etcd_server_has_leader",
    "etcd_server_health_failures",
    "etcd_server_health_success",
];

/// Bodies are in base64: `a` is `YQ==`, `b` is `Yg==`, `c` is `Yw==`, `z` is `eg==`.
const LOAD: [(&str, &str); 19] = [
    ("/v3/kv/put", r#"{"key":"YQ==","value":"YQ=="}"#),
    ("/v3/kv/put", r#"{"key":"YQ==","value":"YQ==","prev_kv":true}"#),
    ("/v3/kv/put", r#"{"key":"YQ==","ignore_value":true}"#),
    ("/v3/kv/put", r#"{"key":"Yg=="}"#),
    ("/v3/kv/put", r#"{"key":"Yg==","lease":"99"}"#),
    ("/v3/kv/range", r#"{"key":"YQ==","range_end":"eg=="}"#),
    ("/v3/kv/deleterange", r#"{"key":"YQ==","range_end":"eg==","prev_kv":true}"#),
    ("/v3/kv/deleterange", r#"{"key":"YQ=="}"#),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"key":"YQ=="},{"key":"Yg=="}],"success":[{"request_put":{"key":"YQ=="}},{"request_put":{"key":"Yg=="}}]}"#,
    ),
    ("/v3/kv/txn", r#"{"compare":[{"key":"YQ=="}],"success":[{"request_put":{"key":"Yw=="}}]}"#),
    (
        "/v3/kv/txn",
        r#"{"success":[{"request_range":{"key":"YQ=="}},{"request_range":{"key":"Yg=="}}]}"#,
    ),
    (
        "/v3/kv/txn",
        r#"{"compare":[{"key":"YQ=="}],"success":[{"request_range":{"key":"YQ=="}}],"failure":[{"request_range":{"key":"YQ=="}}]}"#,
    ),
    ("/v3/kv/txn", "{}"),
    ("/v3/lease/grant", r#"{"ID":"7","TTL":"600"}"#),
    ("/v3/kv/put", r#"{"key":"YQ==","lease":"7"}"#),
    ("/v3/kv/put", r#"{"key":"Yg==","lease":"7"}"#),
    ("/v3/lease/revoke", r#"{"ID":"7"}"#),
    ("/v3/maintenance/hashkv", "{}"),
    ("/v3/kv/compaction", r#"{"revision":"6","physical":true}"#),
];

/// Both after the load.
async fn scraped() -> [String; 2] {
    let etcd = Etcd::builder(Version::newest()).argument("--metrics=extensive").start().await;
    let server = Server::builder().listen("127.0.0.1:0").start().await.expect("it starts");
    let mut texts = [String::new(), String::new()];
    for (url, text) in [&server.client_urls()[0], &etcd.client_url()].into_iter().zip(&mut texts) {
        let mut http = Http::to(url).await;
        for (path, body) in LOAD {
            http.ask("POST", path, "", body).await;
        }
        http.ask("GET", "/health", "", "").await;
        let answer = http.ask("GET", "/metrics", "", "").await;
        assert!(
            answer.content_type.starts_with("text/plain; version=0.0.4"),
            "{}",
            answer.content_type
        );
        *text = answer.body;
    }
    texts
}

/// Names with types.
fn types(text: &str) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect()
}

#[tokio::test]
async fn metrics_are_those_of_etcd_but_for_a_list_with_reasons() {
    let [ours, theirs] = scraped().await;
    let (our, their) = (types(&ours), types(&theirs));
    let alone: Vec<&&str> =
        our.difference(&their).filter(|name| !name.starts_with("etcdkit_")).collect();
    assert!(alone.is_empty(), "not etcd's: {alone:?}");

    let document = std::fs::read_to_string(DOCUMENT).expect("it is there");
    let mut listed: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .flat_map(|line| line.split(" | ").next().unwrap_or_default().split(", `"))
        .map(|name| name.trim_end_matches('`'))
        .collect();
    let is_meant = |listed: &str, name: &str| match listed.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == listed,
    };
    for missing in their.difference(&our) {
        let name = missing.split(' ').next().expect("a name");
        assert!(
            listed.iter().any(|listed| is_meant(listed, name)),
            "neither served nor listed: {name}"
        );
    }
    listed.retain(|listed| {
        !their
            .difference(&our)
            .any(|missing| is_meant(listed, missing.split(' ').next().unwrap_or_default()))
    });
    assert!(listed.is_empty(), "listed without need: {listed:?}");
}

#[tokio::test]
async fn what_metrics_count_is_what_etcd_counts() {
    let [ours, theirs] = scraped().await;
    for name in EXACT {
        let value = |text: &str| {
            let line = text.lines().find(|line| line.split(' ').next() == Some(name));
            line.map(|line| line.to_owned())
        };
        assert!(value(&theirs).is_some(), "{name}");
        assert_eq!(value(&ours), value(&theirs));
    }
    // Series with labels and buckets: what is served here has the same names there.
    let series = |text: &str| -> BTreeSet<String> {
        let lines =
            text.lines().filter(|line| line.contains("_bucket{") || line.contains("{grpc_"));
        lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    // etcd tells of locks and elections once somebody asks for one.
    let late = ["grpc_code=", "reflection", "v3lockpb", "v3electionpb"];
    let their = series(&theirs);
    let alone: Vec<String> = series(&ours)
        .into_iter()
        .filter(|ours| !late.iter().any(|late| ours.contains(late)))
        .filter(|ours| !their.contains(ours))
        .collect();
    assert!(alone.is_empty(), "{alone:#?}");
}
