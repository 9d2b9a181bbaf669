//! What is to be watched, as a command line or a line of input says it.

use etcdkit::{KeyRange, Watch, prefix_end};

use super::super::kv::split_words;
use super::WATCH;
use crate::command::{Command, Values, parse};
use crate::console::Console;
use crate::failure::{Failure, Result};
use crate::notation::quote::quote;

/// A watch, and the command to run after each event.
pub(super) struct Request {
    pub(super) watch: Watch,
    pub(super) command: Vec<Vec<u8>>,
}

/// A line of input.
pub(super) enum Line {
    Watch(Request),
    Progress,
}

/// The variables that stand for a key and the end of a range.
const KEY: &str = "ETCDCTL_WATCH_KEY";
const RANGE_END: &str = "ETCDCTL_WATCH_RANGE_END";

const BAD_NUMBER: &str = "bad number of arguments";

/// What lines are read as.
static LINES: Command = Command { commands: &[&WATCH], ..Command::BASE };

/// The value of a variable; an empty one is none.
fn variable(console: &Console, name: &str) -> Option<Vec<u8>> {
    let value = console.variable(name).map(|value| value.as_encoded_bytes().to_vec());
    value.filter(|value| !value.is_empty())
}

/// Refuses the end of a range that begins nowhere.
pub(super) fn check_variables(console: &Console) -> Result<()> {
    match (variable(console, KEY), variable(console, RANGE_END)) {
        (None, Some(end)) => Err(Failure::bad_arguments(format!(
            "{KEY} is empty but got {RANGE_END}={}",
            quote(&end)
        ))),
        _ => Ok(()),
    }
}

impl Request {
    /// Reads arguments: a key, the end of a range, and behind `--` a command. The key may come from the environment.
    ///
    /// The inner error is for keys that are no range; lines of input may go on after one.
    pub(super) fn read(
        console: &Console,
        flags: &Values,
        arguments: &[Vec<u8>],
        before_dashes: Option<usize>,
    ) -> Result<std::result::Result<Self, &'static str>> {
        let bad = |why: &str| Failure::bad_arguments(format!("{BAD_NUMBER}{why}"));
        let (keys, command) = arguments.split_at(before_dashes.unwrap_or(arguments.len()));
        if before_dashes.is_some() && command.is_empty() {
            return Err(bad(" (found separator --, but no commands)"));
        }
        let keys = match variable(console, KEY) {
            Some(_) if !keys.is_empty() => {
                return Err(bad(" (found conflicting environment key)"));
            }
            Some(key) => [key].into_iter().chain(variable(console, RANGE_END)).collect(),
            None if keys.is_empty() && before_dashes.is_none() => return Err(bad("")),
            None => keys.to_vec(),
        };
        Ok(range(&keys, flags.bool("prefix"))
            .map(|range| Self { watch: watch(range, flags), command: command.to_vec() }))
    }

    /// Whether it begins before there was anything. etcd takes that for history that was compacted.
    pub(super) fn is_before_history(&self) -> bool {
        self.watch.start().is_some_and(|start| start.get() < 0)
    }
}

/// What two keys, one, or the first of more stand for.
fn range(keys: &[Vec<u8>], prefix: bool) -> std::result::Result<KeyRange, &'static str> {
    match keys {
        [] => Err(BAD_NUMBER),
        [_, _] if prefix => Err("`range_end` and `--prefix` are mutually exclusive"),
        [key, range_end] => Ok(KeyRange::range(key.clone(), range_end.clone())),
        [key, ..] if prefix && key.is_empty() => Ok(KeyRange::all()),
        [key, ..] if prefix => Ok(KeyRange::range(key.clone(), prefix_end(key))),
        [key, ..] => Ok(KeyRange::key(key.clone())),
    }
}

fn watch(range: KeyRange, flags: &Values) -> Watch {
    let mut watch = Watch::new(range);
    let revision = flags.int("rev");
    if revision != 0 {
        watch = watch.from_revision(revision);
    }
    if flags.bool("prev-kv") {
        watch = watch.prev_kv();
    }
    if flags.bool("progress-notify") {
        watch = watch.progress_notify();
    }
    watch
}

/// Reads a line of input; what is no request is said on stderr.
pub(super) fn read_line(console: &mut Console, line: &[u8]) -> Result<Option<Line>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let shown = String::from_utf8_lossy(line);
    let words = split_words(line);
    let refused = match words.first().map(Vec::as_slice) {
        None => format!(": {shown} (watch and progress supported)"),
        Some(b"progress") => return Ok(Some(Line::Progress)),
        Some(b"watch") if words.len() == 1 && variable(console, KEY).is_none() => {
            format!(" {shown} (command type or key is not provided)")
        }
        Some(b"watch") => {
            let parsed =
                parse(&LINES, &words).map_err(|refusal| Failure::bad_arguments(refusal.message))?;
            match Request::read(console, &parsed.flags, &parsed.arguments, parsed.before_dashes)? {
                Ok(request) => return Ok(Some(Line::Watch(request))),
                Err(why) => format!(" {shown} ({why})"),
            }
        }
        Some(_) => format!(" {shown} (only support watch)"),
    };
    console.error_line(format_args!("Invalid command{refused}"));
    Ok(None)
}
