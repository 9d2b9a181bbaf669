//! The answer to a plain range, made piece by piece: between two of them nobody needs to hold the state.

use etcdkit_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdkit_proto::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use prost::Message as _;

use super::Ranged;
use super::range::{encode_end, encode_kv, encode_record, has_filters};
use crate::mvcc::{KeyRange, Record, Store};

/// Keys of a piece, and bytes from which on a piece ends.
const KEYS: usize = 1000;
const BYTES: usize = 256 * 1024;

/// Keys of a piece that are only counted.
const COUNTED: usize = 10_000;

/// How far the answer is.
#[derive(Debug)]
pub(crate) struct Pieces {
    rest: KeyRange,
    revision: i64,
    /// Keys that are still to be put into the answer. Those behind them count.
    wanted: usize,
    count: i64,
    more: bool,
    keys_only: bool,
}

impl Pieces {
    /// What a request asks for, at a revision that can be read; `None` if that can only be told of all keys together.
    pub(crate) fn of(request: &RangeRequest, revision: i64) -> Option<Self> {
        let by_key =
            request.sort_target() == SortTarget::Key && request.sort_order() != SortOrder::Descend;
        if !by_key || has_filters(request) {
            return None;
        }
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
        let wanted = if request.count_only { 0 } else { limit.unwrap_or(usize::MAX) };
        let (rest, keys_only) = (request.range(), request.keys_only);
        Some(Self { rest, revision, wanted, count: 0, more: false, keys_only })
    }

    /// Begins the encoded answer.
    pub(crate) fn begin(header: ResponseHeader, out: &mut Vec<u8>) {
        let start = RangeResponse { header: Some(header), ..RangeResponse::default() };
        // A vector grows as needed, so that encoding into it cannot fail.
        let _ = start.encode(out);
    }

    /// Adds the next keys. Returns whether there may be others.
    pub(crate) fn add(&mut self, store: &Store, out: &mut Vec<u8>) -> bool {
        if self.wanted > 0 {
            let full = self.add_records(store, out);
            if !full || self.wanted > 0 {
                return full;
            }
        }
        self.add_count(store)
    }

    fn add_records(&mut self, store: &Store, out: &mut Vec<u8>) -> bool {
        let end = out.len() + BYTES;
        let mut last: Option<Record<'_>> = None;
        let mut room = self.wanted.min(KEYS);
        for record in store.range(&self.rest, self.revision) {
            if self.keys_only {
                let mut kv = record.kv();
                // etcd 3.7 answers from its index, which knows no leases.
                (kv.value, kv.lease) = (&[], 0);
                encode_kv(&kv.to_owned(), out);
            } else {
                encode_record(&record, out);
            }
            self.count += 1;
            self.wanted -= 1;
            room -= 1;
            last = Some(record);
            if room == 0 || out.len() >= end {
                break;
            }
        }
        let full = room == 0 || out.len() >= end;
        if let Some(last) = last.filter(|_| full) {
            self.rest = self.rest.after(last.kv().key);
        }
        full
    }

    fn add_count(&mut self, store: &Store) -> bool {
        let mut last = None;
        let mut counted = 0;
        for key in store.keys(&self.rest, self.revision).take(COUNTED) {
            counted += 1;
            last = Some(key);
        }
        let full = counted == COUNTED;
        if let Some(last) = last.filter(|_| full) {
            self.rest = self.rest.after(last);
        }
        self.more |= counted > 0;
        self.count += i64::try_from(counted).unwrap_or(i64::MAX);
        full
    }

    /// Ends the encoded answer.
    pub(crate) fn end(&self, count_only: bool, out: &mut Vec<u8>) {
        encode_end(self.more && !count_only, self.count, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::Selection;

    #[test]
    fn pieces_make_the_answer_that_is_made_at_once() {
        let mut store = Store::default();
        for number in 0..3500_u32 {
            store.put(format!("{number:05}").as_bytes(), &[b'v'; 500], 7);
            store.finish();
        }
        let now = store.revision();
        let range = |limit: i64, keys_only: bool, count_only: bool, range_end: &str| RangeRequest {
            key: "00010".into(),
            range_end: range_end.to_owned().into(),
            limit,
            keys_only,
            count_only,
            ..RangeRequest::default()
        };
        let mut longest = 0;
        for request in [
            range(0, false, false, "z"),
            range(0, true, false, "z"),
            range(0, false, true, "z"),
            range(1, false, false, "z"),
            range(1000, false, false, "z"),
            range(1000, true, false, "01010"),
            range(2500, false, false, "03000"),
            range(0, false, false, ""),
            range(1, false, false, ""),
            range(5, false, true, "z"),
        ] {
            let header = ResponseHeader { revision: now, ..ResponseHeader::default() };
            let mut at_once = Vec::new();
            Selection::find(&store, &request, now).encode(header.clone(), &mut at_once);
            let mut out = Vec::new();
            let mut pieces = Pieces::of(&request, now).unwrap();
            Pieces::begin(header, &mut out);
            let mut count = 1;
            while pieces.add(&store, &mut out) {
                count += 1;
            }
            pieces.end(request.count_only, &mut out);
            assert!(out == at_once, "{request:?}");
            longest = longest.max(count);
        }
        assert!(longest > 3, "{longest}");
    }
}
