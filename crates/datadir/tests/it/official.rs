//! Running etcd's own tools.

use std::path::Path;
use std::process::{Command, Output};

use etcdkit_testkit::etcd::Version;
use serde_json::Value;

/// Runs the tool that a version has for files: `etcdutl`, or `etcdctl` before there was one.
pub(crate) fn run(version: Version, arguments: &[&str]) -> Output {
    let tool = version.etcdutl().unwrap_or_else(|| version.etcdctl());
    let mut command = Command::new(tool);
    command.env("ETCDCTL_API", "3").args(arguments);
    command.output().expect("the tool can be run")
}

/// Runs it and returns what it printed. It must succeed.
pub(crate) fn succeed(version: Version, arguments: &[&str]) -> String {
    let output = run(version, arguments);
    let (out, error) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{version} {arguments:?}: {error}");
    String::from_utf8(out).expect("text")
}

pub(crate) fn status(version: Version, file: &Path) -> Value {
    let out = succeed(version, &["snapshot", "status", &file.display().to_string(), "-w", "json"]);
    serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON: {out}"))
}

pub(crate) fn hash_kv(version: Version, file: &Path, revision: i64) -> Result<Value, String> {
    let (file, revision) = (file.display().to_string(), revision.to_string());
    let output = run(version, &["hashkv", &file, "--rev", &revision, "-w", "json"]);
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).expect("JSON"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
