//! One attempt to connect to one endpoint.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncRead, AsyncWrite};

use super::stream::{IoStream, RawStream};
use super::{tcp, tls};
use crate::config::{Address, Endpoint, Tls, TlsLoader};
use crate::error::{Cause, Result};

/// A byte stream in both directions: whatever reads and writes the way tokio's streams do.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// What [`Connector::connect`] returns: a stream, some time later.
pub type ConnectFuture<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send + 'a>>;

/// Connects to a member, instead of this crate's own TCP and unix-domain sockets.
///
/// For proxies, tunnels and simulations; [`DuplexConnector`](super::DuplexConnector) is one for servers in the same
/// process. It is asked for every connection, and again when one breaks; TLS, deadlines and repetitions are not its
/// concern.
///
/// ```
/// use etcdkit::config::Address;
/// use etcdkit::transport::{ConnectFuture, Connector, Io};
/// use tokio::net::TcpStream;
///
/// /// Goes through a port forwarder on this machine.
/// #[derive(Debug)]
/// struct Forwarded;
///
/// impl Connector for Forwarded {
///     fn connect<'a>(&'a self, _: &'a Address) -> ConnectFuture<'a> {
///         Box::pin(async {
///             let stream = TcpStream::connect("127.0.0.1:9000").await?;
///             Ok(Box::new(stream) as Box<dyn Io>)
///         })
///     }
/// }
/// ```
pub trait Connector: fmt::Debug + Send + Sync + 'static {
    /// Connects to `address`. Dropping the future abandons the attempt.
    ///
    /// # Errors
    ///
    /// Its text becomes part of the error of calls that find no member, and of the attempts listed in it.
    fn connect<'a>(&'a self, address: &'a Address) -> ConnectFuture<'a>;
}

impl<C: Connector + ?Sized> Connector for Arc<C> {
    fn connect<'a>(&'a self, address: &'a Address) -> ConnectFuture<'a> {
        (**self).connect(address)
    }
}

/// What connecting takes beside the endpoint.
#[derive(Debug)]
pub(crate) struct ConnectSettings {
    /// What the user configured.
    tls: Option<Arc<TlsLoader>>,
    /// For endpoints that are always TLS where the user configured nothing: the system's roots, read when first needed.
    default_tls: OnceLock<Arc<TlsLoader>>,
    connector: Option<Arc<dyn Connector>>,
}

impl ConnectSettings {
    pub(crate) fn new(tls: Option<Tls>, connector: Option<Arc<dyn Connector>>) -> Self {
        Self {
            tls: tls.map(|tls| Arc::new(TlsLoader::new(tls))),
            default_tls: OnceLock::new(),
            connector,
        }
    }

    /// Whether the user configured TLS: what endpoints without a scheme go by.
    pub(crate) fn tls_configured(&self) -> bool {
        self.tls.is_some()
    }

    /// Checks the TLS configuration, if there is one, even if no endpoint uses it yet.
    pub(crate) fn check_configured_tls(&self) -> Result<()> {
        match &self.tls {
            Some(loader) => loader.load().map(drop),
            None => Ok(()),
        }
    }

    /// Reads the certificates that `endpoint` needs, if it is TLS, to see whether they are good.
    pub(crate) fn check_certificates(&self, endpoint: &Endpoint) -> Result<()> {
        self.loader(endpoint).map_or(Ok(()), |loader| loader.load().map(drop))
    }

    /// Checks what can be checked about an endpoint without connecting to it or reading files.
    pub(crate) fn check_endpoint(&self, endpoint: &Endpoint) -> Result<()> {
        if let Some(loader) = self.loader(endpoint) {
            loader.server_name(endpoint)?;
        }
        if self.connector.is_none() {
            let reason = match endpoint.address() {
                Address::InProcess(_) => {
                    "nothing is known of it without `ClientBuilder::connector`"
                }
                Address::Unix(_) if cfg!(not(unix)) => "this system has no unix-domain sockets",
                _ => return Ok(()),
            };
            return Err(crate::error::Error::invalid(format!("endpoint `{endpoint}`: {reason}")));
        }
        Ok(())
    }

    /// Whether what is sent to `endpoint` can't be read on a network.
    pub(crate) fn protects(&self, endpoint: &Endpoint) -> bool {
        endpoint.uses_tls(self.tls_configured())
            || matches!(endpoint.address(), Address::Unix(_) | Address::InProcess(_))
    }

    /// How to speak TLS to `endpoint`; `None` is plain text.
    fn loader(&self, endpoint: &Endpoint) -> Option<&Arc<TlsLoader>> {
        if !endpoint.uses_tls(self.tls_configured()) {
            return None;
        }
        let default = || self.default_tls.get_or_init(|| Arc::new(TlsLoader::new(Tls::new())));
        Some(self.tls.as_ref().unwrap_or_else(default))
    }
}

/// A connection without a word spoken on it yet.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) stream: IoStream,
    /// Whether TLS is spoken on it: what `:scheme` says.
    pub(crate) encrypted: bool,
}

/// Connects to `endpoint`. Dropping the future abandons the attempt.
pub(crate) async fn establish(
    endpoint: &Endpoint,
    settings: &ConnectSettings,
) -> Result<Established, Cause> {
    let raw = match &settings.connector {
        Some(connector) => match connector.connect(endpoint.address()).await {
            Ok(io) => RawStream::Custom(io),
            Err(error) => return Err(Cause::Connect(error.to_string())),
        },
        None => connect(endpoint).await?,
    };
    match settings.loader(endpoint) {
        None => Ok(Established { stream: IoStream::plain(raw), encrypted: false }),
        Some(loader) => {
            let stream = tls::handshake(endpoint, loader, raw).await?;
            Ok(Established { stream: IoStream::tls(stream), encrypted: true })
        }
    }
}

async fn connect(endpoint: &Endpoint) -> Result<RawStream, Cause> {
    match endpoint.address() {
        Address::Tcp { host, port } => {
            tcp::connect(host, *port, endpoint.turn()).await.map(RawStream::Tcp)
        }
        #[cfg(unix)]
        Address::Unix(path) => super::unix::connect(path).await.map(RawStream::Unix),
        #[cfg(not(unix))]
        Address::Unix(_) => {
            Err(Cause::Connect("this system has no unix-domain sockets".to_owned()))
        }
        Address::InProcess(name) => {
            Err(Cause::Connect(format!("no connector knows `{name}` inside this process")))
        }
    }
}
