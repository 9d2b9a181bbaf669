//! The streams of a connection.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use bytes::Bytes;

use super::events::{Part, Sent};
use super::output::Output;
use super::window::{ReceiveWindow, SendWindow};
use crate::frame::StreamId;

/// One stream that is open, at least on one side.
#[derive(Debug)]
pub(super) struct Stream<S> {
    /// What the owner keeps for it.
    pub(super) state: S,
    /// What of the answer comes next: its head, or content up to the trailers.
    pub(super) next: Part,
    pub(super) receive: ReceiveWindow,
    pub(super) send: SendWindow,
    pub(super) unsent: Unsent,
    /// Where its head ends in the output, and, once that is written, where all of the request does.
    pub(super) head_at: u64,
    pub(super) end_at: Option<u64>,
}

/// What waits to be sent on a stream.
#[derive(Default)]
pub(super) struct Unsent {
    pub(super) payloads: VecDeque<Bytes>,
    pub(super) bytes: usize,
    /// The owner said that there is no more to come.
    pub(super) finished: bool,
    /// It stands in the line of those who have something to send and a window for it.
    pub(super) in_line: bool,
    /// There was more of it than the mark, and the owner is to be told when there is less.
    pub(super) above_mark: bool,
}

impl fmt::Debug for Unsent {
    /// Without the payloads: there may be a password in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, finished, .. } = self;
        f.debug_struct("Unsent")
            .field("bytes", bytes)
            .field("finished", finished)
            .finish_non_exhaustive()
    }
}

impl<S> Stream<S> {
    pub(super) fn sent(&self, output: &Output) -> Sent {
        if !output.has_taken(self.head_at) {
            Sent::Nothing
        } else if self.end_at.is_some_and(|end| output.has_taken(end)) {
            Sent::All
        } else {
            Sent::Part
        }
    }
}

/// Streams by their number.
pub(super) type Streams<S> = HashMap<StreamId, Stream<S>, BuildHasherDefault<NumberHasher>>;

/// Spreads stream numbers. We choose them ourselves, so nobody can have them collide.
#[derive(Debug, Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        // 2⁶⁴ over the golden ratio: neighbours end up far from each other, in the upper bits too.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
