//! From an origin to a connection.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::io::Stream;
use crate::config::Origin;
use crate::config::TlsLoader;
use crate::error::Cause;

/// Connects to `origin`, resolving its name anew.
pub(super) async fn connect(origin: &Origin, tls: &Arc<TlsLoader>) -> Result<Connection, Cause> {
    let stream = TcpStream::connect((origin.host.as_str(), origin.port))
        .await
        .map_err(|error| Cause::Connect(plain(&error)))?;
    // Requests are small and wait for nothing.
    stream.set_nodelay(true).map_err(|error| Cause::Connect(error.to_string()))?;
    let stream = if origin.secure {
        let unusable = |error: crate::error::Error| Cause::Tls(error.to_string());
        let name = tls.server_name(&origin.host).map_err(unusable)?;
        let connector = TlsConnector::from(tls.load_for_connection().await.map_err(unusable)?);
        // Boxed: the handshake's state is large, and the futures above it would all carry it.
        let stream = Box::pin(connector.connect(name, stream)).await.map_err(explain)?;
        Stream::Tls(Box::new(stream))
    } else {
        Stream::Plain(stream)
    };
    Connection::new(stream).await
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
