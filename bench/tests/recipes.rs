//! Go's client and ours contend for the same, on a real etcd, with processes of both that are stopped. Needs Go.
#![cfg(test)]

use std::path::Path;
use std::process::Command;

use etcdkit_testkit::etcd::Version;

/// A tenth of what `etcdkit-bench contend` does by default.
const ROUNDS: &str = "1000";

#[test]
#[ignore = "long: cargo xtask soak"]
fn soak_two_clients_exclude_each_other() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/go");
    let go = Path::new(env!("CARGO_TARGET_TMPDIR")).join("etcdkit-bench-go");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&go).arg(".").current_dir(source);
    match build.status() {
        Ok(status) => assert!(status.success(), "{build:?} ended with {status}"),
        Err(error) if std::env::var_os("ETCDKIT_REQUIRE_ALL").is_none() => {
            return println!("skipped: there is no Go: {error}");
        }
        Err(error) => panic!("{build:?}: {error}"),
    }
    let mut contend = Command::new(env!("CARGO_BIN_EXE_etcdkit-bench"));
    contend.arg("contend").args(["--rounds", ROUNDS]);
    contend.arg("--etcd").arg(Version::newest().etcd()).arg("--peers-go").arg(&go);
    let status = contend.status().expect("the referee can be run");
    assert!(status.success(), "the referee found violations, see above");
}
