//! From words to a command with its flags and arguments.
//!
//! It goes in two steps, as in the official tools: first the command is found among the words, then the words that are
//! left are read as its flags and arguments. In the first step a flag that isn't known yet counts as one whose value is
//! the next word.

use super::suggest::suggestions;
use super::{Arity, Command, Flag, Kind, Values};
use crate::notation::quote::{quote, quote_char};

/// `--help`, which every command has.
pub(super) static HELP: Flag = Flag::bool("help", "").short(b'h');

/// What was understood.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The commands that were named, the tool first.
    pub(crate) path: Vec<&'static Command>,
    pub(crate) flags: Values,
    pub(crate) arguments: Vec<Vec<u8>>,
    /// How many arguments stood before `--`.
    pub(crate) before_dashes: Option<usize>,
    /// What to tell the user before anything else: flags and commands that go out of use.
    pub(crate) notes: Vec<String>,
    /// The help was asked for, or the command does nothing else.
    pub(crate) wants_help: bool,
}

/// Why a command line was not understood.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) path: Vec<&'static Command>,
    pub(crate) message: String,
    /// What helps: the usage of the command, or only how to ask for it.
    pub(crate) usage: bool,
    pub(crate) notes: Vec<String>,
}

/// Reads `words`, the command line without the tool's own name.
pub(crate) fn parse(tool: &'static Command, words: &[Vec<u8>]) -> Result<Parsed, Box<Refusal>> {
    if let Some(parsed) = unread(tool, words) {
        return Ok(parsed);
    }
    let (path, rest) = descend(tool, words);
    let command = path[path.len() - 1];
    if path.len() == 1
        && !command.commands.is_empty()
        && let Some(index) = plain_words(&path, &rest).next()
    {
        let message = unknown_command(&path, &rest[index]);
        return Err(Box::new(Refusal { path, message, usage: false, notes: Vec::new() }));
    }
    let mut reader = Reader {
        values: Values::new(flags_of(&path)),
        arguments: Vec::new(),
        before_dashes: None,
        notes: Vec::new(),
    };
    if let Some(why) = command.deprecated {
        reader
            .notes
            .push(format!("Command {} is deprecated, {why}", quote(command.name().as_bytes())));
    }
    let result = reader.read(&rest);
    let Reader { values, arguments, before_dashes, notes } = reader;
    let wants_help = match result {
        Ok(()) => values.bool("help") || matches!(command.action, super::Action::Group),
        Err(message) => {
            return Err(Box::new(Refusal { path, message, usage: true, notes }));
        }
    };
    if !wants_help
        && let Err(message) = check_arity(&path, &arguments).and_then(|()| check_required(&values))
    {
        return Err(Box::new(Refusal { path, message, usage: true, notes }));
    }
    Ok(Parsed { path, flags: values, arguments, before_dashes, notes, wants_help })
}

/// The command line of a command that reads it by itself.
fn unread(tool: &'static Command, words: &[Vec<u8>]) -> Option<Parsed> {
    let mut path = vec![tool];
    let mut rest = words;
    if !matches!(tool.action, super::Action::Words(_)) {
        let (first, behind) = words.split_first()?;
        path.push(tool.commands.iter().find(|command| command.is_called(first))?);
        rest = behind;
    }
    let reads_itself = matches!(path[path.len() - 1].action, super::Action::Words(_));
    reads_itself.then(|| Parsed {
        path,
        flags: Values::new([]),
        arguments: rest.to_vec(),
        before_dashes: None,
        notes: Vec::new(),
        wants_help: false,
    })
}

/// The commands that `topic` names, for `help`; an error if its first word is none.
pub(super) fn find(tool: &'static Command, topic: &[Vec<u8>]) -> Result<Vec<&'static Command>, ()> {
    let (path, rest) = descend(tool, topic);
    let is_unknown = path.len() == 1 && plain_words(&path, &rest).next().is_some();
    if is_unknown { Err(()) } else { Ok(path) }
}

/// The commands that are named among the words, and the words that are left: as far as that goes, without reading flags.
pub(crate) fn locate(
    tool: &'static Command,
    words: &[Vec<u8>],
) -> (Vec<&'static Command>, Vec<Vec<u8>>) {
    // A command counts though nothing follows it.
    let (path, mut rest) = descend(tool, &[words, &[Vec::new()]].concat());
    rest.pop();
    (path, rest)
}

/// The commands that are named among the words, and the words that are left.
fn descend(tool: &'static Command, words: &[Vec<u8>]) -> (Vec<&'static Command>, Vec<Vec<u8>>) {
    let mut path = vec![tool];
    let mut rest = words.to_vec();
    while let Some((command, index)) = next_command(&path, &rest) {
        rest.remove(index);
        path.push(command);
    }
    (path, rest)
}

/// The names of `path`, as they are written on a command line.
pub(crate) fn spelled(path: &[&Command]) -> String {
    path.iter().map(|command| command.name()).collect::<Vec<_>>().join(" ")
}

/// All flags of the last command of `path`: its own first, then those of the commands above.
pub(crate) fn flags_of(path: &[&'static Command]) -> Vec<&'static Flag> {
    let command = path[path.len() - 1];
    let above = path.iter().rev().flat_map(|command| command.persistent);
    let mut flags: Vec<&'static Flag> = Vec::new();
    for flag in command.flags.iter().chain(above).chain([&HELP]) {
        if flags.iter().all(|known| known.name != flag.name) {
            flags.push(flag);
        }
    }
    flags
}

/// The command that the first plain word names, or is the beginning of where no other begins alike; and where the word
/// stands.
fn next_command(path: &[&'static Command], words: &[Vec<u8>]) -> Option<(&'static Command, usize)> {
    let index = plain_words(path, words).next()?;
    let command = path[path.len() - 1];
    let word = &words[index];
    if let Some(found) = command.commands.iter().copied().find(|below| below.is_called(word)) {
        return Some((found, index));
    }
    let mut begun = command.commands.iter().copied().filter(|below| below.is_begun_by(word));
    match (begun.next(), begun.next()) {
        (Some(only), None) => Some((only, index)),
        _ => None,
    }
}

/// Where the words stand that are neither flags nor values of flags, up to `--`.
fn plain_words<'a>(
    path: &[&'static Command],
    words: &'a [Vec<u8>],
) -> impl Iterator<Item = usize> + 'a {
    let known = flags_of(path);
    let mut index = 0;
    std::iter::from_fn(move || {
        while let Some(word) = words.get(index) {
            index += 1;
            if word == b"--" {
                index = words.len();
                return None;
            }
            if takes_next(&known, word) {
                // Without a word behind it nothing more can come.
                if words.len() - index <= 1 {
                    index = words.len();
                    return None;
                }
                index += 1;
            } else if !word.is_empty() && word[0] != b'-' {
                return Some(index - 1);
            }
        }
        None
    })
}

/// Whether the word is a flag whose value is the next word.
fn takes_next(known: &[&'static Flag], word: &[u8]) -> bool {
    if word.contains(&b'=') {
        return false;
    }
    let flag = match word {
        [b'-', b'-', name @ ..] => known.iter().find(|flag| flag.name.as_bytes() == name),
        [b'-', letter] => known.iter().find(|flag| flag.short == Some(*letter)),
        _ => return false,
    };
    flag.is_none_or(|flag| flag.kind != Kind::Bool)
}

fn unknown_command(path: &[&'static Command], word: &[u8]) -> String {
    let similar = suggestions(path[path.len() - 1], word);
    format!("unknown command {} for {}{similar}", quote(word), quote(spelled(path).as_bytes()))
}

fn check_arity(path: &[&'static Command], arguments: &[Vec<u8>]) -> Result<(), String> {
    match path[path.len() - 1].arity {
        Arity::Any => Ok(()),
        Arity::None => match arguments.first() {
            Some(word) => Err(format!(
                "unknown command {} for {}",
                quote(word),
                quote(spelled(path).as_bytes())
            )),
            None => Ok(()),
        },
        Arity::Exactly(count) if arguments.len() != count => {
            Err(format!("accepts {count} arg(s), received {}", arguments.len()))
        }
        Arity::Exactly(_) => Ok(()),
        Arity::OneOf(_) if arguments.len() != 1 => {
            Err(format!("accepts 1 arg(s), received {}", arguments.len()))
        }
        Arity::OneOf(valid) => match arguments.first() {
            Some(word) if !valid.iter().any(|valid| valid.as_bytes() == word.as_slice()) => Err(
                format!("invalid argument {} for {}", quote(word), quote(spelled(path).as_bytes())),
            ),
            _ => Ok(()),
        },
    }
}

fn check_required(values: &Values) -> Result<(), String> {
    let mut missing: Vec<&str> = values
        .flags()
        .filter(|flag| flag.required && !values.is_given(flag.name))
        .map(|flag| flag.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    missing.sort_unstable();
    Err(format!("required flag(s) \"{}\" not set", missing.join("\", \"")))
}

/// Reads flags and arguments.
struct Reader {
    values: Values,
    arguments: Vec<Vec<u8>>,
    before_dashes: Option<usize>,
    notes: Vec<String>,
}

impl Reader {
    fn read(&mut self, words: &[Vec<u8>]) -> Result<(), String> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_slice() {
                b"--" => {
                    self.before_dashes = Some(self.arguments.len());
                    self.arguments.extend(words.by_ref().cloned());
                }
                [b'-', b'-', ..] => self.read_long(word, &mut words)?,
                [b'-', letters @ ..] if !letters.is_empty() => {
                    self.read_letters(letters, &mut words)?;
                }
                _ => self.arguments.push(word.clone()),
            }
        }
        Ok(())
    }

    fn read_long<'w>(
        &mut self,
        word: &[u8],
        words: &mut impl Iterator<Item = &'w Vec<u8>>,
    ) -> Result<(), String> {
        let text = &word[2..];
        if matches!(text.first(), None | Some(b'-' | b'=')) {
            return Err(format!("bad flag syntax: {}", lossy(word)));
        }
        let (name, value) = match text.iter().position(|&byte| byte == b'=') {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let Some(flag) = self.values.flags().find(|flag| flag.name.as_bytes() == name) else {
            return Err(format!("unknown flag: --{}", lossy(name)));
        };
        let value = match value {
            Some(value) => value,
            None if flag.kind == Kind::Bool => b"true",
            None => {
                words.next().ok_or_else(|| format!("flag needs an argument: --{}", lossy(name)))?
            }
        };
        self.set(flag, value)
    }

    /// Reads `abc` of `-abc`: flags without a value, the last of which may have one.
    fn read_letters<'w>(
        &mut self,
        mut letters: &[u8],
        words: &mut impl Iterator<Item = &'w Vec<u8>>,
    ) -> Result<(), String> {
        while let Some((&letter, behind)) = letters.split_first() {
            let Some(flag) = self.values.flags().find(|flag| flag.short == Some(letter)) else {
                return Err(format!(
                    "unknown shorthand flag: {} in -{}",
                    quote_char(letter),
                    lossy(letters)
                ));
            };
            let (value, left): (&[u8], &[u8]) = match behind {
                [b'=', value @ ..] if !value.is_empty() => (value, &[]),
                _ if flag.kind == Kind::Bool => (b"true", behind),
                [] => match words.next() {
                    Some(word) => (word, &[]),
                    None => {
                        return Err(format!(
                            "flag needs an argument: {} in -{}",
                            quote_char(letter),
                            lossy(letters)
                        ));
                    }
                },
                value => (value, &[]),
            };
            self.set(flag, value)?;
            letters = left;
        }
        Ok(())
    }

    fn set(&mut self, flag: &'static Flag, text: &[u8]) -> Result<(), String> {
        self.values.set(flag, text).map_err(|why| {
            let name = match flag.short {
                Some(letter) => format!("-{}, --{}", char::from(letter), flag.name),
                None => format!("--{}", flag.name),
            };
            let name = quote(name.as_bytes());
            format!("invalid argument {} for {name} flag: {why}", quote(text))
        })
    }
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
