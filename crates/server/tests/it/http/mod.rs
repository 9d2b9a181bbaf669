//! HTTP/1.1: the same requests to ours and to a real etcd get the same answers.
//!
//! `client.rs` is a bare client; `mutated.rs` sends what is nearly a request.

pub(crate) mod client;
mod metrics;
mod mutated;

use etcdkit_server::Server;
use etcdkit_testkit::etcd::{Etcd, Version};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use client::{Answer, Http};

/// An answer without what differs from member to member, and from run to run.
fn normal(value: &mut Value) {
    const OWN: [&str; 12] = [
        "cluster_id",
        "member_id",
        "memberID",
        "raft_term",
        "dbSize",
        "dbSizeInUse",
        "raftIndex",
        "raftAppliedIndex",
        "leader",
        "peerURLs",
        "clientURLs",
        "raftTerm",
    ];
    match value {
        Value::Object(object) => {
            OWN.iter().for_each(|name| drop(object.remove(*name)));
            if object.contains_key("name") {
                object.remove("ID");
            }
            object.values_mut().for_each(normal);
        }
        Value::Array(values) => values.iter_mut().for_each(normal),
        _ => {}
    }
}

fn parsed(body: &str) -> Value {
    let mut value = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
    normal(&mut value);
    value
}

async fn both() -> (Server, Http, Etcd, Http) {
    let etcd = Etcd::builder(Version::newest()).start().await;
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .bcrypt_cost(4)
        .name(etcd.name())
        .start()
        .await
        .expect("it starts");
    let ours = Http::to(&server.client_urls()[0]).await;
    let theirs = Http::to(&etcd.client_url()).await;
    (server, ours, etcd, theirs)
}

async fn same(
    ours: &mut Http,
    theirs: &mut Http,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let (our, their) = (
        ours.ask(method, path, headers, body).await,
        theirs.ask(method, path, headers, body).await,
    );
    let what = format!("{method} {path} {body}");
    assert_eq!(our.status, their.status, "{what}: {} and {}", our.body, their.body);
    assert_eq!(our.content_type, their.content_type, "{what}");
    let (mut ours, mut theirs) = (parsed(&our.body), parsed(&their.body));
    // What is wrong with a body is told in words of our own.
    let own_words =
        theirs["message"].as_str().is_some_and(|message| !message.starts_with("etcdserver"));
    for answer in [&mut ours, &mut theirs] {
        if own_words && answer["code"] == 3 {
            answer["message"] = json!("");
        }
    }
    assert_eq!(ours, theirs, "{what}");
    their
}

const UNARY: &[(&str, &str)] = &[
    ("kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#),
    ("kv/put", r#"{"key":"Zm9v","value":"YmF6","prev_kv":true}"#),
    ("kv/put", r#"{"key":"Zm9v","value":"YmF6","prevKv":true}"#),
    ("kv/put", r#"{"key":"/_--"}"#),
    ("kv/put", r#"{"key":"/+/+","value":"-_-_"}"#),
    ("kv/range", r#"{"key":"Zm9v"}"#),
    (
        "kv/range",
        r#"{"key":"AA==","range_end":"AA","limit":"1","sort_order":"DESCEND","sort_target":2}"#,
    ),
    ("kv/range", r#"{"key":"AA==","range_end":"AA==","count_only":true,"unknown":{"a":[1]}}"#),
    ("kv/range", r#"{"key":"Zm9v","revision":2}"#),
    ("kv/range", r#"{"key":"Zm9v","revision":"99"}"#),
    ("kv/range", r#"{"key":"Zm9v","sort_order":"UPWARDS"}"#),
    ("kv/range", r#"{"key":"Zm9v","sort_order":77}"#),
    ("kv/range", r#"{"key":"Zm9v"} {"key":"YQ=="}"#),
    ("kv/range", r#"{"key":null}"#),
    ("kv/range", "{}"),
    ("kv/range", ""),
    ("kv/range", "garbage"),
    ("kv/range", "[]"),
    ("kv/range", r#"{"key":"!!"}"#),
    ("kv/range", r#"{"key":5}"#),
    ("kv/range", r#"{"key":"Zm9v","limit":"x"}"#),
    ("kv/range", r#"{"key":"Zm9v","limit":1.5}"#),
    ("kv/range", r#"{"key":"Zm9v","limit":1e1}"#),
    ("kv/range", r#"{"key":"Zm9v","keys_only":"true"}"#),
    (
        "kv/txn",
        r#"{"compare":[{"target":"VERSION","key":"Zm9v","version":"3","result":"EQUAL"}],
            "success":[{"requestPut":{"key":"YQ==","value":"MQ=="}},{"request_range":{"key":"YQ=="}},
                       {"request_txn":{"success":[{"request_range":{"key":"Zm9v"}}]}}],"failure":[]}"#,
    ),
    ("kv/txn", r#"{"success":{"request_range":{"key":"YQ=="}}}"#),
    ("kv/deleterange", r#"{"key":"Zm9v","prev_kv":true}"#),
    ("kv/compaction", r#"{"revision":"3"}"#),
    ("kv/compaction", r#"{"revision":"3"}"#),
    ("lease/grant", r#"{"TTL":600,"ID":"7"}"#),
    ("kv/put", r#"{"key":"bA==","lease":"7"}"#),
    ("lease/grant", r#"{"TTL":"600","ID":7}"#),
    ("lease/leases", "{}"),
    ("kv/lease/leases", ""),
    ("lease/timetolive", r#"{"ID":99}"#),
    ("lease/revoke", r#"{"ID":7}"#),
    ("kv/lease/revoke", r#"{"ID":7}"#),
    ("cluster/member/list", "{}"),
    ("cluster/member/remove", r#"{"ID":1}"#),
    ("maintenance/status", "{}"),
    ("maintenance/hashkv", "{}"),
    ("maintenance/alarm", "{}"),
    ("maintenance/defragment", "{}"),
    ("maintenance/transfer-leadership", r#"{"targetID":"1"}"#),
    ("auth/status", "{}"),
    ("auth/enable", "{}"),
    ("auth/user/add", r#"{"name":"root","password":"secret"}"#),
    ("auth/user/add", r#"{"name":"root","password":"secret"}"#),
    ("auth/user/get", r#"{"name":"nobody"}"#),
    ("auth/role/add", r#"{"name":"r"}"#),
    (
        "auth/role/grant",
        r#"{"name":"r","perm":{"permType":"READWRITE","key":"YQ==","range_end":"Yg=="}}"#,
    ),
    ("auth/role/get", r#"{"role":"r"}"#),
    ("auth/user/grant", r#"{"user":"root","role":"root"}"#),
    ("auth/user/list", "{}"),
    ("auth/authenticate", r#"{"name":"root","password":"secret"}"#),
    ("election/leader", r#"{"name":"ZQ=="}"#),
    ("election/campaign", r#"{"name":"ZQ==","lease":"99"}"#),
    ("lock/unlock", r#"{"key":"ZQ=="}"#),
    ("nothing", "{}"),
];

#[tokio::test]
async fn the_gateway_answers_as_etcds() {
    let (_server, mut ours, _etcd, mut theirs) = both().await;
    for (path, body) in UNARY {
        same(&mut ours, &mut theirs, "POST", &format!("/v3/{path}"), "", body).await;
    }
    same(&mut ours, &mut theirs, "GET", "/v3/kv/range", "", "").await;
    same(&mut ours, &mut theirs, "POST", "/v3beta/kv/range", "", r#"{"key":"Zm9v"}"#).await;

    // With authentication on, the token is in a header of its own.
    same(&mut ours, &mut theirs, "POST", "/v3/auth/enable", "", "{}").await;
    let put = r#"{"key":"Zm9v"}"#;
    same(&mut ours, &mut theirs, "POST", "/v3/kv/put", "", put).await;
    same(&mut ours, &mut theirs, "POST", "/v3/kv/put", "Authorization: nonsense\r\n", put).await;
    let login = r#"{"name":"root","password":"secret"}"#;
    for prefix in ["", "Bearer "] {
        for http in [&mut ours, &mut theirs] {
            let answer = http.ask("POST", "/v3/auth/authenticate", "", login).await;
            let token = parsed(&answer.body)["token"].as_str().expect("a token").to_owned();
            let header = format!("Authorization: {prefix}{token}\r\n");
            let answer = http.ask("POST", "/v3/kv/put", &header, put).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn the_gateways_streams_are_etcds() {
    let (_server, mut ours, _etcd, mut theirs) = both().await;
    for body in [r#"{"key":"Zm9v","value":"MQ=="}"#, r#"{"key":"Zm9v","value":"Mg=="}"#] {
        same(&mut ours, &mut theirs, "POST", "/v3/kv/put", "", body).await;
    }
    same(&mut ours, &mut theirs, "POST", "/v3/lease/grant", "", r#"{"TTL":60,"ID":7}"#).await;
    let alive =
        same(&mut ours, &mut theirs, "POST", "/v3/lease/keepalive", "", r#"{"ID":7}"#).await;
    assert_eq!(parsed(&alive.body)["result"]["TTL"], "60");
    let snapshot = ours.ask("POST", "/v3/maintenance/snapshot", "", "{}").await;
    // The last piece of the database, and its digest.
    let other = theirs.ask("POST", "/v3/maintenance/snapshot", "", "{}").await;
    let shapes = [&snapshot, &other].map(|answer| {
        let lines: Vec<Value> = answer.body.lines().map(parsed).collect();
        let shape = |line: &Value| {
            let names: Vec<String> = line["result"]
                .as_object()
                .into_iter()
                .flat_map(|map| map.keys().cloned())
                .collect();
            (names, line["result"]["version"].clone())
        };
        lines.iter().rev().take(2).map(shape).collect::<Vec<_>>()
    });
    assert_eq!(shapes[0], shapes[1]);
    let last: Value =
        serde_json::from_str(snapshot.body.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["result"]["blob"].as_str().map(str::len), Some(44), "the digest of 32 bytes");

    let create = r#"{"create_request":{"key":"Zm9v","start_revision":"2"}}"#;
    for http in [&mut ours, &mut theirs] {
        http.send("POST", "/v3/watch", "", create).await;
        assert_eq!(http.head().await.0, 200);
    }
    let mut seen = [Vec::new(), Vec::new()];
    for (http, seen) in [&mut ours, &mut theirs].into_iter().zip(&mut seen) {
        let mut text = String::new();
        while text.lines().count() < 2 {
            text.push_str(&http.chunk().await.expect("it goes on"));
        }
        seen.extend(text.lines().map(parsed));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0][1]["result"]["events"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn health_and_version_are_etcds() {
    let (_server, mut ours, _etcd, mut theirs) = both().await;
    let version = json!({"etcdserver": "3.7.1", "etcdcluster": "3.7.0", "storage": "3.7.0"});
    let paths = [
        "/health",
        "/health?serializable=true",
        "/health?exclude=NOSPACE",
        "/health?exclude=NOSPACE&exclude=CORRUPT",
        "/livez",
        "/livez?verbose",
        "/livez/serializable_read",
        "/livez/nothing",
        "/readyz",
        "/readyz?verbose",
        "/readyz?exclude=data_corruption",
        "/readyz?verbose&exclude=data_corruption",
        "/readyz/data_corruption",
        "/readyz/linearizable_read",
        "/readyz/non_learner?verbose",
        "/nothing",
        "/",
    ];
    // One at a time: which of several etcd names first is left to chance.
    let mut raised = "";
    for alarm in ["", "NOSPACE", "CORRUPT"] {
        for (action, alarm) in [("DEACTIVATE", raised), ("ACTIVATE", alarm)] {
            if !alarm.is_empty() {
                let change = format!(r#"{{"action":"{action}","alarm":"{alarm}"}}"#);
                same(&mut ours, &mut theirs, "POST", "/v3/maintenance/alarm", "", &change).await;
            }
        }
        raised = alarm;
        for path in paths {
            let (our, their) =
                (ours.ask("GET", path, "", "").await, theirs.ask("GET", path, "", "").await);
            // etcd's checks come in any order.
            let lines = |body: &str| {
                let mut lines: Vec<String> = body.split('\n').map(str::to_owned).collect();
                lines.sort_unstable();
                lines
            };
            let (ours, theirs) = (lines(&our.body), lines(&their.body));
            assert_eq!((our.status, ours), (their.status, theirs), "{alarm} {path}");
            assert_eq!(our.content_type, their.content_type, "{path}");
        }
    }
    for path in ["/health", "/version", "/livez", "/readyz"] {
        same(&mut ours, &mut theirs, "POST", path, "", "").await;
    }
    let ours = ours.ask("GET", "/version", "", "").await;
    assert_eq!(serde_json::from_str::<Value>(&ours.body).expect("JSON"), version);
    assert_eq!(ours.content_type, "application/json");
}

#[tokio::test]
async fn the_gateway_is_for_this_machine_unless_it_is_told_of_others() {
    let body = r#"{"key":"Zm9v"}"#;
    for (hosts, headers, status) in [
        (vec![], "", 200),
        (vec![], "Host: localhost:2379\r\n", 200),
        (vec![], "Host: [::1]:2379\r\n", 200),
        (vec![], "Host: evil.example\r\n", 403),
        (vec![], "Host: localhost.evil.example\r\n", 403),
        (vec![], "Origin: http://localhost:3000\r\n", 200),
        (vec![], "Origin: https://evil.example\r\n", 403),
        (vec![], "Origin: null\r\n", 403),
        (vec!["etcd.example"], "Host: ETCD.example:80\r\n", 200),
        (vec!["etcd.example"], "Host: other.example\r\n", 403),
        (vec!["*"], "Host: any.example\r\nOrigin: http://any.example\r\n", 200),
    ] {
        let builder = Server::builder().listen("127.0.0.1:0").gateway_hosts(hosts.clone());
        let server = builder.start().await.expect("it starts");
        let mut http = Http::to(&server.client_urls()[0]).await;
        let answer = http.ask("POST", "/v3/kv/range", headers, body).await;
        assert_eq!(answer.status, status, "{hosts:?} {headers:?}: {}", answer.body);
        // Whoever watches over the server may use any name.
        assert_eq!(http.ask("GET", "/health", headers, "").await.status, 200);
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_connection_ends() {
    let server = Server::builder().listen("127.0.0.1:0").start().await.expect("it starts");
    let large = format!("GET / HTTP/1.1\r\nA: {}\r\n", "x".repeat(70_000));
    for (bytes, status) in [
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/3\r\n\r\n", "505"),
        ("POST /v3/kv/put HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", "413"),
        ("POST /v3/kv/put HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"),
        ("POST /v3/kv/put HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n", "413"),
        (large.as_str(), "431"),
    ] {
        let mut http = Http::to(&server.client_urls()[0]).await;
        http.stream.write_all(bytes.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        // What it does not read may make the end an abrupt one.
        let _ = http.stream.read_to_string(&mut answer).await;
        let shown: String = bytes.chars().take(60).collect();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{shown:?}: {answer}");
    }
    let mut http = Http::to(&server.client_urls()[0]).await;
    let chunked = "POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n8;x\r\n{\"key\":\"\r\n6\r\nZm9v\"}\r\n0\r\nA: b\r\n\r\n";
    http.stream.write_all(chunked.as_bytes()).await.expect("it reads");
    assert_eq!(http.head().await.0, 200);
    assert_eq!(server.revision(), 2);
}
