//! Results in the formats that there are.

use serde_json::Value as Json;

use crate::command::Call;
use crate::ctl::print::table;
use crate::failure::{Failure, Result, exit};

/// A result in a few named values.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) values: Vec<Entry>,
}

/// One value of it.
#[derive(Debug)]
pub(super) struct Entry {
    /// In JSON.
    pub(super) name: &'static str,
    /// In a line of its own.
    pub(super) label: &'static str,
    /// Over a column.
    pub(super) heading: &'static str,
    /// For programs.
    pub(super) value: Json,
    /// For people.
    pub(super) text: String,
}

/// The format that was asked for, by `--write-out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Simple,
    Fields,
    Json,
    Table,
}

impl Format {
    /// Reads it; the refusal is the official tool's.
    pub(super) fn of(call: &Call<'_>) -> Result<Self> {
        match call.flags.text("write-out").as_str() {
            "simple" => Ok(Self::Simple),
            "fields" => Ok(Self::Fields),
            "json" => Ok(Self::Json),
            "table" => Ok(Self::Table),
            "protobuf" => {
                Err(Failure::new(exit::BAD_FEATURE, "protobuf not supported as output format"))
            }
            _ => Err(Failure::new(exit::BAD_FEATURE, "unsupported output format")
                .with_hint("--write-out is fields, json, simple or table")),
        }
    }
}

impl Report {
    /// Writes it to stdout.
    pub(super) fn print(&self, format: Format, call: &mut Call<'_>) -> Result<()> {
        let text = match format {
            Format::Simple => {
                let texts: Vec<&str> =
                    self.values.iter().map(|entry| entry.text.as_str()).collect();
                format!("{}\n", texts.join(", "))
            }
            Format::Fields => {
                let shown = |value: &Json| match value {
                    Json::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let line =
                    |entry: &Entry| format!("\"{}\" : {}\n", entry.label, shown(&entry.value));
                self.values.iter().map(line).collect()
            }
            Format::Json => {
                let pair = |entry: &Entry| format!("\"{}\":{}", entry.name, entry.value);
                let pairs: Vec<String> = self.values.iter().map(pair).collect();
                format!("{{{}}}\n", pairs.join(","))
            }
            Format::Table => {
                let headings: Vec<&str> = self.values.iter().map(|entry| entry.heading).collect();
                let row: Vec<String> = self.values.iter().map(|entry| entry.text.clone()).collect();
                table::draw(&headings, &[row])
            }
        };
        Ok(call.console.print(text)?)
    }
}
