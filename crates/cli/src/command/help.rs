//! What `--help` prints, and what follows an error.

use std::fmt::Write as _;

use super::parse::{HELP, find, spelled};
use super::{Command, Flag, Kind};
use crate::notation::list;

/// The narrowest column of names.
const NAMES: usize = 11;

/// `help`, which every tool has.
pub(crate) static HELP_COMMAND: Command = Command {
    usage: "help [command]",
    short: "Help about any command",
    heading: "Utility commands",
    action: super::Action::Help,
    ..Command::BASE
};

/// All of what `--help` prints for the last command of `path`.
pub(crate) fn text(path: &[&'static Command]) -> String {
    let command = path[path.len() - 1];
    let style = path[0].style;
    let mut text = String::new();
    let about = if command.long.is_empty() { command.short } else { command.long };
    if command.usage == HELP_COMMAND.usage && style.describes {
        let tool = path[0].name();
        let _ = write!(
            text,
            "Help provides help for any command in the application.\n\
             Simply type {tool} help [path to command] for full details.\n\n"
        );
    } else if style.describes && !about.is_empty() {
        let _ = write!(text, "{}\n\n", about.trim_end());
    }
    text.push_str(&usage(path));
    text.push_str(style.footer);
    text
}

/// How the last command of `path` is used: what follows an error.
pub(crate) fn usage(path: &[&'static Command]) -> String {
    usage_with(path, true)
}

fn usage_with(path: &[&'static Command], lists_help: bool) -> String {
    let command = path[path.len() - 1];
    let spelled = spelled(path);
    let mut text = "Usage:".to_owned();
    if !matches!(command.action, super::Action::Group) {
        let behind = command.usage.strip_prefix(command.name()).unwrap_or_default();
        let flags = if behind.contains("[flags]") || command.bare { "" } else { " [flags]" };
        let _ = write!(text, "\n  {spelled}{behind}{flags}");
    }
    let listed = listed(command);
    if !listed.is_empty() {
        let _ = write!(text, "\n  {spelled} [command]");
    }
    if !command.aliases.is_empty() {
        let _ = write!(text, "\n\nAliases:\n  {}", command.name());
        for alias in command.aliases {
            let _ = write!(text, ", {alias}");
        }
    }
    if !command.example.is_empty() {
        let _ = write!(text, "\n\nExamples:\n{}", command.example);
    }
    list_commands(command, &listed, &mut text);

    let (mut own, above) = visible_flags(path);
    own.retain(|flag| lists_help || flag.name != HELP.name);
    for (heading, flags) in [("Flags:", own), ("Global Flags:", above)] {
        if !flags.is_empty() {
            let _ = write!(text, "\n\n{heading}\n{}", flag_usages(&flags, command).trim_end());
        }
    }
    if !listed.is_empty() {
        let _ = write!(
            text,
            "\n\nUse \"{spelled} [command] --help\" for more information about a command."
        );
    }
    text.push('\n');
    text
}

/// What `help` prints for the commands that its arguments name, or a refusal with the usage of the tool.
pub(crate) fn of_topic(tool: &'static Command, topic: &[Vec<u8>]) -> Result<String, String> {
    find(tool, topic).map(|path| text(&path)).map_err(|()| {
        let words: Vec<String> =
            topic.iter().map(|word| format!("`{}`", String::from_utf8_lossy(word))).collect();
        // The official parser gives the tool its `--help` after this.
        format!("Unknown help topic [{}]\n{}", words.join(" "), usage_with(&[tool], false))
    })
}

fn listed(command: &'static Command) -> Vec<&'static Command> {
    command.listed()
}

fn list_commands(command: &Command, listed: &[&'static Command], text: &mut String) {
    // Names that aren't listed count too.
    let widest = command.commands.iter().map(|command| command.name().len()).max().unwrap_or(0);
    let width = widest.max(NAMES);
    let mut headings: Vec<&str> = Vec::new();
    for command in command.commands {
        if !headings.contains(&command.heading) {
            headings.push(command.heading);
        }
    }
    let has_headings = command.has_headings;
    if !has_headings {
        headings = vec!["Available Commands:"];
    }
    for heading in headings {
        let under = |below: &&&Command| !has_headings || below.heading == heading;
        let mut below = listed.iter().filter(under).peekable();
        if below.peek().is_some() {
            let _ = write!(text, "\n\n{heading}");
        }
        for command in below {
            let _ = write!(text, "\n  {:width$} {}", command.name(), command.short);
        }
    }
}

/// The listed flags of the command itself, and those of the commands above it.
fn visible_flags(path: &[&'static Command]) -> (Vec<&'static Flag>, Vec<&'static Flag>) {
    let command = path[path.len() - 1];
    let mut own: Vec<&'static Flag> = command.flags.iter().chain(command.persistent).collect();
    if !command.hides_help {
        own.push(&HELP);
    }
    let mut above: Vec<&'static Flag> = Vec::new();
    for flag in path[..path.len() - 1].iter().rev().flat_map(|command| command.persistent) {
        if own.iter().chain(&above).all(|known| known.name != flag.name) {
            above.push(flag);
        }
    }
    for flags in [&mut own, &mut above] {
        flags.retain(|flag| flag.is_listed());
        flags.sort_by_key(|flag| flag.name);
    }
    (own, above)
}

/// The flags as a table, sorted as given.
pub(crate) fn flag_usages(flags: &[&Flag], command: &Command) -> String {
    let names: Vec<String> = flags.iter().map(|flag| flag_name(flag)).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for (flag, name) in flags.iter().zip(&names) {
        let _ = write!(text, "{name:width$}");
        if flag.name == HELP.name {
            let _ = write!(text, "help for {}", command.name());
        } else {
            text.push_str(&flag.usage.replace('\n', &format!("\n{:width$}", "")));
        }
        text.push_str(&shown_default(flag));
        text.push('\n');
    }
    text
}

fn flag_name(flag: &Flag) -> String {
    let mut name = match flag.short {
        Some(letter) => format!("  -{}, --{}", char::from(letter), flag.name),
        None => format!("      --{}", flag.name),
    };
    name.push_str(match flag.kind {
        Kind::Bool => "",
        Kind::Int => " int",
        Kind::Uint | Kind::Uint64 => " uint",
        Kind::Duration => " duration",
        Kind::Text => " string",
        Kind::List => " strings",
    });
    name
}

/// The default, unless it is what one would expect.
pub(crate) fn shown_default(flag: &Flag) -> String {
    match (flag.kind, flag.default) {
        (_, "") | (Kind::Bool, "false") => String::new(),
        (Kind::Int | Kind::Uint | Kind::Uint64, "0") | (Kind::Duration, "0s") => String::new(),
        (Kind::Text, default) => format!(" (default \"{default}\")"),
        (Kind::List, default) => {
            let words = list::read(default.as_bytes()).unwrap_or_default();
            let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
            format!(" (default [{}])", words.join(","))
        }
        (_, default) => format!(" (default {default})"),
    }
}
