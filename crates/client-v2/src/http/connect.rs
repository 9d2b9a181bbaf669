//! From an origin to a connection.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::io::Stream;
use super::tunnel;
use crate::config::{Origin, Place, ProxyServer, TlsLoader};
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
        (Place::Host { .. }, Some(proxy)) => tcp(&proxy.host, proxy.port)
            .await
            .map_err(|error| Cause::Connect(format!("the proxy {proxy}: {}", plain(&error))))?,
    };
    if !origin.secure {
        return Connection::new(stream).await;
    }
    if let Some(proxy) = proxy {
        tunnel::open(&mut stream, &origin.authority(), proxy).await?;
    }
    let unusable = |error: crate::error::Error| Cause::Tls(error.to_string());
    let name = tls.server_name(origin.host()).map_err(unusable)?;
    let connector = TlsConnector::from(tls.load_for_connection().await.map_err(unusable)?);
    // Boxed: the handshake's state is large, and the futures above it would all carry it.
    let stream = Box::pin(connector.connect(name, stream.0)).await.map_err(explain)?;
    Connection::new(Stream::new(stream)).await
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
