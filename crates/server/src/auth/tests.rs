//! Who may do what.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::ServerError;
use etcdkit_proto::authpb::{Permission, permission::Type};
use proptest::prelude::*;

use super::{Access, Auth, Tokens, Who};
use crate::mvcc::KeyRange;

fn permission(kind: Type, key: &str, end: &str) -> Permission {
    let mut permission = Permission {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        ..Permission::default()
    };
    permission.set_perm_type(kind);
    permission
}

fn range(key: &str, end: &str) -> KeyRange {
    KeyRange::new(Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(end.as_bytes()))
}

/// A store in which u has these permissions by two roles, and which is on.
fn store(permissions: &[Permission]) -> (Auth, Who) {
    let mut auth = Auth::default();
    for user in ["root", "u"] {
        auth.add_user(user, Some("hash".to_owned())).unwrap();
    }
    for (number, role) in ["r0", "r1"].into_iter().enumerate() {
        auth.add_role(role).unwrap();
        auth.grant_role("u", role).unwrap();
        for permission in permissions.iter().skip(number).step_by(2) {
            auth.grant_permission(role, Some(permission.clone())).unwrap();
        }
    }
    auth.grant_role("root", "root").unwrap();
    auth.enable().unwrap();
    let who = Who { name: "u".into(), revision: auth.revision() };
    (auth, who)
}

#[test]
fn permissions_cover_what_they_cover_together() {
    let (auth, who) = store(&[
        permission(Type::Read, "a", "c"),
        permission(Type::ReadWrite, "c", "e"),
        permission(Type::Write, "k", ""),
        permission(Type::Read, "x", "\0"),
    ]);
    for (access, key, end, allowed) in [
        (Access::Read, "a", "", true),
        (Access::Read, "a", "e", true),
        (Access::Read, "a", "f", false),
        (Access::Read, "0", "b", false),
        (Access::Write, "a", "e", false),
        (Access::Write, "c", "e", true),
        (Access::Read, "k", "", false),
        (Access::Write, "k", "", true),
        (Access::Write, "k", "k\0", true),
        (Access::Write, "k", "\0", false),
        (Access::Read, "y", "\0", true),
        (Access::Read, "x", "z", true),
        (Access::Read, "w", "\0", false),
        // A whole range is more than its first key.
        (Access::Read, "a", "\0", false),
    ] {
        let outcome = auth.check(Some(&who), access, &range(key, end));
        let expected = if allowed { Ok(()) } else { Err(ServerError::PermissionDenied) };
        assert_eq!(outcome, expected, "{access:?} {key:?} {end:?}");
    }
}

proptest! {
    #[test]
    fn a_range_is_covered_if_each_of_its_keys_is(
        granted in proptest::collection::vec((0..8u8, 1..5u8), 0..5),
        from in 0..8u8, length in 1..6u8,
    ) {
        let key = |number: u8| char::from(b'a' + number).to_string();
        let permissions: Vec<Permission> = granted
            .iter()
            .map(|(from, length)| permission(Type::Read, &key(*from), &key(from + length)))
            .collect();
        let (auth, who) = store(&permissions);
        let readable: BTreeSet<u8> =
            granted.iter().flat_map(|(from, length)| *from..from + length).collect();
        let expected = (from..from + length).all(|key| readable.contains(&key));
        let range = range(&key(from), &key(from + length));
        prop_assert_eq!(auth.check(Some(&who), Access::Read, &range).is_ok(), expected);
    }
}

#[test]
fn who_asks_must_be_known_and_up_to_date() {
    let (mut auth, who) = store(&[permission(Type::Read, "a", "")]);
    let any = range("a", "");
    assert_eq!(auth.check(None, Access::Read, &any), Err(ServerError::UserEmpty));
    assert_eq!(auth.check_root(None), Err(ServerError::UserEmpty));
    assert_eq!(auth.check_root(Some(&who)), Err(ServerError::PermissionDenied));
    auth.add_role("another").unwrap();
    assert_eq!(auth.check(Some(&who), Access::Read, &any), Err(ServerError::AuthOldRevision));
    let root = Who { name: "root".into(), revision: auth.revision() };
    assert_eq!(auth.check(Some(&root), Access::Write, &range("a", "\0")), Ok(()));
    let gone = Who { name: "gone".into(), revision: auth.revision() };
    assert_eq!(auth.check(Some(&gone), Access::Read, &any), Err(ServerError::PermissionDenied));
    assert!(auth.disable());
    assert_eq!(auth.check(None, Access::Write, &any), Ok(()));
}

#[test]
fn root_is_protected_while_it_matters() {
    let (mut auth, _) = store(&[]);
    auth.add_role("root").unwrap();
    assert_eq!(auth.delete_user("root"), Err(ServerError::InvalidAuthManagement));
    assert_eq!(auth.revoke_role("root", "root"), Err(ServerError::InvalidAuthManagement));
    assert_eq!(auth.delete_role("root"), Err(ServerError::InvalidAuthManagement));
    auth.disable();
    assert_eq!(auth.revoke_role("root", "root"), Ok(()));
    assert_eq!(auth.enable(), Err(ServerError::RootRoleNotExist));
    auth.delete_user("root").unwrap();
    assert_eq!(auth.enable(), Err(ServerError::RootUserNotExist));
}

#[test]
fn changes_are_counted() {
    let (mut auth, _) = store(&[]);
    let start = auth.revision();
    assert_eq!(auth.grant_role("u", "r0"), Ok(false));
    assert_eq!(auth.enable(), Ok(()));
    assert_eq!(auth.revision(), start, "nothing changed");
    assert_eq!(auth.delete_role("r0"), Ok(vec!["u".to_owned()]));
    assert_eq!(auth.revision(), start + 1);
    assert!(auth.disable() && !auth.disable());
    assert_eq!(auth.revision(), start + 2);
}

#[test]
fn permissions_that_make_no_sense_are_refused() {
    let (mut auth, _) = store(&[]);
    for (key, end) in [("", ""), ("", "\0"), ("b", "a"), ("b", "b")] {
        let granted = auth.grant_permission("r0", Some(permission(Type::Read, key, end)));
        assert_eq!(granted, Err(ServerError::InvalidAuthManagement), "{key:?} {end:?}");
    }
    assert_eq!(auth.grant_permission("r0", None), Err(ServerError::PermissionNotGiven));
    let grant = permission(Type::Read, "a", "c");
    auth.grant_permission("r0", Some(grant)).unwrap();
    auth.grant_permission("r0", Some(permission(Type::Write, "a", "c"))).unwrap();
    assert_eq!(auth.permissions("r0"), Ok(vec![permission(Type::Write, "a", "c")]));
    assert_eq!(auth.revoke_permission("r0", b"a", b""), Err(ServerError::PermissionNotGranted));
    assert_eq!(auth.revoke_permission("r0", b"a", b"c"), Ok(()));
}

#[test]
fn tokens_live_as_long_as_they_are_used() {
    let second = Duration::from_secs(1);
    let tokens = Tokens::new(10 * second);
    let letters = |_| 51;
    let a = tokens.issue("a", 7, second, letters);
    let b = tokens.issue("b", 8, second, letters);
    assert_eq!(a, "ZZZZZZZZZZZZZZZZ.7");
    assert_eq!(tokens.user(&a, 10 * second).as_deref(), Some("a"));
    assert_eq!(tokens.user(&b, 11 * second), None, "unused for ten seconds");
    assert_eq!(tokens.user(&a, 19 * second).as_deref(), Some("a"));
    tokens.forget("b");
    assert!(tokens.user(&a, 19 * second).is_some());
    tokens.forget("a");
    assert_eq!(tokens.user(&a, 19 * second), None);
    assert_eq!(tokens.user("", second), None);
}
