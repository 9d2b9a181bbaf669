//! Where connections come from.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::clock;
use crate::error::Error;
use crate::front::{self, Offer, Peer};
use crate::node::Node;
use crate::task::{Task, spawn, spawn_into};

/// How long accepting rests when the process has no more file descriptors.
const REST: std::time::Duration = std::time::Duration::from_millis(50);

/// How long a client has for the handshake of TLS.
#[cfg(feature = "tls")]
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(10);

/// What connections are wrapped in: TLS, or nothing.
#[derive(Clone, Default)]
pub(crate) struct Wrapping {
    #[cfg(feature = "tls")]
    tls: Option<Arc<crate::tls::Renewed>>,
}

impl Wrapping {
    #[cfg(feature = "tls")]
    pub(crate) fn tls(settings: &crate::ServerTls) -> Result<Self, Error> {
        Ok(Self { tls: Some(Arc::new(crate::tls::Renewed::load(settings)?)) })
    }

    #[cfg(feature = "tls")]
    const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_self, reason = "there is nothing to look at without TLS")]
    const fn is_tls(&self) -> bool {
        false
    }

    #[cfg(feature = "tls")]
    async fn serve<T: Io>(&self, io: T, node: Arc<Node>, mut peer: Peer, offer: Offer) {
        let Some(tls) = &self.tls else {
            return front::serve(io, node, peer, offer).await;
        };
        let shaking = async {
            let acceptor = tokio_rustls::TlsAcceptor::from(tls.config().await);
            acceptor.accept(io).await
        };
        let shaken = tokio::time::timeout(HANDSHAKE, shaking).await;
        let Ok(Ok(stream)) = shaken else { return };
        let certificates = stream.get_ref().1.peer_certificates();
        peer.common_name = certificates
            .and_then(|certificates| certificates.first())
            .and_then(|certificate| crate::tls::common_name(certificate));
        front::serve(stream, node, peer, offer).await;
    }

    #[cfg(not(feature = "tls"))]
    async fn serve<T: Io>(&self, io: T, node: Arc<Node>, peer: Peer, offer: Offer) {
        front::serve(io, node, peer, offer).await;
    }
}

impl fmt::Debug for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrapping").field("tls", &self.is_tls()).finish()
    }
}

/// What can be served.
trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Where to listen, and whether the scheme says that TLS is spoken or that it is not.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    place: Place<'a>,
    tls: Option<bool>,
}

#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Tcp(&'a str),
    Unix(&'a str),
}

impl<'a> Address<'a> {
    fn parse(text: &'a str) -> Self {
        let (unix, tcp) = (Place::Unix as fn(_) -> _, Place::Tcp as fn(_) -> _);
        let schemes = [
            ("https://", tcp, Some(true)),
            ("http://", tcp, Some(false)),
            ("unixs://", unix, Some(true)),
            ("unix://", unix, Some(false)),
            ("unix:", unix, None),
        ];
        let found = schemes.into_iter().find_map(|(scheme, place, tls)| {
            Some(Self { place: place(text.strip_prefix(scheme)?), tls })
        });
        found.unwrap_or(Self { place: Place::Tcp(text), tls: None })
    }
}

/// A bound address. It stays bound across restarts.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    wrapping: Wrapping,
    offer: Offer,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener, PathBuf),
}

impl Listener {
    /// Binds an address as [`ServerBuilder::listen`](crate::ServerBuilder::listen) takes it. A socket file that nobody
    /// listens on any more is replaced.
    pub(crate) async fn bind(
        address: &str,
        wrapping: &Wrapping,
        offer: Offer,
    ) -> Result<Self, Error> {
        let Address { place, tls } = Address::parse(address);
        let wrapping = match tls {
            Some(false) => Wrapping::default(),
            Some(true) if !wrapping.is_tls() => {
                let text = format!("{address} asks for TLS, and there is no certificate");
                return Err(Error::setting(text));
            }
            _ => wrapping.clone(),
        };
        let bound = match place {
            Place::Tcp(place) => TcpListener::bind(place).await.map(Socket::Tcp),
            Place::Unix(path) => Self::bind_unix(path.into()).await,
        };
        let socket = bound.map_err(|error| Error::listen(address, error))?;
        Ok(Self { socket, wrapping, offer })
    }

    pub(crate) const fn offer(&self) -> Offer {
        self.offer
    }

    #[cfg(unix)]
    async fn bind_unix(path: PathBuf) -> io::Result<Socket> {
        use tokio::net::{UnixListener, UnixStream};
        let bound = match UnixListener::bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if UnixStream::connect(&path).await.is_ok() {
                    return Err(error);
                }
                std::fs::remove_file(&path)?;
                UnixListener::bind(&path)?
            }
            bound => bound?,
        };
        Ok(Socket::Unix(bound, path))
    }

    #[cfg(not(unix))]
    async fn bind_unix(_: PathBuf) -> io::Result<Socket> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "there are no unix sockets here"))
    }

    /// The URL for clients.
    pub(crate) fn url(&self) -> io::Result<String> {
        let secure = if self.wrapping.is_tls() { "s" } else { "" };
        match &self.socket {
            Socket::Tcp(listener) => Ok(format!("http{secure}://{}", listener.local_addr()?)),
            #[cfg(unix)]
            Socket::Unix(_, path) => Ok(format!("unix{secure}://{}", path.display())),
        }
    }

    /// Serves connections until the task is dropped, and they with it.
    pub(crate) fn serve(self, node: Arc<Node>) -> Task {
        spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                if self.accept(&node, &mut connections).await.is_err() {
                    clock::pause(REST).await;
                }
            }
        })
    }

    async fn accept(&self, node: &Arc<Node>, connections: &mut JoinSet<()>) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                // A connection that is gone already shows it when it is read.
                let _ = stream.set_nodelay(true);
                let local = stream.local_addr().ok().map(|address| address.ip());
                self.spawn(stream, Peer::at(remote.ip(), local), node, connections);
            }
            #[cfg(unix)]
            Socket::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                self.spawn(stream, Peer::local(), node, connections);
            }
        }
        Ok(())
    }

    fn spawn<T: Io>(&self, stream: T, peer: Peer, node: &Arc<Node>, connections: &mut JoinSet<()>) {
        let node = Arc::clone(node);
        let wrapping = self.wrapping.clone();
        let offer = self.offer;
        spawn_into(connections, async move {
            node.while_connected(wrapping.serve(stream, Arc::clone(&node), peer, offer)).await;
        });
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Self::Unix(_, path) = self {
            // Nobody can connect to it any more.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_of_an_address_says_whether_tls_is_spoken() {
        for (text, place, tls) in [
            ("127.0.0.1:2379", Place::Tcp("127.0.0.1:2379"), None),
            ("http://[::1]:2379", Place::Tcp("[::1]:2379"), Some(false)),
            ("https://localhost:2379", Place::Tcp("localhost:2379"), Some(true)),
            ("unix:/run/etcd", Place::Unix("/run/etcd"), None),
            ("unix:///run/etcd", Place::Unix("/run/etcd"), Some(false)),
            ("unixs://localhost:1", Place::Unix("localhost:1"), Some(true)),
        ] {
            assert_eq!(Address::parse(text), Address { place, tls }, "{text}");
        }
    }
}
