//! What was said about the flags.

use std::collections::BTreeMap;
use std::time::Duration;

use super::kind::Value;
use super::table::{self, Flag};
use crate::bootstrap::Url;

/// Each flag's value, and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    given: BTreeMap<&'static str, Given>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    text: String,
    value: Value,
    source: Source,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    CommandLine,
    Environment,
    File,
}

impl Values {
    /// Takes a value for a flag, in place of an earlier one. The error says what is wrong with the text.
    pub(crate) fn set(
        &mut self,
        flag: &'static Flag,
        text: &str,
        source: Source,
    ) -> Result<(), String> {
        let value = flag.kind.parse(text)?;
        self.given.insert(flag.name, Given { text: text.to_owned(), value, source });
        Ok(())
    }

    /// Where the flag's value came from, unless it is the default.
    pub(crate) fn source(&self, name: &str) -> Option<Source> {
        self.given.get(name).map(|given| given.source)
    }

    /// Those that were given, with their text.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static Flag, &str, Source)> {
        self.given.iter().filter_map(|(name, given)| {
            Some((table::find(name)?, given.text.as_str(), given.source))
        })
    }

    fn value(&self, name: &str) -> Value {
        if let Some(given) = self.given.get(name) {
            return given.value.clone();
        }
        let flag = table::find(name).expect("settings ask for flags of the table");
        flag.kind.parse(flag.default).expect("a test parses every default")
    }

    pub(crate) fn text(&self, name: &str) -> String {
        let Value::Text(text) = self.value(name) else { unreachable!("{name} is no text") };
        text
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let Value::List(list) = self.value(name) else { unreachable!("{name} is no list") };
        list
    }

    pub(crate) fn switch(&self, name: &str) -> bool {
        let Value::Switch(on) = self.value(name) else { unreachable!("{name} is no switch") };
        on
    }

    pub(crate) fn natural(&self, name: &str) -> u64 {
        let Value::Natural(number) = self.value(name) else { unreachable!("{name} is no number") };
        number
    }

    pub(crate) fn integer(&self, name: &str) -> i64 {
        let Value::Integer(number) = self.value(name) else { unreachable!("{name} is no number") };
        number
    }

    pub(crate) fn duration(&self, name: &str) -> Duration {
        let Value::Duration(time) = self.value(name) else { unreachable!("{name} is no time") };
        time
    }

    pub(crate) fn urls(&self, name: &str) -> Vec<Url> {
        let Value::Urls(urls) = self.value(name) else { unreachable!("{name} is no URL") };
        urls
    }
}
