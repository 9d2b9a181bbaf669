//! Requests and single messages from a client, put together from its frames.

use std::io;

use bytes::{Bytes, BytesMut};

use super::connection::{Connection, invalid};
use super::frame::{Frame, FrameKind, flag};
use super::request::{Request, take_message};

/// What was received on one stream.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    headers: Vec<(String, Vec<u8>)>,
    /// What no call has taken yet.
    body: BytesMut,
    ended: bool,
    reset: Option<u32>,
    /// A script knows this stream already.
    given: bool,
}

impl Connection {
    /// The next call whose request is complete, the earliest stream first.
    ///
    /// Calls that were returned by [`next_headers`](Self::next_headers), or that the client has reset, are left out.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn next_request(&mut self) -> io::Result<Request> {
        loop {
            if let Some((id, stream)) = self.take_new(|stream| stream.ended) {
                let body = stream.body.split().freeze();
                return Ok(Request::new(id, stream.headers.clone(), body));
            }
            self.step().await?;
        }
    }

    /// The next call as soon as its headers have come; its body is empty.
    ///
    /// Messages follow with [`next_message`](Self::next_message).
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn next_headers(&mut self) -> io::Result<Request> {
        loop {
            if let Some((id, stream)) = self.take_new(|_| true) {
                return Ok(Request::new(id, stream.headers.clone(), Bytes::new()));
            }
            self.step().await?;
        }
    }

    /// The first call that no script knows, that the client still waits for, and that is `ready`.
    fn take_new(&mut self, ready: impl Fn(&Incoming) -> bool) -> Option<(u32, &mut Incoming)> {
        let mut streams = self.streams.iter_mut();
        let is_new = |stream: &Incoming| {
            !stream.given && stream.reset.is_none() && !stream.headers.is_empty()
        };
        let (&id, stream) = streams.find(|(_, stream)| is_new(stream) && ready(stream))?;
        stream.given = true;
        Some((id, stream))
    }

    /// The next message on `stream`, without its prefix; `None` once the client has ended or reset it.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn next_message(&mut self, stream: u32) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(incoming) = self.streams.get_mut(&stream) {
                if let Some(message) = take_message(&mut incoming.body) {
                    return Ok(Some(message));
                }
                if incoming.ended || incoming.reset.is_some() {
                    return Ok(None);
                }
            }
            self.step().await?;
        }
    }

    /// Waits until the client ends `stream`, and discards what it sends before.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn wait_end(&mut self, stream: u32) -> io::Result<()> {
        while self.next_message(stream).await?.is_some() {}
        Ok(())
    }

    /// Waits until the client resets `stream`, and returns the error code.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn wait_reset(&mut self, stream: u32) -> io::Result<u32> {
        loop {
            if let Some(code) = self.streams.get(&stream).and_then(|stream| stream.reset) {
                return Ok(code);
            }
            self.step().await?;
        }
    }

    /// Waits for a frame that `wanted` accepts, answering frames on the way; those that came before do not count.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub async fn wait_frame(
        &mut self,
        mut wanted: impl FnMut(&Frame) -> bool,
    ) -> io::Result<Frame> {
        loop {
            let frame = self.step().await?;
            if wanted(&frame) {
                return Ok(frame);
            }
        }
    }

    /// Answers what the client sends until it closes the connection, which is no error here.
    ///
    /// # Errors
    ///
    /// If the connection breaks otherwise.
    pub async fn wait_close(&mut self) -> io::Result<()> {
        loop {
            match self.step().await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Learns from a frame; nothing is written.
    pub(super) fn observe(&mut self, frame: &Frame) -> io::Result<()> {
        match frame.kind {
            FrameKind::Headers => {
                let fragment =
                    frame.content().ok_or_else(|| invalid("the padding does not fit"))?;
                let mut block = BytesMut::new();
                block.extend_from_slice(&fragment);
                self.block = Some((frame.stream, frame.flags, block));
                self.finish_block(frame)?;
            }
            FrameKind::Continuation => {
                if let Some((_, _, block)) = &mut self.block {
                    block.extend_from_slice(&frame.payload);
                    self.finish_block(frame)?;
                }
            }
            FrameKind::Data => {
                let content = frame.content().ok_or_else(|| invalid("the padding does not fit"))?;
                let stream = self.streams.entry(frame.stream).or_default();
                stream.body.extend_from_slice(&content);
                stream.ended |= frame.has(flag::END_STREAM);
            }
            FrameKind::Settings if frame.has(flag::ACK) => {
                self.unacknowledged = self.unacknowledged.saturating_sub(1);
            }
            FrameKind::RstStream => {
                let stream = self.streams.entry(frame.stream).or_default();
                stream.reset = frame.error_code();
            }
            _ => {}
        }
        Ok(())
    }

    fn finish_block(&mut self, frame: &Frame) -> io::Result<()> {
        if !frame.has(flag::END_HEADERS) {
            return Ok(());
        }
        if let Some((id, flags, block)) = self.block.take() {
            let headers = self.decoder.decode(&block)?;
            let stream = self.streams.entry(id).or_default();
            stream.headers.extend(headers);
            stream.ended |= flags & flag::END_STREAM != 0;
        }
        Ok(())
    }
}
