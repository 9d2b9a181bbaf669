//! The two numbers that etcd hands out, typed so that they can't be mixed up.

use std::fmt;
use std::num::NonZeroI64;

/// A revision of the key-value store: it starts at 1 and grows by one with every transaction that changes something.
///
/// ```
/// use etcdkit::Revision;
///
/// let seen = Revision::new(41);
/// assert_eq!(seen.next(), Revision::new(42));
/// assert_eq!(seen.to_string(), "41");
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

/// The id of a lease. Never zero: etcd's "no lease" is `Option::<LeaseId>::None` here.
///
/// Ids are signed and may be negative; they are shown as etcd's tools show them, in 16 hexadecimal digits.
///
/// ```
/// use etcdkit::LeaseId;
///
/// let lease = LeaseId::new(0x7587_8e5a).expect("not zero");
/// assert_eq!(lease.to_string(), "0000000075878e5a");
/// assert_eq!(LeaseId::new(0), None);
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
