//! etcd's own tools, and what they say of a server.

use std::path::Path;
use std::process::{Command, Output};

use etcdkit_testkit::etcd::{Etcd, Version};
use serde_json::Value;

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).env("ETCDCTL_API", "3").args(arguments).output().expect("it can be run")
}

fn succeed(program: &Path, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs the newest etcdctl against a server, with the flags of who asks.
pub(crate) fn etcdctl(url: &str, who: &[&str], arguments: &[&str]) -> String {
    // A password's hash takes its time on a machine that has other things to do.
    let endpoint = ["--endpoints", url, "--dial-timeout=60s", "--command-timeout=60s"];
    let arguments: Vec<&str> = endpoint.iter().chain(who).chain(arguments).copied().collect();
    succeed(&Version::newest().etcdctl(), &arguments)
}

/// Restores a snapshot for each of the members with the newest etcdutl, in place of what they have, and starts them.
pub(crate) async fn restart_from(snapshot: &Path, members: &[Etcd], more: &[&str]) {
    let initial: Vec<String> =
        members.iter().map(|etcd| format!("{}={}", etcd.name(), etcd.peer_url())).collect();
    let initial = initial.join(",");
    for etcd in members {
        etcd.kill().await;
    }
    let tool = Version::newest().etcdutl().expect("it has one");
    for etcd in members {
        std::fs::remove_dir_all(etcd.data_dir()).expect("it was there");
        let (snapshot, data_dir) = (snapshot.display().to_string(), etcd.data_dir());
        let (data_dir, peer) = (data_dir.display().to_string(), etcd.peer_url());
        let mut arguments = vec!["snapshot", "restore", &snapshot, "--name", etcd.name()];
        arguments.extend(["--initial-cluster", &initial, "--data-dir", &data_dir]);
        arguments.extend(["--initial-advertise-peer-urls", &peer]);
        arguments.extend(more);
        succeed(&tool, &arguments);
    }
    members.iter().for_each(Etcd::spawn);
    for etcd in members {
        etcd.ready().await;
    }
}

/// Everything that a client can see of a server's state, one thing per line.
#[derive(Debug)]
pub(crate) struct View(Vec<String>);

impl View {
    pub(crate) fn of(url: &str, who: &[&str]) -> Self {
        let text = |arguments: &[&str]| etcdctl(url, who, arguments);
        let json = |arguments: &[&str]| -> Value {
            let arguments: Vec<&str> = arguments.iter().chain(&["-w", "json"]).copied().collect();
            serde_json::from_str(&text(&arguments)).expect("JSON")
        };
        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let mut view = Vec::new();
        let keys = json(&["get", "", "--prefix"])["kvs"].clone();
        view.extend(keys.as_array().into_iter().flatten().map(Value::to_string));
        for id in lines(text(&["lease", "list"])).iter().filter(|id| id.len() == 16) {
            let lease = text(&["lease", "timetolive", id, "--keys"]);
            // What remains of it changes.
            let keys = lease.split_once("attached").map_or("no keys", |(_, keys)| keys);
            let keys = keys.trim_matches(['(', ')', ' ', '\n', '[', ']', 'k', 'e', 'y', 's']);
            let mut keys: Vec<&str> = keys.split(' ').collect();
            keys.sort_unstable();
            view.push(format!("lease {id}: {keys:?}"));
        }
        for kind in ["user", "role"] {
            for name in lines(text(&[kind, "list"])) {
                view.push(text(&[kind, "get", &name]));
            }
        }
        let hash = &json(&["endpoint", "hashkv"])[0]["HashKV"];
        for field in ["hash", "compact_revision"] {
            view.push(format!("{field} {}", hash[field]));
        }
        view.sort_unstable();
        Self(view)
    }

    /// Both must show the same.
    #[track_caller]
    pub(crate) fn is(&self, other: &Self, what: &str) {
        let only = |a: &Self, b: &Self| -> Vec<String> {
            let shown = a.0.iter().filter(|line| !b.0.contains(line));
            shown.map(|line| line.chars().take(200).collect()).collect()
        };
        let (ours, theirs) = (only(self, other), only(other, self));
        assert!(ours.is_empty() && theirs.is_empty(), "{what}: {ours:#?} and {theirs:#?}");
        assert!(self.0.len() > 20, "{what}: {}", self.0.len());
    }
}

/// Gives a server a history with everything in it, and returns who may see all of it.
pub(crate) fn fill(url: &str) -> &'static [&'static str] {
    let run = |arguments: &[&str]| etcdctl(url, &[], arguments);
    for round in 0..3 {
        for number in 0..20 {
            run(&[
                "put",
                &format!("key-{number:02}"),
                &format!("value {round} {}", "x".repeat(500)),
            ]);
        }
    }
    run(&["put", "large", &"x".repeat(100_000)]);
    run(&["del", "key-05", "key-08"]);
    run(&["put", "key-06", "again"]);
    for ttl in ["600", "900"] {
        let granted = run(&["lease", "grant", ttl]);
        let id = granted.split_whitespace().nth(1).expect("an id");
        run(&["put", &format!("leased-{ttl}"), "v", "--lease", id]);
        run(&["put", &format!("also-{ttl}"), "v", "--lease", id]);
    }
    run(&["compact", "50", "--physical"]);
    run(&["put", "key-00", "after the compaction"]);
    run(&["role", "add", "reading"]);
    run(&["role", "grant-permission", "reading", "read", "key-", "key."]);
    run(&["user", "add", "reader:word"]);
    run(&["user", "grant-role", "reader", "reading"]);
    run(&["user", "add", "root:secret"]);
    run(&["user", "grant-role", "root", "root"]);
    run(&["auth", "enable"]);
    &["--user", "root:secret"]
}

/// What changes after a start must work as before it.
pub(crate) fn check_alive(url: &str) {
    let root = ["--user", "root:secret"];
    assert_eq!(etcdctl(url, &root, &["put", "later", "1"]), "OK\n");
    assert_eq!(etcdctl(url, &root, &["del", "also-600"]), "1\n");
    let reader = ["--user", "reader:word"];
    assert_eq!(etcdctl(url, &reader, &["get", "key-00"]), "key-00\nafter the compaction\n");
    let arguments = ["--endpoints", url, "--user=reader:word", "put", "key-00", "x"];
    let denied = run(&Version::newest().etcdctl(), &arguments);
    assert!(String::from_utf8_lossy(&denied.stderr).contains("permission denied"));
}
