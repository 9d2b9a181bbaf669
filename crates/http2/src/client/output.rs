//! What is to be written.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes for the socket, in their order. Frames and small payloads are gathered in one buffer; large payloads stay what
/// they are and are not copied.
#[derive(Default)]
pub struct Output {
    gathered: BytesMut,
    /// Each with where it stands in all that was ever to be written; what is gathered stands around them.
    large: VecDeque<(u64, Bytes)>,
    /// How much the socket has taken, and how much was to be written, since the connection began.
    taken: u64,
    end: u64,
}

impl fmt::Debug for Output {
    /// Without what is written: that may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Payloads up to this size are copied: a slice of their own costs the kernel more.
const COPIED: usize = 4096;
/// What the buffer may keep for later when it is empty.
const KEPT: usize = 64 << 10;

impl Output {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken == self.end
    }

    /// How many bytes there are to write.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.end - self.taken).unwrap_or(usize::MAX)
    }

    /// Points `slices` at the first of what is to be written, for a vectored write; returns how many were needed.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut gathered = &self.gathered[..];
        let mut at = self.taken;
        let mut used = 0;
        let mut add = |bytes: &'a [u8]| match slices.get_mut(used) {
            _ if bytes.is_empty() => true,
            Some(slice) => {
                *slice = IoSlice::new(bytes);
                used += 1;
                true
            }
            None => false,
        };
        for (position, payload) in &self.large {
            let between = usize::try_from(position - at).unwrap_or(usize::MAX);
            let (before, after) = gathered.split_at(between.min(gathered.len()));
            gathered = after;
            at = position + payload.len() as u64;
            if !(add(before) && add(payload)) {
                return used;
            }
        }
        add(gathered);
        used
    }

    /// Says that the socket took so many bytes.
    ///
    /// # Panics
    ///
    /// If there were not as many.
    pub fn advance(&mut self, taken: usize) {
        assert!(taken <= self.len(), "more was written than there was to write");
        let until = self.taken + taken as u64;
        while self.taken < until {
            let before = self.large.front().map_or(until, |(position, _)| until.min(*position));
            if before > self.taken {
                let bytes = usize::try_from(before - self.taken).unwrap_or(usize::MAX);
                self.gathered.advance(bytes);
                self.taken = before;
                continue;
            }
            let Some((position, payload)) = self.large.front_mut() else { break };
            let bytes =
                payload.len().min(usize::try_from(until - self.taken).unwrap_or(usize::MAX));
            payload.advance(bytes);
            *position += bytes as u64;
            self.taken = *position;
            if payload.is_empty() {
                self.large.pop_front();
            }
        }
        if self.is_empty() && self.gathered.capacity() > KEPT {
            self.gathered = BytesMut::new();
        }
    }

    /// Gives back the memory that is kept for what will be written.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            self.gathered = BytesMut::new();
            self.large = VecDeque::new();
        }
    }

    /// How many bytes it has room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.gathered.capacity() + self.large.capacity() * size_of::<(u64, Bytes)>()
    }

    /// Appends frames.
    pub(super) fn write<T>(&mut self, frames: impl FnOnce(&mut BytesMut) -> T) -> T {
        let before = self.gathered.len();
        let result = frames(&mut self.gathered);
        self.end += (self.gathered.len() - before) as u64;
        result
    }

    /// Appends a payload.
    pub(super) fn payload(&mut self, payload: Bytes) {
        if payload.len() <= COPIED {
            self.write(|out| out.extend_from_slice(&payload));
            return;
        }
        let position = self.end;
        self.end += payload.len() as u64;
        self.large.push_back((position, payload));
    }

    /// Where the next byte will stand in all that was ever to be written.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether the socket took all that stands before `position`.
    pub(super) fn has_taken(&self, position: u64) -> bool {
        self.taken >= position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> (Output, Vec<u8>) {
        let mut output = Output::default();
        let mut wanted = Vec::new();
        for (byte, length) in [(1, 5000), (2, 9), (3, 1), (4, 4097), (5, 6000), (6, 30), (7, 4096)]
        {
            let payload = vec![byte; length];
            wanted.extend_from_slice(&payload);
            output.payload(payload.into());
        }
        (output, wanted)
    }

    /// However few bytes the socket takes, and into however few slices: it gets them all, in order.
    #[test]
    fn all_is_written_in_order_however_the_socket_takes_it() {
        for step in [1, 7, 4096, 5001, 1 << 20] {
            for slots in [1, 2, 3, 64] {
                let (mut output, wanted) = filled();
                let mut got = Vec::new();
                while !output.is_empty() {
                    let mut slices = vec![IoSlice::new(&[]); slots];
                    let used = output.slices(&mut slices);
                    let offered: Vec<u8> =
                        slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
                    let taken = step.min(offered.len());
                    assert!(taken > 0, "nothing is offered, {} bytes are left", output.len());
                    got.extend_from_slice(&offered[..taken]);
                    output.advance(taken);
                }
                assert!(got == wanted, "steps of {step}, {slots} slices");
            }
        }
    }

    #[test]
    fn a_large_payload_is_not_copied() {
        let payload = Bytes::from(vec![0; COPIED + 1]);
        let mut output = Output::default();
        output.write(|out| out.extend_from_slice(b"head"));
        output.payload(payload.clone());
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(output.slices(&mut slices), 2);
        assert_eq!(slices[1].as_ptr(), payload.as_ptr());
    }

    #[test]
    fn a_buffer_that_grew_large_is_given_back_once_it_is_empty() {
        let mut output = Output::default();
        for _ in 0..100 {
            output.payload(Bytes::from_static(&[0; COPIED]));
        }
        output.advance(output.len());
        assert_eq!(output.gathered.capacity(), 0);
    }
}
