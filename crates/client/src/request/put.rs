//! Writing a key.

use std::fmt;

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{self, PutRequest};
use etcdkit_proto::method::{self, Method};

use super::range::check_key;
use crate::byte_string::ByteString;
#[cfg(feature = "serde")]
use crate::error::Error;
use crate::error::Result;
use crate::response::PutResponse;
use crate::revision::LeaseId;
use crate::transport::Unary;

/// Writes one key.
///
/// ```
/// use etcdkit::{LeaseId, Put};
///
/// let lease = LeaseId::new(7).expect("not zero");
/// let put = Put::new("/hosts/a", "up").lease(lease).prev_kv();
/// assert_eq!((put.key(), put.value()), (b"/hosts/a".as_slice(), b"up".as_slice()));
/// ```
#[derive(Clone, PartialEq)]
pub struct Put(PutRequest);

impl Put {
    /// Writes `value` to `key`, and detaches the key from the lease it had.
    pub fn new(key: impl Into<ByteString>, value: impl Into<ByteString>) -> Self {
        let (key, value) = (key.into().into_bytes(), value.into().into_bytes());
        Self(PutRequest { key, value, ..PutRequest::default() })
    }

    /// Writes the value that `key` has once more: to attach another lease, or to have watchers told.
    ///
    /// Fails with [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such key.
    ///
    /// ```
    /// use etcdkit::{LeaseId, Put};
    ///
    /// let put = Put::keep_value("/hosts/a").lease(LeaseId::new(7).expect("not zero"));
    /// assert!(put.keeps_value());
    /// ```
    pub fn keep_value(key: impl Into<ByteString>) -> Self {
        let key = key.into().into_bytes();
        Self(PutRequest { key, ignore_value: true, ..PutRequest::default() })
    }

    /// Writes `value` as JSON to `key`.
    ///
    /// ```
    /// use etcdkit::Put;
    ///
    /// assert_eq!(Put::json("/limits", &[1, 2])?, Put::new("/limits", "[1,2]"));
    /// # Ok::<(), etcdkit::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if `value` has no JSON form.
    #[cfg(feature = "serde")]
    #[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
    pub fn json<T>(key: impl Into<ByteString>, value: &T) -> Result<Self>
    where
        T: serde::Serialize + ?Sized,
    {
        let value = serde_json::to_vec(value).map_err(|error| {
            Error::invalid(format!("the value can't be written as JSON: {error}"))
                .with_source(error)
        })?;
        Ok(Self::new(key, value))
    }

    /// Attaches the key to `lease`: it is deleted when the lease ends. Takes back [`keep_lease`](Self::keep_lease).
    #[must_use]
    pub fn lease(mut self, lease: LeaseId) -> Self {
        self.0.lease = lease.get();
        self.0.ignore_lease = false;
        self
    }

    /// Leaves the key attached to the lease it has. Takes back [`lease`](Self::lease).
    ///
    /// The call fails with [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such key.
    #[must_use]
    pub fn keep_lease(mut self) -> Self {
        self.0.lease = 0;
        self.0.ignore_lease = true;
        self
    }

    /// Returns the key as it was before, in [`PutResponse::prev_kv`]. Takes the permission to read it.
    #[must_use]
    pub fn prev_kv(mut self) -> Self {
        self.0.prev_kv = true;
        self
    }

    /// Writes to `key` instead, with the same value and options: what a layer that moves keys does.
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

    /// The key, sharing the request's buffer.
    #[must_use]
    pub fn key_bytes(&self) -> Bytes {
        self.0.key.clone()
    }

    /// The value; empty if the key [keeps](Self::keep_value) the one it has.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.0.value
    }

    /// The value, sharing the request's buffer.
    #[must_use]
    pub fn value_bytes(&self) -> Bytes {
        self.0.value.clone()
    }

    /// The lease that the key will be attached to by this request.
    #[must_use]
    pub fn lease_id(&self) -> Option<LeaseId> {
        LeaseId::new(self.0.lease)
    }

    /// Whether the key keeps its value.
    #[must_use]
    pub fn keeps_value(&self) -> bool {
        self.0.ignore_value
    }

    /// Whether the key keeps its lease.
    #[must_use]
    pub fn keeps_lease(&self) -> bool {
        self.0.ignore_lease
    }

    pub(super) fn from_wire(wire: PutRequest) -> Self {
        Self(wire)
    }

    pub(super) fn into_wire(self) -> PutRequest {
        self.0
    }
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = &self.0;
        write!(f, "Put({:?}, ", wire.key)?;
        if wire.ignore_value {
            f.write_str("keep value")?;
        } else {
            write!(f, "{:?}", wire.value)?;
        }
        if let Some(lease) = self.lease_id() {
            write!(f, ", lease {lease}")?;
        }
        if wire.ignore_lease {
            f.write_str(", keep lease")?;
        }
        if wire.prev_kv {
            f.write_str(", prev kv")?;
        }
        f.write_str(")")
    }
}

impl Unary for Put {
    type Wire = PutRequest;
    type Answer = etcdserverpb::PutResponse;
    const METHOD: Method<PutRequest, etcdserverpb::PutResponse> = method::kv::PUT;

    fn wire(&self) -> &PutRequest {
        &self.0
    }

    fn check(&self) -> Result<()> {
        check_key(&self.0.key)
    }

    fn decode(answer: etcdserverpb::PutResponse) -> Result<PutResponse> {
        Ok(answer.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcdkit_proto::method::Class;

    fn base() -> PutRequest {
        PutRequest { key: "a".into(), value: "1".into(), ..PutRequest::default() }
    }

    #[test]
    fn wire_form_of_each_option() {
        let put = || Put::new("a", "1");
        let lease = LeaseId::new(-3).unwrap();
        let table = [
            (put(), base()),
            (put().prev_kv(), PutRequest { prev_kv: true, ..base() }),
            (put().lease(lease), PutRequest { lease: -3, ..base() }),
            (put().keep_lease(), PutRequest { ignore_lease: true, ..base() }),
            (put().lease(lease).keep_lease(), PutRequest { ignore_lease: true, ..base() }),
            (put().keep_lease().lease(lease), PutRequest { lease: -3, ..base() }),
            (
                Put::keep_value("a"),
                PutRequest { value: Bytes::new(), ignore_value: true, ..base() },
            ),
            (Put::new("b", "1").with_key("a"), base()),
        ];
        for (put, wire) in table {
            assert_eq!(put.wire(), &wire, "{put:?}");
            assert_eq!(put.class(), Class::Write);
            put.check().unwrap();
        }
        assert!(Put::new("", "1").check().is_err());
        assert!(Put::new("a", "").check().is_ok());
    }

    #[test]
    fn read_back() {
        let put = Put::new("a", "1").keep_lease();
        assert_eq!((put.key_bytes(), put.value_bytes()), ("a".into(), "1".into()));
        assert!(put.keeps_lease() && !put.keeps_value());
        assert_eq!(put.lease_id(), None);
        assert_eq!(put.lease(LeaseId::new(4).unwrap()).lease_id(), LeaseId::new(4));
    }

    #[test]
    fn shown_with_what_is_set() {
        let lease = LeaseId::new(255).unwrap();
        let table = [
            (Put::new("a", [0xff]), r#"Put(b"a", b"\xff")"#),
            (
                Put::keep_value("a").lease(lease).prev_kv(),
                r#"Put(b"a", keep value, lease 00000000000000ff, prev kv)"#,
            ),
            (Put::new("a", "").keep_lease(), r#"Put(b"a", b"", keep lease)"#),
        ];
        for (put, shown) in table {
            assert_eq!(format!("{put:?}"), shown);
        }
    }
}
