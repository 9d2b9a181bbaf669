//! A connection's bytes as they go by: what h2 does not tell of the frames that they make.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use super::counts::Counts;

/// Bytes of what an HTTP/2 client sends before its first frame.
const PREFACE: usize = 24;
/// Bytes of a frame before its payload.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
/// What says that a ping is an answer to one.
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// How long a client has to read why its connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Finds the frames in the bytes of one direction.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that are there.
    have: usize,
    /// Bytes of the payload that are not.
    left: usize,
}

/// What the head of a frame says.
#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frames {
    fn pass(&mut self, mut bytes: &[u8], mut begun: impl FnMut(Frame)) {
        loop {
            let payload = self.left.min(bytes.len());
            self.left -= payload;
            bytes = bytes.get(payload..).unwrap_or_default();
            let Some((first, rest)) = bytes.split_first() else { return };
            if let Some(slot) = self.head.get_mut(self.have) {
                *slot = *first;
            }
            self.have += 1;
            bytes = rest;
            if self.have == HEAD {
                let [a, b, c, kind, flags, stream @ ..] = self.head;
                (self.have, self.left) = (0, u32::from_be_bytes([0, a, b, c]) as usize);
                begun(Frame { kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff });
            }
        }
    }

    const fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

/// What went over a connection so far.
#[derive(Debug)]
struct Traffic {
    inbound: Frames,
    outbound: Frames,
    bytes: u64,
    /// Frames whose head came.
    frames: u64,
    /// The frame with which headers began that don't end yet.
    headers: Option<u64>,
    last_stream: u32,
    /// Pings that nobody asked about yet.
    pings: u32,
    /// Whether headers or data went out since the last ping.
    answered: bool,
}

/// What one end may ask about the bytes that the other end passes on.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    traffic: Mutex<Traffic>,
    /// Those of all connections.
    counts: &'a Counts,
}

impl<'a> Seen<'a> {
    pub(super) fn new(counts: &'a Counts) -> Self {
        let traffic = Mutex::new(Traffic {
            inbound: Frames { left: PREFACE, ..Frames::default() },
            outbound: Frames::default(),
            bytes: 0,
            frames: 0,
            headers: None,
            last_stream: 0,
            pings: 0,
            answered: false,
        });
        Self { traffic, counts }
    }

    fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next ping of the client, if there is one: whether it got headers or data since the one before.
    pub(super) fn ping(&self) -> Option<bool> {
        let mut traffic = self.lock();
        traffic.pings = traffic.pings.checked_sub(1)?;
        Some(std::mem::take(&mut traffic.answered))
    }

    /// The number of the frame, or of the first one of headers, of which only a part is there.
    pub(super) fn unfinished(&self) -> Option<u64> {
        let traffic = self.lock();
        let frame = traffic.frames + u64::from(traffic.inbound.have > 0);
        traffic.headers.or_else(|| (!traffic.inbound.is_between()).then_some(frame))
    }

    /// How many bytes came.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn received(&self, bytes: &[u8]) {
        let mut traffic = self.lock();
        let Traffic { inbound, frames, headers, last_stream, pings, .. } = &mut *traffic;
        inbound.pass(bytes, |frame| {
            *frames += 1;
            match frame.kind {
                PING if frame.flags & ACK == 0 => *pings = pings.saturating_add(1),
                HEADERS | CONTINUATION => {
                    *last_stream = frame.stream.max(*last_stream);
                    let open = frame.flags & END_HEADERS == 0;
                    *headers = open.then(|| headers.unwrap_or(*frames));
                }
                _ => {}
            }
        });
        traffic.bytes += bytes.len() as u64;
        self.counts.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    fn sent(&self, bytes: &[u8]) {
        let mut traffic = self.lock();
        let Traffic { outbound, answered, .. } = &mut *traffic;
        outbound.pass(bytes, |frame| *answered |= matches!(frame.kind, HEADERS | DATA));
        self.counts.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}

/// A connection whose bytes are seen.
#[derive(Debug)]
pub(super) struct Wire<'a, T> {
    io: T,
    seen: &'a Seen<'a>,
}

impl<'a, T: AsyncRead + AsyncWrite + Unpin> Wire<'a, T> {
    pub(super) const fn new(io: T, seen: &'a Seen<'a>) -> Self {
        Self { io, seen }
    }

    /// Tells the client that it pings too often, in the words that gRPC's clients know, and waits until it has read them.
    pub(super) async fn refuse_pings(mut self) {
        let last_stream = {
            let traffic = self.seen.lock();
            if !traffic.outbound.is_between() {
                return;
            }
            traffic.last_stream
        };
        const GO_AWAY: [u8; HEAD] = [0, 0, 22, 7, 0, 0, 0, 0, 0];
        let reason = u32::from(h2::Reason::ENHANCE_YOUR_CALM).to_be_bytes();
        let frame = [&GO_AWAY, &last_stream.to_be_bytes()[..], &reason, b"too_many_pings"].concat();
        let farewell = async {
            self.io.write_all(&frame).await?;
            self.io.flush().await?;
            self.io.shutdown().await?;
            // What is unread when a socket is closed takes with it what is on its way to the client.
            let mut unread = [0; 1024];
            while self.io.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        // Whoever is gone is not told.
        let _ = timeout(FAREWELL, farewell).await;
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        self.seen.received(buffer.filled().get(before..).unwrap_or_default());
        read
    }
}

/// It does not say that it could write in pieces, on purpose: `h2` then would put each answer from 256 bytes on into a write
/// of its own, where it now gathers those of up to 1 KiB.
impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<'_, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        if let Poll::Ready(Ok(length)) = written {
            self.seen.sent(bytes.get(..length).unwrap_or_default());
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_PING: [u8; HEAD] = [0, 0, 0, PING, 0, 0, 0, 0, 0];

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// Frames are found wherever the bytes are cut.
    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let all = [
            vec![b'P'; PREFACE],
            frame(HEADERS, END_HEADERS, 1, b"abc"),
            frame(DATA, 0, 1, &EMPTY_PING),
            frame(PING, 0, 0, &[0; 8]),
            frame(PING, ACK, 0, &[0; 8]),
            frame(HEADERS, 0, 3, b"a"),
            frame(CONTINUATION, END_HEADERS, 3, b"b"),
            frame(PING, 0, 0, &[0; 8]),
        ]
        .concat();
        for size in 1..=all.len() {
            let counts = Counts::default();
            let seen = Seen::new(&counts);
            for piece in all.chunks(size) {
                seen.received(piece);
            }
            assert_eq!((seen.ping(), seen.ping(), seen.ping()), (Some(false), Some(false), None));
            assert_eq!((seen.unfinished(), seen.bytes()), (None, all.len() as u64));
            assert_eq!(seen.lock().last_stream, 3);
            assert_eq!(counts.received.into_inner(), all.len() as u64);
        }
    }

    #[test]
    fn an_unfinished_frame_has_one_number_from_its_first_byte_to_its_last() {
        let counts = Counts::default();
        let seen = Seen::new(&counts);
        seen.received(&[0; PREFACE - 1]);
        assert_eq!(seen.unfinished(), Some(0));
        seen.received(&[0]);
        assert_eq!(seen.unfinished(), None);
        let headers = [frame(HEADERS, 0, 1, b"abc"), frame(CONTINUATION, 0, 1, b"d")].concat();
        for byte in headers {
            seen.received(&[byte]);
            assert_eq!(seen.unfinished(), Some(1));
        }
        seen.received(&frame(CONTINUATION, END_HEADERS, 1, b""));
        assert_eq!(seen.unfinished(), None);
        let data = frame(DATA, 0, 1, b"abc");
        let (last, begin) = data.split_last().unwrap();
        for byte in begin {
            seen.received(&[*byte]);
            assert_eq!(seen.unfinished(), Some(4));
        }
        seen.received(&[*last]);
        assert_eq!(seen.unfinished(), None);
    }

    #[test]
    fn only_headers_and_data_are_answers() {
        let counts = Counts::default();
        let seen = Seen::new(&counts);
        seen.received(&[0; PREFACE]);
        for (sent, expected) in [
            (frame(PING, ACK, 0, &[0; 8]), false),
            (frame(DATA, 0, 1, b"a"), true),
            (frame(4, ACK, 0, b""), false),
            (frame(HEADERS, END_HEADERS, 1, b"a"), true),
        ] {
            seen.sent(&sent);
            seen.received(&frame(PING, 0, 0, &[0; 8]));
            assert_eq!(seen.ping(), Some(expected), "{sent:?}");
        }
    }
}
