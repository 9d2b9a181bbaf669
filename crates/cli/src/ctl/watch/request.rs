//! What is to be watched, as a command line or a line of input says it.

use etcdkit::{KeyRange, Watch, prefix_end};

use super::super::kv::split_words;
use super::WATCH;
use crate::command::{Command, Values, parse};
use crate::console::Console;
use crate::failure::{Failure, Result};

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

/// What lines are read as.
static LINES: Command = Command { commands: &[&WATCH], ..Command::BASE };

impl Request {
    /// Reads arguments: a key, the end of a range, and behind `--` a command. The key may come from the environment.
    pub(super) fn read(
        console: &Console,
        flags: &Values,
        arguments: &[Vec<u8>],
        before_dashes: Option<usize>,
    ) -> Result<Self> {
        let bad = |why: &str| Failure::bad_arguments(format!("bad number of arguments{why}"));
        let variable = |name: &str| {
            let value = console.variable(name).map(|value| value.as_encoded_bytes().to_vec());
            value.filter(|value| !value.is_empty())
        };
        let (keys, command) = arguments.split_at(before_dashes.unwrap_or(arguments.len()));
        if before_dashes.is_some() && command.is_empty() {
            return Err(bad(" (found separator --, but no commands)"));
        }
        let given = variable(KEY);
        if given.is_some() && !keys.is_empty() {
            return Err(bad(" (found conflicting environment key)"));
        }
        let (key, range_end) = match (given, keys) {
            (Some(key), _) => (key, variable(RANGE_END)),
            (None, [key]) => (key.clone(), None),
            (None, [key, range_end, ..]) => (key.clone(), Some(range_end.clone())),
            (None, []) => return Err(bad("")),
        };
        let prefix = flags.bool("prefix");
        if range_end.is_some() && prefix {
            return Err(Failure::bad_arguments(
                "`range_end` and `--prefix` are mutually exclusive",
            ));
        }
        let range = match range_end {
            Some(range_end) => KeyRange::range(key, range_end),
            None if prefix && key.is_empty() => KeyRange::all(),
            None if prefix => {
                let end = prefix_end(&key);
                KeyRange::range(key, end)
            }
            None => KeyRange::key(key),
        };
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
        Ok(Self { watch, command: command.to_vec() })
    }

    /// Whether it begins before there was anything. etcd takes that for history that was compacted.
    pub(super) fn is_before_history(&self) -> bool {
        self.watch.start().is_some_and(|start| start.get() < 0)
    }
}

/// Reads a line of input; what is no request is said on stderr.
pub(super) fn read_line(console: &mut Console, line: &[u8]) -> Result<Option<Line>> {
    let line = line.trim_ascii_end();
    let shown = String::from_utf8_lossy(line);
    let words = split_words(line);
    match words.first().map(Vec::as_slice) {
        Some(b"watch") => {}
        Some(b"progress") if words.len() == 1 => return Ok(Some(Line::Progress)),
        _ => {
            console.error_line(format_args!("Invalid command {shown} (only support watch)"));
            return Ok(None);
        }
    }
    let has_key = words.len() > 1 || console.variable(KEY).is_some();
    if !has_key {
        console.error_line(format_args!(
            "Invalid command {shown} (command type or key is not provided)"
        ));
        return Ok(None);
    }
    let parsed =
        parse(&LINES, &words).map_err(|refusal| Failure::bad_arguments(refusal.message))?;
    let request = Request::read(console, &parsed.flags, &parsed.arguments, parsed.before_dashes)?;
    Ok(Some(Line::Watch(request)))
}
