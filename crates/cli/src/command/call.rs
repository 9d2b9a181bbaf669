//! What a command is called with.

use std::path::PathBuf;

use super::{Command, Values};
use crate::console::Console;
use crate::notation::os_string;

/// A command line that was understood, and the world around it.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The commands that were named, the tool first.
    pub(crate) path: Vec<&'static Command>,
    /// The flags, after the environment had its say where it has one.
    pub(crate) flags: Values,
    /// What is neither a command nor a flag.
    pub(crate) arguments: Vec<Vec<u8>>,
    /// How many of the arguments stood before a `--`; none if there was no `--`.
    pub(crate) before_dashes: Option<usize>,
    pub(crate) console: &'a mut Console,
}

impl Call<'_> {
    /// The command itself.
    pub(crate) fn command(&self) -> &'static Command {
        self.path.last().expect("a command line names at least the tool")
    }

    /// The tool.
    pub(crate) fn tool(&self) -> &'static Command {
        self.path[0]
    }

    /// The arguments as text, with what is no UTF-8 replaced.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.arguments.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    /// The arguments as names of files, which need not be text.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.arguments.iter().map(|word| os_string::from_bytes(word).into()).collect()
    }
}
