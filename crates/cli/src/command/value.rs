//! The values of flags.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use super::{Flag, Kind};
use crate::notation::{duration, list, number, os_string};

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Bool(bool),
    Int(i64),
    Uint(u64),
    /// Nanoseconds, which may be negative.
    Duration(i64),
    Text(Vec<u8>),
    List(Vec<Vec<u8>>),
}

impl Value {
    /// Reads what was written after a flag, or says what is wrong with it.
    pub(crate) fn read(kind: Kind, text: &[u8]) -> Result<Self, String> {
        Ok(match kind {
            Kind::Bool => Self::Bool(number::read_bool(text)?),
            Kind::Int => Self::Int(number::read_int(text, 64)?),
            Kind::Uint | Kind::Uint64 => Self::Uint(number::read_uint(text, 64)?),
            Kind::Duration => Self::Duration(duration::read(text)?),
            Kind::Text => Self::Text(text.to_vec()),
            Kind::List => Self::List(list::read(text)?),
        })
    }
}

/// The values of all flags that a command takes.
#[derive(Debug)]
pub(crate) struct Values {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    flag: &'static Flag,
    value: Option<Value>,
}

impl Values {
    pub(super) fn new(flags: impl IntoIterator<Item = &'static Flag>) -> Self {
        let entries = flags.into_iter().map(|flag| Entry { flag, value: None }).collect();
        Self { entries }
    }

    /// Sets what was written; a list that was given before grows.
    pub(crate) fn set(&mut self, flag: &'static Flag, text: &[u8]) -> Result<(), String> {
        let value = Value::read(flag.kind, text)?;
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.flag.name == flag.name) else {
            return Ok(());
        };
        match (&mut entry.value, value) {
            (Some(Value::List(words)), Value::List(more)) => words.extend(more),
            (slot, value) => *slot = Some(value),
        }
        Ok(())
    }

    /// The flags, in the order in which the command takes them.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static Flag> + '_ {
        self.entries.iter().map(|entry| entry.flag)
    }

    /// Whether the flag was given.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.flag.name == name && entry.value.is_some())
    }

    fn get(&self, name: &str) -> Value {
        let entry = self.entries.iter().find(|entry| entry.flag.name == name);
        let entry = entry.unwrap_or_else(|| unreachable!("the command has no flag --{name}"));
        entry.value.clone().unwrap_or_else(|| entry.flag.initial())
    }

    pub(crate) fn bool(&self, name: &str) -> bool {
        matches!(self.get(name), Value::Bool(true))
    }

    pub(crate) fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Value::Int(number) => number,
            other => unreachable!("--{name} is no number: {other:?}"),
        }
    }

    pub(crate) fn uint(&self, name: &str) -> u64 {
        match self.get(name) {
            Value::Uint(number) => number,
            other => unreachable!("--{name} is no number: {other:?}"),
        }
    }

    /// The duration; a negative one is none at all.
    pub(crate) fn duration(&self, name: &str) -> Duration {
        Duration::from_nanos(self.nanos(name).try_into().unwrap_or(0))
    }

    /// The duration in nanoseconds, which may be negative.
    pub(crate) fn nanos(&self, name: &str) -> i64 {
        match self.get(name) {
            Value::Duration(nanos) => nanos,
            other => unreachable!("--{name} is no duration: {other:?}"),
        }
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        match self.get(name) {
            Value::Text(text) => text,
            other => unreachable!("--{name} is no text: {other:?}"),
        }
    }

    pub(crate) fn text(&self, name: &str) -> String {
        lossy(self.bytes(name))
    }

    /// The name of a file, which need not be text.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        os_string::from_bytes(&self.bytes(name)).into()
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Value::List(words) => words.into_iter().map(lossy).collect(),
            other => unreachable!("--{name} is no list: {other:?}"),
        }
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    match String::from_utf8_lossy(&bytes) {
        Cow::Owned(text) => text,
        Cow::Borrowed(text) => text.to_owned(),
    }
}
