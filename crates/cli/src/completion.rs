//! placeholder
use crate::command::{Action, Arity, Command};
pub(crate) static COMPLETION: Command = Command {
    usage: "completion [bash|zsh|fish|powershell]",
    short: "Generate completion script",
    bare: true,
    arity: Arity::OneOf(&["bash", "zsh", "fish", "powershell"]),
    action: Action::Run(|_| Ok(())),
    ..Command::BASE
};
