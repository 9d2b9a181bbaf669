//! The keys of a cluster, for the completion of shells: those that there are, up to their next slash.
//!
//! It looks for one key, takes it up to the slash, and goes on behind all that begin so: as many small reads as there are
//! candidates, whatever is below them.

use std::time::Instant;

use etcdkit::proto::etcdserverpb::RangeRequest;
use etcdkit::proto::method;

use super::session::Session;
use crate::command::Call;
use crate::failure::Result;
use crate::pause;

/// More than that are no help.
const CANDIDATES: usize = 64;
/// Nobody waits longer for a completion, unless they say so.
const PATIENCE: &[u8] = b"1s";
/// The flag that says so.
const TIMEOUT: &str = "command-timeout";

/// The keys that begin with `begin`, each up to the first slash behind it.
pub(crate) fn beginning_with(call: &mut Call<'_>, begin: &[u8]) -> Result<Vec<Vec<u8>>> {
    if would_ask(call) {
        return Ok(Vec::new());
    }
    let patience = call.flags.flags().find(|flag| flag.name == TIMEOUT);
    if let Some(flag) = patience
        && !call.flags.is_given(TIMEOUT)
        && call.console.variable("ETCDCTL_COMMAND_TIMEOUT").is_none_or(|it| it.is_empty())
    {
        let _ = call.flags.set(flag, PATIENCE);
    }
    let session = Session::open(call)?;
    let deadline = pause::now() + call.flags.duration(TIMEOUT);
    collect(begin, deadline, |from, end| {
        let request = RangeRequest {
            key: from.into(),
            range_end: end.into(),
            limit: 1,
            keys_only: true,
            serializable: true,
            ..RangeRequest::default()
        };
        let found = session.call(method::kv::RANGE, &request)?;
        Ok(found.kvs.into_iter().next().map(|kv| kv.key.to_vec()))
    })
}

/// Whether a user is named without a password, which people would be asked for.
fn would_ask(call: &Call<'_>) -> bool {
    let said = |flag: &str, variable: &str| {
        let variable =
            call.console.variable(variable).map(|text| text.to_string_lossy().into_owned());
        let given = call.flags.is_given(flag).then(|| call.flags.text(flag));
        given.or(variable).filter(|text| !text.is_empty())
    };
    let user = said("user", "ETCDCTL_USER");
    user.is_some_and(|user| !user.contains(':')) && said("password", "ETCDCTL_PASSWORD").is_none()
}

/// `first` finds the first key of a range.
fn collect(
    begin: &[u8],
    deadline: Instant,
    mut first: impl FnMut(Vec<u8>, Vec<u8>) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<Vec<u8>>> {
    let end = behind(begin);
    let mut from = if begin.is_empty() { vec![0] } else { begin.to_vec() };
    let mut candidates = Vec::new();
    while candidates.len() < CANDIDATES && pause::now() < deadline {
        let Some(mut key) = first(from, end.clone())? else { break };
        let slash = key.iter().skip(begin.len()).position(|&byte| byte == b'/');
        if let Some(slash) = slash {
            key.truncate(begin.len() + slash + 1);
            from = behind(&key);
        } else {
            from = [&key[..], &[0]].concat();
        }
        candidates.push(key);
        // Behind a prefix of nothing but the last byte there is nothing.
        if from == [0] {
            break;
        }
    }
    Ok(candidates)
}

/// The end of the range of keys that begin so; a single zero is the end of all keys.
fn behind(begin: &[u8]) -> Vec<u8> {
    let kept = begin.iter().rposition(|&byte| byte < u8::MAX);
    let Some(last) = kept else { return vec![0] };
    let mut end = begin[..=last].to_vec();
    end[last] += 1;
    end
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn keys_are_offered_up_to_the_next_slash() {
        let keys: Vec<&[u8]> =
            vec![b"/a/b/1", b"/a/b/2", b"/a/c", b"/b", b"/b/x", b"alone", b"\xff\xff"];
        let offered = |begin: &[u8]| {
            let first = |from: Vec<u8>, end: Vec<u8>| {
                let inside = |key: &&&[u8]| **key >= &from[..] && (end == [0] || **key < &end[..]);
                Ok(keys.iter().find(inside).map(|key| key.to_vec()))
            };
            collect(begin, pause::now() + Duration::from_secs(60), first).expect("it never fails")
        };
        assert_eq!(offered(b""), [&b"/"[..], b"alone", b"\xff\xff"]);
        assert_eq!(offered(b"/"), [&b"/a/"[..], b"/b", b"/b/"]);
        assert_eq!(offered(b"/a/"), [&b"/a/b/"[..], b"/a/c"]);
        assert_eq!(offered(b"/a/b/"), [&b"/a/b/1"[..], b"/a/b/2"]);
        assert_eq!(offered(b"al"), [b"alone"]);
        assert_eq!(offered(b"none"), [b""; 0]);
        assert_eq!(offered(b"\xff"), [b"\xff\xff"]);
    }
}
