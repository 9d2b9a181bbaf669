//! One URL that etcd serves its clients at.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;

use crate::error::{Error, Result};

/// The URL of a member: `http://host:port` or `https://host:port`, with a path if a proxy serves etcd below one.
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

/// Whom one talks to: what connections are pooled by, and who may be told credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) secure: bool,
    /// Without brackets if it is an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// Where `uri` leads, which has to be absolute.
    pub(crate) fn of(uri: &Uri) -> Result<Self, &'static str> {
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err("its scheme is neither http nor https"),
            None => return Err("it does not begin with http:// or https://"),
        };
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user name: give credentials with `ClientBuilder::user`");
        }
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err("it has no host");
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(']') || !has_port(authority.as_str()) => {
                if secure { 443 } else { 80 }
            }
            None => return Err("its port is no number up to 65535"),
        };
        Ok(Self { secure, host: host.to_ascii_lowercase(), port })
    }

    /// The value of the `Host` header.
    pub(crate) fn host_header(&self) -> String {
        let default = if self.secure { 443 } else { 80 };
        let host = &self.host;
        match (host.contains(':'), self.port == default) {
            (false, true) => host.clone(),
            (false, false) => format!("{host}:{}", self.port),
            (true, true) => format!("[{host}]"),
            (true, false) => format!("[{host}]:{}", self.port),
        }
    }
}

/// Whether something follows the host; a bracketed IPv6 address has colons of its own.
fn has_port(authority: &str) -> bool {
    authority.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.host_header())
    }
}

impl Endpoint {
    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.origin.secure
    }

    /// The host's name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.origin.host
    }

    /// The port: the scheme's own if the URL names none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.origin.port
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// What stands before every path.
    pub(crate) fn path(&self) -> &str {
        &self.0.path
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
            assert_eq!(endpoint.port(), port, "{text}");
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
