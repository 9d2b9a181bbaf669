//! What the value of a flag looks like.

use std::time::Duration;

use crate::bootstrap::Url;
use crate::notation::{self, number};

/// The kind of value that a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Texts with commas between them.
    List,
    /// One of these.
    Choice(&'static [&'static str]),
    /// The one kind that needs no value: given alone it is on.
    Switch,
    Natural,
    Natural32,
    Integer,
    Duration,
    /// URLs with commas between them; none is the empty text.
    Urls,
    /// `NAME=true|false` with commas between them.
    Gates,
}

/// A value that was parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    List(Vec<String>),
    Switch(bool),
    Natural(u64),
    Integer(i64),
    Duration(Duration),
    Urls(Vec<Url>),
}

/// The features that etcd 3.7 knows by name.
const GATES: [&str; 11] = [
    "AllAlpha",
    "AllBeta",
    "CompactHashCheck",
    "FastLeaseKeepAlive",
    "InitialCorruptCheck",
    "LeaseCheckpoint",
    "LeaseCheckpointPersist",
    "PriorityRequest",
    "SetMemberLocalAddr",
    "StopGRPCServiceOnDefrag",
    "TxnModeWriteWithSharedBuffer",
];

const NONSENSE: &str = "parse error";
const TOO_LARGE: &str = "value out of range";

impl Kind {
    /// Parses a value; the error says what is wrong with it, in etcd's words where those say it.
    pub(crate) fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::List => Ok(Value::List(list(text))),
            Self::Choice(choices) if choices.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Choice(choices) => {
                Err(format!("possible values are {}", quoted(choices).join(", ")))
            }
            Self::Switch => switch(text).map(Value::Switch).ok_or_else(|| NONSENSE.to_owned()),
            Self::Natural => natural(text, 64),
            // The one number that etcd reads by itself, and in other words.
            Self::Natural32 => number::read_uint(text.as_bytes(), 32).map(Value::Natural),
            Self::Integer => {
                number::read_int(text.as_bytes(), 64).map(Value::Integer).map_err(wrong_number)
            }
            Self::Duration => {
                duration(text).map(Value::Duration).ok_or_else(|| NONSENSE.to_owned())
            }
            Self::Urls if text.is_empty() => Ok(Value::Urls(Vec::new())),
            Self::Urls => Url::parse_list(text).map(Value::Urls),
            Self::Gates => gates(text).map(Value::List),
        }
    }
}

fn natural(text: &str, bits: u32) -> Result<Value, String> {
    number::read_uint(text.as_bytes(), bits).map(Value::Natural).map_err(wrong_number)
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn quoted(choices: &[&str]) -> Vec<String> {
    choices.iter().map(|choice| format!("'{choice}'")).collect()
}

/// A truth value, as Go's source would write it.
fn switch(text: &str) -> Option<bool> {
    number::read_bool(text.as_bytes()).ok()
}

/// A duration that is not negative, as Go writes them: `1h30m`, `1.5s`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let nanoseconds = notation::duration::read(text.as_bytes()).ok()?;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// What Go's flag package makes of what is wrong with a number.
fn wrong_number(why: String) -> String {
    let too_large = why.ends_with(TOO_LARGE);
    if too_large { TOO_LARGE } else { NONSENSE }.to_owned()
}

fn gates(text: &str) -> Result<Vec<String>, String> {
    let gates = list(text);
    for gate in &gates {
        let Some((name, state)) = gate.split_once('=') else {
            return Err(format!("missing bool value for {gate}"));
        };
        if !GATES.contains(&name.trim()) {
            return Err(format!("unrecognized feature gate: {name}"));
        }
        if switch(state.trim()).is_none() {
            return Err(format!("invalid value of {name}={state}, err: {NONSENSE}"));
        }
    }
    Ok(gates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::flags::table;

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for flag in table::all() {
            let parsed = flag.kind.parse(flag.default);
            assert!(parsed.is_ok(), "{}: {parsed:?}", flag.name);
        }
    }

    #[test]
    fn what_is_wrong_with_a_value_is_said_in_gos_words() {
        for (kind, text, expected) in [
            (Kind::Natural, "0x1F", Ok(Value::Natural(31))),
            (Kind::Natural, "-1", Err(NONSENSE)),
            (Kind::Natural, "18446744073709551616", Err(TOO_LARGE)),
            (Kind::Natural32, "4294967295", Ok(Value::Natural(4_294_967_295))),
            (
                Kind::Natural32,
                "4294967296",
                Err("strconv.ParseUint: parsing \"4294967296\": value out of range"),
            ),
            (Kind::Integer, "-8", Ok(Value::Integer(-8))),
            (Kind::Integer, "9223372036854775808", Err(TOO_LARGE)),
            (Kind::Integer, "1.5", Err(NONSENSE)),
            (Kind::Duration, "1h30m", Ok(Value::Duration(Duration::from_secs(5400)))),
            (Kind::Duration, "5", Err(NONSENSE)),
            (Kind::Duration, "-5s", Err(NONSENSE)),
            (Kind::Switch, "T", Ok(Value::Switch(true))),
            (Kind::Switch, "yes", Err(NONSENSE)),
            (Kind::Choice(&["a", "b"]), "c", Err("possible values are 'a', 'b'")),
        ] {
            assert_eq!(kind.parse(text), expected.map_err(str::to_owned), "{kind:?} {text}");
        }
    }

    #[test]
    fn gates_are_those_of_etcd() {
        for (text, expected) in [
            ("", Ok(0)),
            ("AllBeta=true,LeaseCheckpoint=false", Ok(2)),
            ("AllBeta", Err("missing bool value for AllBeta")),
            ("Nothing=true", Err("unrecognized feature gate: Nothing")),
            ("AllBeta=maybe", Err("invalid value of AllBeta=maybe, err: parse error")),
        ] {
            assert_eq!(gates(text).map(|gates| gates.len()), expected.map_err(str::to_owned));
        }
    }
}
