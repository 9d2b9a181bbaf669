//! The answer to a range in another order than that of its keys, or of some of them by their revisions.
//!
//! Keys are copied piece by piece. They are sorted when nobody needs the state any more.

use std::cmp::Ordering;

use etcdkit_datadir::schema::KeyValueRef;
use etcdkit_proto::etcdserverpb::RangeRequest;
use etcdkit_proto::etcdserverpb::range_request::{SortOrder, SortTarget};

use super::Ranged;
use super::pieces::{BYTES, KEYS};
use super::range::{encode_end, encode_kv, encode_message, has_filters, passes};
use crate::mvcc::{KeyRange, Record, Store};

/// How far such an answer is.
#[derive(Debug)]
pub(crate) struct Gathered {
    request: RangeRequest,
    rest: KeyRange,
    revision: i64,
    /// Keys of the range.
    count: i64,
    /// Those that were taken: they pass the filters.
    taken: i64,
    /// Keys to take at most.
    room: i64,
    /// What may be in the answer, where it is equal in the order of keys.
    found: Vec<Found>,
    /// Bytes of it.
    bytes: usize,
}

/// A record, and the number that it is sorted by.
#[derive(Debug)]
struct Found {
    rank: i64,
    message: Box<[u8]>,
}

impl Found {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.message.len()
    }

    /// As [`Record::kv`].
    fn kv(&self) -> KeyValueRef<'_> {
        KeyValueRef::decode(&self.message).unwrap_or_default()
    }
}

impl Gathered {
    pub(super) fn new(request: &RangeRequest, revision: i64) -> Self {
        // Without an order etcd sorts only what the limit leaves, and one more to know that there is more.
        let first =
            request.limit > 0 && request.sort_order() == SortOrder::None && !has_filters(request);
        let room = if first { request.limit.saturating_add(1) } else { i64::MAX };
        let (rest, request) = (request.range(), request.clone());
        Self { request, rest, revision, count: 0, taken: 0, room, found: Vec::new(), bytes: 0 }
    }

    /// Adds the next keys. Returns whether there may be others.
    pub(super) fn add(&mut self, store: &Store) -> bool {
        let (mut keys, mut bytes) = (0, 0);
        let mut last: Option<Record<'_>> = None;
        for record in store.range(&self.rest, self.revision) {
            keys += 1;
            bytes += record.message.len();
            if self.taken < self.room && passes(&self.request, &record) {
                self.taken += 1;
                let kv = record.kv();
                let rank = match self.request.sort_target() {
                    SortTarget::Version => kv.version,
                    SortTarget::Create => kv.create_revision,
                    SortTarget::Mod => kv.mod_revision,
                    // Keys come in their order.
                    SortTarget::Key | SortTarget::Value => self.taken,
                };
                let found = Found { rank, message: record.message.into() };
                self.bytes += found.bytes();
                self.found.push(found);
            }
            last = Some(record);
            if keys == KEYS || bytes >= BYTES {
                break;
            }
        }
        let is_full = keys == KEYS || bytes >= BYTES;
        if let Some(last) = last.filter(|_| is_full) {
            self.rest = self.rest.after(last.kv().key);
        }
        self.count += i64::try_from(keys).unwrap_or(i64::MAX);
        if self.found.len() / 2 >= self.limit().max(KEYS) {
            self.sort();
        }
        is_full
    }

    pub(super) const fn held(&self) -> usize {
        self.bytes
    }

    pub(super) const fn count(&self) -> i64 {
        self.count
    }

    fn limit(&self) -> usize {
        let limit = usize::try_from(self.request.limit).ok().filter(|limit| *limit > 0);
        limit.unwrap_or(usize::MAX)
    }

    /// Puts them in order, and forgets those that the limit leaves out.
    fn sort(&mut self) {
        let by: fn(&Found, &Found) -> Ordering = match self.request.sort_target() {
            SortTarget::Value => |a, b| a.kv().value.cmp(b.kv().value),
            _ => |a, b| a.rank.cmp(&b.rank),
        };
        if self.request.sort_order() == SortOrder::Descend {
            self.found.sort_by(|a, b| by(b, a));
        } else {
            self.found.sort_by(by);
        }
        self.found.truncate(self.limit());
        self.bytes = self.found.iter().map(Found::bytes).sum();
    }

    /// Adds what was found, and ends the encoded answer.
    pub(super) fn end(mut self, out: &mut Vec<u8>) {
        self.sort();
        // etcd 3.7 answers from its index, which knows no leases, unless it has to sort by values.
        let from_index = self.request.sort_target() != SortTarget::Value;
        if !self.request.keys_only {
            out.reserve(self.bytes);
        }
        // Each is let go when it is in the answer.
        for found in self.found {
            if self.request.keys_only {
                let mut kv = found.kv();
                kv.value = &[];
                kv.lease = if from_index { 0 } else { kv.lease };
                encode_kv(&kv.to_owned(), out);
            } else {
                encode_message(&found.message, out);
            }
        }
        let more = self.request.limit > 0 && self.taken > self.request.limit;
        encode_end(more, self.count, out);
    }
}
