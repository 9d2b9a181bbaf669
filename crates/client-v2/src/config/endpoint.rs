//! One URL that etcd serves its clients at.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;

use super::origin::{Origin, Place};
use crate::error::{Error, Result};

/// The URL of a member: `http://host:port` or `https://host:port`, with a path if a proxy serves etcd below one.
///
/// `unix:///path` and, for TLS, `unixs:///path` name a unix-domain socket instead. Its path is relative without the third
/// slash.
///
/// ```
/// use etcdkit_v2::Endpoint;
///
/// let endpoint: Endpoint = "http://127.0.0.1:2379/".parse()?;
/// assert_eq!(endpoint.to_string(), "http://127.0.0.1:2379");
/// assert!("127.0.0.1:2379".parse::<Endpoint>().is_err());
/// # Ok::<(), etcdkit_v2::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(Arc<Parts>);

#[derive(PartialEq, Eq, Hash)]
struct Parts {
    origin: Origin,
    /// Without a slash at its end; empty if there is none.
    path: String,
}

impl Endpoint {
    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.origin.secure
    }

    /// The host's name or address; of a socket, its file's name without a port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.origin.host()
    }

    /// The port: the scheme's own if the URL names none. A socket has none.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self.0.origin.place {
            Place::Host { port, .. } => Some(port),
            Place::Socket(_) => None,
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// What stands before every path.
    pub(crate) fn path(&self) -> &str {
        &self.0.path
    }

    /// Whether it is a socket on this machine.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.0.origin.place, Place::Socket(_))
    }

    /// Whether no other host than the member's own could reach it by this URL.
    pub(crate) fn is_unspecified(&self) -> bool {
        self.host().parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified())
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The text itself may hold a password.
        let shown = || text.rsplit('@').next().unwrap_or_default().to_owned();
        let error = |why: &dyn fmt::Display| {
            Error::invalid(format!("endpoint `{}` is no URL of etcd: {why}", shown()))
        };
        if let Some(socket) = Origin::socket(text.trim()) {
            let origin = socket.map_err(|why| error(&why))?;
            return Ok(Self(Arc::new(Parts { origin, path: String::new() })));
        }
        let uri: Uri = text.trim().parse().map_err(|why| error(&why))?;
        let origin = Origin::of(&uri).map_err(|why| error(&why))?;
        if uri.query().is_some() {
            return Err(error(&"it has a query"));
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self(Arc::new(Parts { origin, path })))
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        text.parse()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl TryFrom<&String> for Endpoint {
    type Error = Error;

    fn try_from(text: &String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.origin, self.0.path)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written() {
        for (text, shown, host, port) in [
            ("http://127.0.0.1:2379", "http://127.0.0.1:2379", "127.0.0.1", 2379),
            ("https://Etcd.example.com/", "https://etcd.example.com", "etcd.example.com", 443),
            ("http://[::1]:4001/etcd/", "http://[::1]:4001/etcd", "::1", 4001),
            ("http://[::1]", "http://[::1]", "::1", 80),
            (" http://a:1 ", "http://a:1", "a", 1),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.to_string().as_str(), endpoint.host()), (shown, host), "{text}");
            assert_eq!(endpoint.port(), Some(port), "{text}");
        }
    }

    #[test]
    fn sockets_are_read_and_written() {
        for (text, shown, host, header) in [
            ("unix:///run/etcd.sock", "unix:///run/etcd.sock", "etcd.sock", "etcd.sock"),
            ("UNIXS:/run/etcd", "unixs:///run/etcd", "etcd", "etcd"),
            ("unix://localhost:2379", "unix://localhost:2379", "localhost", "localhost"),
            ("unixs:a b", "unixs://a b", "a b", "localhost"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.to_string().as_str(), endpoint.host()), (shown, host), "{text}");
            assert_eq!(endpoint.origin().host_header(), header, "{text}");
            assert_eq!((endpoint.port(), endpoint.is_secure()), (None, shown.contains("unixs")));
            assert_eq!(shown.parse::<Endpoint>().unwrap(), endpoint);
        }
        for text in ["unix:", "unix://", "unix:///", "unixs:///run/", "unix:a\0b"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_showing_a_password() {
        for text in ["", "a", "a:1", "ftp://a", "http://", "http://a:99999", "http://a/?b", ":bad"]
        {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
        let error = "http://root:secret@a:1".parse::<Endpoint>().unwrap_err().to_string();
        assert!(error.contains("ClientBuilder::user") && !error.contains("secret"), "{error}");
    }
}
