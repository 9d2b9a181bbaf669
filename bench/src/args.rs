//! Flags of the form `--name value` or `--name=value`: all that these commands need.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::Error;

/// The flags of one command line, taken out one by one; whatever is left over is a mistake.
#[derive(Debug, Default)]
pub struct Flags {
    values: BTreeMap<String, String>,
}

impl Flags {
    /// Reads every argument as a flag with a value.
    ///
    /// # Errors
    /// An argument that is no flag, a flag without a value, or a flag given twice.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let mut flags = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let Some(flag) = arg.strip_prefix("--") else {
                return Err(format!("expected a flag, found `{arg}`").into());
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => {
                    let value = args.next().ok_or_else(|| format!("--{flag} needs a value"))?;
                    (flag.to_owned(), value)
                }
            };
            if flags.values.insert(name.clone(), value).is_some() {
                return Err(format!("--{name} is given twice").into());
            }
        }
        Ok(flags)
    }

    /// Takes a flag's text, if it was given.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// Takes a flag's value, or the default where it was not given.
    ///
    /// # Errors
    /// The value cannot be read as a `T`.
    pub fn value<T>(&mut self, name: &str, default: T) -> Result<T, Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        match self.take(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|error| format!("--{name} {text}: {error}").into()),
        }
    }

    /// Takes a comma-separated list, or reads the default the same way.
    ///
    /// # Errors
    /// An element cannot be read as a `T`, or the list is empty.
    pub fn list<T>(&mut self, name: &str, default: &str) -> Result<Vec<T>, Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.take(name).unwrap_or_else(|| default.to_owned());
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| item.parse().map_err(|error| format!("--{name} {item}: {error}").into()))
            .collect::<Result<Vec<T>, Error>>()?;
        if items.is_empty() { Err(format!("--{name} is empty").into()) } else { Ok(items) }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Flags that nobody took.
    pub fn finish(self) -> Result<(), Error> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("there is no flag --{name}").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Flags, Error> {
        Flags::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_taken_once_and_leftovers_are_named() {
        let mut flags = parse("--op put --seconds=1.5 --endpoints a,b --typo 1").unwrap();
        assert_eq!(flags.take("op").as_deref(), Some("put"));
        assert_eq!(flags.value("seconds", 0.0).unwrap(), 1.5);
        assert_eq!(flags.value("warmup", 0.3).unwrap(), 0.3);
        assert_eq!(flags.list::<String>("endpoints", "").unwrap(), ["a", "b"]);
        assert_eq!(flags.list::<usize>("concurrency", "1,16").unwrap(), [1, 16]);
        assert_eq!(flags.finish().unwrap_err().to_string(), "there is no flag --typo");
    }

    #[test]
    fn malformed_lines_are_refused() {
        for (text, message) in [
            ("put", "expected a flag, found `put`"),
            ("--op", "--op needs a value"),
            ("--op put --op get", "--op is given twice"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
        let error = parse("--seconds x").unwrap().value("seconds", 1.0).unwrap_err();
        assert!(error.to_string().starts_with("--seconds x: "), "{error}");
    }
}
