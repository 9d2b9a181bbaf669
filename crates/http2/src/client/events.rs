//! What a connection tells its owner.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::frame::{ErrorCode, StreamId};

/// Who hears what the peer says, while [`Connection::receive`](super::Connection::receive) reads it.
///
/// The calls for one stream come in this order: [`field`](Self::field) for each field of the head,
/// [`fields_end`](Self::fields_end), [`data`](Self::data) any number of times, the same for trailers if there are any,
/// and [`ended`](Self::ended), which may come at any point and is the last.
pub trait Events {
    /// What the owner keeps for each stream.
    type Stream;

    /// One field of a head or of trailers. The first of a head is `:status` with three digits; heads with a status of 1xx
    /// are left out.
    ///
    /// Names are in lower case. A list that turns out to be malformed further on ends the stream with [`End::Malformed`].
    fn field(&mut self, id: StreamId, stream: &mut Self::Stream, name: &[u8], value: &[u8]);

    /// All fields of a head or of trailers were there.
    fn fields_end(&mut self, id: StreamId, stream: &mut Self::Stream, part: Part);

    /// Some of the content, which is never nothing. A peer may send it byte by byte: who stores payloads puts small ones
    /// together, or their bookkeeping is many times what the windows allow. Returns how many of its bytes are [released](super::Connection::release) at once; more
    /// than there are count as all.
    fn data(&mut self, id: StreamId, stream: &mut Self::Stream, payload: Payload<'_>) -> usize;

    /// The stream is over, and its state the owner's again. What was [unsent](super::Connection::unsent) of the request never
    /// will be sent.
    fn ended(&mut self, id: StreamId, stream: Self::Stream, end: End, sent: Sent);

    /// The answer to a [`ping`](super::Connection::ping).
    fn pong(&mut self, payload: [u8; 8]);

    /// The peer takes no more streams, for `code`. Streams that it will not look at end right after this.
    fn going_away(&mut self, code: ErrorCode, debug: &[u8]);

    /// The peer allows this many streams at once from now on.
    fn limit(&mut self, streams: usize);
}

/// Which list of fields is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The head of the answer.
    Head,
    /// Its trailers.
    Trailers,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer has said all that it had to say.
    Clean,
    /// The peer refused the stream: it certainly did not process it.
    Refused,
    /// The peer is going away and certainly will not process it.
    GoneAway,
    /// The peer gave the stream up. With [`ErrorCode::REFUSED_STREAM`], it says to have refused what it had begun to answer.
    Reset(ErrorCode),
    /// The answer breaks HTTP/2, as the text says. The stream was reset, the connection is well.
    Malformed(&'static str),
    /// A list of fields of the answer is longer than [`Options::max_header_list`](super::Options::max_header_list); the
    /// fields up to there were told. The stream was reset, the connection is well.
    TooLong,
    /// The connection ended first, or the peer is going away and says not to have seen what it had begun to answer.
    Lost,
}

/// How much of a request the socket has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    /// No whole head: the peer can't know of the request.
    Nothing,
    /// The head, but not the end.
    Part,
    /// Everything.
    All,
}

/// The content of one DATA frame, still where it was received.
pub struct Payload<'a> {
    input: &'a mut BytesMut,
    length: usize,
}

impl fmt::Debug for Payload<'_> {
    /// Without the bytes, which are the owner's secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("len", &self.length).finish_non_exhaustive()
    }
}

impl<'a> Payload<'a> {
    /// The first `length` bytes of `input`, which must have as many.
    pub(super) fn new(input: &'a mut BytesMut, length: usize) -> Self {
        debug_assert!(length <= input.len(), "the frame is whole");
        Self { input, length }
    }

    /// Takes the bytes. From 16 KiB on, which is what most peers put into one frame, they are split off the input; less is
    /// copied, as it would keep all of the input alive.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        const LARGE: usize = 16 << 10;
        if self.length < LARGE {
            return Bytes::copy_from_slice(&self);
        }
        let mut this = self;
        let length = std::mem::take(&mut this.length);
        this.input.split_to(length).freeze()
    }
}

impl std::ops::Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.input[..self.length]
    }
}

impl Drop for Payload<'_> {
    fn drop(&mut self) {
        self.input.advance(self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who keeps a small payload must not keep all that was read with it.
    #[test]
    fn small_payloads_are_copied_and_large_ones_are_not() {
        for (length, is_copied) in [(1, true), ((16 << 10) - 1, true), (16 << 10, false)] {
            let mut input = BytesMut::from(&vec![7; 64 << 10][..]);
            let start = input.as_ptr();
            let payload = Payload::new(&mut input, length).into_bytes();
            assert_eq!(payload, vec![7; length]);
            assert_eq!(payload.as_ptr() != start, is_copied, "{length} bytes");
            assert_eq!(input.len(), (64 << 10) - length);
        }
    }

    #[test]
    fn a_payload_that_nobody_takes_is_passed_over() {
        let mut input = BytesMut::from(&b"payload, and what follows"[..]);
        assert_eq!(*Payload::new(&mut input, 7), *b"payload");
        assert_eq!(input, b", and what follows"[..]);
    }
}
