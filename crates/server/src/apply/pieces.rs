//! The answer to a range, made piece by piece: between two of them nobody needs to hold the state.

use etcdkit_proto::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use prost::Message as _;

use super::Ranged;
use super::gathered::Gathered;
use super::range::{encode_end, encode_kv, encode_message, in_order_of_keys};
use crate::mvcc::{KeyRange, Record, Store};

/// Keys of a piece, and bytes from which on a piece ends.
pub(super) const KEYS: usize = 1000;
pub(super) const BYTES: usize = 256 * 1024;

/// Keys of a piece that are only counted.
const COUNTED: usize = 10_000;

/// How far the answer is.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Keys are encoded as they are found.
    InOrder(Pieces),
    /// They are gathered first.
    Gathered(Gathered),
}

impl Answer {
    /// Begins the encoded answer to a request, at a revision that can be read.
    pub(crate) fn begin(
        header: ResponseHeader,
        request: &RangeRequest,
        revision: i64,
        out: &mut Vec<u8>,
    ) -> Self {
        Pieces::begin(header, out);
        if request.count_only || in_order_of_keys(request) {
            Self::InOrder(Pieces::of(request, revision))
        } else {
            Self::Gathered(Gathered::new(request, revision))
        }
    }

    /// Adds the next keys. Returns whether there may be others.
    pub(crate) fn add(&mut self, store: &Store, out: &mut Vec<u8>) -> bool {
        match self {
            Self::InOrder(pieces) => pieces.add(store, out),
            Self::Gathered(gathered) => gathered.add(store),
        }
    }

    /// Keys of the range so far.
    pub(super) const fn count(&self) -> i64 {
        match self {
            Self::InOrder(pieces) => pieces.count,
            Self::Gathered(gathered) => gathered.count(),
        }
    }

    /// Bytes of the keys that were gathered, and are not in the encoded answer yet.
    pub(crate) const fn held(&self) -> usize {
        match self {
            Self::InOrder(_) => 0,
            Self::Gathered(gathered) => gathered.held(),
        }
    }

    /// Whether ending it takes long, if there are many keys.
    pub(crate) const fn is_gathered(&self) -> bool {
        matches!(self, Self::Gathered(_))
    }

    /// Ends the encoded answer.
    pub(crate) fn end(self, out: &mut Vec<u8>) {
        match self {
            Self::InOrder(pieces) => pieces.end(out),
            Self::Gathered(gathered) => gathered.end(out),
        }
    }
}

/// An answer in the order of keys.
#[derive(Debug)]
pub(crate) struct Pieces {
    rest: KeyRange,
    revision: i64,
    /// Keys that are still to be put into the answer. Those behind them count.
    wanted: usize,
    count: i64,
    more: bool,
    keys_only: bool,
    count_only: bool,
}

/// What a piece was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: usize,
    /// Whether it ended because it was full.
    pub(crate) is_full: bool,
}

impl Pieces {
    pub(crate) fn of(request: &RangeRequest, revision: i64) -> Self {
        let &RangeRequest { keys_only, count_only, limit, .. } = request;
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
        let wanted = if count_only { 0 } else { limit.unwrap_or(usize::MAX) };
        let rest = request.range();
        Self { rest, revision, wanted, count: 0, more: false, keys_only, count_only }
    }

    /// Begins the encoded answer.
    pub(crate) fn begin(header: ResponseHeader, out: &mut Vec<u8>) {
        let start = RangeResponse { header: Some(header), ..RangeResponse::default() };
        // A vector grows as needed, so that encoding into it cannot fail.
        let _ = start.encode(out);
    }

    fn add(&mut self, store: &Store, out: &mut Vec<u8>) -> bool {
        if self.wanted > 0 {
            let piece = self.add_records(store, KEYS, BYTES, out);
            if !piece.is_full || self.wanted > 0 {
                return piece.is_full && !self.rest.is_empty();
            }
        }
        self.add_count(store)
    }

    /// Adds the next keys: so many, or until they are so many bytes.
    pub(crate) fn add_records(
        &mut self,
        store: &Store,
        keys: usize,
        bytes: usize,
        out: &mut Vec<u8>,
    ) -> Piece {
        let start = out.len();
        let mut last: Option<Record<'_>> = None;
        let mut room = self.wanted.min(keys);
        if room == 0 {
            return Piece { bytes: 0, is_full: true };
        }
        for record in store.range(&self.rest, self.revision) {
            if self.keys_only {
                let mut kv = record.kv();
                // etcd 3.7 answers from its index, which knows no leases.
                (kv.value, kv.lease) = (&[], 0);
                encode_kv(&kv.to_owned(), out);
            } else {
                encode_message(record.message, out);
            }
            self.count += 1;
            self.wanted -= 1;
            room -= 1;
            last = Some(record);
            if room == 0 || out.len() - start >= bytes {
                break;
            }
        }
        let bytes_added = out.len() - start;
        let is_full = room == 0 || bytes_added >= bytes;
        if let Some(last) = last.filter(|_| is_full) {
            self.rest = self.rest.after(last.kv().key);
        }
        Piece { bytes: bytes_added, is_full }
    }

    /// Whether there is no room for other keys.
    pub(crate) const fn has_all(&self) -> bool {
        self.wanted == 0
    }

    /// Counts the next of the keys that there is no room for. Returns whether there may be others.
    pub(crate) fn add_count(&mut self, store: &Store) -> bool {
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
    pub(crate) fn end(&self, out: &mut Vec<u8>) {
        encode_end(self.more && !self.count_only, self.count, out);
    }
}

#[cfg(test)]
mod tests {
    use etcdkit_proto::etcdserverpb::range_request::{SortOrder, SortTarget};

    use super::*;
    use crate::apply::Selection;

    /// Keys whose revisions, versions and values are in other orders than they, some of them alike.
    fn store() -> Store {
        let mut store = Store::default();
        for number in 0..3500_u32 {
            let scattered = number * 1009 % 3500;
            let mut value = vec![b'v'; 500];
            value.push(u8::try_from(scattered % 7).unwrap());
            for _ in 0..=scattered % 3 {
                store.put(format!("{scattered:05}").as_bytes(), &value, 7);
            }
            store.finish();
        }
        store
    }

    #[test]
    fn pieces_make_the_answer_that_is_made_at_once() {
        let store = store();
        let now = store.revision();
        let plain = |range_end: &str| RangeRequest {
            key: "00010".into(),
            range_end: range_end.to_owned().into(),
            ..RangeRequest::default()
        };
        let mut requests = vec![plain(""), plain("01010"), plain("z")];
        for target in [
            SortTarget::Key,
            SortTarget::Version,
            SortTarget::Create,
            SortTarget::Mod,
            SortTarget::Value,
        ] {
            for order in [SortOrder::None, SortOrder::Ascend, SortOrder::Descend] {
                let (sort_target, sort_order) = (target.into(), order.into());
                requests.push(RangeRequest { sort_target, sort_order, ..plain("z") });
            }
        }
        requests.push(RangeRequest { min_mod_revision: 1000, ..plain("z") });
        let within = RangeRequest {
            max_create_revision: 2000,
            min_create_revision: 5,
            max_mod_revision: 1999,
            sort_target: SortTarget::Mod.into(),
            sort_order: SortOrder::Descend.into(),
            ..plain("z")
        };
        requests.push(within);
        let mut longest = 0;
        for request in requests {
            for (limit, keys_only, count_only) in [
                (0, false, false),
                (0, true, false),
                (0, false, true),
                (1, false, false),
                (5, false, true),
                (1000, true, false),
                (2500, false, false),
            ] {
                let request = RangeRequest { limit, keys_only, count_only, ..request.clone() };
                let header = ResponseHeader { revision: now, ..ResponseHeader::default() };
                let at_once = Selection::find(&store, &request, now).response(header.clone());
                let mut out = Vec::new();
                let mut answer = Answer::begin(header, &request, now, &mut out);
                let mut count = 1;
                while answer.add(&store, &mut out) {
                    count += 1;
                }
                answer.end(&mut out);
                assert!(out == at_once.encode_to_vec(), "{request:?}");
                longest = longest.max(count);
            }
        }
        assert!(longest > 3, "{longest}");
    }
}
