//! The two numbers that etcd hands out, typed so that they can't be mixed up.

use std::fmt;
use std::num::NonZeroI64;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A revision of the key-value store: it starts at 1 and grows by one with every transaction that changes something.
///
/// ```
/// use etcdkit::Revision;
///
/// let seen = Revision::new(41);
/// assert_eq!(seen.next(), Revision::new(42));
/// assert_eq!(seen.to_string(), "41");
/// assert_eq!("41".parse::<Revision>()?, seen);
/// # Ok::<(), etcdkit::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(i64);

impl Revision {
    /// No revision: what etcd reports for a key that does not exist.
    pub const NONE: Self = Self(0);

    /// Wraps a revision as etcd sends it.
    #[must_use]
    pub const fn new(revision: i64) -> Self {
        Self(revision)
    }

    /// The number as etcd sends it.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The revision after this one: where a watch resumes after it has seen everything up to `self`.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<i64> for Revision {
    fn from(revision: i64) -> Self {
        Self(revision)
    }
}

impl From<Revision> for i64 {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

impl FromStr for Revision {
    type Err = Error;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self).map_err(|_| Error::invalid(format!("{text:?} is no revision")))
    }
}

/// The id of a lease. Never zero: etcd's "no lease" is `Option::<LeaseId>::None` here.
///
/// Ids are signed and may be negative; they are shown as etcd's tools show them, in 16 hexadecimal digits.
///
/// ```
/// use etcdkit::LeaseId;
///
/// let lease = LeaseId::new(0x7587_8e5a).expect("not zero");
/// assert_eq!(lease.to_string(), "0000000075878e5a");
/// assert_eq!("75878e5a".parse::<LeaseId>()?, lease);
/// assert_eq!(LeaseId::new(0), None);
/// # Ok::<(), etcdkit::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(NonZeroI64);

impl LeaseId {
    /// Wraps an id as etcd sends it; `None` for 0, which etcd uses for "no lease".
    #[must_use]
    pub const fn new(id: i64) -> Option<Self> {
        match NonZeroI64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number as etcd sends it.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0.get()
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.get())
    }
}

impl From<NonZeroI64> for LeaseId {
    fn from(id: NonZeroI64) -> Self {
        Self(id)
    }
}

impl From<LeaseId> for i64 {
    fn from(lease: LeaseId) -> Self {
        lease.get()
    }
}

impl FromStr for LeaseId {
    type Err = Error;

    /// Reads what `Display` writes, with or without zeros in front: hexadecimal digits.
    fn from_str(text: &str) -> Result<Self> {
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        id.and_then(|id| Self::new(id.cast_signed())).ok_or_else(|| {
            Error::invalid(format!("{text:?} is no lease: ids are up to 16 hexadecimal digits"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_read() {
        for id in [1, -1, i64::MIN, i64::MAX, 0x7587_8e5a] {
            let lease = LeaseId::new(id).unwrap();
            assert_eq!(lease.to_string().parse::<LeaseId>().unwrap(), lease);
            let revision = Revision::new(id);
            assert_eq!(revision.to_string().parse::<Revision>().unwrap(), revision);
        }
        for text in ["", "0", "0x1", "+1", "-1", " 1", "g", "10000000000000000"] {
            let error = text.parse::<LeaseId>().unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
        assert!("a".parse::<Revision>().is_err());
    }
}
