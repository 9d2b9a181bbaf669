//! The one stream type that HTTP/2 is spoken on.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::client::TlsStream;

use super::connect::Io;
use super::tls;

/// What is connected, before any TLS.
pub(super) enum RawStream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    Custom(Box<dyn Io>),
}

macro_rules! each {
    ($self:expr, $stream:ident => $do:expr) => {
        match $self {
            RawStream::Tcp($stream) => $do,
            #[cfg(unix)]
            RawStream::Unix($stream) => $do,
            RawStream::Custom($stream) => $do,
        }
    };
}

impl AsyncRead for RawStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for RawStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    // TLS gathers its records into one call.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }
}

/// A connection to a member, in plain text or over TLS.
pub(crate) struct IoStream {
    kind: Kind,
    /// Nothing has been received yet: what comes first shows whether the other side speaks TLS.
    fresh: bool,
}

enum Kind {
    Plain(RawStream),
    // Boxed: its buffers' bookkeeping is 1 KiB.
    Tls(Box<TlsStream<RawStream>>),
}

impl IoStream {
    pub(super) fn plain(stream: RawStream) -> Self {
        Self { kind: Kind::Plain(stream), fresh: true }
    }

    pub(super) fn tls(stream: Box<TlsStream<RawStream>>) -> Self {
        Self { kind: Kind::Tls(stream), fresh: false }
    }

    /// Whether the end can be read, and what was said before it, of what can't be written to any more. Of a stream that is
    /// somebody else's that is not certain.
    pub(crate) fn is_socket(&self) -> bool {
        let raw = match &self.kind {
            Kind::Plain(raw) => raw,
            Kind::Tls(stream) => stream.get_ref().0,
        };
        !matches!(raw, RawStream::Custom(_))
    }

    /// Whether a write that fails took nothing, as it is with sockets. TLS may have sent some of its records by then, and
    /// of a stream that is somebody else's nothing is certain.
    pub(crate) fn takes_nothing_if_it_fails(&self) -> bool {
        matches!(&self.kind, Kind::Plain(raw) if !matches!(raw, RawStream::Custom(_)))
    }
}

impl AsyncRead for IoStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.kind {
            Kind::Plain(stream) => {
                if !this.fresh || buffer.remaining() == 0 {
                    return Pin::new(stream).poll_read(context, buffer);
                }
                let before = buffer.filled().len();
                let result = ready!(Pin::new(stream).poll_read(context, buffer));
                this.fresh = false;
                let first = result.map(|()| &buffer.filled()[before..]);
                Poll::Ready(tls::check_first(first))
            }
            Kind::Tls(stream) => {
                Pin::new(stream).poll_read(context, buffer).map_err(tls::explain_later)
            }
        }
    }
}

impl AsyncWrite for IoStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().kind {
            Kind::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Kind::Tls(stream) => {
                Pin::new(stream).poll_write(context, bytes).map_err(tls::explain_later)
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().kind {
            Kind::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Kind::Tls(stream) => {
                Pin::new(stream).poll_write_vectored(context, slices).map_err(tls::explain_later)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.kind {
            Kind::Plain(stream) => stream.is_write_vectored(),
            Kind::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().kind {
            Kind::Plain(stream) => Pin::new(stream).poll_flush(context),
            Kind::Tls(stream) => Pin::new(stream).poll_flush(context).map_err(tls::explain_later),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().kind {
            Kind::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Kind::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl fmt::Debug for IoStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (over, tls) = match &self.kind {
            Kind::Plain(raw) => (raw, ""),
            Kind::Tls(stream) => (stream.get_ref().0, "TLS over "),
        };
        let raw = match over {
            RawStream::Tcp(_) => "TCP",
            #[cfg(unix)]
            RawStream::Unix(_) => "a unix-domain socket",
            RawStream::Custom(_) => "a connector's stream",
        };
        write!(f, "IoStream({tls}{raw})")
    }
}
