//! etcd 3.6 and 3.7, built from etcd's own Go modules. The versions of all that they need are pinned in
//! `crates/testkit/go/<version>/`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{output, read, root};

pub(super) fn obtainable(version: &str) -> Result<String, String> {
    let module = read(&module(version).join("go.mod"))?;
    let needed = module.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or_default();
    // Outside the module's folder, where an old Go would refuse to answer.
    let found = output(go().args(["env", "GOVERSION"]).current_dir(env::temp_dir()))
        .map_err(|error| format!("needs Go {needed} or newer, and Go does not run: {error}"))?;
    let found = found.trim().trim_start_matches("go");
    if numbers(found) < numbers(needed) {
        return Err(format!("needs Go {needed} or newer, found {found}"));
    }
    Ok(format!("go build, with Go {found}"))
}

pub(super) fn obtain(version: &str, into: &Path) -> Result<(), String> {
    let mut build = go();
    // Two packages at a time, so that a build in the background leaves a machine usable.
    build
        .args(["build", "-p", "2", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o"])
        .arg(into);
    build.args([".", "go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3"]);
    output(build.current_dir(module(version))).map(drop)
}

/// Go as it is installed: no other version, no C, nothing of the caller's flags.
fn go() -> Command {
    let mut command = Command::new("go");
    command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("CGO_ENABLED", "0");
    command
}

fn module(version: &str) -> PathBuf {
    root().join("crates/testkit/go").join(version)
}

/// `1.26.8` or `1.27rc1` as numbers that compare.
fn numbers(version: &str) -> Vec<u32> {
    let digits = |part: &str| {
        let end = part.find(|character: char| !character.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().unwrap_or(0)
    };
    version.split_whitespace().next().unwrap_or_default().split('.').map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_compare() {
        let check = |older, newer| assert!(numbers(older) < numbers(newer), "{older} {newer}");
        check("1.9.7", "1.25.0");
        check("1.25.0", "1.26");
        check("1.26", "1.26.8");
        check("1.26.8", "1.27rc1");
        check("", "1.25.0");
        assert_eq!(numbers("1.26.8 X:nocoverageredesign"), [1, 26, 8]);
    }
}
