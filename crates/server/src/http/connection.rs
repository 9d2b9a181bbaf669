//! A connection: one request after the other.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::gateway::Gateway;
use super::request::{Body, Head, MAX_HEAD, Refusal};
use super::response::Response;
use super::route::{Answer, route};
use crate::front::{Offer, PATIENCE};
use crate::node::Node;

/// Bytes of a line that announces a chunk.
const MAX_CHUNK_LINE: usize = 256;

const TOO_LARGE: Refusal = Refusal(413, "the request is too large");
const MALFORMED: Refusal = Refusal(400, "malformed request");

/// Serves requests until the connection ends.
pub(crate) async fn serve<T>(io: T, node: Arc<Node>, is_local: bool, offer: Offer)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection { io, buffer: BytesMut::new(), is_local, offer };
    let mut gateway = Gateway::new(Arc::clone(&node));
    // Whoever broke the connection is not told.
    while let Ok(true) = connection.serve_one(&node, &mut gateway).await {}
}

#[derive(Debug)]
pub(super) struct Connection<T> {
    pub(super) io: T,
    /// What was read and not used yet.
    buffer: BytesMut,
    /// Whether the client is on this machine.
    is_local: bool,
    offer: Offer,
}

/// The next request, if there is one that makes sense.
enum Next {
    Request(Head, Vec<u8>),
    Refused(Refusal),
    /// Nobody is there any more.
    End,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Serves the next request. Returns whether another may follow.
    async fn serve_one(&mut self, node: &Arc<Node>, gateway: &mut Gateway) -> io::Result<bool> {
        let limit = node.config.receive_limit() * 2;
        let next = timeout(PATIENCE, self.next(limit)).await.unwrap_or(Ok(Next::End))?;
        let (head, body) = match next {
            Next::Request(head, body) => (head, body),
            Next::Refused(Refusal(status, text)) => {
                let response = Response::text(status, format!("{text}\n"));
                response.write(&mut self.io, "", true).await?;
                return Ok(false);
            }
            Next::End => return Ok(false),
        };
        node.faults.running().await;
        match route(node, &head, self.is_local, self.offer).await {
            Answer::Whole(response) => {
                response.write(&mut self.io, &head.method, !head.keep_alive).await?;
                Ok(head.keep_alive)
            }
            Answer::Gateway(path) => {
                Ok(gateway.serve(self, &head, path, &body).await? && head.keep_alive)
            }
        }
    }

    async fn next(&mut self, limit: usize) -> io::Result<Next> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > MAX_HEAD {
                return Ok(Next::Refused(Refusal(431, "the head of the request is too large")));
            }
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return Ok(Next::End);
            }
        };
        let head = match Head::parse(&self.buffer.split_to(end)) {
            Ok(head) => head,
            Err(refusal) => return Ok(Next::Refused(refusal)),
        };
        self.buffer.advance(4);
        let expects =
            head.header("expect").is_some_and(|it| it.eq_ignore_ascii_case("100-continue"));
        if expects {
            self.io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            self.io.flush().await?;
        }
        let mut body = Vec::new();
        let read = match head.body {
            Body::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= limit => self.take(length, &mut body).await?,
                _ => Err(TOO_LARGE),
            },
            Body::Chunked => self.chunks(limit, &mut body).await?,
        };
        Ok(match read {
            Ok(true) => Next::Request(head, body),
            Ok(false) => Next::End,
            Err(refusal) => Next::Refused(refusal),
        })
    }

    /// Takes so many bytes. Returns whether they came.
    async fn take(
        &mut self,
        length: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<Result<bool, Refusal>> {
        let mut left = length;
        loop {
            let some = left.min(self.buffer.len());
            out.extend_from_slice(&self.buffer.split_to(some));
            left -= some;
            if left == 0 {
                return Ok(Ok(true));
            }
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return Ok(Ok(false));
            }
        }
    }

    async fn chunks(
        &mut self,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<Result<bool, Refusal>> {
        loop {
            let Some(line) = self.line().await? else { return Ok(Err(MALFORMED)) };
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = match usize::from_str_radix(digits, 16) {
                Ok(length) if !digits.starts_with('+') => length,
                _ => return Ok(Err(MALFORMED)),
            };
            if length > limit - out.len() {
                return Ok(Err(TOO_LARGE));
            }
            if length == 0 {
                break;
            }
            match self.take(length, out).await? {
                Ok(true) => {}
                other => return Ok(other),
            }
            if self.line().await?.as_deref() != Some("") {
                return Ok(Err(MALFORMED));
            }
        }
        // Trailers mean nothing here.
        for _ in 0..MAX_CHUNK_LINE {
            match self.line().await?.as_deref() {
                Some("") => return Ok(Ok(true)),
                Some(_) => {}
                None => break,
            }
        }
        Ok(Err(MALFORMED))
    }

    /// A short line; `None` if there is none.
    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return Ok(std::str::from_utf8(&line).ok().map(str::to_owned));
            }
            if self.buffer.len() > MAX_CHUNK_LINE || self.io.read_buf(&mut self.buffer).await? == 0
            {
                return Ok(None);
            }
        }
    }

    /// Returns when the client is gone. What it sends meanwhile is kept for later, up to the size of a head.
    pub(super) async fn gone(io: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) {
        while buffer.len() <= MAX_HEAD {
            if !matches!(io.read_buf(buffer).await, Ok(1..)) {
                return;
            }
        }
        std::future::pending().await
    }

    pub(super) fn parts(&mut self) -> (&mut T, &mut BytesMut) {
        (&mut self.io, &mut self.buffer)
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
