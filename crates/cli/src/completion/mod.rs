//! Completion of command lines by shells.
//!
//! `scripts.rs` has a short script for each shell, which asks the tool itself what could stand at the cursor, by the hidden
//! command `__complete`. `candidates.rs` answers from the tables of commands and flags; keys come from the cluster that
//! the line so far points at (`ctl/live_keys.rs`).

mod candidates;
mod scripts;

use crate::command::{Action, Arity, Call, Command, parse};
use crate::ctl::live_keys;
use crate::failure::Result;
use crate::tool;

use candidates::{Candidate, Wanted};

/// The command of etcdutl.
pub(crate) static COMPLETION: Command = BASE;

/// The command of etcdctl, and ours.
pub(crate) static LONG_COMPLETION: Command =
    Command { long: LONG, heading: "Utility commands", ..BASE };

/// What the scripts call.
pub(crate) static COMPLETE: Command = Command {
    usage: "__complete [words]",
    hidden: true,
    action: Action::Words(complete),
    ..Command::BASE
};

const BASE: Command = Command {
    usage: "completion [bash|zsh|fish|powershell]",
    short: "Generate completion script",
    bare: true,
    arity: Arity::OneOf(&["bash", "zsh", "fish", "powershell"]),
    action: Action::Run(completion),
    ..Command::BASE
};

const LONG: &str = include_str!("long.txt");

fn completion(call: &mut Call<'_>) -> Result<()> {
    let shell = call.texts().swap_remove(0);
    Ok(call.console.print(scripts::script(&shell, call.tool().name()))?)
}

/// Prints a candidate on each line, with what it is behind a tab, and then what the shell is to do about them.
///
/// A shell can show no errors here, so that there are none: what cannot be found out is left out.
fn complete(call: &mut Call<'_>) -> Result<()> {
    let Some((last, before)) = call.arguments.split_last() else { return Ok(()) };
    let last = String::from_utf8_lossy(last).into_owned();
    let (before, tool) = (before.to_vec(), tool::with_name(call.tool().name()));
    let (candidates, directive) = match candidates::wanted(tool, &before, &last) {
        Wanted::Words(words) => (words, ""),
        Wanted::Files => (Vec::new(), "files"),
        Wanted::Keys => (keys(call, tool, &before, &last), "nospace"),
    };
    let mut text = String::new();
    for Candidate { word, about } in candidates {
        text.push_str(&word);
        if !about.is_empty() {
            text.push('\t');
            text.push_str(&about);
        }
        text.push('\n');
    }
    text.push_str(&format!(":{directive}\n"));
    Ok(call.console.print(text)?)
}

/// Keys that begin with what is there, up to the next slash.
fn keys(
    call: &mut Call<'_>,
    tool: &'static Command,
    before: &[Vec<u8>],
    begin: &str,
) -> Vec<Candidate> {
    let Ok(parsed) = parse(tool, before) else { return Vec::new() };
    let mut call = Call {
        path: parsed.path,
        flags: parsed.flags,
        arguments: Vec::new(),
        before_dashes: None,
        console: &mut *call.console,
    };
    let found = live_keys::beginning_with(&mut call, begin.as_bytes()).unwrap_or_default();
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'`$\\;&|<>()*?[]#~!{}".contains(byte);
    found
        .into_iter()
        // What a shell would take apart is not offered.
        .filter(|key| key.iter().all(plain))
        .filter_map(|key| {
            Some(Candidate { word: String::from_utf8(key).ok()?, about: String::new() })
        })
        .collect()
}
