//! The same against etcd 3.4.23 and 3.5.1 with their own etcdctl: what differs is what etcd has changed since, and each
//! such change stands in [`CHANGES`].

use etcdkit_testkit::etcd::Version;

use super::report;
use super::sides::{Ran, Side};
use super::table::{self, Line};

/// A change that etcd made to its tool.
struct Change {
    what: &'static str,
    /// The first of the compared minor versions that is different from ours, and the one that is not any more.
    from: u32,
    since: u32,
    kind: Kind,
}

enum Kind {
    /// Lines with these words mean nothing to the older tool. They are not run, since data would differ from then on.
    New(&'static [&'static str]),
    /// Lines that this holds for say something else, and do the same.
    Words(fn(&Line, &Ran, &Ran) -> bool),
}

use Kind::{New, Words};

const CHANGES: &[Change] = &[
    Change {
        what: "get filters by revisions",
        from: 4,
        since: 6,
        kind: New(&["--min-create-rev", "--max-create-rev", "--min-mod-rev", "--max-mod-rev"]),
    },
    Change { what: "get can read in pieces", from: 4, since: 7, kind: New(&["--stream"]) },
    Change { what: "get can count", from: 4, since: 5, kind: New(&["--count-only"]) },
    Change {
        what: "del wants --range for two keys, else it warns",
        from: 4,
        since: 6,
        kind: New(&["--range"]),
    },
    Change {
        what: "del of two keys without --range warns",
        from: 4,
        since: 6,
        kind: Words(|_, _, ours| ours.stderr.starts_with("Warning: Keys between ")),
    },
    Change { what: "a token can be given", from: 4, since: 7, kind: New(&["--auth-jwt-token"]) },
    Change {
        what: "member list may be serializable",
        from: 4,
        since: 6,
        kind: New(&["member list --consistency"]),
    },
    Change { what: "downgrades", from: 4, since: 6, kind: New(&["downgrade"]) },
    Change {
        what: "a watch from before all history is refused",
        from: 4,
        since: 6,
        kind: New(&["--rev=-"]),
    },
    Change {
        what: "a mirror can begin at a revision",
        from: 4,
        since: 6,
        kind: New(&["--dest-prefix copy/ --rev"]),
    },
    Change { what: "auth status", from: 4, since: 5, kind: New(&["auth status"]) },
    Change {
        what: "--hex is for the ids of headers and members too",
        from: 4,
        since: 6,
        kind: Words(|line, official, _| {
            line.text.contains("--hex")
                && official.stdout.contains("13441312872613735827")
                && !line.text.starts_with("endpoint status")
        }),
    },
    Change {
        what: "hashes tell their revision",
        from: 4,
        since: 6,
        kind: Words(|line, official, ours| {
            line.text.starts_with("endpoint hashkv") && official.code == ours.code
        }),
    },
    Change {
        what: "a status has more columns",
        from: 4,
        since: 6,
        kind: Words(|line, official, ours| {
            line.text.starts_with("endpoint status") && official.code == ours.code
        }),
    },
    Change {
        what: "tables have frames of lines",
        from: 4,
        since: 7,
        kind: Words(|line, official, ours| {
            line.text.contains("-w table")
                && official.stdout.starts_with("+--")
                && ours.stdout.starts_with('┌')
        }),
    },
    Change {
        what: "the revision 0 of member lists is left out",
        from: 4,
        since: 6,
        kind: Words(|line, official, ours| {
            line.text == "member list -w fields"
                && official.stdout.replace("\"Revision\" : 0\n", "") == ours.stdout
        }),
    },
    Change {
        what: "clientURLs of member list --hex is spelled as everywhere",
        from: 5,
        since: 6,
        kind: Words(|line, official, ours| {
            line.text.starts_with("member list --hex")
                && official.stdout.replace("clientURLS", "clientURLs") == ours.stdout
        }),
    },
    Change {
        what: "defrag tells how long it took",
        from: 4,
        since: 6,
        kind: Words(|line, _, ours| {
            line.text.starts_with("defrag") && ours.stdout.contains("took")
        }),
    },
    Change {
        what: "move-leader says what is wrong on stderr, and leaves a leader in peace",
        from: 5,
        since: 6,
        kind: Words(|line, official, _| {
            line.text.starts_with("move-leader") && official.code == Some(1)
        }),
    },
    Change {
        what: "snapshot save names its argument",
        from: 4,
        since: 6,
        kind: Words(|line, official, ours| {
            line.text.starts_with("snapshot save")
                && ours.stderr.replace(" <filename>", "") == official.stderr
        }),
    },
    Change {
        what: "helps look different",
        from: 4,
        since: 7,
        kind: Words(|_, official, ours| {
            let is_help = |text: &str| {
                text.contains("Usage:") || text.contains("USAGE:") || text.contains("OPTIONS:")
            };
            is_help(&official.stdout) && is_help(&ours.stdout)
                || is_help(&official.stderr) && is_help(&ours.stderr)
        }),
    },
    Change {
        what: "errors of the command line are said once, with the usage",
        from: 4,
        since: 6,
        kind: Words(|_, official, ours| {
            let first = ours.stderr.lines().next().unwrap_or_default();
            first.starts_with("Error: ")
                && official.stderr.matches(first).count() == 2
                && official.code == ours.code
        }),
    },
    Change {
        what: "responses of watches tell why they were canceled",
        from: 4,
        since: 6,
        kind: Words(|line, official, ours| {
            line.text.starts_with("watch")
                && official.stderr == ours.stderr
                && ours.stdout.replace(",\"CancelReason\":\"\"", "") == official.stdout
        }),
    },
    Change {
        what: "endpoint health reports health on stdout",
        from: 4,
        since: 5,
        kind: Words(|line, official, ours| {
            line.text.starts_with("endpoint health") && official.stderr == ours.stdout
        }),
    },
    Change {
        what: "alarm list -w fields does not crash",
        from: 4,
        since: 5,
        kind: Words(|line, official, _| {
            line.text == "alarm list -w fields" && official.stderr.starts_with("panic")
        }),
    },
    Change {
        what: "errors of interactive watches begin in lower case",
        from: 4,
        since: 5,
        kind: Words(|line, official, ours| {
            line.text.starts_with("watch -i")
                && official.stderr.to_lowercase() == ours.stderr.to_lowercase()
        }),
    },
    Change {
        what: "lock ends with the exit code of its command",
        from: 4,
        since: 5,
        kind: Words(|line, official, _| line.text.starts_with("lock") && official.code == Some(1)),
    },
    Change {
        what: "check perf quotes the command that makes room",
        from: 4,
        since: 5,
        kind: Words(|line, official, ours| {
            line.text == "check perf" && ours.stderr.replace('\'', "") == official.stderr
        }),
    },
    Change {
        what: "answers within transactions have other names in JSON",
        from: 4,
        since: 5,
        kind: Words(|line, official, ours| {
            line.text.starts_with("txn -w") && official.code == ours.code
        }),
    },
];

impl Change {
    fn concerns(&self, version: Version) -> bool {
        version.at_least(3, self.from) && !version.at_least(3, self.since)
    }

    fn is_unknown(&self, line: &Line) -> bool {
        let New(words) = self.kind else { return false };
        let input = String::from_utf8_lossy(&line.input);
        words.iter().any(|word| line.text.contains(word) || input.contains(word))
    }

    fn explains(&self, line: &Line, official: &Ran, ours: &Ran) -> bool {
        matches!(self.kind, Words(explains) if explains(line, official, ours))
    }
}

/// Runs all tables on a version, and reports every line that differs for none of the reasons.
async fn compare(version: Version) {
    if !Version::available().contains(&version) {
        println!("skipped: no etcd {version}");
        return;
    }
    let changes: Vec<&Change> = CHANGES.iter().filter(|change| change.concerns(version)).collect();
    let mut unexplained = Vec::new();
    let mut needed = vec![false; changes.len()];
    for text in [
        include_str!("lines/key_value.txt"),
        include_str!("lines/txn.txt"),
        include_str!("lines/lease.txt"),
        include_str!("lines/cluster.txt"),
        include_str!("lines/auth.txt"),
        include_str!("lines/watch.txt"),
        include_str!("lines/concurrency.txt"),
    ] {
        let (mut official, mut ours) = tokio::join!(Side::official(version), Side::ours(version));
        for line in table::read(text) {
            if let Some(index) = changes.iter().position(|change| change.is_unknown(&line)) {
                needed[index] = true;
                continue;
            }
            let (expected, found) = tokio::join!(official.run(&line), ours.run(&line));
            if expected == found {
                continue;
            }
            let reason =
                changes.iter().position(|change| change.explains(&line, &expected, &found));
            match reason {
                Some(index) => needed[index] = true,
                None => unexplained.push(report(&line, &expected, &found)),
            }
        }
    }
    assert!(unexplained.is_empty(), "etcdctl {version} differs:\n\n{}", unexplained.join("\n"));
    let idle: Vec<&str> = changes
        .iter()
        .zip(needed)
        .filter(|(_, needed)| !needed)
        .map(|(change, _)| change.what)
        .collect();
    assert!(idle.is_empty(), "{version} shows nothing of: {idle:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_3_4_differs_only_by_what_etcd_changed() {
    compare(Version::V3_4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_3_5_differs_only_by_what_etcd_changed() {
    compare(Version::V3_5).await;
}

#[test]
fn the_list_of_changes_is_short() {
    assert!(CHANGES.len() <= 40);
}
