//! Where a key or a range lies inside and outside of a namespace. Without I/O.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::request::{KeyRange, prefix_end};

/// The prefix of a namespace.
#[derive(Clone, Debug)]
pub(in crate::layer) struct Prefix {
    start: Bytes,
    /// What comes after every key of the namespace; one zero byte if nothing does.
    end: Bytes,
}

impl Prefix {
    pub(in crate::layer) fn new(start: Bytes) -> Self {
        let end = prefix_end(&start);
        Self { start, end }
    }

    pub(in crate::layer) fn as_bytes(&self) -> &Bytes {
        &self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start.is_empty()
    }

    /// `name` with the prefix before it. An empty name stays the prefix: of a lock or an election it is only the
    /// beginning of the key.
    pub(in crate::layer) fn join(&self, name: &[u8]) -> Bytes {
        let mut joined = BytesMut::with_capacity(self.start.len() + name.len());
        joined.put_slice(&self.start);
        joined.put_slice(name);
        joined.freeze()
    }

    /// A key of the namespace as the cluster knows it. The empty one is refused here: with the prefix before it, no
    /// server would.
    pub(super) fn key_in(&self, key: &[u8]) -> Result<Bytes> {
        if key.is_empty() {
            return Err(Error::invalid(
                "the key, or the end of its range, is empty: name a key, or take `KeyRange::all` or \
                 `KeyRange::from_key`",
            ));
        }
        Ok(self.join(key))
    }

    /// A range of the namespace as the cluster knows it.
    pub(in crate::layer) fn range_in(&self, range: &KeyRange) -> Result<KeyRange> {
        let start = self.key_in(range.start())?;
        let end = match range.end() {
            [] => Bytes::new(),
            // To the end of the namespace, rather than of everything.
            [0] => self.end.clone(),
            end => self.join(end),
        };
        Ok(KeyRange::from_parts(start, end))
    }

    /// A name of the cluster as the namespace knows it; `None` if it lies outside.
    pub(super) fn name_out(&self, name: &Bytes) -> Option<Bytes> {
        name.starts_with(&self.start).then(|| name.slice(self.start.len()..))
    }

    /// A key of the cluster as the namespace knows it; `None` if it lies outside. No key is empty, so that of the prefix
    /// itself lies outside too.
    pub(in crate::layer) fn key_out(&self, key: &Bytes) -> Option<Bytes> {
        self.name_out(key).filter(|key| !key.is_empty())
    }

    /// What of a range lies in the namespace; `None` if nothing does.
    pub(super) fn range_out(&self, range: &KeyRange) -> Option<KeyRange> {
        if self.is_empty() {
            return Some(range.clone());
        }
        let (start, end) = range.clone().into_parts();
        if end.is_empty() {
            return self.key_out(&start).map(KeyRange::key);
        }
        let starts = if start <= self.start {
            KeyRange::all().into_parts().0
        } else {
            self.key_out(&start)?
        };
        let unbounded = |end: &[u8]| end == [0];
        if unbounded(&end) || (!unbounded(&self.end) && end >= self.end) {
            return Some(KeyRange::from_key(starts));
        }
        // A zero byte alone would be taken for no end; nothing comes before it.
        let ends = self.key_out(&end).filter(|end| !unbounded(end))?;
        Some(KeyRange::range(starts, ends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(prefix: &'static [u8]) -> Prefix {
        Prefix::new(Bytes::from_static(prefix))
    }

    /// Upstream's `TestPrefixInterval`.
    #[test]
    fn prefix_interval() {
        type Case = (&'static [u8], KeyRange, &'static [u8], &'static [u8]);
        let table: [Case; 9] = [
            // A single key.
            (b"pfx/", KeyRange::key("a"), b"pfx/a", b""),
            // A range.
            (b"pfx/", KeyRange::range("abc", "def"), b"pfx/abc", b"pfx/def"),
            // A range without an end.
            (b"pfx/", KeyRange::from_key("abc"), b"pfx/abc", b"pfx0"),
            (b"pfx/", KeyRange::all(), b"pfx/\0", b"pfx0"),
            // A prefix whose last byte can't grow.
            (b"pfx\xff", KeyRange::all(), b"pfx\xff\0", b"pfy"),
            (b"pfx\xff\xff", KeyRange::from_key("a"), b"pfx\xff\xffa", b"pfy"),
            // Nothing comes after this namespace.
            (b"\xff\xff", KeyRange::from_key("abc"), b"\xff\xffabc", b"\0"),
            (b"", KeyRange::all(), b"\0", b"\0"),
            (b"", KeyRange::range("a", "b"), b"a", b"b"),
        ];
        for (start, range, from, to) in table {
            let moved = prefix(start).range_in(&range).unwrap();
            assert_eq!((moved.start(), moved.end()), (from, to), "{range:?} in {start:?}");
        }
        for range in [KeyRange::key(""), KeyRange::range("a", "")] {
            assert!(prefix(b"pfx/").range_in(&range).is_err(), "{range:?}");
        }
    }

    #[test]
    fn the_prefix_itself_is_no_key_of_the_namespace() {
        let prefix = prefix(b"a/");
        assert_eq!(prefix.key_out(&Bytes::from_static(b"a/")), None);
        assert_eq!(prefix.key_out(&Bytes::from_static(b"a/b")), Some(Bytes::from_static(b"b")));
        assert_eq!(prefix.key_out(&Bytes::from_static(b"b")), None);
        assert!(!prefix.range_in(&KeyRange::all()).unwrap().contains(b"a/"));
    }

    /// Over few bytes, so that keys, ranges and prefixes meet.
    fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), Just(1), Just(b'a'), Just(0xfe), Just(0xff)];
        prop::collection::vec(byte, length)
    }

    fn range() -> impl Strategy<Value = KeyRange> {
        prop_oneof![
            bytes(1..4).prop_map(KeyRange::key),
            bytes(0..4).prop_map(KeyRange::prefix),
            bytes(0..4).prop_map(KeyRange::from_key),
            (bytes(0..4), bytes(1..4)).prop_map(|(start, end)| KeyRange::range(start, end)),
        ]
    }

    proptest! {
        /// A range in the namespace holds what it held outside, and nothing else.
        #[test]
        fn a_range_keeps_to_the_namespace(
            start in bytes(0..4),
            range in range(),
            inside in bytes(1..4),
            any in bytes(1..6),
        ) {
            let prefix = Prefix::new(start.into());
            let moved = prefix.range_in(&range).unwrap();
            prop_assert_eq!(moved.contains(&prefix.join(&inside)), range.contains(&inside));
            let any = Bytes::from(any);
            if moved.contains(&any) {
                let key = prefix.key_out(&any);
                prop_assert!(key.is_some_and(|key| range.contains(&key)), "{:?} of {:?}", any, moved);
            }
        }

        /// Of a foreign range, the namespace sees what lies in it.
        #[test]
        fn a_range_of_the_cluster_is_cut(start in bytes(0..4), range in range(), inside in bytes(1..4)) {
            let prefix = Prefix::new(start.into());
            let seen = prefix.range_out(&range).is_some_and(|seen| seen.contains(&inside));
            prop_assert_eq!(seen, range.contains(&prefix.join(&inside)));
        }
    }
}
