//! Whether permissions cover a range of keys.

use std::ops::Bound;

use bytes::Bytes;
use etcdkit_proto::authpb::{Permission, permission::Type};

use super::store::Access;
use crate::mvcc::KeyRange;

/// Whether the permissions together allow `access` to every key of `range`, which may need several of them.
pub(super) fn cover<'a>(
    permissions: impl Iterator<Item = &'a Permission>,
    access: Access,
    range: &KeyRange,
) -> bool {
    let granted = permissions.filter(|permission| allows(permission, access));
    let mut ranges: Vec<KeyRange> = granted
        .map(|granted| KeyRange::new(granted.key.clone(), granted.range_end.clone()))
        .collect();
    // Nothing is read or written in an empty range. etcd's answer depends on the shape of a tree; ours is that about
    // the key with which it begins.
    if range.is_single() || range.is_empty() {
        return ranges.iter().any(|granted| granted.contains(range.start()));
    }
    // The part of the range that is still to be covered begins here.
    let mut from: Bytes = range.start().clone();
    ranges.sort_unstable();
    for granted in &ranges {
        if granted.start() > &from {
            return false;
        }
        match end(granted) {
            None => return true,
            Some(end) if end > from => from = end,
            Some(_) => {}
        }
        if end(range).is_some_and(|end| end <= from) {
            return true;
        }
    }
    false
}

/// The first key after the range; `None` if it has no end.
fn end(range: &KeyRange) -> Option<Bytes> {
    match range.bounds()?.1 {
        Bound::Unbounded => None,
        Bound::Excluded(end) => Some(Bytes::copy_from_slice(end)),
        Bound::Included(key) => {
            let mut end = key.to_vec();
            end.push(0);
            Some(end.into())
        }
    }
}

fn allows(permission: &Permission, access: Access) -> bool {
    match permission.perm_type() {
        Type::ReadWrite => true,
        Type::Read => access == Access::Read,
        Type::Write => access == Access::Write,
    }
}

/// Whether a range makes sense in a permission.
pub(super) fn is_valid(permission: &Permission) -> bool {
    let (key, end) = (&permission.key, permission.range_end.as_ref());
    !key.is_empty() && (end.is_empty() || end == [0] || key < end)
}
