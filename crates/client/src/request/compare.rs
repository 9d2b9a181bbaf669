//! The conditions of a transaction.

use std::fmt;

use etcdkit_proto::etcdserverpb;
use etcdkit_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};

use super::range::{KeyRange, fmt_range, key_range_accessors};
use crate::byte_string::ByteString;
use crate::response::KeyValue;
use crate::revision::{LeaseId, Revision};

/// A condition on a key, or on every key of a range.
///
/// Name a property of the key, then what it is to be. Only what fits the property can be given.
///
/// ```
/// use etcdkit::{Compare, KeyRange};
///
/// let unchanged = Compare::mod_revision("/a").eq(17);
/// let open = Compare::value("/state").ne("closed");
/// let none_left = Compare::version(KeyRange::prefix("/jobs/")).eq(0);
/// assert_eq!(none_left, Compare::missing(KeyRange::prefix("/jobs/")));
/// # let _ = (unchanged, open);
/// ```
///
/// A key that does not exist has version, revisions and lease 0, and no value: every condition on its value is false.
/// A condition on a range holds if it holds for every key there is in it; on a range without keys it is decided as for
/// one key that does not exist.
#[derive(Clone, PartialEq)]
pub struct Compare(etcdserverpb::Compare);

/// A property of a key, waiting for what it is to be compared with; made by the functions of [`Compare`].
#[derive(Clone, Debug)]
#[must_use = "a property says nothing until it is compared"]
pub struct CompareProperty<V> {
    range: KeyRange,
    target: CompareTarget,
    operand: fn(V) -> TargetUnion,
}

impl Compare {
    /// Compares how often the key was put since it was created: 1 for a new key, 0 for one that does not exist.
    pub fn version(range: impl Into<KeyRange>) -> CompareProperty<i64> {
        CompareProperty::new(range, CompareTarget::Version, TargetUnion::Version)
    }

    /// Compares the revision that created the key.
    pub fn create_revision(range: impl Into<KeyRange>) -> CompareProperty<Revision> {
        CompareProperty::new(range, CompareTarget::Create, |revision: Revision| {
            TargetUnion::CreateRevision(revision.get())
        })
    }

    /// Compares the revision that last changed the key.
    pub fn mod_revision(range: impl Into<KeyRange>) -> CompareProperty<Revision> {
        CompareProperty::new(range, CompareTarget::Mod, |revision: Revision| {
            TargetUnion::ModRevision(revision.get())
        })
    }

    /// Compares the value, byte by byte.
    pub fn value(range: impl Into<KeyRange>) -> CompareProperty<ByteString> {
        CompareProperty::new(range, CompareTarget::Value, |value: ByteString| {
            TargetUnion::Value(value.into_bytes())
        })
    }

    /// Compares the lease that the key is attached to; `None` for none.
    ///
    /// ```
    /// use etcdkit::{Compare, LeaseId};
    ///
    /// let mine = Compare::lease("/lock").eq(LeaseId::new(7));
    /// let nobodys = Compare::lease("/lock").eq(None);
    /// assert_ne!(mine, nobodys);
    /// ```
    pub fn lease(range: impl Into<KeyRange>) -> CompareProperty<Option<LeaseId>> {
        CompareProperty::new(range, CompareTarget::Lease, |lease: Option<LeaseId>| {
            TargetUnion::Lease(lease.map_or(0, LeaseId::get))
        })
    }

    /// The key exists. Of a range: no key of it can be missing, which is to say that there is at least one.
    pub fn exists(range: impl Into<KeyRange>) -> Self {
        Self::version(range).gt(0)
    }

    /// The key does not exist. Of a range: there is no key in it.
    pub fn missing(range: impl Into<KeyRange>) -> Self {
        Self::version(range).eq(0)
    }

    /// Whether it holds for a key that is `kv`, as a server decides.
    pub(crate) fn holds(&self, kv: Option<&KeyValue>) -> bool {
        let wanted = &self.0;
        let number = |of: fn(&KeyValue) -> i64| kv.map_or(0, of);
        let order = match &wanted.target_union {
            Some(TargetUnion::Version(version)) => number(KeyValue::version).cmp(version),
            Some(TargetUnion::CreateRevision(revision)) => {
                number(|kv| kv.create_revision().get()).cmp(revision)
            }
            Some(TargetUnion::ModRevision(revision)) => {
                number(|kv| kv.mod_revision().get()).cmp(revision)
            }
            Some(TargetUnion::Lease(lease)) => {
                number(|kv| kv.lease().map_or(0, LeaseId::get)).cmp(lease)
            }
            Some(TargetUnion::Value(value)) => match kv {
                Some(kv) => kv.value().cmp(value),
                None => return false,
            },
            None => return false,
        };
        match wanted.result() {
            CompareResult::Equal => order.is_eq(),
            CompareResult::NotEqual => order.is_ne(),
            CompareResult::Greater => order.is_gt(),
            CompareResult::Less => order.is_lt(),
        }
    }

    pub(super) fn from_wire(wire: etcdserverpb::Compare) -> Self {
        Self(wire)
    }

    pub(super) fn into_wire(self) -> etcdserverpb::Compare {
        self.0
    }
}

key_range_accessors!(Compare, 0);

impl<V> CompareProperty<V> {
    fn new(
        range: impl Into<KeyRange>,
        target: CompareTarget,
        operand: fn(V) -> TargetUnion,
    ) -> Self {
        Self { range: range.into(), target, operand }
    }

    /// It equals `value`.
    pub fn eq(self, value: impl Into<V>) -> Compare {
        self.compare(CompareResult::Equal, value)
    }

    /// It differs from `value`.
    pub fn ne(self, value: impl Into<V>) -> Compare {
        self.compare(CompareResult::NotEqual, value)
    }

    /// It is greater than `value`.
    pub fn gt(self, value: impl Into<V>) -> Compare {
        self.compare(CompareResult::Greater, value)
    }

    /// It is less than `value`.
    pub fn lt(self, value: impl Into<V>) -> Compare {
        self.compare(CompareResult::Less, value)
    }

    fn compare(self, result: CompareResult, value: impl Into<V>) -> Compare {
        let (key, range_end) = self.range.into_parts();
        Compare(etcdserverpb::Compare {
            result: result.into(),
            target: self.target.into(),
            key,
            target_union: Some((self.operand)(value.into())),
            range_end,
        })
    }
}

impl fmt::Debug for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = &self.0;
        f.write_str(match wire.target() {
            CompareTarget::Version => "Compare(version(",
            CompareTarget::Create => "Compare(create_revision(",
            CompareTarget::Mod => "Compare(mod_revision(",
            CompareTarget::Value => "Compare(value(",
            CompareTarget::Lease => "Compare(lease(",
        })?;
        fmt_range(&wire.key, &wire.range_end, f)?;
        f.write_str(match wire.result() {
            CompareResult::Equal => ") == ",
            CompareResult::NotEqual => ") != ",
            CompareResult::Greater => ") > ",
            CompareResult::Less => ") < ",
        })?;
        match &wire.target_union {
            Some(
                TargetUnion::Version(number)
                | TargetUnion::CreateRevision(number)
                | TargetUnion::ModRevision(number),
            ) => write!(f, "{number})"),
            Some(TargetUnion::Value(value)) => write!(f, "{value:?})"),
            Some(TargetUnion::Lease(lease)) => match LeaseId::new(*lease) {
                Some(lease) => write!(f, "{lease})"),
                None => f.write_str("none)"),
            },
            None => f.write_str("nothing)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use {CompareResult as R, CompareTarget as T, TargetUnion as U};

    fn wire(result: R, target: T, union: U) -> etcdserverpb::Compare {
        etcdserverpb::Compare {
            result: result.into(),
            target: target.into(),
            key: "a".into(),
            target_union: Some(union),
            range_end: "".into(),
        }
    }

    #[test]
    fn wire_form_of_each_condition() {
        let lease = LeaseId::new(5).unwrap();
        let table = [
            (
                Compare::version("a").eq(3),
                wire(R::Equal, T::Version, U::Version(3)),
                r#"Compare(version(b"a") == 3)"#,
            ),
            (
                Compare::create_revision("a").gt(Revision::new(4)),
                wire(R::Greater, T::Create, U::CreateRevision(4)),
                r#"Compare(create_revision(b"a") > 4)"#,
            ),
            (
                Compare::mod_revision("a").lt(9),
                wire(R::Less, T::Mod, U::ModRevision(9)),
                r#"Compare(mod_revision(b"a") < 9)"#,
            ),
            (
                Compare::value("a").ne("x"),
                wire(R::NotEqual, T::Value, U::Value("x".into())),
                r#"Compare(value(b"a") != b"x")"#,
            ),
            (
                Compare::lease("a").eq(lease),
                wire(R::Equal, T::Lease, U::Lease(5)),
                r#"Compare(lease(b"a") == 0000000000000005)"#,
            ),
            (
                Compare::lease("a").ne(None),
                wire(R::NotEqual, T::Lease, U::Lease(0)),
                r#"Compare(lease(b"a") != none)"#,
            ),
            (
                Compare::exists("a"),
                wire(R::Greater, T::Version, U::Version(0)),
                r#"Compare(version(b"a") > 0)"#,
            ),
            (
                Compare::missing("a"),
                wire(R::Equal, T::Version, U::Version(0)),
                r#"Compare(version(b"a") == 0)"#,
            ),
            (
                Compare::missing(KeyRange::prefix("a")),
                etcdserverpb::Compare {
                    range_end: "b".into(),
                    ..wire(R::Equal, T::Version, U::Version(0))
                },
                r#"Compare(version(b"a"..b"b") == 0)"#,
            ),
        ];
        for (compare, wire, shown) in table {
            assert_eq!(compare.clone().into_wire(), wire);
            assert_eq!(format!("{compare:?}"), shown);
        }
    }

    #[test]
    fn compare_clones_input() {
        let one = Compare::value("a").eq("1");
        let other = one.clone().with_key_range(KeyRange::prefix("b"));
        assert_eq!(one.key_range(), KeyRange::key("a"));
        assert_eq!(other.key_range(), KeyRange::prefix("b"));
        assert_eq!(other.with_key_range("a"), one);
        let property = Compare::version("a");
        assert_ne!(property.clone().eq(1), property.eq(2));
    }
}
