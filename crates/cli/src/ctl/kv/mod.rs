//! Keys: `get`, `put`, `del`, `txn`, `compaction`.
//!
//! What `get`, `put` and `del` make of their command line is a request; `txn` reads such command lines too and puts the
//! requests into one.

mod compaction;
mod del;
mod get;
mod put;
mod txn;

pub(super) use compaction::COMPACTION;
pub(super) use del::DEL;
pub(super) use get::{GET, consistency_is_serializable};
pub(super) use put::PUT;
pub(super) use txn::{TXN, split_words};

use bytes::Bytes;
use etcdkit::prefix_end;

use crate::command::Values;
use crate::failure::{Failure, Result};

/// The keys that a command line means: its one or two arguments, with `--prefix` and `--from-key`.
pub(super) struct Keys {
    pub(super) key: Bytes,
    pub(super) range_end: Bytes,
}

impl Keys {
    fn read(command: &str, flags: &Values, arguments: &[Vec<u8>]) -> Result<Self> {
        let (prefix, from_key) = (flags.bool("prefix"), flags.bool("from-key"));
        if prefix && from_key {
            return Err(Failure::bad_arguments(
                "`--prefix` and `--from-key` cannot be set at the same time, choose one",
            ));
        }
        let (key, range_end) = match arguments {
            [key] => (key, None),
            // The official `get` passes over what is too much.
            [key, range_end] => (key, Some(range_end)),
            [key, range_end, _, ..] if command == "get" => (key, Some(range_end)),
            _ => {
                return Err(Failure::bad_arguments(format!(
                    "{command} command needs one argument as key and an optional argument as range_end"
                )));
            }
        };
        if range_end.is_some() && (prefix || from_key) {
            return Err(Failure::bad_arguments(
                "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
            ));
        }
        let key = Bytes::from(key.clone());
        Ok(match range_end {
            Some(range_end) => Self { key, range_end: range_end.clone().into() },
            None if prefix || from_key && key.is_empty() => Self::prefix(&key),
            None if from_key => Self { key, range_end: Bytes::from_static(&[0]) },
            None => Self { key, range_end: Bytes::new() },
        })
    }

    /// Those that begin with `prefix`.
    pub(super) fn prefix(prefix: &[u8]) -> Self {
        if prefix.is_empty() {
            return Self { key: Bytes::from_static(&[0]), range_end: Bytes::from_static(&[0]) };
        }
        Self { key: Bytes::copy_from_slice(prefix), range_end: prefix_end(prefix) }
    }

    fn is_range(&self) -> bool {
        !self.range_end.is_empty()
    }
}
