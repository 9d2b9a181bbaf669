//! What the table of messages is made of.

use super::schema::{MESSAGES, METHODS};

/// An RPC: its path, and the places of its messages in the table.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) path: &'static str,
    pub(super) input: usize,
    pub(super) output: usize,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// The name of the `.proto` file, which answers have.
    pub(super) name: &'static str,
    /// The other name that requests may use.
    pub(super) json_name: &'static str,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bytes,
    String,
    Bool,
    Uint32,
    Int64,
    Uint64,
    /// Its place in the table of enums.
    Enum(usize),
    /// Its place in the table of messages.
    Message(usize),
}

/// The RPC with a path.
pub(super) fn method(path: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.path == path)
}

/// The fields of a message.
pub(super) fn fields(message: usize) -> &'static [Field] {
    MESSAGES.get(message).copied().unwrap_or_default()
}
