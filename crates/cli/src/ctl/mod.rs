//! `etcdctl`: the commands that talk to a cluster.
//!
//! One file for each command or family of commands: its table, which the parser and the help read, and what it does.
//! [`global`] has the flags of all commands, [`session`] makes a client of them, and [`mod@print`] writes answers in the
//! formats that there are. Answers are printed as they come off the wire, so requests go through
//! [`Client::raw`](etcdkit::Client::raw) with etcd's own messages.

mod alarm;
mod auth;
mod check;
mod defrag;
mod downgrade;
mod elect;
mod endpoint;
mod global;
mod kv;
mod lease;
mod lock;
mod make_mirror;
mod member;
mod move_leader;
mod options;
mod print;
mod refusal;
mod role;
mod session;
mod snapshot;
mod urls;
mod user;
mod version;
mod watch;

pub(crate) use global::FLAGS as GLOBAL_FLAGS;

use crate::command::help::HELP_COMMAND;
use crate::command::{Command, Style};

/// The tool.
pub(crate) static ETCDCTL: Command = Command {
    usage: "etcdctl",
    short: "A simple command line client for etcd3.",
    persistent: GLOBAL_FLAGS,
    commands: COMMANDS,
    has_headings: true,
    hides_help: true,
    style: Style { describes: true, footer: FOOTER },
    ..Command::BASE
};

/// What every help ends with.
const FOOTER: &str = "Use \"etcdctl options\" for a list of global command-line options (applies to all commands).\n";

/// Its commands, in the order of their headings.
pub(crate) const COMMANDS: &[&Command] = &[
    &kv::COMPACTION,
    &kv::DEL,
    &kv::GET,
    &lease::LEASE,
    &kv::PUT,
    &kv::TXN,
    &watch::WATCH,
    &alarm::ALARM,
    &defrag::DEFRAG,
    &downgrade::DOWNGRADE,
    &endpoint::ENDPOINT,
    &member::MEMBER,
    &move_leader::MOVE_LEADER,
    &snapshot::SNAPSHOT,
    &elect::ELECT,
    &lock::LOCK,
    &auth::AUTH,
    &role::ROLE,
    &user::USER,
    &check::CHECK,
    &make_mirror::MAKE_MIRROR,
    &options::OPTIONS,
    &version::VERSION,
    &HELP_COMMAND,
];

/// The headings of the help.
mod heading {
    pub(super) const KEY_VALUE: &str = "Key-value commands";
    pub(super) const CLUSTER: &str = "Cluster maintenance commands";
    pub(super) const CONCURRENCY: &str = "Concurrency commands";
    pub(super) const AUTHENTICATION: &str = "Authentication commands";
    pub(super) const UTILITY: &str = "Utility commands";
}
