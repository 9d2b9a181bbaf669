//! Dependencies between the workspace's crates run in one direction only.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on within the workspace: to be built, and beyond that for its own tests.
///
/// The client and whoever serves never know each other; they meet in the wire messages and in tests. The testkit
/// knows nothing of the client, so that it judges any client alike. The files of etcd hold the same messages as its wire:
/// `etcdkit-datadir` takes them from `etcdkit-proto`, which does no I/O, and knows nobody else.
const ALLOWED: &[(&str, &[&str], &[&str])] = &[
    ("etcdkit-proto", &[], &[]),
    ("etcdkit-http2", &[], &[]),
    ("etcdkit-srv", &[], &["etcdkit-testkit"]),
    ("etcdkit", &["etcdkit-http2", "etcdkit-proto", "etcdkit-srv"], &["etcdkit-testkit"]),
    ("etcdkit-v2", &["etcdkit-srv"], &["etcdkit-testkit"]),
    ("etcdkit-datadir", &["etcdkit-proto"], &["etcdkit-testkit"]),
    ("etcdkit-server", &["etcdkit-proto", "etcdkit-datadir"], &["etcdkit", "etcdkit-testkit"]),
    (
        "etcdkit-cli",
        &["etcdkit", "etcdkit-datadir", "etcdkit-server", "etcdkit-proto"],
        &["etcdkit-testkit"],
    ),
    ("etcdkit-testkit", &["etcdkit-proto"], &[]),
    ("etcdkit-examples", &["etcdkit", "etcdkit-server", "etcdkit-testkit"], &[]),
    ("etcdkit-bench", &["etcdkit", "etcdkit-proto"], &["etcdkit-testkit"]),
    ("xtask", &[], &[]),
];

#[test]
fn dependencies_run_in_one_direction() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let members: BTreeSet<String> = packages.iter().map(name).collect();
    let known: BTreeSet<String> = ALLOWED.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(members, known, "the table names exactly the workspace's crates");

    let allowed: BTreeMap<&str, (&[&str], &[&str])> =
        ALLOWED.iter().map(|(name, normal, dev)| (*name, (*normal, *dev))).collect();
    let mut violations = Vec::new();
    for package in packages {
        let from = name(package);
        let (normal, dev) = allowed[from.as_str()];
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let to = name(dependency);
            let for_tests = dependency["kind"] == "dev";
            let fine = normal.contains(&to.as_str()) || for_tests && dev.contains(&to.as_str());
            if members.contains(&to) && !fine {
                violations.push(format!("{from} -> {to}{}", if for_tests { " (dev)" } else { "" }));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:?}");
}

#[test]
fn only_what_is_meant_to_be_is_published() {
    let published: BTreeSet<String> = metadata()["packages"]
        .as_array()
        .expect("a list of packages")
        .iter()
        .filter(|package| package["publish"].is_null())
        .map(|package| package["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(
        published,
        [
            "etcdkit",
            "etcdkit-cli",
            "etcdkit-datadir",
            "etcdkit-http2",
            "etcdkit-proto",
            "etcdkit-server",
            "etcdkit-srv",
            "etcdkit-v2"
        ]
        .map(str::to_owned)
        .into()
    );
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}
