//! `put`, `get`, `del`, `txn`, `compaction`.

use serde_json::json;

use super::target::Target;

pub(crate) async fn are_written_read_and_deleted(target: &Target) {
    let tool = &target.tool;
    for (key, value) in [("kv/a", "1"), ("kv/b", "2"), ("kv/c", "3")] {
        assert_eq!(tool.says(&["put", key, value]).await, "OK\n");
    }
    assert_eq!(tool.says(&["put", "kv/a", "4", "--prev-kv"]).await, "OK\nkv/a\n1\n");
    assert_eq!(tool.run_on(&["put", "kv/in"], "from stdin").await.out, "OK\n");
    assert_eq!(tool.says(&["get", "kv/in"]).await, "kv/in\nfrom stdin\n");
    assert_eq!(tool.says(&["get", "kv/a", "kv/c"]).await, "kv/a\n4\nkv/b\n2\n");
    let sorted = ["get", "kv/", "--prefix", "--sort-by=VALUE", "--order=DESCEND", "--limit=2"];
    assert_eq!(tool.says(&sorted).await, "kv/in\nfrom stdin\nkv/a\n4\n");
    assert_eq!(tool.says(&["get", "kv/b", "--print-value-only"]).await, "2\n");
    assert_eq!(tool.says(&["get", "kv/b", "--hex"]).await, "\\x6b\\x76\\x2f\\x62\n\\x32\n");

    let found = tool.json(&["get", "kv/a"]).await;
    let kv = &found["kvs"][0];
    assert_eq!((&kv["key"], &kv["value"]), (&json!("a3YvYQ=="), &json!("NA==")));
    assert_eq!((&kv["version"], &found["count"]), (&json!(2), &json!(1)));
    let revision = found["header"]["revision"].as_i64().expect("it has one");
    assert!(kv["create_revision"].as_i64() < kv["mod_revision"].as_i64(), "{kv}");
    assert!(kv["mod_revision"].as_i64() < Some(revision), "{kv}");
    let first = kv["create_revision"].to_string();
    assert_eq!(tool.says(&["get", "kv/a", "--rev", &first]).await, "kv/a\n1\n");
    let streamed = tool.says(&["get", "kv/", "--prefix", "--keys-only", "--stream"]).await;
    assert_eq!(streamed, "kv/a\n\nkv/b\n\nkv/c\n\nkv/in\n\n");
    let recent = ["get", "kv/", "--prefix", "--keys-only", "--min-mod-rev", &revision.to_string()];
    assert_eq!(tool.says(&recent).await, "kv/in\n\n");
    let counted = ["get", "kv/", "--prefix", "--count-only", "-w", "fields"];
    assert!(tool.says(&counted).await.ends_with("\"Count\" : 4\n"));

    assert_eq!(tool.says(&["del", "kv/b", "--prev-kv"]).await, "1\nkv/b\n2\n");
    assert_eq!(tool.says(&["del", "kv/a", "kv/b", "--range"]).await, "1\n");
    let deleted = tool.json(&["del", "kv/", "--prefix"]).await;
    assert_eq!(deleted["deleted"], json!(2));
    assert_eq!(tool.says(&["get", "kv/", "--prefix"]).await, "");
    let refused = tool.fails(1, &["put", "", "v"]).await;
    assert_eq!(refused, "Error: etcdserver: key is not provided\n");
}

pub(crate) async fn change_in_transactions(target: &Target) {
    let tool = &target.tool;
    tool.says(&["put", "txn/a", "1"]).await;
    let input = "value(\"txn/a\") = \"1\"\n\nput txn/a 2\nget txn/a\n\nput txn/a 3\n\n";
    let ran = tool.run_on(&["txn"], input).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "SUCCESS\n\nOK\n\ntxn/a\n2\n"), "{ran:?}");
    let ran = tool.run_on(&["txn", "-w", "json"], input).await;
    let answer: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(answer["succeeded"], serde_json::Value::Null, "{answer}");
    let answers = answer["responses"].as_array().expect("a list");
    assert!(answers.len() == 1 && answers[0]["Response"]["response_put"].is_object(), "{answer}");
    assert_eq!(tool.says(&["get", "txn/a"]).await, "txn/a\n3\n");
}

pub(crate) async fn are_compacted(target: &Target) {
    let tool = &target.tool;
    tool.says(&["put", "compacted", "1"]).await;
    let put = tool.json(&["put", "compacted", "2"]).await;
    let revision = put["header"]["revision"].as_i64().expect("it has one");
    let (now, before) = (revision.to_string(), (revision - 1).to_string());
    let said = tool.says(&["compaction", "--physical", &now]).await;
    assert_eq!(said, format!("compacted revision {revision}\n"));
    assert_eq!(tool.says(&["get", "compacted", "--rev", &now]).await, "compacted\n2\n");
    let refused = tool.fails(1, &["get", "compacted", "--rev", &before]).await;
    assert_eq!(refused, "Error: etcdserver: mvcc: required revision has been compacted\n");
    let refused = tool.fails(1, &["compaction", &now]).await;
    assert_eq!(refused, "Error: etcdserver: mvcc: required revision has been compacted\n");
    let refused = tool.fails(5, &["watch", "compacted", "--rev", &before]).await;
    assert!(refused.starts_with("watch was canceled (etcdserver: mvcc: required"), "{refused}");
}
