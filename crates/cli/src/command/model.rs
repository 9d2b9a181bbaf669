//! What a command is.

use super::{Call, Flag};
use crate::failure::Result;

/// A command of a tool, or the tool itself: what can stand on a command line, and what then happens.
#[derive(Debug)]
pub(crate) struct Command {
    /// The usage line without the commands above: the name, then what follows it, such as `get [options] <key>`.
    pub(crate) usage: &'static str,
    /// Other names.
    pub(crate) aliases: &'static [&'static str],
    /// One line for the list of commands.
    pub(crate) short: &'static str,
    /// What `--help` says; empty means [`short`](Self::short).
    pub(crate) long: &'static str,
    /// Command lines to learn from, indented.
    pub(crate) example: &'static str,
    /// The heading that it is listed under, where the tool has headings.
    pub(crate) heading: &'static str,
    /// Flags of this command alone.
    pub(crate) flags: &'static [Flag],
    /// Flags of this command and of all below it.
    pub(crate) persistent: &'static [Flag],
    pub(crate) commands: &'static [&'static Self],
    pub(crate) arity: Arity,
    pub(crate) action: Action,
    /// Works, and is not listed.
    pub(crate) hidden: bool,
    /// Works, is not listed, and says this on stderr.
    pub(crate) deprecated: Option<&'static str>,
    /// Whether the usage line ends without `[flags]`.
    pub(crate) bare: bool,
    /// Whether what is below is listed under headings.
    pub(crate) has_headings: bool,
    /// Whether `--help` is not listed.
    pub(crate) hides_help: bool,
    /// How the help of a tool looks: counts only for the first of a command line.
    pub(crate) style: Style,
}

/// What the helps of all commands of a tool have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Whether they begin with what the command does.
    pub(crate) describes: bool,
    /// The line that they end with.
    pub(crate) footer: &'static str,
    /// Whether an error about the command line is said once more behind the usage.
    pub(crate) repeats_errors: bool,
}

/// How many arguments a command takes, where the parser itself refuses others. Most commands look for themselves, in
/// words of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arity {
    /// Any number.
    Any,
    /// None: an argument counts as an unknown command.
    #[expect(dead_code, reason = "for commands of the other tools")]
    None,
    /// So many.
    Exactly(usize),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Nothing by itself: it shows its help.
    Group,
    /// It shows the help of the command that its arguments name.
    Help,
    Run(fn(&mut Call<'_>) -> Result<()>),
    /// It reads its own command line: every word behind its name is an argument, whatever it looks like.
    Words(fn(&mut Call<'_>) -> Result<()>),
}

impl Command {
    /// What a table of commands fills in its own fields over.
    pub(crate) const BASE: Self = Self {
        usage: "",
        aliases: &[],
        short: "",
        long: "",
        example: "",
        heading: "",
        flags: &[],
        persistent: &[],
        commands: &[],
        arity: Arity::Any,
        action: Action::Group,
        hidden: false,
        deprecated: None,
        bare: false,
        has_headings: false,
        hides_help: false,
        style: Style { describes: true, footer: "", repeats_errors: false },
    };

    /// Its name: the first word of the usage line.
    pub(crate) fn name(&self) -> &'static str {
        self.usage.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn is_called(&self, word: &[u8]) -> bool {
        self.name().as_bytes() == word || self.aliases.iter().any(|alias| alias.as_bytes() == word)
    }

    pub(crate) fn is_begun_by(&self, word: &[u8]) -> bool {
        let begins = |name: &str| name.as_bytes().starts_with(word);
        begins(self.name()) || self.aliases.iter().any(|alias| begins(alias))
    }

    /// The commands below that are listed, by name.
    pub(crate) fn listed(&self) -> Vec<&'static Self> {
        let mut listed: Vec<&'static Self> = self
            .commands
            .iter()
            .copied()
            .filter(|command| !command.hidden && command.deprecated.is_none())
            .collect();
        listed.sort_by_key(|command| command.name());
        listed
    }
}
