//! Locks that a server waits for.

use bytes::Bytes;
use etcdkit_proto::method::lock;
use etcdkit_proto::v3lockpb;
use etcdkit_proto::v3lockpb::{LockRequest, UnlockRequest, UnlockResponse};

use super::range::check_key;
use crate::byte_string::ByteString;
use crate::error::Result;
use crate::response::ResponseHeader;
use crate::revision::LeaseId;

/// Has a server wait for a lock.
///
/// ```
/// use etcdkit::lock::Lock;
/// use etcdkit::LeaseId;
///
/// let lease = LeaseId::new(7).expect("not zero");
/// assert_eq!(Lock::new("/locks/a", lease).lease_id(), Some(lease));
/// assert_eq!(Lock::for_a_minute("/locks/a").lease_id(), None);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lock(LockRequest);

impl Lock {
    /// Waits for the lock `name`, which is held until it is unlocked or `lease` ends.
    pub fn new(name: impl Into<ByteString>, lease: LeaseId) -> Self {
        Self(LockRequest { name: name.into().into_bytes(), lease: lease.get() })
    }

    /// Waits for the lock `name` with a lease of 60 s that the server grants when it gets the request, and that nobody
    /// keeps alive: the wait counts, and after it the lock lapses.
    pub fn for_a_minute(name: impl Into<ByteString>) -> Self {
        Self(LockRequest { name: name.into().into_bytes(), lease: 0 })
    }

    /// The lease that the lock ends with, if it is not one that the server grants.
    #[must_use]
    pub fn lease_id(&self) -> Option<LeaseId> {
        LeaseId::new(self.0.lease)
    }
}

named!(Lock, "lock");
unary!(Lock: LockRequest => v3lockpb::LockResponse, lock::LOCK);

/// Gives a lock up.
#[derive(Clone, Debug, PartialEq)]
pub struct Unlock(UnlockRequest);

impl Unlock {
    /// Gives up the lock that is held by `key`, from [`LockResponse::key`].
    pub fn new(key: impl Into<ByteString>) -> Self {
        Self(UnlockRequest { key: key.into().into_bytes() })
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.0.key
    }

    /// Is about `key` instead: what a layer that moves keys does.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<ByteString>) -> Self {
        self.0.key = key.into().into_bytes();
        self
    }
}

unary!(Unlock: UnlockRequest => UnlockResponse, lock::UNLOCK, {
    fn check(&self) -> Result<()> {
        check_key(&self.0.key)
    }
});

/// The lock is held: the answer to [`Lock`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LockResponse {
    header: ResponseHeader,
    key: Bytes,
}

impl LockResponse {
    /// An answer.
    pub fn new(header: ResponseHeader, key: impl Into<ByteString>) -> Self {
        Self { header, key: key.into().into_bytes() }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The key that holds the lock as long as it exists: for unlocking it, and to be compared in transactions that must
    /// only be done under the lock.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        &self.key
    }
}

impl From<v3lockpb::LockResponse> for LockResponse {
    fn from(wire: v3lockpb::LockResponse) -> Self {
        Self { header: wire.header.into(), key: wire.key }
    }
}
