//! The answer to a read.

use etcdkit_proto::etcdserverpb::{RangeResponse, RangeStreamResponse};

use super::{KeyValue, ResponseHeader, unsigned};
use crate::revision::Revision;

/// The keys that a [`Get`](crate::Get) found.
///
/// ```
/// use etcdkit::{GetResponse, KeyValue, ResponseHeader};
///
/// let answer = GetResponse::new(ResponseHeader::at(7), [KeyValue::new("/a", "1")]);
/// assert_eq!(answer.first().map(KeyValue::value), Some(b"1".as_slice()));
/// assert_eq!(answer.count(), 1);
/// for kv in &answer {
///     assert_eq!(kv.key_str(), Ok("/a"));
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GetResponse {
    header: ResponseHeader,
    kvs: Vec<KeyValue>,
    count: u64,
    more: bool,
}

impl GetResponse {
    /// An answer with all keys that there are.
    pub fn new(header: ResponseHeader, kvs: impl IntoIterator<Item = KeyValue>) -> Self {
        let kvs: Vec<_> = kvs.into_iter().collect();
        let count = kvs.len() as u64;
        Self { header, kvs, count, more: false }
    }

    /// The same, of a range in which there are `count` keys.
    #[must_use]
    pub fn with_count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// The same, with keys left out by the limit.
    #[must_use]
    pub fn with_more(mut self) -> Self {
        self.more = true;
        self
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The revision of the store when it was read. Of a read of the past, that is not the revision read at.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.header.revision
    }

    /// The keys.
    #[must_use]
    pub fn kvs(&self) -> &[KeyValue] {
        &self.kvs
    }

    /// The keys.
    #[must_use]
    pub fn into_kvs(self) -> Vec<KeyValue> {
        self.kvs
    }

    /// The first key: the one there can be, if a single key was read.
    #[must_use]
    pub fn first(&self) -> Option<&KeyValue> {
        self.kvs.first()
    }

    /// The first key: the one there can be, if a single key was read.
    #[must_use]
    pub fn into_first(self) -> Option<KeyValue> {
        self.kvs.into_iter().next()
    }

    /// Whether the answer holds no keys. A read of [`count_only`](crate::Get::count_only) never holds any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kvs.is_empty()
    }

    /// How many keys the range holds, whatever the limit and the filters left out.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether the limit left keys out.
    #[must_use]
    pub fn more(&self) -> bool {
        self.more
    }

    /// Adds the next piece of a [`GetStream`](crate::GetStream).
    ///
    /// ```
    /// use etcdkit::{GetResponse, KeyValue, ResponseHeader};
    ///
    /// let piece = |key| GetResponse::default().with_keys([KeyValue::new(key, "")]);
    /// let mut all = piece("a");
    /// all.append(piece("b"));
    /// all.append(GetResponse::new(ResponseHeader::at(7), []).with_count(2));
    /// assert_eq!((all.kvs().len(), all.count()), (2, 2));
    /// assert_eq!(all.revision().get(), 7);
    /// ```
    pub fn append(&mut self, piece: Self) {
        self.header.update(piece.header);
        if self.kvs.is_empty() {
            self.kvs = piece.kvs;
        } else {
            self.kvs.extend(piece.kvs);
        }
        if piece.count != 0 {
            self.count = piece.count;
        }
        self.more |= piece.more;
    }

    /// The same with other keys, and nothing else changed: what a layer that moves keys does.
    #[must_use]
    pub fn with_keys(mut self, kvs: impl IntoIterator<Item = KeyValue>) -> Self {
        self.kvs = kvs.into_iter().collect();
        self
    }

    /// Adds the keys of the next page, and nothing else of it.
    pub(crate) fn extend(&mut self, page: Self) {
        self.kvs.extend(page.kvs);
    }

    /// Decides whether keys were left out, once that is known.
    pub(crate) fn set_more(&mut self, more: bool) {
        self.more = more;
    }
}

impl From<RangeResponse> for GetResponse {
    fn from(wire: RangeResponse) -> Self {
        Self {
            header: wire.header.into(),
            kvs: KeyValue::list(wire.kvs),
            count: unsigned(wire.count),
            more: wire.more,
        }
    }
}

impl From<RangeStreamResponse> for GetResponse {
    fn from(wire: RangeStreamResponse) -> Self {
        wire.range_response.map_or_else(Self::default, Self::from)
    }
}

impl<'a> IntoIterator for &'a GetResponse {
    type Item = &'a KeyValue;
    type IntoIter = std::slice::Iter<'a, KeyValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.kvs.iter()
    }
}

impl IntoIterator for GetResponse {
    type Item = KeyValue;
    type IntoIter = std::vec::IntoIter<KeyValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.kvs.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcdkit_proto::etcdserverpb;
    use etcdkit_proto::mvccpb;

    #[test]
    fn from_the_wire() {
        let kv = mvccpb::KeyValue { key: "a".into(), ..mvccpb::KeyValue::default() };
        let header =
            etcdserverpb::ResponseHeader { cluster_id: 1, member_id: 2, revision: 3, raft_term: 4 };
        let wire = RangeResponse { header: Some(header), kvs: vec![kv], more: true, count: 9 };
        let answer = GetResponse::from(wire.clone());
        let ResponseHeader { cluster_id, member_id, revision, raft_term } = answer.header();
        assert_eq!((cluster_id, member_id, revision.get(), raft_term), (1, 2, 3, 4));
        assert_eq!((answer.count(), answer.more(), answer.is_empty()), (9, true, false));
        assert_eq!(answer.revision(), Revision::new(3));
        assert_eq!(answer.clone().into_first(), answer.first().cloned());
        assert_eq!(answer.clone().into_iter().count(), answer.into_kvs().len());

        let piece = RangeStreamResponse { range_response: Some(wire.clone()) };
        assert_eq!(GetResponse::from(piece), wire.into());
        assert_eq!(GetResponse::from(RangeStreamResponse::default()), GetResponse::default());
        let without_header = RangeResponse { count: -1, ..RangeResponse::default() };
        assert_eq!(GetResponse::from(without_header), GetResponse::default());
    }

    #[test]
    fn pieces_make_the_whole() {
        let kv = |key: &str| KeyValue::new(key, "");
        let mut all = GetResponse::default();
        all.append(GetResponse::default().with_keys([kv("a"), kv("b")]));
        all.append(GetResponse::default().with_keys([kv("c")]));
        let last = GetResponse::new(ResponseHeader::at(5), [kv("d")]).with_count(6).with_more();
        all.append(last);
        let whole = [kv("a"), kv("b"), kv("c"), kv("d")];
        let whole = GetResponse::new(ResponseHeader::at(5), whole).with_count(6).with_more();
        assert_eq!(all, whole);
        // What says nothing changes nothing.
        all.append(GetResponse::default());
        assert_eq!(all, whole);
    }
}
