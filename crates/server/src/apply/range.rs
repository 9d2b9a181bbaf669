//! Reading a range of keys.

use etcdkit_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdkit_proto::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use etcdkit_proto::mvccpb::KeyValue;
use prost::encoding::{WireType, encode_key, encode_varint, int64, message};

use super::Ranged;
use crate::mvcc::{Record, Store};

/// The number of the field `kvs` in the answer.
const KVS: u32 = 2;

/// What a request for a range finds, still where it lies.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    records: Vec<Record<'a>>,
    more: bool,
    count: i64,
    keys_only: bool,
    /// etcd 3.7 answers such requests from its index, which knows no leases, unless it has to sort by values.
    from_index: bool,
}

impl<'a> Selection<'a> {
    /// Reads at a revision that can be read.
    pub(crate) fn find(store: &'a Store, request: &RangeRequest, revision: i64) -> Self {
        let range = request.range();
        if request.count_only {
            let count = count(store.count(&range, revision));
            return Self { count, ..Self::default() };
        }
        let order = request.sort_order();
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
        // One more than asked for tells whether there is more.
        let fetch = match limit {
            Some(limit) if order == SortOrder::None && !has_filters(request) => limit + 1,
            _ => usize::MAX,
        };
        let mut found = store.range(&range, revision);
        let mut records: Vec<Record<'a>> = found.by_ref().take(fetch).collect();
        let all = records.len()
            + if records.len() == fetch {
                store.count(&rest(&range, &records), revision)
            } else {
                0
            };
        if has_filters(request) {
            records.retain(|record| passes(request, record));
        }
        sort(request, &mut records);
        let more = limit.is_some_and(|limit| records.len() > limit);
        records.truncate(limit.unwrap_or(usize::MAX));
        Self {
            records,
            more,
            count: count(all),
            keys_only: request.keys_only,
            from_index: request.keys_only && request.sort_target() != SortTarget::Value,
        }
    }

    /// The answer as a message.
    pub(crate) fn response(&self, header: ResponseHeader) -> RangeResponse {
        let kvs = self.records.iter().map(|record| self.kv(record)).collect();
        RangeResponse { header: Some(header), kvs, more: self.more, count: self.count }
    }

    fn kv(&self, record: &Record<'_>) -> KeyValue {
        let mut kv = record.kv();
        if self.keys_only {
            kv.value = &[];
        }
        if self.from_index {
            kv.lease = 0;
        }
        kv.to_owned()
    }
}

/// Appends a key to an encoded answer, as it lies.
pub(super) fn encode_message(message: &[u8], out: &mut Vec<u8>) {
    out.reserve(16 + message.len());
    encode_key(KVS, WireType::LengthDelimited, out);
    encode_varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

/// Appends a key that is not as it lies.
pub(super) fn encode_kv(kv: &KeyValue, out: &mut Vec<u8>) {
    message::encode(KVS, kv, out);
}

/// Appends what comes behind the keys.
pub(super) fn encode_end(more: bool, count: i64, out: &mut Vec<u8>) {
    if more {
        prost::encoding::bool::encode(3, &true, out);
    }
    if count != 0 {
        int64::encode(4, &count, out);
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn rest(range: &crate::mvcc::KeyRange, records: &[Record<'_>]) -> crate::mvcc::KeyRange {
    records.last().map_or_else(|| range.clone(), |record| range.after(record.kv().key))
}

/// Whether an answer can be made as keys are found.
pub(crate) fn in_order_of_keys(request: &RangeRequest) -> bool {
    let by_key =
        request.sort_target() == SortTarget::Key && request.sort_order() != SortOrder::Descend;
    by_key && !has_filters(request)
}

pub(super) const fn has_filters(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

pub(super) fn passes(request: &RangeRequest, record: &Record<'_>) -> bool {
    let kv = record.kv();
    let within =
        |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

fn sort(request: &RangeRequest, records: &mut [Record<'_>]) {
    let (order, target) = (request.sort_order(), request.sort_target());
    // Records come in the order of their keys. Any other target is sorted even if no order is asked for.
    if target == SortTarget::Key && order != SortOrder::Descend {
        return;
    }
    let by = |a: &Record<'_>, b: &Record<'_>| {
        let (a, b) = (a.kv(), b.kv());
        match target {
            SortTarget::Key => a.key.cmp(b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(b.value),
        }
    };
    if order == SortOrder::Descend {
        records.sort_by(|a, b| by(b, a));
    } else {
        records.sort_by(by);
    }
}
