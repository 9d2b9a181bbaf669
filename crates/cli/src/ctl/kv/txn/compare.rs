//! One compare: `mod("key") > "3"`.

use etcdkit::proto::etcdserverpb::Compare;
use etcdkit::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};

use crate::failure::{Failure, Result, exit};
use crate::notation::number;
use crate::notation::quote::{quote, unquote_prefix};

/// What follows `target(` in a compare, as far as it could be read.
#[derive(Default)]
struct Rest {
    key: Vec<u8>,
    operator: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Rest {
    fn read(text: &[u8]) -> Self {
        let mut rest = Self::default();
        let Some((key, behind)) = unquote_prefix(text.trim_ascii_start()) else { return rest };
        rest.key = key;
        let [b')', b' ' | b'\t', behind @ ..] = behind else { return rest };
        let behind = behind.trim_ascii_start();
        let end = behind.iter().position(u8::is_ascii_whitespace).unwrap_or(behind.len());
        rest.operator = behind[..end].to_vec();
        rest.value = unquote_prefix(behind[end..].trim_ascii_start()).map(|(value, _)| value);
        rest
    }
}

/// Reads a compare.
pub(super) fn read(line: &[u8]) -> Result<Compare> {
    let shown = String::from_utf8_lossy(line);
    let refused = |message: String| Failure::new(exit::INVALID_INPUT, message);
    let malformed = |why: &str| refused(format!("malformed comparison: {shown}{why}"));
    let Some(parenthesis) = line.iter().position(|&byte| byte == b'(') else {
        return Err(malformed(""));
    };
    let target = String::from_utf8_lossy(&line[..parenthesis]);
    let rest = Rest::read(&line[parenthesis + 1..]);
    let Some(value) = rest.value else {
        let operator = String::from_utf8_lossy(&rest.operator);
        return Err(malformed(&format!("; got {target}({}) {operator} \"\"", quote(&rest.key))));
    };
    let number = |base| {
        number::read_in_base(&value, base)
            .map_err(|_| refused(format!("invalid txn compare request: {shown}")))
    };
    let (target, wanted) = match target.as_ref() {
        "ver" | "version" => (CompareTarget::Version, TargetUnion::Version(number(10)?)),
        "c" | "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number(10)?)),
        "m" | "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number(10)?)),
        "val" | "value" => (CompareTarget::Value, TargetUnion::Value(value.into())),
        "lease" => (CompareTarget::Lease, TargetUnion::Lease(number(16)?)),
        other => return Err(malformed(&format!(" (unknown target {other})"))),
    };
    let result = match rest.operator.as_slice() {
        b"=" => CompareResult::Equal,
        b"!=" => CompareResult::NotEqual,
        b">" => CompareResult::Greater,
        b"<" => CompareResult::Less,
        other => {
            let other = String::from_utf8_lossy(other);
            return Err(malformed(&format!(" (unknown operator {other})")));
        }
    };
    let mut compare =
        Compare { key: rest.key.into(), target_union: Some(wanted), ..Compare::default() };
    compare.set_target(target);
    compare.set_result(result);
    Ok(compare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares() {
        let check = |line: &str, target: CompareTarget, result, wanted| {
            let compare = read(line.as_bytes()).unwrap();
            assert_eq!(compare.key, "a", "{line}");
            assert_eq!((compare.target(), compare.result()), (target, result), "{line}");
            assert_eq!(compare.target_union, Some(wanted), "{line}");
        };
        check(
            "mod(\"a\") > \"3\"",
            CompareTarget::Mod,
            CompareResult::Greater,
            TargetUnion::ModRevision(3),
        );
        check(
            "c( \"a\")   <  \"0\" x",
            CompareTarget::Create,
            CompareResult::Less,
            TargetUnion::CreateRevision(0),
        );
        check(
            "ver(\"a\") = \"1\"",
            CompareTarget::Version,
            CompareResult::Equal,
            TargetUnion::Version(1),
        );
        check(
            "val(`a`) != \"\\x62\"",
            CompareTarget::Value,
            CompareResult::NotEqual,
            TargetUnion::Value("b".into()),
        );
    }

    /// The official tool panics here: it never turns the id into a number.
    #[test]
    fn a_lease_is_compared_by_its_hexadecimal_id() {
        let compare = read(b"lease(\"a\") = \"2a\"").unwrap();
        assert_eq!(compare.target_union, Some(TargetUnion::Lease(42)));
    }

    #[test]
    fn refusals() {
        for (line, message) in [
            ("mod", "malformed comparison: mod"),
            ("mod(a) > \"0\"", "malformed comparison: mod(a) > \"0\"; got mod(\"\")  \"\""),
            ("mod(\"a\")>\"0\"", "malformed comparison: mod(\"a\")>\"0\"; got mod(\"a\")  \"\""),
            ("mod(\"a\") > 0", "malformed comparison: mod(\"a\") > 0; got mod(\"a\") > \"\""),
            ("foo(\"a\") > \"0\"", "malformed comparison: foo(\"a\") > \"0\" (unknown target foo)"),
            ("mod(\"a\") > \"x\"", "invalid txn compare request: mod(\"a\") > \"x\""),
            ("mod(\"a\") ~ \"0\"", "malformed comparison: mod(\"a\") ~ \"0\" (unknown operator ~)"),
        ] {
            let failure = read(line.as_bytes()).unwrap_err();
            assert_eq!(failure.message.as_deref(), Some(message));
            assert_eq!(failure.code, exit::INVALID_INPUT);
        }
    }
}
