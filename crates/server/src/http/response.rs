//! What goes back.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    content_type: &'static str,
    /// Further headers, each a line with its end.
    more: &'static str,
    pub(super) body: String,
}

/// Bytes of a body that are written with the head.
const TOGETHER: usize = 16 * 1024;

pub(super) const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const NO_SNIFFING: &str = "X-Content-Type-Options: nosniff\r\n";

impl Response {
    pub(super) const fn json(status: u16, body: String) -> Self {
        Self { status, content_type: JSON, more: "", body }
    }

    pub(super) const fn text(status: u16, body: String) -> Self {
        Self { status, content_type: TEXT, more: NO_SNIFFING, body }
    }

    pub(super) const fn metrics(body: String) -> Self {
        Self {
            status: 200,
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            more: "",
            body,
        }
    }

    pub(super) fn not_found() -> Self {
        Self::text(404, "404 page not found\n".to_owned())
    }

    pub(super) fn only_get() -> Self {
        let more = "Allow: GET\r\nX-Content-Type-Options: nosniff\r\n";
        Self { more, ..Self::text(405, "Method Not Allowed\n".to_owned()) }
    }

    /// Writes it; `method` is that of the request, which says whether a body may follow.
    pub(super) async fn write<T>(&self, io: &mut T, method: &str, close: bool) -> io::Result<()>
    where
        T: AsyncWrite + Unpin,
    {
        let length = self.body.len();
        let mut out = head(self.status, self.content_type, close);
        out.push_str(self.more);
        out.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        let body = if method == "HEAD" { "" } else { self.body.as_str() };
        write(io, out, body, "").await
    }
}

/// Writes what belongs together, at once unless it is large: then its copy would be as well.
async fn write<T>(io: &mut T, mut head: String, body: &str, end: &str) -> io::Result<()>
where
    T: AsyncWrite + Unpin,
{
    if body.len() <= TOGETHER {
        head.push_str(body);
        head.push_str(end);
        io.write_all(head.as_bytes()).await?;
    } else {
        io.write_all(head.as_bytes()).await?;
        io.write_all(body.as_bytes()).await?;
        io.write_all(end.as_bytes()).await?;
    }
    io.flush().await
}

/// Begins an answer whose length is not known.
pub(super) async fn begin_chunks<T: AsyncWrite + Unpin>(io: &mut T) -> io::Result<()> {
    let mut out = head(200, JSON, false);
    out.push_str("Transfer-Encoding: chunked\r\n\r\n");
    io.write_all(out.as_bytes()).await
}

/// Writes a part of such an answer. An empty one is its end.
pub(super) async fn chunk<T: AsyncWrite + Unpin>(io: &mut T, part: &str) -> io::Result<()> {
    write(io, format!("{:x}\r\n", part.len()), part, "\r\n").await
}

fn head(status: u16, content_type: &str, close: bool) -> String {
    let connection = if close { "Connection: close\r\n" } else { "" };
    format!("HTTP/1.1 {status} {}\r\n{connection}Content-Type: {content_type}\r\n", reason(status))
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}
