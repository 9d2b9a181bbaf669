//! The answer to a transaction of reads alone, made piece by piece as that to a range.

use std::vec::IntoIter;

use etcdkit_proto::etcdserverpb::{RangeRequest, ResponseHeader, TxnResponse};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::pieces::{Answer, BYTES, KEYS};
use crate::mvcc::Store;

/// The numbers of the fields that hold the answers: `responses`, and `response_range` in each.
const RESPONSES: u32 = 3;
const RESPONSE_RANGE: u32 = 1;

/// How far the answer is.
#[derive(Debug)]
pub(crate) struct Reads {
    start: TxnResponse,
    revision: i64,
    rest: IntoIter<RangeRequest>,
    answers: Vec<(Answer, Vec<u8>)>,
    compared: u64,
    /// Whether the last answer lacks keys.
    is_open: bool,
}

impl Reads {
    /// Ranges of which each can be read, at its own revision or that of the header.
    pub(super) fn new(
        header: ResponseHeader,
        succeeded: bool,
        compared: u64,
        ranges: Vec<RangeRequest>,
    ) -> Self {
        let revision = header.revision;
        let start = TxnResponse { header: Some(header), succeeded, responses: Vec::new() };
        let rest = ranges.into_iter();
        Self { start, revision, rest, answers: Vec::new(), compared, is_open: false }
    }

    /// Adds the next keys. Returns whether there may be others.
    pub(crate) fn add(&mut self, store: &Store) -> bool {
        let (mut keys, mut bytes) = (0, 0);
        loop {
            if !self.is_open {
                let Some(request) = self.rest.next() else { return false };
                let at = if request.revision > 0 { request.revision } else { self.revision };
                let header = ResponseHeader { revision: self.revision, ..Default::default() };
                let mut out = Vec::new();
                self.answers.push((Answer::begin(header, &request, at, &mut out), out));
            }
            let Some((answer, out)) = self.answers.last_mut() else { return false };
            let before = (answer.count(), out.len());
            self.is_open = answer.add(store, out);
            keys += answer.count() - before.0;
            bytes += out.len() - before.1;
            if self.is_open || keys >= i64::try_from(KEYS).unwrap_or(i64::MAX) || bytes >= BYTES {
                return true;
            }
        }
    }

    /// Bytes of what is there.
    pub(crate) fn held(&self) -> usize {
        self.answers.iter().map(|(answer, out)| answer.held() + out.len()).sum()
    }

    /// What it reads: comparisons, and ranges when all are there.
    pub(crate) fn ranges(&self) -> u64 {
        self.compared + self.answers.len() as u64
    }

    /// Whether ending it takes long, if there are many keys.
    pub(crate) fn is_gathered(&self) -> bool {
        self.answers.iter().any(|(answer, _)| answer.is_gathered())
    }

    /// Appends the encoded answer.
    pub(crate) fn end(self, out: &mut Vec<u8>) {
        out.reserve(self.held());
        // A vector grows as needed, so that encoding into it cannot fail.
        let _ = self.start.encode(out);
        for (answer, mut range) in self.answers {
            answer.end(&mut range);
            let length = range.len();
            let operation = key_len(RESPONSE_RANGE) + encoded_len_varint(length as u64) + length;
            for (field, length) in [(RESPONSES, operation), (RESPONSE_RANGE, length)] {
                encode_key(field, WireType::LengthDelimited, out);
                encode_varint(length as u64, out);
            }
            out.append(&mut range);
        }
    }
}
