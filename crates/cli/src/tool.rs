//! The tools in this binary, and which of them a name means.

use std::ffi::OsStr;
use std::path::Path;

use crate::command::{Command, Style};
use crate::{ctl, serve, utl};

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

/// Its commands: those of etcdctl, and our own.
static ETCDKIT_COMMANDS: [&Command; ctl::COMMANDS.len() + OWN.len()] = {
    let mut all = [&serve::SERVE; ctl::COMMANDS.len() + OWN.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < OWN.len() { OWN[at] } else { ctl::COMMANDS[at - OWN.len()] };
        at += 1;
    }
    all
};

/// Those that no official tool has.
const OWN: &[&Command] = &[&serve::SERVE];

/// What every help of `etcdkit` ends with.
const FOOTER: &str =
    "Use \"etcdkit options\" for the flags that all commands for a cluster have.\n";

/// The tool that is called by `name`.
pub(crate) fn called(name: &OsStr) -> &'static Command {
    match Path::new(name).file_stem().and_then(OsStr::to_str) {
        Some("etcd") => &serve::ETCD,
        Some("etcdctl") => &ctl::ETCDCTL,
        Some("etcdutl") => &utl::ETCDUTL,
        _ => &ETCDKIT,
    }
}
