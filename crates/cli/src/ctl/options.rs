//! `options`: the flags that all commands have.

use super::global::FLAGS;
use super::heading;
use crate::command::{Action, Call, Command, Flag, help};
use crate::failure::Result;

pub(super) static OPTIONS: Command = Command {
    usage: "options",
    short: "Show the global command-line flags",
    heading: heading::UTILITY,
    action: Action::Run(options),
    ..Command::BASE
};

fn options(call: &mut Call<'_>) -> Result<()> {
    let flags: Vec<&Flag> = FLAGS.iter().collect();
    call.console.line("The following options can be passed to any command:\n")?;
    Ok(call.console.print(help::flag_usages(&flags, call.command()))?)
}
