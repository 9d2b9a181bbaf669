//! The tools in this binary, and which of them a name means.

use std::ffi::OsStr;
use std::path::Path;

use crate::command::{Command, Style};
use crate::{bench, ctl, manual, serve, utl};

/// The etcd release whose tools ours are equal to.
pub(crate) const ETCD_VERSION: &str = "3.7.1";
/// The version of etcd's API that goes with it.
pub(crate) const API_VERSION: &str = "3.7";

/// Everything in one tool.
static ETCDKIT: Command = Command {
    usage: "etcdkit",
    short: "An etcd toolkit: etcdctl, etcdutl, a server and a benchmark in one.",
    persistent: ctl::GLOBAL_FLAGS,
    commands: &ETCDKIT_COMMANDS,
    has_headings: true,
    hides_help: true,
    style: Style { describes: true, footer: FOOTER, repeats_errors: false },
    ..Command::BASE
};

/// Its commands: our own, and those of etcdctl.
static ETCDKIT_COMMANDS: [&Command; ctl::COMMANDS.len() + OWN.len()] = {
    let mut all = [OWN[0]; ctl::COMMANDS.len() + OWN.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < OWN.len() { OWN[at] } else { ctl::COMMANDS[at - OWN.len()] };
        at += 1;
    }
    all
};

/// Those that etcdctl does not have, by heading.
const OWN: &[&Command] =
    &[&serve::SERVE, &utl::HASH_KV, &utl::MIGRATE, &bench::BENCH, &manual::MAN];

/// What every help of `etcdkit` ends with.
const FOOTER: &str =
    "Use \"etcdkit options\" for the flags that all commands for a cluster have.\n";

/// The tool that is called by `name`, a path or not.
pub(crate) fn called(name: &OsStr) -> &'static Command {
    with_name(Path::new(name).file_stem().and_then(OsStr::to_str).unwrap_or_default())
}

/// The tool of that name; ours for any that is unknown.
pub(crate) fn with_name(name: &str) -> &'static Command {
    match name {
        "etcd" => &serve::ETCD,
        "etcdctl" => &ctl::ETCDCTL,
        "etcdutl" => &utl::ETCDUTL,
        _ => &ETCDKIT,
    }
}
