//! What a connection speaks: its first bytes say so.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::grpc;
use crate::http;
use crate::node::Node;

/// With which every HTTP/2 connection begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a request may take to arrive, and a connection to say what it speaks; and how long one of HTTP/1.1 may be
/// without a request.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of the other end of a connection, whatever it says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// The name in the certificate that it proved to have.
    pub(crate) common_name: Option<Arc<str>>,
    /// Whether it certainly is on this machine.
    pub(crate) is_local: bool,
}

impl Peer {
    /// Somebody on this machine.
    pub(crate) const fn local() -> Self {
        Self { common_name: None, is_local: true }
    }

    /// Whoever is at `remote`, and came to `local`.
    pub(crate) fn at(remote: IpAddr, local: Option<IpAddr>) -> Self {
        let remote = remote.to_canonical();
        let same = local.is_some_and(|local| local.to_canonical() == remote);
        Self { common_name: None, is_local: same || remote.is_loopback() }
    }
}

/// What is answered on an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Everything,
    Grpc,
    Http,
    /// HTTP/1.1 as far as it tells how the member is: no keys.
    Monitoring,
}

/// Serves a connection until it ends.
pub(crate) async fn serve<T>(mut io: T, node: Arc<Node>, peer: Peer, offer: Offer)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(Ok((speaks_grpc, first))) = timeout(PATIENCE, begin(&mut io)).await else { return };
    let io = Rewound { first, io };
    match (speaks_grpc, offer) {
        (true, Offer::Everything | Offer::Grpc) => grpc::serve(io, node, peer.common_name).await,
        (false, Offer::Grpc) => {}
        _ => http::serve(io, node, peer.is_local, offer).await,
    }
}

/// Reads until it is clear whether HTTP/2 is spoken.
async fn begin(io: &mut (impl AsyncRead + Unpin)) -> io::Result<(bool, Bytes)> {
    let mut first = BytesMut::with_capacity(PREFACE.len());
    loop {
        if io.read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let compared = first.len().min(PREFACE.len());
        let same = first.get(..compared) == PREFACE.get(..compared);
        if !same || compared == PREFACE.len() {
            return Ok((same, first.freeze()));
        }
    }
}

/// A stream of which some bytes were looked at already.
#[derive(Debug)]
struct Rewound<T> {
    first: Bytes,
    io: T,
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewound<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let some = self.first.len().min(buffer.remaining());
        buffer.put_slice(self.first.get(..some).unwrap_or_default());
        self.first.advance(some);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rewound<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
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

    #[test]
    fn who_comes_from_an_address_of_this_machine_is_on_it() {
        for (remote, local, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "10.0.0.5", true),
            ("::1", "::1", true),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1", true),
            ("10.0.0.5", "10.0.0.5", true),
            ("10.0.0.6", "10.0.0.5", false),
            ("2001:db8::1", "2001:db8::2", false),
        ] {
            let (remote, local): (IpAddr, IpAddr) =
                (remote.parse().unwrap(), local.parse().unwrap());
            assert_eq!(Peer::at(remote, Some(local)).is_local, expected, "{remote} to {local}");
        }
    }
}
