//! Commands that go on until they are told to end: `watch`, `lease keep-alive`, `lock`, `elect`, `make-mirror`.

use serde_json::json;

use super::target::Target;

pub(crate) async fn a_watch_prints_events_and_runs_commands(target: &Target) {
    let tool = &target.tool;
    let put = tool.json(&["put", "w/a", "1"]).await;
    let revision = put["header"]["revision"].to_string();
    let past = ["watch", "w/", "--prefix", "--prev-kv", "--rev", &revision];
    let mut simple = tool.start(&past);
    let mut json = tool.start(&[&past[..], &["-w", "json"]].concat());
    assert_eq!(simple.lines(3).await, ["PUT", "w/a", "1"]);
    let event = |line: String| -> serde_json::Value { serde_json::from_str(&line).expect("JSON") };
    assert_eq!(event(json.line().await)["Events"][0]["kv"]["value"], json!("MQ=="));
    let show = "echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE";
    let mut running = tool.start(&["watch", "w/a", "--rev", &revision, "--", "sh", "-c", show]);
    assert_eq!(running.lines(4).await, ["PUT", "w/a", "1", "\"PUT\" \"w/a\" \"1\""]);

    tool.says(&["put", "w/a", "2"]).await;
    assert_eq!(simple.lines(5).await, ["PUT", "w/a", "1", "w/a", "2"]);
    assert_eq!(running.lines(4).await, ["PUT", "w/a", "2", "\"PUT\" \"w/a\" \"2\""]);
    tool.says(&["del", "w/a"]).await;
    assert_eq!(simple.lines(5).await, ["DELETE", "w/a", "2", "w/a", ""]);
    event(json.line().await);
    let deleted = event(json.line().await);
    let event = &deleted["Events"][0];
    assert_eq!((&event["type"], &event["prev_kv"]["value"]), (&json!(1), &json!("Mg==")));
    assert_eq!(running.lines(4).await, ["DELETE", "w/a", "", "\"DELETE\" \"w/a\" \"\""]);
    for live in [simple, json, running] {
        let ran = live.interrupt().await;
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    }
}

pub(crate) async fn an_interactive_watch_takes_lines(target: &Target) {
    let tool = &target.tool;
    let put = tool.json(&["put", "i/a", "1"]).await;
    let revision = put["header"]["revision"].to_string();
    let mut live = tool.start(&["watch", "-i"]);
    live.feed(&format!("watch i/a --rev {revision}\n")).await;
    assert_eq!(live.lines(3).await, ["PUT", "i/a", "1"]);
    live.feed(&format!("watch i/ --prefix --rev {revision} -- echo ran\n")).await;
    assert_eq!(live.lines(4).await, ["PUT", "i/a", "1", "ran"]);
    live.feed("progress\n").await;
    let told = format!("progress notify: {revision}");
    assert_eq!(live.lines(2).await, [told.clone(), told], "each watch tells");
    tool.says(&["put", "i/b", "2"]).await;
    assert_eq!(live.lines(4).await, ["PUT", "i/b", "2", "ran"]);
    live.feed("nonsense\n").await;
    let ran = live.ended().await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""));
    let expected = "Invalid command nonsense (only support watch)\n\
                    Error: error reading watch request line: EOF\n";
    assert_eq!(ran.err, expected);
}

pub(crate) async fn a_lease_is_kept_alive(target: &Target) {
    let tool = &target.tool;
    let granted = tool.says(&["lease", "grant", "100"]).await;
    let id = granted.split(' ').nth(1).expect("it is named").to_owned();
    assert_eq!(granted, format!("lease {id} granted with TTL(100s)\n"));
    tool.says(&["put", "leased", "v", "--lease", &id]).await;
    let mut live = tool.start(&["lease", "keep-alive", &id]);
    assert_eq!(live.line().await, format!("lease {id} keepalived with TTL(100)"));
    drop(live);
    let once = tool.says(&["lease", "keep-alive", &id, "--once"]).await;
    assert_eq!(once, format!("lease {id} keepalived with TTL(100)\n"));
    let told = tool.says(&["lease", "timetolive", &id, "--keys"]).await;
    assert!(told.ends_with(", attached keys([leased])\n"), "{told}");
    let number = i64::from_str_radix(&id, 16).expect("hexadecimal");
    let told = tool.json(&["lease", "timetolive", &id, "--keys"]).await;
    assert_eq!((&told["id"], &told["granted-ttl"]), (&json!(number), &json!(100)), "{told}");
    assert!(tool.says(&["lease", "list"]).await.lines().any(|line| line == id));
    assert_eq!(tool.says(&["lease", "revoke", &id]).await, format!("lease {id} revoked\n"));
    assert_eq!(tool.says(&["get", "leased"]).await, "");
    let refused = tool.fails(1, &["lease", "revoke", &id]).await;
    assert!(refused.contains("requested lease not found"), "{refused}");
}

pub(crate) async fn a_lock_is_held_until_an_interrupt(target: &Target) {
    let tool = &target.tool;
    let mut first = tool.start(&["lock", "l"]);
    let (key, value) = (first.line().await, first.line().await);
    assert!(key.starts_with("l/") && value.is_empty(), "{key:?} {value:?}");
    assert_eq!(tool.says(&["get", "l", "--prefix", "--keys-only"]).await, format!("{key}\n\n"));

    let next = tool.next_revision().await;
    let mut waits = tool.start(&["watch", "l/", "--prefix", "--rev", &next]);
    let second = tool.start(&["lock", "l", "--", "sh", "-c", "echo $ETCD_LOCK_KEY; exit 4"]);
    let event = waits.lines(3).await;
    assert_eq!(event[0], "PUT");
    let ran = first.interrupt().await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
    let ran = second.ended().await;
    assert_eq!((ran.code, ran.out), (Some(4), format!("{}\n", event[1])));
    assert_eq!(tool.says(&["get", "l", "--prefix"]).await, "", "nothing is left behind");
}

pub(crate) async fn a_leader_is_elected_and_observed(target: &Target) {
    let tool = &target.tool;
    let mut first = tool.start(&["elect", "e", "one"]);
    let (key, value) = (first.line().await, first.line().await);
    assert!(key.starts_with("e/"), "{key}");
    assert_eq!(value, "one");
    let mut observer = tool.start(&["elect", "-l", "e"]);
    assert_eq!(observer.lines(2).await, [key, value]);
    // Who has enough of waiting leaves nothing that others would wait for.
    let next = tool.next_revision().await;
    let mut candidates = tool.start(&["watch", "e/", "--prefix", "--rev", &next]);
    let waiting = tool.start(&["elect", "e", "never"]);
    assert_eq!(candidates.lines(3).await[2], "never");
    let ran = waiting.interrupt().await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), "Error: context canceled\n"));
    assert_eq!(candidates.line().await, "DELETE");
    let mut second = tool.start(&["elect", "e", "two"]);
    let ran = first.interrupt().await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
    let (key, value) = (second.line().await, second.line().await);
    assert_eq!(value, "two");
    assert_eq!(observer.lines(2).await, [key, value]);
    second.interrupt().await;
    assert_eq!(observer.interrupt().await.code, Some(0));
    assert_eq!(tool.says(&["get", "e", "--prefix"]).await, "", "nothing is left behind");
}

pub(crate) async fn a_mirror_copies_and_follows(source: &Target, destination: &Target) {
    let (tool, there) = (&source.tool, &destination.tool);
    tool.says(&["put", "m/a", "1"]).await;
    there.says(&["put", "c/a", "old"]).await;
    there.says(&["put", "c/own", "old"]).await;
    let mut copied = there.start(&["watch", "c/", "--prefix", "--rev", "4"]);
    let words = ["make-mirror", &there.endpoint, "--prefix", "m/", "--dest-prefix", "c/"];
    let live = tool.start(&words);
    assert_eq!(copied.lines(3).await, ["PUT", "c/a", "1"]);
    tool.says(&["put", "m/b", "2"]).await;
    assert_eq!(copied.lines(3).await, ["PUT", "c/b", "2"]);
    tool.says(&["del", "m/a"]).await;
    assert_eq!(copied.lines(3).await, ["DELETE", "c/a", ""]);
    let ran = live.interrupt().await;
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    assert_eq!(there.says(&["get", "", "--prefix"]).await, "c/b\n2\nc/own\nold\n");

    let live = tool.start(&[&words[..], &["--delete-extra"]].concat());
    assert_eq!(copied.lines(3).await, ["DELETE", "c/own", ""]);
    live.interrupt().await;
    assert_eq!(there.says(&["get", "", "--prefix"]).await, "c/b\n2\n");
    let refused = tool.fails(128, &[&words[..], &["--delete-extra", "--rev=9"]].concat()).await;
    assert!(refused.contains("`--delete-extra` and `--rev`"), "{refused}");
}

pub(crate) async fn a_benchmark_that_is_interrupted_reports_and_leaves_nothing(target: &Target) {
    let tool = &target.tool;
    let next = tool.next_revision().await;
    let mut written = tool.start(&["watch", "bench/", "--prefix", "--rev", &next]);
    let live = tool.start(&["bench", "put", "--duration=1h", "--rate=0.9", "--prefix=bench/"]);
    assert_eq!(written.line().await, "PUT");
    let ran = live.interrupt().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains(" requests in ") && ran.out.contains("p99.9"), "{ran:?}");
    assert_eq!(tool.says(&["get", "bench/", "--prefix"]).await, "");
}
