//! How a command fails: an exit code, and what to say.

use std::io;

/// What commands return.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The exit codes of the official tools.
pub(crate) mod exit {
    pub(crate) const ERROR: u8 = 1;
    pub(crate) const BAD_CONNECTION: u8 = 2;
    pub(crate) const INVALID_INPUT: u8 = 3;
    pub(crate) const BAD_FEATURE: u8 = 4;
    pub(crate) const INTERRUPTED: u8 = 5;
    pub(crate) const IO: u8 = 6;
    pub(crate) const BAD_ARGUMENTS: u8 = 128;
    /// What a shell reports of a program whose reader went away.
    pub(crate) const BROKEN_PIPE: u8 = 141;
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    /// What is printed behind `Error: `; nothing where all has been said.
    pub(crate) message: Option<String>,
    /// What to do about it: for people, so only on a terminal.
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()), hint: None }
    }

    /// It did not work.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(exit::ERROR, message)
    }

    /// The command line makes no sense.
    pub(crate) fn bad_arguments(message: impl Into<String>) -> Self {
        Self::new(exit::BAD_ARGUMENTS, message)
    }

    /// All has been said.
    pub(crate) const fn silent(code: u8) -> Self {
        Self { code, message: None, hint: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<io::Error> for Failure {
    /// For what is written to stdout; failures of other files say which.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::silent(exit::BROKEN_PIPE);
        }
        Self::new(exit::IO, format!("cannot write to stdout: {error}"))
    }
}
