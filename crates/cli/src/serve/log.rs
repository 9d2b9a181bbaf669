//! The log, in the shape of zap's: what reads etcd's logs reads these.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::panic::Location;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// An object for each line.
    Json,
    /// Columns, for people.
    Console,
}

/// How and where to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogSettings {
    pub(super) level: Level,
    pub(super) format: Format,
    /// As `--log-outputs` has them.
    pub(super) outputs: Vec<String>,
}

/// The log of a server.
#[derive(Debug)]
pub(super) struct Log {
    level: Level,
    format: Format,
    sinks: Mutex<Vec<Sink>>,
    now: fn() -> Duration,
}

#[derive(Debug)]
enum Sink {
    Stdout,
    Stderr,
    File(File),
}

impl Level {
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "debug" => Self::Debug,
            "warn" => Self::Warn,
            "error" => Self::Error,
            "panic" | "fatal" => Self::Fatal,
            _ => Self::Info,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

impl Log {
    /// Opens the outputs. `now` is the time of day, since 1970.
    pub(super) fn open(settings: &LogSettings, now: fn() -> Duration) -> Result<Self, String> {
        let mut sinks = Vec::new();
        for output in &settings.outputs {
            sinks.push(match output.as_str() {
                "default" | "stderr" => Sink::Stderr,
                "stdout" => Sink::Stdout,
                path => {
                    let file = OpenOptions::new().create(true).append(true).open(path);
                    Sink::File(file.map_err(|error| format!("--log-outputs: {path}: {error}"))?)
                }
            });
        }
        Ok(Self { level: settings.level, format: settings.format, sinks: sinks.into(), now })
    }

    /// The log of a server that did not get far enough to have another.
    pub(super) fn to_stderr(format: Format, now: fn() -> Duration) -> Self {
        Self { level: Level::Info, format, sinks: vec![Sink::Stderr].into(), now }
    }

    #[track_caller]
    pub(super) fn info(&self, message: &str, fields: &[(&str, Json)]) {
        self.write(Level::Info, message, fields);
    }

    #[track_caller]
    pub(super) fn warn(&self, message: &str, fields: &[(&str, Json)]) {
        self.write(Level::Warn, message, fields);
    }

    #[track_caller]
    pub(super) fn fatal(&self, message: &str, fields: &[(&str, Json)]) {
        self.write(Level::Fatal, message, fields);
    }

    #[track_caller]
    fn write(&self, level: Level, message: &str, fields: &[(&str, Json)]) {
        if level < self.level {
            return;
        }
        let location = Location::caller();
        let path = location.file();
        let file = path.rsplit_once("src/").map_or(path, |(_, file)| file);
        let place = format!("{file}:{}", location.line());
        let line = match self.format {
            Format::Json => json((self.now)(), level, &place, message, fields),
            Format::Console => console((self.now)(), level, &place, message, fields),
        };
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        for sink in &mut *sinks {
            // A log that cannot be written is no reason to stop serving.
            let _ = sink.write(line.as_bytes());
        }
    }
}

impl Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(line),
            Self::Stderr => io::stderr().lock().write_all(line),
            Self::File(file) => file.write_all(line),
        }
    }
}

fn json(
    now: Duration,
    level: Level,
    place: &str,
    message: &str,
    fields: &[(&str, Json)],
) -> String {
    let text = |text: &str| Json::from(text).to_string();
    let mut line = format!(
        r#"{{"level":"{}","ts":"{}","caller":{},"msg":{}"#,
        level.name(),
        timestamp(now),
        text(place),
        text(message)
    );
    for (name, value) in fields {
        line.push_str(&format!(",{}:{value}", text(name)));
    }
    line.push_str("}\n");
    line
}

fn console(
    now: Duration,
    level: Level,
    place: &str,
    message: &str,
    fields: &[(&str, Json)],
) -> String {
    let mut line = format!("{}\t{}\t{place}\t{message}", timestamp(now), level.name());
    if !fields.is_empty() {
        let field = |(name, value): &(&str, Json)| format!("{}: {value}", Json::from(*name));
        let fields: Vec<String> = fields.iter().map(field).collect();
        line.push_str(&format!("\t{{{}}}", fields.join(", ")));
    }
    line.push('\n');
    line
}

/// Year, month and day, so many days after the first of January 1970.
pub(super) const fn date(days: u64) -> (u64, u64, u64) {
    // Years begin in March, so that leap days come last; eras have 400 of them. The first is that of the year 0.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + (month <= 2) as u64;
    (year, month, day)
}

fn timestamp(now: Duration) -> String {
    let seconds = now.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = now.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_zap_writes_them() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000042Z"),
            (951_782_399, "2000-02-28T23:59:59.000042Z"),
            (951_782_400, "2000-02-29T00:00:00.000042Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000042Z"),
            (1_795_246_564, "2026-11-21T07:36:04.000042Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000042Z"),
        ] {
            assert_eq!(timestamp(Duration::new(seconds, 42_000)), expected);
        }
    }

    #[test]
    fn a_line_is_an_object_or_columns() {
        let fields = [("address", Json::from("127.0.0.1:1")), ("n", Json::from(3))];
        assert_eq!(
            json(Duration::ZERO, Level::Info, "serve/run.rs:7", "a \"b\"", &fields),
            "{\"level\":\"info\",\"ts\":\"1970-01-01T00:00:00.000000Z\",\"caller\":\"serve/run.rs:7\",\
             \"msg\":\"a \\\"b\\\"\",\"address\":\"127.0.0.1:1\",\"n\":3}\n"
        );
        assert_eq!(
            console(Duration::ZERO, Level::Warn, "serve/run.rs:7", "a", &fields),
            "1970-01-01T00:00:00.000000Z\twarn\tserve/run.rs:7\ta\t{\"address\": \"127.0.0.1:1\", \"n\": 3}\n"
        );
    }

    #[test]
    fn lines_below_the_level_are_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let settings = LogSettings {
            level: Level::Warn,
            format: Format::Json,
            outputs: vec![path.display().to_string()],
        };
        let log = Log::open(&settings, || Duration::ZERO).expect("it opens");
        log.info("below", &[]);
        log.warn("at", &[]);
        log.fatal("above", &[]);
        let text = std::fs::read_to_string(&path).expect("it is there");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains(r#""caller":"serve/log.rs:"#), "{text}");

        let nowhere = LogSettings { outputs: vec!["/nowhere/log".to_owned()], ..settings };
        let error = Log::open(&nowhere, || Duration::ZERO).unwrap_err();
        assert!(error.contains("/nowhere/log"), "{error}");
    }
}
