//! The tools in this binary, and which of them a name means.

use std::ffi::OsStr;
use std::path::Path;

use crate::command::{Command, Style};
use crate::ctl;

/// The etcd release whose tools ours are equal to.
pub(crate) const ETCD_VERSION: &str = "3.7.1";
/// The version of etcd's API that goes with it.
pub(crate) const API_VERSION: &str = "3.7";

/// Everything in one tool.
static ETCDKIT: Command = Command {
    usage: "etcdkit",
    short: "An etcd toolkit: etcdctl, etcdutl, a server and a benchmark in one.",
    persistent: ctl::GLOBAL_FLAGS,
    commands: ctl::COMMANDS,
    has_headings: true,
    hides_help: true,
    style: Style { describes: true, footer: FOOTER },
    ..Command::BASE
};

/// What every help of `etcdkit` ends with.
const FOOTER: &str =
    "Use \"etcdkit options\" for the flags that all commands for a cluster have.\n";

/// The tool that is called by `name`.
pub(crate) fn called(name: &OsStr) -> &'static Command {
    match Path::new(name).file_stem().and_then(OsStr::to_str) {
        Some("etcdctl") => &ctl::ETCDCTL,
        _ => &ETCDKIT,
    }
}
