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
    /// Writing failed so, and what the other side said last has not come yet.
    broken: Option<io::Error>,
}

enum Kind {
    Plain(RawStream),
    // Boxed: its buffers' bookkeeping is 1 KiB.
    Tls(Box<TlsStream<RawStream>>),
}

impl IoStream {
    pub(super) fn plain(stream: RawStream) -> Self {
        Self { kind: Kind::Plain(stream), fresh: true, broken: None }
    }

    pub(super) fn tls(stream: Box<TlsStream<RawStream>>) -> Self {
        Self { kind: Kind::Tls(stream), fresh: false, broken: None }
    }

    /// What comes of writing. If it fails, what the other side said before it closed tells more than the broken pipe, and
    /// may not have been read yet: a server that refuses the client's certificate says so and closes.
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Poll::Ready(Err(broken)) = outcome else { return outcome };
        self.broken = Some(broken);
        self.last_words(context)
    }

    fn last_words<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let mut scratch = [0; 1024];
        let said = Pin::new(&mut *self).poll_read(context, &mut ReadBuf::new(&mut scratch));
        let broken = self.broken.take();
        Poll::Ready(Err(match (said, broken) {
            (Poll::Ready(Err(said)), _) if said.kind() == io::ErrorKind::InvalidData => said,
            // A socket that is closed can be read from, if only its end: that is known in a moment.
            (Poll::Pending, Some(broken)) if self.is_socket() => {
                self.broken = Some(broken);
                return Poll::Pending;
            }
            (_, broken) => {
                tls::explain_later(broken.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
            }
        }))
    }

    fn is_socket(&self) -> bool {
        let raw = match &self.kind {
            Kind::Plain(raw) => raw,
            Kind::Tls(stream) => stream.get_ref().0,
        };
        !matches!(raw, RawStream::Custom(_))
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
        let this = self.get_mut();
        if this.broken.is_some() {
            return this.last_words(context);
        }
        let outcome = match &mut this.kind {
            Kind::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Kind::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        this.written(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return this.last_words(context);
        }
        let outcome = match &mut this.kind {
            Kind::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Kind::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        };
        this.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.kind {
            Kind::Plain(stream) => stream.is_write_vectored(),
            Kind::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return this.last_words(context);
        }
        let outcome = match &mut this.kind {
            Kind::Plain(stream) => Pin::new(stream).poll_flush(context),
            Kind::Tls(stream) => Pin::new(stream).poll_flush(context),
        };
        this.written(context, outcome)
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
