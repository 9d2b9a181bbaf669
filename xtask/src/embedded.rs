//! `cargo xtask embedded`: the client's tests that need one member, with the embedded server in the place of etcd.
//!
//! The tests are the very ones that run against etcd, and know nothing of it: their cache of servers has one entry, whose
//! `etcd` is `etcdkit`, which serves when it is called by that name.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::etcd;
use crate::run::{Scratch, cargo, make_folder, root, run as run_command};

/// The version whose behaviour the embedded server shows.
const VERSION: &str = "3.7.1";

/// The rooms of the client's tests that ask a server something, rather than a scripted peer.
const ROOMS: &[&str] = &[
    "kv::",
    "lease::",
    "watch::",
    "lock_election::",
    "users::",
    "maintenance::",
    "cluster::",
    "auth::",
];

/// What takes more than one member, or what the server lacks yet, by the beginnings of their names.
const LEFT_OUT: &[(&str, &[&str])] = &[(
    "three members",
    &[
        "cluster::learners",
        "cluster::members",
        "kv::learner",
        "kv::lost",
        "kv::quorum",
        "kv::txn_lost",
        "lease::faults::a_frozen_member_is_left",
        "lease::faults::lease_renew_lost_quorum",
        "lease::faults::lease_with_require_leader",
        "lease::soak",
        "maintenance::leader",
        "maintenance::members",
        "watch::members",
        "watch::progress::v3_watch_progress_on_member_restart",
        "watch::soak",
    ],
)];

/// Runs them; with arguments, those whose names contain one of them.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let real = etcd::path(VERSION)?;
    run_command(&mut cargo(["build", "--package", "etcdkit-cli"]))?;
    let scratch = Scratch::new(&env::temp_dir(), "etcdkit-embedded")?;
    let folder = scratch.path().join("etcd").join(VERSION);
    make_folder(&folder)?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    copy(&target.join("debug/etcdkit"), &folder.join("etcd"))?;
    for tool in ["etcdctl", "etcdutl"] {
        copy(&real.with_file_name(tool), &folder.join(tool))?;
    }
    let mut tests = vec!["test", "--package", "etcdkit", "--test", "it", "--"];
    tests.extend(if arguments.is_empty() { ROOMS } else { arguments });
    for (why, names) in LEFT_OUT {
        println!("left out for {why}: {}", names.join(", "));
        tests.extend(names.iter().flat_map(|name| ["--skip", name]));
    }
    run_command(cargo(tests).env("ETCDKIT_CACHE", scratch.path()).env("ETCDKIT_REQUIRE_ALL", ""))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(drop).map_err(|error| format!("{}: {error}", from.display()))
}
