//! A connection: one request after the other.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::gateway::Gateway;
use super::request::{Body, Head, MAX_HEAD, Refusal};
use super::response::Response;
use super::route::{Route, answer, route};
use crate::budget::{Budget, Hold};
use crate::front::{Offer, PATIENCE};
use crate::node::Node;

/// Bytes of a line that announces a chunk.
const MAX_CHUNK_LINE: usize = 256;

const TOO_LARGE: Refusal = Refusal(413, "the request is too large");
const MALFORMED: Refusal = Refusal(400, "malformed request");
const TOO_MANY: Refusal =
    Refusal(429, "too many requests: more is held for clients than there is room for");

/// Serves requests until the connection ends.
pub(crate) async fn serve<T>(io: T, node: Arc<Node>, is_local: bool, offer: Offer)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection { io, buffer: BytesMut::new(), is_local, offer };
    let budget = Budget::new(&node.held);
    let mut gateway = Gateway::new(Arc::clone(&node), Arc::clone(&budget));
    // Whoever broke the connection is not told.
    while let Ok(true) = connection.serve_one(&node, &budget, &mut gateway).await {}
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

/// A request that makes sense.
struct Request {
    head: Head,
    route: Route,
    content: Content,
}

/// The body of a request, or how much of it came if nobody wants it.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    length: usize,
    /// What is kept is held.
    pub(super) hold: Option<Hold>,
}

impl Content {
    const fn new(hold: Option<Hold>) -> Self {
        Self { bytes: Vec::new(), length: 0, hold }
    }

    fn add(&mut self, part: &[u8]) -> Result<(), Refusal> {
        self.length += part.len();
        if let Some(hold) = &mut self.hold {
            // What is no more than a head is not counted either.
            if self.length > MAX_HEAD {
                hold.set(self.length).map_err(|_| TOO_MANY)?;
            }
            self.bytes.extend_from_slice(part);
        }
        Ok(())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Serves the next request. Returns whether another may follow.
    async fn serve_one(
        &mut self,
        node: &Arc<Node>,
        budget: &Arc<Budget>,
        gateway: &mut Gateway,
    ) -> io::Result<bool> {
        let next = timeout(PATIENCE, self.next(node, budget)).await.unwrap_or(Ok(None))?;
        let Request { head, route, content } = match next {
            Some(Ok(request)) => request,
            Some(Err(Refusal(status, text))) => {
                let response = Response::text(status, format!("{text}\n"));
                response.write(&mut self.io, "", true).await?;
                return Ok(false);
            }
            None => return Ok(false),
        };
        node.faults.running().await;
        let response = match route {
            Route::Gateway(path) => {
                return Ok(gateway.serve(self, &head, path, content).await? && head.keep_alive);
            }
            Route::Refused(response) => response,
            Route::Member => answer(node, &head).await,
        };
        response.write(&mut self.io, &head.method, !head.keep_alive).await?;
        Ok(head.keep_alive)
    }

    /// The next request, or why it is none; `None` if nobody is there any more.
    async fn next(
        &mut self,
        node: &Node,
        budget: &Arc<Budget>,
    ) -> io::Result<Option<Result<Request, Refusal>>> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > MAX_HEAD {
                return Ok(Some(Err(Refusal(431, "the head of the request is too large"))));
            }
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        };
        let head = match Head::parse(&self.buffer.split_to(end)) {
            Ok(head) => head,
            Err(refusal) => return Ok(Some(Err(refusal))),
        };
        self.buffer.advance(4);
        // Only the gateway is told what a body says. Others are read and forgotten.
        let route = route(node, &head, self.is_local, self.offer);
        let hold = matches!(route, Route::Gateway(_)).then(|| budget.request());
        let expects =
            head.header("expect").is_some_and(|it| it.eq_ignore_ascii_case("100-continue"));
        if expects {
            self.io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            self.io.flush().await?;
        }
        let limit = node.config.receive_limit() * 2;
        let mut content = Content::new(hold);
        let read = match head.body {
            Body::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= limit => self.take(length, &mut content).await?,
                _ => Err(TOO_LARGE),
            },
            Body::Chunked => self.chunks(limit, &mut content).await?,
        };
        Ok(match read {
            Ok(true) => Some(Ok(Request { head, route, content })),
            Ok(false) => None,
            Err(refusal) => Some(Err(refusal)),
        })
    }

    /// Takes so many bytes. Returns whether they came.
    async fn take(
        &mut self,
        length: usize,
        out: &mut Content,
    ) -> io::Result<Result<bool, Refusal>> {
        let mut left = length;
        loop {
            let some = left.min(self.buffer.len());
            if let Err(refusal) = out.add(&self.buffer.split_to(some)) {
                return Ok(Err(refusal));
            }
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
        out: &mut Content,
    ) -> io::Result<Result<bool, Refusal>> {
        loop {
            let Some(line) = self.line().await? else { return Ok(Err(MALFORMED)) };
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = match usize::from_str_radix(digits, 16) {
                Ok(length) if !digits.starts_with('+') => length,
                _ => return Ok(Err(MALFORMED)),
            };
            if length > limit - out.length {
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
