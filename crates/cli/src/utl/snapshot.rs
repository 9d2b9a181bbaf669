//! `snapshot`: what can be done with a saved snapshot.

use super::{RESTORE, STATUS};
use crate::command::Command;

pub(super) static SNAPSHOT: Command = Command {
    usage: "snapshot",
    short: "Manages etcd node snapshots",
    commands: &[&RESTORE, &STATUS],
    ..Command::BASE
};
