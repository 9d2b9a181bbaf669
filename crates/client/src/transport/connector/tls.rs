//! The TLS handshake, and what its failures mean to whoever configured it.

use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::stream::RawStream;
use crate::config::{Endpoint, TlsLoader};
use crate::error::Cause;

/// How text of TLS failures begins that has to travel through an [`io::Error`].
const PREFIX: &str = "TLS: ";

/// Speaks TLS over `raw` and agrees on HTTP/2.
pub(super) async fn handshake(
    endpoint: &Endpoint,
    loader: &Arc<TlsLoader>,
    raw: RawStream,
) -> Result<Box<TlsStream<RawStream>>, Cause> {
    let misconfigured = |error: crate::error::Error| Cause::Tls(error.to_string());
    let name = loader.server_name(endpoint).map_err(misconfigured)?;
    let config = loader.load_for_connection().await.map_err(misconfigured)?;
    // Boxed: the handshake's state is large, and the futures above it would all carry it.
    let handshake = Box::pin(TlsConnector::from(config).connect(name, raw));
    let stream = handshake.await.map_err(|error| {
        let explained = explain(&error, endpoint, loader);
        // A member that is just stopping looks the same as one that expects plain text: time may mend it.
        match inner(&error) {
            Some(_) => Cause::Tls(explained),
            None => Cause::Disconnected(explained),
        }
    })?;
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Ok(Box::new(stream)),
        // gRPC demands it, and what does not negotiate HTTP/2 rarely speaks it.
        _ => Err(Cause::Tls(
            "the server did not agree on HTTP/2 (ALPN `h2`): is it etcd, and does everything \
             between pass ALPN on?"
                .to_owned(),
        )),
    }
}

/// What a failed handshake means.
fn explain(error: &io::Error, endpoint: &Endpoint, loader: &TlsLoader) -> String {
    let Some(tls) = inner(error) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => {
                "the server closed the connection during the TLS handshake: does it expect plain \
                 text (http://)?"
                    .to_owned()
            }
            _ => error.to_string(),
        };
    };
    use rustls::Error as E;
    match tls {
        E::InvalidCertificate(certificate) => explain_certificate(certificate, endpoint, loader),
        E::InvalidMessage(_) | E::PeerSentOversizedRecord => {
            format!(
                "the server speaks plain text where TLS was expected: use http:// if that is \
                 meant ({tls})"
            )
        }
        E::AlertReceived(alert) => explain_alert(*alert, loader.has_identity()),
        E::PeerIncompatible(_) => {
            format!("client and server have no TLS version or cipher in common: {tls}")
        }
        _ => tls.to_string(),
    }
}

fn explain_certificate(
    error: &CertificateError,
    endpoint: &Endpoint,
    loader: &TlsLoader,
) -> String {
    use CertificateError as C;
    match error {
        C::Expired | C::ExpiredContext { .. } => {
            let ago = match error {
                C::ExpiredContext { time, not_after } => {
                    format!(" {} ago", span(time.as_secs().saturating_sub(not_after.as_secs())))
                }
                _ => String::new(),
            };
            format!(
                "the server's certificate expired{ago}: renew it, or set this machine's clock right"
            )
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: set this machine's clock right".to_owned()
        }
        C::UnknownIssuer | C::BadSignature => {
            let trusted = if loader.has_own_authorities() {
                "the configured CA: is it the cluster's?"
            } else {
                "an authority that this system trusts: name the cluster's with `Tls::ca_file`"
            };
            format!("the server's certificate is not signed by {trusted}")
        }
        C::NotValidForNameContext { expected, presented } => {
            let names = match presented.is_empty() {
                true => "no name at all (a common name does not count)".to_owned(),
                false => {
                    presented.iter().map(|name| plain_name(name)).collect::<Vec<_>>().join(", ")
                }
            };
            format!(
                "the server's certificate is for {names}, not for {}: connect to `{endpoint}` by \
                 one of its names, or set `Tls::server_name`",
                expected.to_str()
            )
        }
        _ => format!("the server's certificate is refused: {error}"),
    }
}

/// `DnsName("a")` and `IpAddress(1.2.3.4)` are how the library writes names.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').to_owned()
}

fn explain_alert(alert: AlertDescription, has_identity: bool) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => {
            "the server wants a client certificate: give one with `Tls::client_certificate_files`"
                .to_owned()
        }
        A::HandshakeFailure | A::BadCertificate if !has_identity => format!(
            "the server refused the handshake ({alert:?}); it may want a client certificate \
             (`Tls::client_certificate_files`)"
        ),
        A::UnknownCA
        | A::BadCertificate
        | A::CertificateUnknown
        | A::AccessDenied
        | A::DecryptError => format!(
            "the server refused the client certificate ({alert:?}): is it signed by the authority \
             in etcd's --trusted-ca-file, and made for client authentication?"
        ),
        A::CertificateExpired => {
            "the server says that the client certificate has expired: renew it".to_owned()
        }
        A::CertificateRevoked => {
            "the server says that the client certificate is revoked".to_owned()
        }
        A::NoApplicationProtocol => {
            "the server does not speak HTTP/2 there (ALPN `h2`): is it etcd's client port?"
                .to_owned()
        }
        A::UnrecognisedName => {
            "the server does not know this name: set `Tls::server_name`".to_owned()
        }
        A::ProtocolVersion => "the server speaks neither TLS 1.3 nor 1.2".to_owned(),
        _ => format!("the server ended TLS: {alert:?}"),
    }
}

/// Rounded down to what a person would say.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn inner(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Explains what fails after the handshake. In TLS 1.3 that is also where a server objects to the client's
/// certificate: the client has been done for half a round trip by then.
pub(super) fn explain_later(error: io::Error) -> io::Error {
    let text = match inner(&error) {
        // By then the server has taken the name and asked for a certificate; whether it got one, its alert says.
        Some(rustls::Error::AlertReceived(alert)) => explain_alert(*alert, true),
        Some(other) => other.to_string(),
        None => return error,
    };
    io::Error::new(error.kind(), format!("{PREFIX}{text}"))
}

/// Recognises a server that expects TLS by what first comes from it on a plain connection: an alert, Go's answer in
/// HTTP/1, or, from etcd, the end. An HTTP/2 server begins with a zero: its first frame is SETTINGS, at most 16 KiB long.
pub(super) fn check_first(first: io::Result<&[u8]>) -> io::Result<()> {
    let text = match first {
        Ok([0x15, ..]) => "the server expects TLS where plain text was sent: use https://",
        Ok([b'H', ..]) => {
            "the server answers in HTTP/1: it expects TLS (https://), or is no etcd client port"
        }
        Ok([]) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, SILENT)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
            return Err(io::Error::new(error.kind(), SILENT));
        }
        other => return other.map(drop),
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("{PREFIX}{text}")))
}

/// It may also be on its way down, or a proxy without a server behind it.
const SILENT: &str = "the server closed it before it said anything: does it expect TLS (https://)?";

/// What the failure of a connection means that was up.
pub(crate) fn cause_of(error: &io::Error) -> Cause {
    let text = error.to_string();
    match text.strip_prefix(PREFIX) {
        Some(tls) => Cause::Tls(tls.to_owned()),
        None => Cause::Disconnected(text),
    }
}
