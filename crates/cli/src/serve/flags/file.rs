//! A configuration file: YAML or JSON, with the names of flags as keys.
//!
//! The settings of TLS have keys of their own below `client-transport-security` and `peer-transport-security`. Durations
//! are nanoseconds, as etcd wants them; here a text such as `10m` will do too.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::kind::Kind;
use super::table::{self, Flag};
use super::values::{Source, Values};
use crate::notation::os_error;

/// Bytes that a file may have: nobody writes as much by hand.
const MAX_BYTES: u64 = 1 << 20;

/// Keys below `client-transport-security`, and the flags that they are.
const CLIENT: [(&str, &str); 8] = [
    ("cert-file", "cert-file"),
    ("key-file", "key-file"),
    ("client-cert-file", "client-cert-file"),
    ("client-key-file", "client-key-file"),
    ("client-cert-auth", "client-cert-auth"),
    ("trusted-ca-file", "trusted-ca-file"),
    ("auto-tls", "auto-tls"),
    ("allowed-hostname", "client-cert-allowed-hostname"),
];

/// Keys below `peer-transport-security`, and the flags that they are.
const PEER: [(&str, &str); 9] = [
    ("cert-file", "peer-cert-file"),
    ("key-file", "peer-key-file"),
    ("client-cert-file", "peer-client-cert-file"),
    ("client-key-file", "peer-client-key-file"),
    ("client-cert-auth", "peer-client-cert-auth"),
    ("trusted-ca-file", "peer-trusted-ca-file"),
    ("auto-tls", "peer-auto-tls"),
    ("allowed-cn", "peer-cert-allowed-cn"),
    ("allowed-hostname", "peer-cert-allowed-hostname"),
];

/// Reads a file. Returns its values, and what to warn of.
pub(super) fn read(path: &Path) -> Result<(Values, Vec<String>), String> {
    let about = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let failed = |error| format!("open {}: {}", path.display(), os_error::text(&error));
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MAX_BYTES {
        return Err(about(&format_args!("a configuration file has at most {MAX_BYTES} bytes")));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    parse(&text).map_err(|why| about(&why))
}

fn parse(text: &str) -> Result<(Values, Vec<String>), String> {
    let file: Option<Map<String, Json>> =
        serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let mut reading = Reading::default();
    for (key, value) in file.unwrap_or_default() {
        match (key.as_str(), &value) {
            ("client-transport-security", Json::Object(map)) => {
                reading.below(&key, map, &CLIENT)?
            }
            ("peer-transport-security", Json::Object(map)) => reading.below(&key, map, &PEER)?,
            _ => reading.take(&key, table::find(&key), &value)?,
        }
    }
    Ok((reading.values, reading.warnings))
}

#[derive(Default)]
struct Reading {
    values: Values,
    warnings: Vec<String>,
}

impl Reading {
    fn below(
        &mut self,
        above: &str,
        map: &Map<String, Json>,
        names: &[(&str, &str)],
    ) -> Result<(), String> {
        for (key, value) in map {
            let flag = names.iter().find(|(name, _)| name == key);
            let flag = flag.and_then(|(_, flag)| table::find(flag));
            self.take(&format!("{above}.{key}"), flag, value)?;
        }
        Ok(())
    }

    fn take(&mut self, key: &str, flag: Option<&'static Flag>, value: &Json) -> Result<(), String> {
        let Some(flag) = flag else {
            self.warnings.push(format!("unrecognized key of the configuration file: {key}"));
            return Ok(());
        };
        let Some(text) = text_of(flag.kind, value) else {
            return Err(format!("{key}: not a single value"));
        };
        // What is empty is left out.
        if text.is_empty() {
            return Ok(());
        }
        let taken = self.values.set(flag, &text, Source::File);
        taken.map_err(|why| format!("invalid value {text:?} for {key}: {why}"))
    }
}

/// The value as a command line would say it.
fn text_of(kind: Kind, value: &Json) -> Option<String> {
    match value {
        Json::Null => Some(String::new()),
        Json::Bool(on) => Some(on.to_string()),
        Json::Number(number) if kind == Kind::Duration => Some(format!("{number}ns")),
        Json::Number(number) => Some(number.to_string()),
        Json::String(text) => Some(text.clone()),
        Json::Array(items) => {
            let items: Option<Vec<String>> =
                items.iter().map(|item| text_of(Kind::Text, item)).collect();
            Some(items?.join(","))
        }
        Json::Object(map) if kind == Kind::Gates => {
            let gate = |(name, state): (&String, &Json)| {
                Some(format!("{name}={}", text_of(Kind::Text, state)?))
            };
            Some(map.iter().map(gate).collect::<Option<Vec<_>>>()?.join(","))
        }
        Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_keys_of_a_file_are_flags() {
        let text = "\
name: m0
data-dir: /var/lib/etcd
listen-client-urls: https://127.0.0.1:2379,https://[::1]:2379
heartbeat-interval: 50
strict-reconfig-check: false
watch-progress-notify-interval: 5000000000
corrupt-check-time: 2s
log-outputs: [stderr, /tmp/log]
wal-dir:
feature-gates: {AllBeta: true}
client-transport-security:
  cert-file: c.pem
  key-file: k.pem
  trusted-ca-file: ca.pem
peer-transport-security:
  auto-tls: true
nonsense: 3
";
        let (values, warnings) = parse(text).expect("it is one");
        assert_eq!(warnings, ["unrecognized key of the configuration file: nonsense"]);
        assert_eq!(values.text("name"), "m0");
        assert_eq!(values.urls("listen-client-urls").len(), 2);
        assert_eq!(values.natural("heartbeat-interval"), 50);
        assert!(!values.switch("strict-reconfig-check"));
        assert_eq!(values.duration("watch-progress-notify-interval"), Duration::from_secs(5));
        assert_eq!(values.duration("corrupt-check-time"), Duration::from_secs(2));
        assert_eq!(values.list("log-outputs"), ["stderr", "/tmp/log"]);
        assert_eq!(values.source("wal-dir"), None);
        assert_eq!(values.list("feature-gates"), ["AllBeta=true"]);
        assert_eq!(values.text("trusted-ca-file"), "ca.pem");
        assert!(values.switch("peer-auto-tls") && !values.switch("auto-tls"));
        assert_eq!(values.source("name"), Some(Source::File));
    }

    #[test]
    fn what_a_file_cannot_say_is_named() {
        for (text, expected) in [
            ("heartbeat-interval: x", "invalid value \"x\" for heartbeat-interval: parse error"),
            ("name: {a: 1}", "name: not a single value"),
            (
                "client-transport-security: {auto-tls: 7}",
                "invalid value \"7\" for client-transport-security.auto-tls: parse error",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
        assert!(parse("name: [1").is_err());
        assert!(parse("just text").is_err());
        assert_eq!(parse("").map(|(values, _)| values), Ok(Values::default()));
        let missing = read(Path::new("/nowhere/etcd.yaml")).unwrap_err();
        assert_eq!(missing, "open /nowhere/etcd.yaml: no such file or directory");
    }

    #[test]
    fn every_key_of_transport_security_is_a_flag() {
        for (_, flag) in CLIENT.iter().chain(&PEER) {
            assert!(table::find(flag).is_some(), "{flag}");
        }
    }
}
