//! `serve`: the embedded server behind the command line of etcd's own.
//!
//! Called as `etcd` it is what a test suite starts that starts an etcd. `flags/` reads what was said, `settings.rs` checks
//! it, `run.rs` serves until a signal comes or the storage fails. `log.rs` writes zap's lines,
//! `certificates.rs` makes a certificate for `--auto-tls`, `help.rs` is help and version.
//!
//! What the server does is in the crate `etcdkit-server`; nothing here knows of keys.

mod certificates;
mod flags;
mod help;
mod log;
mod run;
mod settings;

use crate::command::{Action, Command};

/// What the flags do, for manual pages.
pub(crate) fn flags_text() -> String {
    help::flags()
}

/// The flags and what each does, for completion.
pub(crate) fn flags() -> impl Iterator<Item = (&'static str, &'static str)> {
    flags::SECTIONS.iter().flat_map(|section| section.flags).map(|flag| (flag.name, flag.about))
}

/// The verb.
pub(crate) static SERVE: Command = Command {
    usage: "serve [flags]",
    short: "Starts a server with one member",
    long: "Starts a server with one member, with the flags of etcd: etcdkit serve --help lists them.",
    heading: "Server commands",
    action: Action::Words(run::run),
    ..Command::BASE
};

/// The tool that is called by etcd's name.
pub(crate) static ETCD: Command = Command {
    usage: "etcd [flags]",
    short: "Starts a server with one member",
    action: Action::Words(run::run),
    ..Command::BASE
};
