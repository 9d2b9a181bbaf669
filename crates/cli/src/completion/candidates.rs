//! What could stand at the cursor.

use crate::command::{Action, Arity, Command, Flag, Kind, flags_of, locate};
use crate::serve;

/// What a shell may offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Words(Vec<Candidate>),
    /// The shell knows them.
    Files,
    /// The cluster knows them.
    Keys,
}

/// One word, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) word: String,
    pub(super) about: String,
}

/// Commands whose arguments are keys.
const OF_KEYS: &[&str] = &["get", "put", "del", "watch", "lock", "elect"];
/// Commands whose arguments are files.
const OF_FILES: &[&str] = &["hashkv", "snapshot save", "snapshot status", "snapshot restore"];
/// Flags whose values are files.
const FILE_FLAGS: &[&str] = &[
    "data-dir",
    "wal-dir",
    "cert",
    "key",
    "cacert",
    "dest-cert",
    "dest-key",
    "dest-cacert",
    "svg",
    "all",
];
/// Flags whose values are words.
const WORD_FLAGS: &[(&str, &[&str])] = &[
    ("write-out", &["fields", "json", "protobuf", "simple", "table"]),
    ("consistency", &["l", "s"]),
    ("order", &["ASCEND", "DESCEND"]),
    ("sort-by", &["CREATE", "KEY", "MODIFY", "VALUE", "VERSION"]),
    ("load", &["s", "m", "l", "xl"]),
];

/// What could stand for `last`, behind the words before it.
pub(super) fn wanted(tool: &'static Command, before: &[Vec<u8>], last: &str) -> Wanted {
    let (path, rest) = locate(tool, before);
    let command = path[path.len() - 1];
    let flags = flags_of(&path);
    if let Some((name, begin)) = last.strip_prefix("--").and_then(|last| last.split_once('=')) {
        let known = flags.iter().find(|flag| flag.name == name);
        return known.map_or(Wanted::Words(Vec::new()), |flag| {
            value_of(flag, begin, &format!("--{name}="))
        });
    }
    if let Some(flag) = rest.last().and_then(|word| awaits_value(&flags, word)) {
        return value_of(flag, last, "");
    }
    if last.starts_with('-') {
        return Wanted::Words(match command.action {
            // It reads its flags by itself.
            Action::Words(_) => server_flags_beginning_with(last),
            _ => flags_beginning_with(&flags, last),
        });
    }
    let mut below: Vec<&Command> = command.listed();
    below.retain(|below| below.name().starts_with(last));
    if !below.is_empty() {
        let candidate = |below: &&Command| Candidate {
            word: below.name().to_owned(),
            about: below.short.to_owned(),
        };
        return Wanted::Words(below.iter().map(candidate).collect());
    }
    if let Arity::OneOf(words) = command.arity {
        return Wanted::Words(words_beginning_with(words, last, ""));
    }
    let names: Vec<&str> = path[1..].iter().map(|command| command.name()).collect();
    let names = names.join(" ");
    if OF_KEYS.contains(&names.as_str()) {
        return Wanted::Keys;
    }
    if OF_FILES.contains(&names.as_str()) {
        return Wanted::Files;
    }
    Wanted::Words(Vec::new())
}

/// The flag whose value comes next, if the word is one without its value.
fn awaits_value(flags: &[&'static Flag], word: &[u8]) -> Option<&'static Flag> {
    let word = std::str::from_utf8(word).ok()?;
    let flag = match word.strip_prefix("--") {
        Some(name) => flags.iter().find(|flag| flag.name == name),
        None => match word.as_bytes() {
            [b'-', .., letter] => flags.iter().find(|flag| flag.short == Some(*letter)),
            _ => None,
        },
    }?;
    (flag.kind != Kind::Bool).then_some(flag)
}

fn value_of(flag: &Flag, begin: &str, prefix: &str) -> Wanted {
    if FILE_FLAGS.contains(&flag.name) && prefix.is_empty() {
        return Wanted::Files;
    }
    let words = match flag.kind {
        Kind::Bool => &["true", "false"][..],
        _ => WORD_FLAGS
            .iter()
            .find(|(name, _)| *name == flag.name)
            .map_or(&[][..], |(_, words)| words),
    };
    Wanted::Words(words_beginning_with(words, begin, prefix))
}

fn words_beginning_with(words: &[&str], begin: &str, prefix: &str) -> Vec<Candidate> {
    let fitting = words.iter().filter(|word| word.starts_with(begin));
    fitting
        .map(|word| Candidate { word: format!("{prefix}{word}"), about: String::new() })
        .collect()
}

/// Flags of the cluster's commands are left out of their helps, and yet are wanted here.
fn flags_beginning_with(flags: &[&'static Flag], begin: &str) -> Vec<Candidate> {
    let mut fitting: Vec<Candidate> = flags
        .iter()
        .map(|flag| Candidate {
            word: format!("--{}", flag.name),
            about: flag.usage.lines().next().unwrap_or_default().to_owned(),
        })
        .filter(|candidate| candidate.word.starts_with(begin))
        .collect();
    fitting.sort_by(|a, b| a.word.cmp(&b.word));
    fitting
}

fn server_flags_beginning_with(begin: &str) -> Vec<Candidate> {
    serve::flags()
        .map(|(name, about)| Candidate { word: format!("--{name}"), about: about.to_owned() })
        .filter(|candidate| candidate.word.starts_with(begin))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool;

    fn offered(name: &str, line: &str) -> Wanted {
        let mut words: Vec<&str> = line.split(' ').collect();
        let last = words.pop().unwrap_or_default();
        let before: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        wanted(tool::with_name(name), &before, last)
    }

    fn words(name: &str, line: &str) -> Vec<String> {
        match offered(name, line) {
            Wanted::Words(words) => words.into_iter().map(|candidate| candidate.word).collect(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands_flags_and_values_are_completed_where_they_stand() {
        assert_eq!(words("etcdutl", "snap"), ["snapshot"]);
        assert_eq!(words("etcdutl", "snapshot "), ["restore", "status"]);
        assert_eq!(words("etcdutl", "-w json snapshot re"), ["restore"]);
        assert_eq!(
            words("etcdutl", "snapshot restore --initial-c"),
            ["--initial-cluster", "--initial-cluster-token"]
        );
        assert_eq!(words("etcdutl", "snapshot status -w t"), ["table"]);
        assert_eq!(words("etcdutl", "snapshot status --write-out=t"), ["--write-out=table"]);
        assert_eq!(words("etcdutl", "migrate --force=f"), ["--force=false"]);
        assert_eq!(words("etcdutl", "completion "), ["bash", "zsh", "fish", "powershell"]);
        assert_eq!(words("etcdutl", "defrag nothing"), [""; 0]);
        assert_eq!(words("etcdutl", "snapshot restore --name "), [""; 0]);
        assert_eq!(offered("etcdutl", "snapshot status "), Wanted::Files);
        assert_eq!(offered("etcdutl", "defrag --data-dir "), Wanted::Files);
        assert_eq!(offered("etcdutl", "hashkv --rev 3 "), Wanted::Files);
        assert!(words("etcdkit", "").contains(&"serve".to_owned()));
        assert_eq!(
            words("etcdkit", "serve --in"),
            [
                "--initial-election-tick-advance",
                "--initial-advertise-peer-urls",
                "--initial-cluster",
                "--initial-cluster-state",
                "--initial-cluster-token",
                "--in-memory"
            ]
        );
        assert_eq!(words("etcd", "--unsafe"), ["--unsafe-no-fsync"]);
        assert!(!words("etcdkit", "").contains(&"__complete".to_owned()));
    }

    #[test]
    fn what_takes_keys_or_files_is_a_command() {
        for names in OF_KEYS.iter().chain(OF_FILES) {
            let words: Vec<Vec<u8>> =
                names.split(' ').map(|name| name.as_bytes().to_vec()).collect();
            let (path, rest) = locate(tool::with_name("etcdkit"), &words);
            assert_eq!(path.len() - 1, words.len(), "{names}: {rest:?}");
        }
    }
}
