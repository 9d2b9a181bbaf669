//! From an origin to a connection.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::io::Stream;
use super::{socks, tunnel};
use crate::config::{Origin, Place, ProxyServer, Speaks, TlsLoader};
use crate::error::Cause;

/// Connects to `origin`, through `proxy` if there is one, resolving names anew.
pub(super) async fn connect(
    origin: &Origin,
    proxy: Option<&ProxyServer>,
    tls: &Arc<TlsLoader>,
) -> Result<Connection, Cause> {
    let mut stream = match (&origin.place, proxy) {
        (Place::Socket(path), _) => socket(path).await?,
        (Place::Host { name, port }, None) => {
            tcp(name, *port).await.map_err(|error| Cause::Connect(plain(&error)))?
        }
        (Place::Host { name, port }, Some(proxy)) => {
            let mut stream = to_proxy(proxy, tls).await?;
            match &proxy.speaks {
                Speaks::Socks { user } => {
                    socks::open(&mut stream, (name, *port), proxy, user.as_ref()).await?;
                }
                Speaks::Http { .. } if origin.secure => {
                    tunnel::open(&mut stream, &origin.authority(), proxy).await?;
                }
                Speaks::Http { .. } => {}
            }
            stream
        }
    };
    if origin.secure {
        let name = tls.server_name(origin.host()).map_err(unusable)?;
        stream = secure(stream, name, tls).await?;
    }
    Connection::new(stream).await
}

async fn to_proxy(proxy: &ProxyServer, tls: &Arc<TlsLoader>) -> Result<Stream, Cause> {
    let failed = |text: String| format!("the proxy {proxy}: {text}");
    let stream = tcp(&proxy.host, proxy.port)
        .await
        .map_err(|error| Cause::Connect(failed(plain(&error))))?;
    if !matches!(proxy.speaks, Speaks::Http { tls: true, .. }) {
        return Ok(stream);
    }
    let name = TlsLoader::name_of(&proxy.host).map_err(unusable)?;
    secure(stream, name, tls).await.map_err(|cause| match cause {
        Cause::Tls(text) => Cause::Tls(failed(text)),
        Cause::Disconnected(text) => Cause::Disconnected(failed(text)),
        other => other,
    })
}

/// TLS over `stream`, with the server called `name`.
async fn secure(
    stream: Stream,
    name: ServerName<'static>,
    tls: &Arc<TlsLoader>,
) -> Result<Stream, Cause> {
    let connector = TlsConnector::from(tls.load_for_connection().await.map_err(unusable)?);
    // Boxed: the handshake's state is large, and the futures above it would all carry it.
    Box::pin(connector.connect(name, stream.0)).await.map(Stream::new).map_err(explain)
}

fn unusable(error: crate::error::Error) -> Cause {
    Cause::Tls(error.to_string())
}

async fn tcp(host: &str, port: u16) -> io::Result<Stream> {
    let stream = TcpStream::connect((host, port)).await?;
    // Requests are small and wait for nothing.
    stream.set_nodelay(true)?;
    Ok(Stream::new(stream))
}

#[cfg(unix)]
async fn socket(path: &str) -> Result<Stream, Cause> {
    let connected = tokio::net::UnixStream::connect(path).await;
    connected.map(Stream::new).map_err(|error| Cause::Connect(plain(&error)))
}

/// Such endpoints are refused before.
#[cfg(not(unix))]
async fn socket(_: &str) -> Result<Stream, Cause> {
    Err(Cause::Connect("this system has no such sockets".to_owned()))
}

/// What a failed handshake means.
fn explain(error: io::Error) -> Cause {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidMessage(_)) => Cause::Tls(
            "the server speaks plain text where TLS was expected: use http:// if that is meant"
                .to_owned(),
        ),
        Some(tls) => Cause::Tls(tls.to_string()),
        None => Cause::Disconnected(format!("during the TLS handshake: {error}")),
    }
}

/// The system's words without its error number.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        _ => error.to_string(),
    }
}
