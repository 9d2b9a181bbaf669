//! What a flag is.

use super::value::Value;

/// A flag of a command.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) short: Option<u8>,
    pub(crate) kind: Kind,
    /// Its value where it isn't given, as it would be written on the command line.
    pub(crate) default: &'static str,
    pub(crate) usage: &'static str,
    /// The command does nothing without it.
    pub(crate) required: bool,
    /// Works, and is not listed.
    pub(crate) hidden: bool,
}

/// What a flag's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `--flag` is `--flag=true`; the value never stands in a word of its own.
    Bool,
    Int,
    Uint,
    Uint64,
    Duration,
    Text,
    /// Words with commas between them, quoted as in CSV; each repetition of the flag adds to them.
    List,
}

impl Flag {
    const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        usage: &'static str,
    ) -> Self {
        Self { name, short: None, kind, default, usage, required: false, hidden: false }
    }

    pub(crate) const fn bool(name: &'static str, usage: &'static str) -> Self {
        Self::new(name, Kind::Bool, "false", usage)
    }

    pub(crate) const fn int(
        name: &'static str,
        default: &'static str,
        usage: &'static str,
    ) -> Self {
        Self::new(name, Kind::Int, default, usage)
    }

    pub(crate) const fn uint(
        name: &'static str,
        default: &'static str,
        usage: &'static str,
    ) -> Self {
        Self::new(name, Kind::Uint, default, usage)
    }

    pub(crate) const fn duration(
        name: &'static str,
        default: &'static str,
        usage: &'static str,
    ) -> Self {
        Self::new(name, Kind::Duration, default, usage)
    }

    pub(crate) const fn text(
        name: &'static str,
        default: &'static str,
        usage: &'static str,
    ) -> Self {
        Self::new(name, Kind::Text, default, usage)
    }

    /// `default` is written as on the command line: words with commas between them.
    pub(crate) const fn list(
        name: &'static str,
        default: &'static str,
        usage: &'static str,
    ) -> Self {
        Self::new(name, Kind::List, default, usage)
    }

    /// The same as another kind of number.
    pub(crate) const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The same, and one letter means it too.
    pub(crate) const fn short(mut self, letter: u8) -> Self {
        self.short = Some(letter);
        self
    }

    /// The same with another value where it isn't given.
    pub(crate) const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    /// The same, and the command is refused without it.
    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(crate) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(crate) const fn is_listed(&self) -> bool {
        !self.hidden
    }

    /// Its value where it isn't given.
    pub(crate) fn initial(&self) -> Value {
        Value::read(self.kind, self.default.as_bytes()).unwrap_or_else(|why| {
            // A test reads the default of every flag of every command.
            unreachable!("the default of --{} is no value of its kind: {why}", self.name)
        })
    }
}
