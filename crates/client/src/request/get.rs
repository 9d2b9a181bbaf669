//! Reading keys.

use std::fmt;
use std::future::Future;

use etcdkit_proto::etcdserverpb::{RangeRequest, RangeResponse, range_request};
use etcdkit_proto::method::{self, Method};

use super::range::{KeyRange, check_key, fmt_range, key_range_accessors, range_constructors};
use crate::byte_string::ByteString;
use crate::error::Result;
use crate::response::{GetResponse, KeyValue};
use crate::revision::Revision;
use crate::service::{CallOptions, Streaming};
use crate::transport::{Channel, Transport, Unary};

/// Reads a key, or a range of keys.
///
/// Without options it reads the newest state that the cluster has agreed on.
///
/// ```
/// use etcdkit::{Get, KeyRange};
///
/// let get = Get::prefix("/jobs/").limit(10).keys_only();
/// assert_eq!(get.key_range(), KeyRange::prefix("/jobs/"));
/// assert_eq!(Get::from("/jobs/1"), Get::new("/jobs/1"));
/// ```
#[derive(Clone, PartialEq)]
pub struct Get(RangeRequest);

/// What the keys of an answer are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SortTarget {
    /// The key.
    Key,
    /// How often the key was put since it was created.
    Version,
    /// The revision that created the key.
    CreateRevision,
    /// The revision that last changed the key.
    ModRevision,
    /// The value.
    Value,
}

/// In which direction the keys of an answer are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SortOrder {
    /// The lowest first.
    Ascend,
    /// The highest first.
    Descend,
}

impl Get {
    /// Reads `range`: a key, or a [`KeyRange`].
    pub fn new(range: impl Into<KeyRange>) -> Self {
        Self(RangeRequest::default()).with_key_range(range)
    }

    /// Reads the first key, in key order, of those that start with `prefix`.
    pub fn first_key(prefix: impl Into<ByteString>) -> Self {
        Self::prefix(prefix).sort(SortTarget::Key, SortOrder::Ascend).limit(1)
    }

    /// Reads the last key, in key order, of those that start with `prefix`.
    pub fn last_key(prefix: impl Into<ByteString>) -> Self {
        Self::prefix(prefix).sort(SortTarget::Key, SortOrder::Descend).limit(1)
    }

    /// Reads the key that was changed first of those that start with `prefix`.
    pub fn first_revision(prefix: impl Into<ByteString>) -> Self {
        Self::prefix(prefix).sort(SortTarget::ModRevision, SortOrder::Ascend).limit(1)
    }

    /// Reads the key that was changed last of those that start with `prefix`.
    pub fn last_revision(prefix: impl Into<ByteString>) -> Self {
        Self::prefix(prefix).sort(SortTarget::ModRevision, SortOrder::Descend).limit(1)
    }

    /// Reads the oldest key of those that start with `prefix`: whose turn it is in a queue or an election.
    pub fn first_create(prefix: impl Into<ByteString>) -> Self {
        Self::prefix(prefix).sort(SortTarget::CreateRevision, SortOrder::Ascend).limit(1)
    }

    /// Reads the youngest key of those that start with `prefix`.
    pub fn last_create(prefix: impl Into<ByteString>) -> Self {
        Self::prefix(prefix).sort(SortTarget::CreateRevision, SortOrder::Descend).limit(1)
    }

    /// Returns at most `limit` keys; 0 is no limit.
    ///
    /// [`GetResponse::more`] tells whether keys were left out, [`GetResponse::count`] how many there are.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.0.limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self
    }

    /// Reads the keys as they were at `revision`, which must be neither compacted nor in the future.
    #[must_use]
    pub fn at_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.0.revision = revision.into().get();
        self
    }

    /// Sorts the keys; without it they come by key, ascending.
    ///
    /// The server sorts, and for that it reads the whole range whatever the limit. It is not asked to when the order
    /// is the one in which keys come anyway:
    ///
    /// ```
    /// use etcdkit::{Get, SortOrder, SortTarget};
    ///
    /// assert_eq!(Get::prefix("a").sort(SortTarget::Key, SortOrder::Ascend), Get::prefix("a"));
    /// assert_ne!(Get::prefix("a").sort(SortTarget::Key, SortOrder::Descend), Get::prefix("a"));
    /// ```
    #[must_use]
    pub fn sort(mut self, target: SortTarget, order: SortOrder) -> Self {
        use range_request as wire;
        let target = match target {
            SortTarget::Key => wire::SortTarget::Key,
            SortTarget::Version => wire::SortTarget::Version,
            SortTarget::CreateRevision => wire::SortTarget::Create,
            SortTarget::ModRevision => wire::SortTarget::Mod,
            SortTarget::Value => wire::SortTarget::Value,
        };
        let order = match order {
            SortOrder::Ascend if target == wire::SortTarget::Key => wire::SortOrder::None,
            SortOrder::Ascend => wire::SortOrder::Ascend,
            SortOrder::Descend => wire::SortOrder::Descend,
        };
        self.0.sort_target = target.into();
        self.0.sort_order = order.into();
        self
    }

    /// Lets any one member answer from what it has: at once, without the cluster agreeing, and possibly out of date.
    #[must_use]
    pub fn serializable(mut self) -> Self {
        self.0.serializable = true;
        self
    }

    /// Leaves out the values.
    #[must_use]
    pub fn keys_only(mut self) -> Self {
        self.0.keys_only = true;
        self
    }

    /// Returns no keys, only how many there are. Wins over [`keys_only`](Self::keys_only).
    #[must_use]
    pub fn count_only(mut self) -> Self {
        self.0.count_only = true;
        self
    }

    /// Leaves out keys that were last changed before `revision`.
    ///
    /// The server reads the whole range for it, whatever the limit; [`GetResponse::count`] counts what was left out too.
    #[must_use]
    pub fn min_mod_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.0.min_mod_revision = revision.into().get();
        self
    }

    /// Leaves out keys that were last changed after `revision`; see [`min_mod_revision`](Self::min_mod_revision).
    #[must_use]
    pub fn max_mod_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.0.max_mod_revision = revision.into().get();
        self
    }

    /// Leaves out keys that were created before `revision`; see [`min_mod_revision`](Self::min_mod_revision).
    #[must_use]
    pub fn min_create_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.0.min_create_revision = revision.into().get();
        self
    }

    /// Leaves out keys that were created after `revision`; see [`min_mod_revision`](Self::min_mod_revision).
    #[must_use]
    pub fn max_create_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.0.max_create_revision = revision.into().get();
        self
    }

    /// The same read, answered in pieces as a stream.
    ///
    /// ```
    /// use etcdkit::{Get, GetStream};
    ///
    /// assert_eq!(Get::prefix("/a/").streamed(), GetStream::from(Get::prefix("/a/")));
    /// ```
    #[must_use]
    pub fn streamed(self) -> GetStream {
        GetStream(self)
    }

    /// The revision it reads at; `None` for the newest.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        (self.0.revision > 0).then(|| Revision::new(self.0.revision))
    }

    /// Whether any one member may answer.
    #[must_use]
    pub fn is_serializable(&self) -> bool {
        self.0.serializable
    }

    /// Whether the values are left out.
    #[must_use]
    pub fn is_keys_only(&self) -> bool {
        self.0.keys_only
    }

    /// Whether only the number of keys is asked for.
    #[must_use]
    pub fn is_count_only(&self) -> bool {
        self.0.count_only
    }

    /// Whether the server has to see the whole range before it can cut it to the limit.
    pub(crate) fn is_sorted_or_filtered(&self) -> bool {
        let wire = &self.0;
        wire.sort_order != 0
            || wire.sort_target != 0
            || wire.min_mod_revision != 0
            || wire.max_mod_revision != 0
            || wire.min_create_revision != 0
            || wire.max_create_revision != 0
    }

    /// Whether its limits on revisions let `kv` through.
    pub(crate) fn admits(&self, kv: &KeyValue) -> bool {
        let wire = &self.0;
        let within = |revision: Revision, min: i64, max: i64| {
            revision.get() >= min && (max == 0 || revision.get() <= max)
        };
        within(kv.mod_revision(), wire.min_mod_revision, wire.max_mod_revision)
            && within(kv.create_revision(), wire.min_create_revision, wire.max_create_revision)
    }

    /// The same read, answered only by a member that has asked the others.
    pub(crate) fn linearizable(mut self) -> Self {
        self.0.serializable = false;
        self
    }

    /// The largest number of keys to return; `None` for all.
    pub(crate) fn key_limit(&self) -> Option<u64> {
        u64::try_from(self.0.limit).ok().filter(|limit| *limit > 0)
    }

    pub(super) fn into_wire(self) -> RangeRequest {
        self.0
    }
}

range_constructors!(Get, "Reads");
key_range_accessors!(Get, 0);

impl From<RangeRequest> for Get {
    fn from(wire: RangeRequest) -> Self {
        Self(wire)
    }
}

impl From<GetStream> for Get {
    fn from(stream: GetStream) -> Self {
        stream.0
    }
}

impl fmt::Debug for Get {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = &self.0;
        f.write_str("Get(")?;
        fmt_range(&wire.key, &wire.range_end, f)?;
        let numbers = [
            ("limit", wire.limit),
            ("at revision", wire.revision),
            ("min mod revision", wire.min_mod_revision),
            ("max mod revision", wire.max_mod_revision),
            ("min create revision", wire.min_create_revision),
            ("max create revision", wire.max_create_revision),
        ];
        for (name, number) in numbers {
            if number != 0 {
                write!(f, ", {name} {number}")?;
            }
        }
        if wire.sort_order != 0 || wire.sort_target != 0 {
            write!(f, ", sort {:?} {:?}", wire.sort_target(), wire.sort_order())?;
        }
        let flags = [
            ("serializable", wire.serializable),
            ("keys only", wire.keys_only),
            ("count only", wire.count_only),
        ];
        for (name, set) in flags {
            if set {
                write!(f, ", {name}")?;
            }
        }
        f.write_str(")")
    }
}

impl Unary for Get {
    type Wire = RangeRequest;
    type Answer = RangeResponse;
    const METHOD: Method<RangeRequest, RangeResponse> = method::kv::RANGE;

    fn wire(&self) -> &RangeRequest {
        &self.0
    }

    fn check(&self) -> Result<()> {
        check_key(&self.0.key)
    }

    fn serializable(&self) -> bool {
        self.0.serializable
    }

    fn decode(answer: RangeResponse) -> Result<GetResponse> {
        Ok(answer.into())
    }
}

/// A [`Get`] that is answered in pieces, so that no answer has to fit into memory at once.
///
/// All pieces show the store at one revision. The header, [`GetResponse::more`] and [`GetResponse::count`] come with
/// the last piece; [`GetResponse::append`] puts pieces together.
#[derive(Clone, Debug, PartialEq)]
pub struct GetStream(Get);

impl GetStream {
    /// The read that is streamed.
    #[must_use]
    pub fn get(&self) -> &Get {
        &self.0
    }
}

impl From<Get> for GetStream {
    fn from(get: Get) -> Self {
        Self(get)
    }
}

/// Opens the stream on a cluster.
pub(crate) fn open_stream<T: Transport>(
    channel: &Channel<T>,
    request: GetStream,
    options: &CallOptions,
) -> impl Future<Output = Result<Streaming<GetResponse>>> + Send {
    crate::range_stream::open(channel, request, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use etcdkit_proto::etcdserverpb::range_request as wire;
    use etcdkit_proto::method::Class;

    fn base() -> RangeRequest {
        RangeRequest { key: "a".into(), ..RangeRequest::default() }
    }

    #[test]
    fn wire_form_of_each_option() {
        let get = || Get::new("a");
        let table = [
            (get(), base()),
            (get().limit(7), RangeRequest { limit: 7, ..base() }),
            (get().limit(u64::MAX), RangeRequest { limit: i64::MAX, ..base() }),
            (get().at_revision(9), RangeRequest { revision: 9, ..base() }),
            (get().serializable(), RangeRequest { serializable: true, ..base() }),
            (get().keys_only(), RangeRequest { keys_only: true, ..base() }),
            (get().count_only(), RangeRequest { count_only: true, ..base() }),
            (get().min_mod_revision(2), RangeRequest { min_mod_revision: 2, ..base() }),
            (get().max_mod_revision(3), RangeRequest { max_mod_revision: 3, ..base() }),
            (get().min_create_revision(4), RangeRequest { min_create_revision: 4, ..base() }),
            (get().max_create_revision(5), RangeRequest { max_create_revision: 5, ..base() }),
            (Get::prefix("a"), RangeRequest { range_end: "b".into(), ..base() }),
            (Get::from_key("a"), RangeRequest { range_end: "\0".into(), ..base() }),
            (Get::range("a", "x"), RangeRequest { range_end: "x".into(), ..base() }),
            (
                Get::all(),
                RangeRequest {
                    key: "\0".into(),
                    range_end: "\0".into(),
                    ..RangeRequest::default()
                },
            ),
        ];
        for (get, wire) in table {
            assert_eq!(get.wire(), &wire, "{get:?}");
            get.check().unwrap();
        }
    }

    #[test]
    fn op_with_sort() {
        use {SortOrder as O, SortTarget as T};
        let table = [
            (T::Key, O::Ascend, wire::SortTarget::Key, wire::SortOrder::None),
            (T::Key, O::Descend, wire::SortTarget::Key, wire::SortOrder::Descend),
            (T::Version, O::Ascend, wire::SortTarget::Version, wire::SortOrder::Ascend),
            (T::CreateRevision, O::Ascend, wire::SortTarget::Create, wire::SortOrder::Ascend),
            (T::ModRevision, O::Descend, wire::SortTarget::Mod, wire::SortOrder::Descend),
            (T::Value, O::Descend, wire::SortTarget::Value, wire::SortOrder::Descend),
        ];
        for (target, order, wire_target, wire_order) in table {
            let get = Get::new("a").limit(10).sort(target, order);
            let expected = RangeRequest {
                limit: 10,
                sort_target: wire_target.into(),
                sort_order: wire_order.into(),
                ..base()
            };
            assert_eq!(get.wire(), &expected, "{get:?}");
            assert_eq!(get.is_sorted_or_filtered(), wire_order != wire::SortOrder::None, "{get:?}");
        }
        // The last sort holds, also when it is none.
        let twice = Get::new("a").sort(T::Value, O::Descend).sort(T::Key, O::Ascend);
        assert_eq!(twice, Get::new("a"));
    }

    #[test]
    fn one_of_a_prefix() {
        use {wire::SortOrder as O, wire::SortTarget as T};
        let table = [
            (Get::first_key("a"), T::Key, O::None),
            (Get::last_key("a"), T::Key, O::Descend),
            (Get::first_revision("a"), T::Mod, O::Ascend),
            (Get::last_revision("a"), T::Mod, O::Descend),
            (Get::first_create("a"), T::Create, O::Ascend),
            (Get::last_create("a"), T::Create, O::Descend),
        ];
        for (get, target, order) in table {
            let expected = RangeRequest {
                range_end: "b".into(),
                limit: 1,
                sort_target: target.into(),
                sort_order: order.into(),
                ..base()
            };
            assert_eq!(get.wire(), &expected, "{get:?}");
        }
    }

    #[test]
    fn an_empty_key_is_refused() {
        for get in [Get::new(""), Get::range("a", "")] {
            assert_eq!(get.check().unwrap_err().kind(), ErrorKind::InvalidArgument, "{get:?}");
        }
    }

    #[test]
    fn shown_with_what_is_set() {
        let get = Get::prefix("a").limit(3).at_revision(8).keys_only();
        assert_eq!(format!("{get:?}"), r#"Get(b"a"..b"b", limit 3, at revision 8, keys only)"#);
        let get = Get::last_create("a");
        assert_eq!(format!("{get:?}"), r#"Get(b"a"..b"b", limit 1, sort Create Descend)"#);
    }

    #[test]
    fn read_back() {
        let get = Get::new("a").at_revision(3).serializable().keys_only().count_only();
        assert_eq!(get.revision(), Some(Revision::new(3)));
        assert!(get.is_serializable() && get.is_keys_only() && get.is_count_only());
        assert!(Unary::serializable(&get));
        assert_eq!(Unary::class(&get), Class::Read);
        assert_eq!(Get::new("a").revision(), None);
        assert_eq!(get.with_key_range("b").key_range(), KeyRange::key("b"));
        assert_eq!(Get::new("a").limit(0).key_limit(), None);
    }
}
