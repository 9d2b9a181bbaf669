//! A key and what etcd knows of it.

use std::fmt;
use std::str::Utf8Error;

use bytes::{BufMut, Bytes, BytesMut};
use etcdkit_proto::mvccpb;

use crate::byte_string::ByteString;
#[cfg(feature = "serde")]
use crate::error::{Error, Result};
use crate::revision::{LeaseId, Revision};

/// A key with its value, its revisions and its lease.
///
/// The bytes share the buffer of the answer that they came in: to hold on to one small key of a large answer, and to
/// nothing else, take it [`detached`](Self::detached).
///
/// ```
/// use etcdkit::{KeyValue, Revision};
///
/// let kv = KeyValue::new("/a", "1").with_revisions(4, 9).with_version(2);
/// assert_eq!((kv.key(), kv.value()), (b"/a".as_slice(), b"1".as_slice()));
/// assert_eq!(kv.value_str(), Ok("1"));
/// assert_eq!(kv.mod_revision(), Revision::new(9));
/// assert_eq!(kv.lease(), None);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyValue(mvccpb::KeyValue);

impl KeyValue {
    /// A key with a value, and nothing else known of it: the start of one for a test.
    pub fn new(key: impl Into<ByteString>, value: impl Into<ByteString>) -> Self {
        let (key, value) = (key.into().into_bytes(), value.into().into_bytes());
        Self(mvccpb::KeyValue { key, value, ..mvccpb::KeyValue::default() })
    }

    /// The same, created at revision `create` and last changed at `modified`.
    #[must_use]
    pub fn with_revisions(
        mut self,
        create: impl Into<Revision>,
        modified: impl Into<Revision>,
    ) -> Self {
        self.0.create_revision = create.into().get();
        self.0.mod_revision = modified.into().get();
        self
    }

    /// The same, put `version` times since it was created.
    #[must_use]
    pub fn with_version(mut self, version: i64) -> Self {
        self.0.version = version;
        self
    }

    /// The same, attached to `lease`.
    #[must_use]
    pub fn with_lease(mut self, lease: LeaseId) -> Self {
        self.0.lease = lease.get();
        self
    }

    /// The same under another key: what a layer that moves keys does.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<ByteString>) -> Self {
        self.0.key = key.into().into_bytes();
        self
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.0.key
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.0.value
    }

    /// The key as text.
    ///
    /// # Errors
    ///
    /// The key is not UTF-8.
    pub fn key_str(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.0.key)
    }

    /// The value as text.
    ///
    /// # Errors
    ///
    /// The value is not UTF-8.
    pub fn value_str(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.0.value)
    }

    /// The key, sharing the buffer of the answer.
    #[must_use]
    pub fn key_bytes(&self) -> Bytes {
        self.0.key.clone()
    }

    /// The value, sharing the buffer of the answer.
    #[must_use]
    pub fn value_bytes(&self) -> Bytes {
        self.0.value.clone()
    }

    /// Key and value, sharing the buffer of the answer.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, Bytes) {
        (self.0.key, self.0.value)
    }

    /// The value read as JSON. What is read may borrow from it.
    ///
    /// ```
    /// use etcdkit::KeyValue;
    ///
    /// assert_eq!(KeyValue::new("/limits", "[1,2]").json::<Vec<u8>>()?, [1, 2]);
    /// assert!(KeyValue::new("/limits", "?").json::<Vec<u8>>().is_err());
    /// # Ok::<(), etcdkit::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if the value is not the JSON form of a `T`; its
    /// source says where.
    #[cfg(feature = "serde")]
    #[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_slice(&self.0.value).map_err(|error| {
            Error::invalid(format!(
                "the value of {:?} can't be read as JSON for a {}: {error}",
                self.0.key,
                std::any::type_name::<T>()
            ))
            .with_source(error)
        })
    }

    /// The revision that created the key.
    #[must_use]
    pub fn create_revision(&self) -> Revision {
        Revision::new(self.0.create_revision)
    }

    /// The revision that last changed the key.
    #[must_use]
    pub fn mod_revision(&self) -> Revision {
        Revision::new(self.0.mod_revision)
    }

    /// How often the key was put since it was created: 1 for a new key, 0 for a deleted one.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.0.version
    }

    /// The lease that the key is attached to.
    #[must_use]
    pub fn lease(&self) -> Option<LeaseId> {
        LeaseId::new(self.0.lease)
    }

    /// A copy with a buffer of its own, so that it no longer keeps the answer in memory.
    ///
    /// ```
    /// use etcdkit::KeyValue;
    ///
    /// let kv = KeyValue::new("/a", vec![b'x'; 100]);
    /// assert_eq!(kv.detached(), kv);
    /// assert_ne!(kv.detached().value().as_ptr(), kv.value().as_ptr());
    /// ```
    #[must_use]
    pub fn detached(&self) -> Self {
        let wire = &self.0;
        let mut buffer = BytesMut::with_capacity(wire.key.len() + wire.value.len());
        buffer.put_slice(&wire.key);
        let key = buffer.split().freeze();
        buffer.put_slice(&wire.value);
        Self(mvccpb::KeyValue { key, value: buffer.freeze(), ..*wire })
    }

    /// The keys of an answer. The list is taken over as it is: a newtype has the layout of what it wraps.
    pub(crate) fn list(wire: Vec<mvccpb::KeyValue>) -> Vec<Self> {
        wire.into_iter().map(Self).collect()
    }
}

impl From<mvccpb::KeyValue> for KeyValue {
    fn from(wire: mvccpb::KeyValue) -> Self {
        Self(wire)
    }
}

impl From<KeyValue> for mvccpb::KeyValue {
    fn from(kv: KeyValue) -> Self {
        kv.0
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = &self.0;
        write!(f, "KeyValue({:?} = {:?}", wire.key, wire.value)?;
        let numbers = [
            ("created", wire.create_revision),
            ("modified", wire.mod_revision),
            ("version", wire.version),
        ];
        for (name, number) in numbers {
            if number != 0 {
                write!(f, ", {name} {number}")?;
            }
        }
        if let Some(lease) = self.lease() {
            write!(f, ", lease {lease}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> mvccpb::KeyValue {
        mvccpb::KeyValue {
            key: "a\u{e9}".into(),
            create_revision: 3,
            mod_revision: 8,
            version: 2,
            value: vec![0xff, b'x'].into(),
            lease: 255,
        }
    }

    #[test]
    fn every_field() {
        let kv = KeyValue::from(wire());
        assert_eq!(kv.key(), "a\u{e9}".as_bytes());
        assert_eq!(kv.key_str(), Ok("a\u{e9}"));
        assert_eq!(kv.value(), b"\xffx");
        assert!(kv.value_str().is_err());
        assert_eq!(kv.create_revision(), Revision::new(3));
        assert_eq!(kv.mod_revision(), Revision::new(8));
        assert_eq!(kv.version(), 2);
        assert_eq!(kv.lease(), LeaseId::new(255));
        assert_eq!(mvccpb::KeyValue::from(kv.clone()), wire());
        let built = KeyValue::new("b", [0xff, b'x'])
            .with_revisions(3, 8)
            .with_version(2)
            .with_lease(LeaseId::new(255).unwrap())
            .with_key("a\u{e9}");
        assert_eq!(built, kv);
        assert_eq!(kv.clone().into_parts(), (kv.key_bytes(), kv.value_bytes()));
    }

    #[test]
    fn shown_without_loss() {
        assert_eq!(
            format!("{:?}", KeyValue::from(wire())),
            r#"KeyValue(b"a\xc3\xa9" = b"\xffx", created 3, modified 8, version 2, lease 00000000000000ff)"#
        );
        assert_eq!(format!("{:?}", KeyValue::new("a", "")), r#"KeyValue(b"a" = b"")"#);
    }

    #[test]
    fn a_detached_one_shares_nothing() {
        let answer = Bytes::from(vec![b'z'; 1000]);
        let kv = KeyValue(mvccpb::KeyValue {
            key: answer.slice(0..3),
            value: answer.slice(3..10),
            ..wire()
        });
        let own = kv.detached();
        assert_eq!(own, kv);
        let range = answer.as_ptr_range();
        assert!(!range.contains(&own.key().as_ptr()) && !range.contains(&own.value().as_ptr()));
        drop(kv);
        assert!(answer.is_unique());
    }

    #[test]
    fn a_list_is_not_moved() {
        let list = vec![wire(), wire()];
        let before = list.as_ptr().cast::<u8>();
        let list = KeyValue::list(list);
        assert_eq!(list.as_ptr().cast::<u8>(), before);
    }
}
