//! Go's client and ours on one etcd: contending for the same, and seeing each other's endpoints. Needs Go.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

use etcdkit::Client;
use etcdkit::naming::{Endpoint, Endpoints};
use etcdkit_testkit::etcd::{Etcd, Version};

/// A tenth of what `etcdkit-bench contend` does by default.
const ROUNDS: &str = "1000";

/// Go's driver; `None` where there is no Go and nobody insists on it.
fn go_driver(name: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/go");
    let driver = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&driver).arg(".").current_dir(source);
    match build.status() {
        Ok(status) => assert!(status.success(), "{build:?} ended with {status}"),
        Err(error) if std::env::var_os("ETCDKIT_REQUIRE_ALL").is_none() => {
            println!("skipped: there is no Go: {error}");
            return None;
        }
        Err(error) => panic!("{build:?}: {error}"),
    }
    Some(driver)
}

#[test]
#[ignore = "long: cargo xtask soak"]
fn soak_two_clients_exclude_each_other() {
    let Some(go) = go_driver("contends") else { return };
    let mut contend = Command::new(env!("CARGO_BIN_EXE_etcdkit-bench"));
    contend.arg("contend").args(["--rounds", ROUNDS]);
    contend.arg("--etcd").arg(Version::newest().etcd()).arg("--peers-go").arg(&go);
    let status = contend.status().expect("the referee can be run");
    assert!(status.success(), "the referee found violations, see above");
}

#[tokio::test]
#[ignore = "builds Go's client: cargo xtask soak"]
async fn soak_each_client_sees_the_endpoints_of_the_other() {
    let Some(go) = go_driver("names") else { return };
    let etcd = Etcd::builder(Version::newest()).start().await;
    let client = Client::connect([etcd.client_url()]).await.unwrap();
    let endpoints = Endpoints::new(&client, "mail").unwrap();
    let ours = Endpoint::new("10.0.0.2:80").with_metadata(&["from", "rust"]).unwrap();
    endpoints.add("mail/rust", ours.clone()).await.unwrap();

    let mut theirs = Command::new(go);
    theirs.args(["recipes", "-kind", "endpoints", "-name", "mail", "-endpoints"]);
    let output = theirs.arg(etcd.client_addr().to_string()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let seen = String::from_utf8(output.stdout).unwrap();
    assert!(seen.contains("mail/rust 10.0.0.2:80 [from rust]"), "{seen}");

    let all = endpoints.list().await.unwrap();
    let theirs = Endpoint::new("10.0.0.1:80").with_metadata(&["from", "go"]).unwrap();
    assert_eq!(all.values().collect::<Vec<_>>(), [&theirs, &ours]);
}
