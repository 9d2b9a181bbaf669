//! `etcdutl`: the commands that work on etcd's files, without an etcd.
//!
//! One file for each command: its table, and what it does; the work itself is done by the crate `etcdkit-datadir`.
//! `output.rs` writes results in the formats that there are, `lock.rs` waits for a database that is in use, `refusal.rs` has the official tool's words for what went
//! wrong. Unlike the official tool, none of these commands changes a file that it only reads, and one that fails leaves
//! nothing behind.

pub(crate) mod defrag;
mod hash_kv;
mod lock;
mod migrate;
mod output;
mod refusal;
mod restore;
mod snapshot;
mod status;
mod version;

use crate::command::help::HELP_COMMAND;
use crate::command::{Command, Flag, Style};
use crate::completion;

pub(crate) use hash_kv::HASH_KV;
pub(crate) use migrate::MIGRATE;
pub(crate) use restore::{KEPT_RESTORE, RESTORE};
pub(crate) use status::{KEPT_STATUS, STATUS};

/// The tool.
pub(crate) static ETCDUTL: Command = Command {
    usage: "etcdutl",
    persistent: FLAGS,
    commands: &[
        &completion::COMPLETE,
        &completion::COMPLETION,
        &defrag::DEFRAG,
        &HASH_KV,
        &HELP_COMMAND,
        &MIGRATE,
        &snapshot::SNAPSHOT,
        &version::VERSION,
    ],
    style: Style { describes: false, footer: "", repeats_errors: true },
    ..Command::BASE
};

/// The flags of all commands.
const FLAGS: &[Flag] = &[
    Flag::duration(
        "timeout",
        "10s",
        "time to wait to obtain a file lock on db file, 0 to block indefinitely",
    ),
    Flag::text(
        "write-out",
        "simple",
        "set the output format (fields, json, protobuf, simple, table)",
    )
    .short(b'w'),
];
