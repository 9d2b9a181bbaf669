//! Which keys a request is about.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::byte_string::ByteString;
use crate::error::{Error, Result};

/// The constructors of a request that is about a key or a range of keys, beside its `new`; `$does` begins their
/// documentation.
macro_rules! range_constructors {
    ($request:ident, $does:literal) => {
        impl $request {
            #[doc = concat!($does, " every key that starts with `prefix`; every key if it is empty.")]
            pub fn prefix(prefix: impl Into<$crate::byte_string::ByteString>) -> Self {
                Self::new($crate::request::KeyRange::prefix(prefix))
            }

            #[doc = concat!($does, " every key from `start` on.")]
            pub fn from_key(start: impl Into<$crate::byte_string::ByteString>) -> Self {
                Self::new($crate::request::KeyRange::from_key(start))
            }

            #[doc = concat!($does, " every key from `start` on that comes before `end`; see [`KeyRange::range`].")]
            pub fn range(
                start: impl Into<$crate::byte_string::ByteString>,
                end: impl Into<$crate::byte_string::ByteString>,
            ) -> Self {
                Self::new($crate::request::KeyRange::range(start, end))
            }

            #[doc = concat!($does, " every key.")]
            #[must_use]
            pub fn all() -> Self {
                Self::new($crate::request::KeyRange::all())
            }
        }

        impl<R: Into<$crate::request::KeyRange>> From<R> for $request {
            fn from(range: R) -> Self {
                Self::new(range)
            }
        }
    };
}

/// What layers that move keys need of what is about a key or a range of keys; `$wire` is the field with the message.
macro_rules! key_range_accessors {
    ($request:ident, $wire:tt) => {
        impl $request {
            /// The same about `range`, with the same options: what a layer that moves keys does.
            #[must_use]
            pub fn with_key_range(mut self, range: impl Into<$crate::request::KeyRange>) -> Self {
                (self.$wire.key, self.$wire.range_end) = range.into().into_parts();
                self
            }

            /// Which keys it is about.
            #[must_use]
            pub fn key_range(&self) -> $crate::request::KeyRange {
                $crate::request::KeyRange::from_parts(
                    self.$wire.key.clone(),
                    self.$wire.range_end.clone(),
                )
            }
        }
    };
}

pub(super) use {key_range_accessors, range_constructors};

/// The end that etcd takes for "no end", and the first key that there can be.
const ZERO: Bytes = Bytes::from_static(&[0]);

/// One key, or all keys from one to another.
///
/// Whatever makes a [`ByteString`] makes the range of that single key. etcd orders keys by their bytes.
///
/// ```
/// use etcdkit::KeyRange;
///
/// assert_eq!(KeyRange::from("/a"), KeyRange::key("/a"));
/// assert_eq!(KeyRange::prefix("/a/"), KeyRange::range("/a/", "/a0"));
/// assert!(KeyRange::prefix("/a/").contains(b"/a/b"));
/// assert!(!KeyRange::prefix("/a/").contains(b"/a0"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    start: Bytes,
    end: Bytes,
}

impl KeyRange {
    /// The single key `key`.
    ///
    /// No key is empty: a request for the empty one is refused with
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument), before it is sent.
    pub fn key(key: impl Into<ByteString>) -> Self {
        Self { start: key.into().into_bytes(), end: Bytes::new() }
    }

    /// Every key that starts with `prefix`; every key if it is empty.
    pub fn prefix(prefix: impl Into<ByteString>) -> Self {
        let prefix = prefix.into().into_bytes();
        let end = prefix_end(&prefix);
        Self { start: or_first(prefix), end }
    }

    /// Every key from `start` on; every key if it is empty.
    ///
    /// ```
    /// use etcdkit::KeyRange;
    ///
    /// assert!(KeyRange::from_key("b").contains(b"zebra"));
    /// assert!(!KeyRange::from_key("b").contains(b"aardvark"));
    /// assert_eq!(KeyRange::from_key(""), KeyRange::all());
    /// ```
    pub fn from_key(start: impl Into<ByteString>) -> Self {
        Self { start: or_first(start.into().into_bytes()), end: ZERO }
    }

    /// Every key from `start` on that comes before `end`.
    ///
    /// As everywhere in etcd, an `end` of one zero byte means that there is none; no key could come before that one
    /// anyway. An `end` that is empty is refused like an empty key: what is meant is [`key`](Self::key) or
    /// [`from_key`](Self::from_key). A range whose `end` does not come after its `start` holds no keys.
    ///
    /// ```
    /// use etcdkit::KeyRange;
    ///
    /// let range = KeyRange::range("b", "d");
    /// assert!(range.contains(b"b") && range.contains(b"czar"));
    /// assert!(!range.contains(b"a") && !range.contains(b"d"));
    /// ```
    pub fn range(start: impl Into<ByteString>, end: impl Into<ByteString>) -> Self {
        let end = end.into().into_bytes();
        if end.is_empty() {
            // On the wire, a range without an end is a single key. The empty one is what no request accepts.
            return Self { start: Bytes::new(), end };
        }
        Self { start: or_first(start.into().into_bytes()), end }
    }

    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self { start: ZERO, end: ZERO }
    }

    /// The first key of the range.
    #[must_use]
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// The end of the range as etcd writes it: empty for a single key, one zero byte for a range without an end.
    #[must_use]
    pub fn end(&self) -> &[u8] {
        &self.end
    }

    /// Whether the range is one key by its name, rather than from one key to another.
    #[must_use]
    pub fn is_single_key(&self) -> bool {
        self.end.is_empty()
    }

    /// Whether `key` is in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        match &*self.end {
            [] => !key.is_empty() && key == self.start,
            [0] => key >= &*self.start,
            end => key >= &*self.start && key < end,
        }
    }

    pub(crate) fn from_parts(start: Bytes, end: Bytes) -> Self {
        Self { start, end }
    }

    /// The fields `key` and `range_end` of a request.
    pub(crate) fn into_parts(self) -> (Bytes, Bytes) {
        (self.start, self.end)
    }
}

impl<K: Into<ByteString>> From<K> for KeyRange {
    fn from(key: K) -> Self {
        Self::key(key)
    }
}

impl fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_range(&self.start, &self.end, f)
    }
}

/// The end of the range of all keys that start with `prefix`: the first key that comes after every one of them, or one
/// zero byte, etcd's "no end", if there is none.
///
/// ```
/// use etcdkit::prefix_end;
///
/// assert_eq!(prefix_end(b"/a/"), "/a0");
/// assert_eq!(prefix_end(b"a\xff\xff"), "b");
/// assert_eq!(prefix_end(b"\xff"), "\0");
/// assert_eq!(prefix_end(b""), "\0");
/// ```
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|byte| *byte != 0xff) else {
        return ZERO;
    };
    let (head, tail) = prefix.split_at(last);
    let mut end = BytesMut::with_capacity(last + 1);
    end.put_slice(head);
    end.put_u8(tail.first().map_or(0, |byte| byte + 1));
    end.freeze()
}

fn or_first(start: Bytes) -> Bytes {
    if start.is_empty() { ZERO } else { start }
}

/// Refuses the empty key, which every server refuses too.
pub(super) fn check_key(key: &[u8]) -> Result<()> {
    if key.is_empty() {
        return Err(Error::invalid(
            "the key, or the end of its range, is empty: name a key, or take `KeyRange::all` or `KeyRange::from_key`",
        ));
    }
    Ok(())
}

/// Writes a range like one of Rust's: `b"a"`, `b"a"..b"c"`, `b"a"..`, `..`.
pub(super) fn fmt_range(start: &Bytes, end: &Bytes, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &**end {
        [] => write!(f, "{start:?}"),
        [0] if *start == ZERO => f.write_str(".."),
        [0] => write!(f, "{start:?}.."),
        _ => write!(f, "{start:?}..{end:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_of_a_prefix() {
        let table: [(&[u8], &[u8]); 9] = [
            (b"", b"\0"),
            (b"a", b"b"),
            (b"pre/", b"pre0"),
            (b"a\xff", b"b"),
            (b"a\xff\xff\xff", b"b"),
            (b"a\xffb", b"a\xffc"),
            (b"a\0", b"a\x01"),
            (b"\xff", b"\0"),
            (b"\xff\xff", b"\0"),
        ];
        for (prefix, end) in table {
            assert_eq!(prefix_end(prefix), end, "prefix {prefix:?}");
        }
    }

    #[test]
    fn wire_form() {
        let table: [(KeyRange, &[u8], &[u8]); 13] = [
            (KeyRange::key("a"), b"a", b""),
            (KeyRange::from("a"), b"a", b""),
            (KeyRange::key(""), b"", b""),
            (KeyRange::prefix("a"), b"a", b"b"),
            (KeyRange::prefix(""), b"\0", b"\0"),
            (KeyRange::prefix([0xff]), b"\xff", b"\0"),
            (KeyRange::from_key("a"), b"a", b"\0"),
            (KeyRange::from_key(""), b"\0", b"\0"),
            (KeyRange::all(), b"\0", b"\0"),
            (KeyRange::range("a", "c"), b"a", b"c"),
            (KeyRange::range("", "c"), b"\0", b"c"),
            (KeyRange::range("a", "\0"), b"a", b"\0"),
            (KeyRange::range("a", ""), b"", b""),
        ];
        for (range, start, end) in table {
            assert_eq!((range.start(), range.end()), (start, end), "{range:?}");
            assert_eq!(range.is_single_key(), end.is_empty(), "{range:?}");
            let (key, range_end) = range.clone().into_parts();
            assert_eq!(KeyRange::from_parts(key, range_end), range);
        }
    }

    #[test]
    fn shown_as_a_range() {
        let table = [
            (KeyRange::key("a\n\u{ff}"), r#"b"a\n\xc3\xbf""#),
            (KeyRange::prefix("/a/"), r#"b"/a/"..b"/a0""#),
            (KeyRange::from_key("a"), r#"b"a".."#),
            (KeyRange::all(), ".."),
        ];
        for (range, shown) in table {
            assert_eq!(format!("{range:?}"), shown);
        }
    }

    #[test]
    fn owned_keys_are_not_copied() {
        let key = Bytes::from(vec![b'k'; 64]);
        let (start, _) = KeyRange::prefix(key.clone()).into_parts();
        assert_eq!(start.as_ptr(), key.as_ptr());
    }

    /// Keys over few bytes, so that ranges meet them; none is empty, as in etcd.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), Just(1), Just(b'a'), Just(0xfe), Just(0xff)];
        prop::collection::vec(byte, 1..5)
    }

    proptest! {
        #[test]
        fn a_prefix_contains_what_starts_with_it(prefix in prop_oneof![Just(Vec::new()), key()], key in key()) {
            prop_assert_eq!(KeyRange::prefix(&prefix).contains(&key), key.starts_with(&prefix));
        }

        #[test]
        fn the_other_ranges_contain_what_they_say(a in key(), b in key(), key in key()) {
            prop_assert!(KeyRange::all().contains(&key));
            prop_assert_eq!(KeyRange::key(&a).contains(&key), a == key);
            prop_assert_eq!(KeyRange::from_key(&a).contains(&key), key >= a);
            if b != [0] {
                prop_assert_eq!(KeyRange::range(&a, &b).contains(&key), key >= a && key < b);
                prop_assert_eq!(KeyRange::range("", &b).contains(&key), key < b);
            }
        }

        #[test]
        fn nothing_contains_the_empty_key(a in key(), b in key()) {
            for range in [
                KeyRange::key(""),
                KeyRange::key(&a),
                KeyRange::prefix(&a),
                KeyRange::from_key(&a),
                KeyRange::range(&a, &b),
                KeyRange::range(&a, ""),
                KeyRange::all(),
            ] {
                prop_assert!(!range.contains(b""), "{:?}", range);
            }
        }
    }
}
