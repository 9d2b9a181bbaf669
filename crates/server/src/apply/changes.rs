//! The keys that a transaction changes: none may be put twice, or be put and deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use bytes::Bytes;
use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::RequestOp;
use etcdkit_proto::etcdserverpb::request_op::Request;

use super::Ranged;
use crate::mvcc::KeyRange;

/// The keys that a list of operations changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    puts: BTreeSet<Bytes>,
    deletes: Spans,
}

impl Changes {
    /// Gathers them, those of the transactions within first. Of two lists that are joined, the shorter one is looked at, so
    /// that it takes no longer than sorting them, however they are nested.
    ///
    /// # Errors
    ///
    /// When a key is changed twice.
    pub(super) fn of(operations: &[RequestOp]) -> Result<Self, ServerError> {
        let mut changes = Self::default();
        for operation in operations {
            if let Some(Request::DeleteRange(delete)) = &operation.request {
                changes.deletes.add(&delete.range());
            }
        }
        for operation in operations {
            let Some(Request::Txn(inner)) = &operation.request else { continue };
            // Only one of the branches runs, so that they may put the same key.
            let branches = [Self::of(&inner.success)?, Self::of(&inner.failure)?];
            if branches.iter().any(|branch| changes.have_one_of(&branch.puts)) {
                return Err(ServerError::DuplicateKey);
            }
            branches.into_iter().for_each(|branch| changes.join(branch));
        }
        for operation in operations {
            if let Some(Request::Put(put)) = &operation.request
                && (changes.deletes.contains(&put.key) || !changes.puts.insert(put.key.clone()))
            {
                return Err(ServerError::DuplicateKey);
            }
        }
        Ok(changes)
    }

    fn have_one_of(&self, puts: &BTreeSet<Bytes>) -> bool {
        let (fewer, more) =
            if puts.len() < self.puts.len() { (puts, &self.puts) } else { (&self.puts, puts) };
        fewer.iter().any(|key| more.contains(key)) || self.deletes.contain_one_of(puts)
    }

    fn join(&mut self, mut branch: Self) {
        if branch.puts.len() > self.puts.len() {
            mem::swap(&mut branch.puts, &mut self.puts);
        }
        self.puts.extend(branch.puts);
        self.deletes.join(branch.deletes);
    }
}

/// Ranges of keys of which no two touch: the first key of each, and the one before which it ends.
#[derive(Debug, Default)]
struct Spans(BTreeMap<Bytes, Bytes>);

impl Spans {
    /// etcd overlooks deletions without an end here, and so do we: the put before it is deleted.
    fn add(&mut self, range: &KeyRange) {
        if let Some((start, end)) = range.span() {
            self.insert(start, end);
        }
    }

    fn insert(&mut self, mut start: Bytes, mut end: Bytes) {
        // Those that it touches become a part of it, from the last one on.
        while let Some((first, last)) = self.0.range::<Bytes, _>(..=&end).next_back()
            && *last >= start
        {
            let (first, last) = (first.clone(), last.clone());
            self.0.remove(&first);
            start = start.min(first);
            end = end.max(last);
        }
        self.0.insert(start, end);
    }

    fn contains(&self, key: &Bytes) -> bool {
        self.0.range::<Bytes, _>(..=key).next_back().is_some_and(|(_, end)| key < end)
    }

    fn contain_one_of(&self, keys: &BTreeSet<Bytes>) -> bool {
        if keys.len() < self.0.len() {
            keys.iter().any(|key| self.contains(key))
        } else {
            self.0.iter().any(|(start, end)| keys.range::<Bytes, _>(start..end).next().is_some())
        }
    }

    fn join(&mut self, mut other: Self) {
        if other.0.len() > self.0.len() {
            mem::swap(&mut other.0, &mut self.0);
        }
        other.0.into_iter().for_each(|(start, end)| self.insert(start, end));
    }
}

#[cfg(test)]
mod tests {
    use etcdkit_proto::etcdserverpb::{DeleteRangeRequest, PutRequest, TxnRequest};
    use proptest::prelude::*;

    use super::*;

    /// The same by the rule as it reads: each put against all changes before it.
    fn naive(operations: &[RequestOp]) -> Result<(BTreeSet<Bytes>, Vec<KeyRange>), ServerError> {
        let (mut puts, mut deletes) = (BTreeSet::new(), Vec::new());
        let taken = |puts: &BTreeSet<Bytes>, deletes: &[KeyRange], key: &Bytes| {
            puts.contains(key)
                || deletes.iter().any(|range| range.span().is_some() && range.contains(key))
        };
        for operation in operations {
            if let Some(Request::DeleteRange(delete)) = &operation.request {
                deletes.push(delete.range());
            }
        }
        for operation in operations {
            let Some(Request::Txn(inner)) = &operation.request else { continue };
            let branches = [naive(&inner.success)?, naive(&inner.failure)?];
            if branches.iter().flat_map(|branch| &branch.0).any(|key| taken(&puts, &deletes, key)) {
                return Err(ServerError::DuplicateKey);
            }
            for branch in branches {
                puts.extend(branch.0);
                deletes.extend(branch.1);
            }
        }
        for operation in operations {
            let Some(Request::Put(put)) = &operation.request else { continue };
            if taken(&puts, &deletes, &put.key) {
                return Err(ServerError::DuplicateKey);
            }
            puts.insert(put.key.clone());
        }
        Ok((puts, deletes))
    }

    fn operation(request: Request) -> RequestOp {
        RequestOp { request: Some(request) }
    }

    fn put(key: &[u8]) -> RequestOp {
        let key = Bytes::copy_from_slice(key);
        operation(Request::Put(PutRequest { key, ..PutRequest::default() }))
    }

    fn delete(key: &[u8], range_end: &[u8]) -> RequestOp {
        let (key, range_end) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(range_end));
        operation(Request::DeleteRange(DeleteRangeRequest { key, range_end, prev_kv: false }))
    }

    fn within(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        operation(Request::Txn(TxnRequest { compare: Vec::new(), success, failure }))
    }

    /// Two bytes each, so that ranges touch, overlap and lie within each other.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0..4_u8, 1..3)
    }

    fn operations() -> impl Strategy<Value = Vec<RequestOp>> {
        let end = prop_oneof![Just(Vec::new()), key()];
        let leaf = prop_oneof![
            key().prop_map(|key| put(&key)),
            (key(), end).prop_map(|(key, end)| delete(&key, &end)),
        ];
        let tree = leaf.prop_recursive(4, 24, 4, |inner| {
            let list = proptest::collection::vec(inner, 0..4);
            (list.clone(), list).prop_map(|(success, failure)| within(success, failure))
        });
        proptest::collection::vec(tree, 0..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn keys_are_changed_twice_where_the_rule_says_so(operations in operations()) {
            prop_assert_eq!(Changes::of(&operations).err(), naive(&operations).err());
        }
    }

    #[test]
    fn spans_that_touch_are_one() {
        let mut spans = Spans::default();
        for (key, end) in [("b", "c"), ("f", "g"), ("c", "d"), ("x", "a"), ("i", ""), ("z", "\0")] {
            spans.add(&KeyRange::new(key.into(), end.into()));
        }
        let shown = |spans: &Spans| {
            let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            spans.0.iter().map(|(start, end)| text(start) + "-" + &text(end)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&spans), ["b-d", "f-g", "i-i\0"]);
        spans.insert("a".into(), "e".into());
        spans.insert("f".into(), "ff".into());
        assert_eq!(shown(&spans), ["a-e", "f-g", "i-i\0"]);
        spans.insert("c".into(), "i".into());
        assert_eq!(shown(&spans), ["a-i\0"]);
    }

    /// As many operations as fit into a request: compared one by one, it would be a thousand million times.
    #[test]
    fn a_transaction_of_many_operations_is_checked_without_comparing_each_with_each() {
        let mut number = 0;
        let mut next = || {
            number += 1;
            format!("{number:06}").into_bytes()
        };
        let half: Vec<_> = (0..50_000).map(|_| delete(&next(), b"")).collect();
        let other: Vec<_> = (0..50_000).map(|_| put(&next())).collect();
        // Many levels deep, each with a few operations of its own.
        let mut operations = vec![within(half, Vec::new()), within(other, Vec::new())];
        for _ in 0..60 {
            operations =
                vec![within(operations, vec![put(&next())]), put(&next()), delete(b"x", b"")];
        }
        assert!(Changes::of(&operations).is_ok());
        let again = put(b"050001");
        assert_eq!(
            Changes::of(&[within(operations, Vec::new()), again]).err(),
            Some(ServerError::DuplicateKey)
        );
    }
}
