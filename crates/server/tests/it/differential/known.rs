//! In which answers older versions are known to differ from 3.7.1, and so from this server: the list in
//! `docs/design/server.md`, as far as it is about answers. What must not be asked is in `generate.rs`.

use etcdkit_proto::method::{auth, kv, maintenance};
use etcdkit_testkit::etcd::Version;

use super::Outcome;
use super::generate::Call;

/// Whether an answer of a version is the same as ours but for what is known.
pub(super) fn same(version: Version, call: &Call, ours: &Outcome, theirs: &Outcome) -> bool {
    ours == theirs
        || version <= Version::V3_6
            && (asks_who_wants_to_know(call, ours, theirs)
                || lists_are_looser(call, ours, theirs)
                || another_fault_is_named(call, ours, theirs))
        || version <= Version::V3_5
            && (hashes_are_told_less_of(call, ours, theirs)
                || root_has_permissions(call, ours, theirs))
}

/// Up to 3.6, whether authentication is on is a secret once it is.
fn asks_who_wants_to_know(call: &Call, ours: &Outcome, theirs: &Outcome) -> bool {
    call.path == auth::STATUS.path() && ours.is_ok() && theirs.is_err()
}

/// Up to 3.5, a hash does not say of which revision it is, there is none at the revision of a compaction, and errors of
/// permission have lost their code.
fn hashes_are_told_less_of(call: &Call, ours: &Outcome, theirs: &Outcome) -> bool {
    if call.path != maintenance::HASH_KV.path() {
        return false;
    }
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            without("hash_revision: ", ours) == without("hash_revision: ", theirs)
        }
        (Ok(_), Err((11, text))) => text.ends_with("has been compacted"),
        (Err((_, ours)), Err((2, theirs))) => {
            ours.strip_prefix("etcdserver: ") == theirs.strip_prefix("auth: ")
        }
        _ => false,
    }
}

/// Up to 3.6, keys without their values come from the records, which know their leases; and what is equal, among keys that
/// are sorted by something else and permissions for ranges that begin alike, is in no order.
fn lists_are_looser(call: &Call, ours: &Outcome, theirs: &Outcome) -> bool {
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return false };
    let leases = call.shown.contains("keys_only: true");
    let items = |text: &str| {
        let text = if leases { without("lease: ", text) } else { text.to_owned() };
        let mut items: Vec<String> = text
            .split([']', '[', '}'])
            .map(|item| item.trim_start_matches(", ").to_owned())
            .collect();
        items.sort_unstable();
        items
    };
    let sorted = call.shown.contains("sort_target") || call.path == auth::ROLE_GET.path();
    sorted && items(ours) == items(theirs)
}

/// Up to 3.5, what was granted to the role root is shown, rather than that it may do everything.
fn root_has_permissions(call: &Call, ours: &Outcome, theirs: &Outcome) -> bool {
    call.path == auth::ROLE_GET.path()
        && call.shown.contains(r#"role: "root""#)
        && ours.is_ok()
        && theirs.is_ok()
}

/// Up to 3.6, puts of a transaction are looked at before its ranges, and requests before tokens: of several faults another
/// one is named.
fn another_fault_is_named(call: &Call, ours: &Outcome, theirs: &Outcome) -> bool {
    [kv::RANGE.path(), kv::TXN.path()].contains(&call.path) && ours.is_err() && theirs.is_err()
}

/// A text without the numbers behind a name.
fn without(name: &str, text: &str) -> String {
    let digits = |c: char| c == '-' || c.is_ascii_digit();
    text.split(name).map(|part| part.trim_start_matches(digits)).collect::<Vec<_>>().join(name)
}
