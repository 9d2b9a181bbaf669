//! Where a member listens, parsed and checked once.

use std::convert::Infallible;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// The port of a member whose endpoint names none.
const DEFAULT_PORT: u16 = 2379;

/// The forms that are told to whoever wrote another.
const FORMS: &str =
    "write host:port, http://host:port, https://host:port, unix:///path or unixs:///path";

/// Where a member listens.
///
/// | written | connects to | `:authority` | TLS |
/// |---|---|---|---|
/// | `host`, `host:port`, `10.0.0.1:2379`, `[::1]:2379` | that host and port | as written | if [`Tls`] is configured |
/// | `http://host:port/…` | that host and port | `host:port` as written | never |
/// | `https://host:port/…` | that host and port | `host:port` as written | always; the system's roots if no [`Tls`] is configured |
/// | `unix:path`, `unix://path`, `unix:///path` | that socket | the path's last segment, if a host may be called so, else `localhost` | if [`Tls`] is configured |
/// | `unixs:` in the same three forms | that socket | the same | always |
/// | `inprocess:name` | whatever the client's own [`Connector`] makes of it | `name` | never |
///
/// A socket's path is relative if it does not begin with a slash after `unix:` or `unix://`.
///
/// An endpoint without a port means etcd's own, 2379, under every scheme. Path, query, fragment and user-info of a
/// URL are dropped: etcd's API has one fixed path, and credentials belong into
/// [`ClientBuilder::user`](crate::ClientBuilder::user).
///
/// Two endpoints are equal if they lead to the same address with the same use of TLS, however they are written.
/// `Display` shows an endpoint as it was written, with user-info blotted out.
///
/// ```
/// use etcdkit::config::Endpoint;
///
/// # fn main() -> etcdkit::Result<()> {
/// let endpoint: Endpoint = "https://etcd-0.example.com:2379/".parse()?;
/// assert_eq!(endpoint.authority(), "etcd-0.example.com:2379");
/// assert_eq!(endpoint.server_name(), "etcd-0.example.com");
/// assert!("0.0.0.0:2379".parse::<Endpoint>().is_err());
/// # Ok(())
/// # }
/// ```
///
/// [`Tls`]: crate::config::Tls
/// [`Connector`]: crate::transport::Connector
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    text: Arc<str>,
    authority: String,
    server_name: String,
    tls: TlsDecision,
    address: Address,
    turn: AtomicUsize,
}

/// What an endpoint says about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsDecision {
    /// Plain text, also where the client has TLS configured: `http://`.
    Never,
    /// TLS where the client has it configured, else plain text: no scheme, or `unix:`.
    IfConfigured,
    /// TLS, with the system's roots where the client has none configured: `https://` or `unixs:`.
    Always,
}

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A TCP port.
    Tcp {
        /// A DNS name in lower case, or an IP address without brackets.
        host: String,
        /// The port, never 0.
        port: u16,
    },
    /// A unix-domain socket.
    Unix(PathBuf),
    /// Something inside this process, by a name that means something to the client's own connector.
    InProcess(String),
}

impl Endpoint {
    /// The endpoint as it was written, user-info blotted out.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.0.text
    }

    /// What is sent as `:authority`: host and port as written, or a socket's file name.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.0.authority
    }

    /// The name that the server's certificate has to be for, unless [`Tls::server_name`] says another: the host without
    /// its port and brackets, or a socket's file name without `:port`.
    ///
    /// [`Tls::server_name`]: crate::config::Tls::server_name
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.0.server_name
    }

    /// What the endpoint says about TLS.
    #[must_use]
    pub fn tls(&self) -> TlsDecision {
        self.0.tls
    }

    /// What to connect to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// Which of the addresses behind its name is to be tried first: how many were passed over so far.
    pub(crate) fn turn(&self) -> usize {
        self.0.turn.load(Ordering::Relaxed)
    }

    /// An attempt of that `turn` came to nothing: the next begins with another of the addresses behind its name. One that
    /// only takes connections, and closes them or answers nothing, would otherwise win every time. Of attempts side by side
    /// only the first has a say: two would pass over the other address as well.
    pub(crate) fn pass_over_address(&self, turn: usize) {
        let next = turn.wrapping_add(1);
        let _ = self.0.turn.compare_exchange(turn, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether connections to it use TLS, given whether the client has TLS configured.
    pub(crate) fn uses_tls(&self, configured: bool) -> bool {
        match self.tls() {
            TlsDecision::Never => false,
            TlsDecision::IfConfigured => configured,
            TlsDecision::Always => true,
        }
    }

    /// Whether only this machine can be reached by it.
    pub(crate) fn is_local(&self) -> bool {
        match self.address() {
            Address::Tcp { host, .. } => {
                host == "localhost"
                    || host.ends_with(".localhost")
                    || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
            Address::Unix(_) | Address::InProcess(_) => true,
        }
    }

    fn parse(written: &str) -> Result<Self> {
        let text = written.trim();
        let shown = redact(text);
        let parsed = match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("unix") => {
                socket(rest, TlsDecision::IfConfigured)
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("unixs") => {
                socket(rest, TlsDecision::Always)
            }
            Some((scheme, name)) if scheme.eq_ignore_ascii_case("inprocess") => in_process(name),
            _ => match text.split_once("://") {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
                    url(rest, TlsDecision::Never)
                }
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => {
                    url(rest, TlsDecision::Always)
                }
                Some((scheme, _)) => Err(format!("the scheme `{scheme}` is not known; {FORMS}")),
                None => tcp(text, TlsDecision::IfConfigured),
            },
        };
        match parsed {
            Ok(parts) => Ok(Self(Arc::new(Inner {
                text: shown.into(),
                authority: parts.authority,
                server_name: parts.server_name,
                tls: parts.tls,
                address: parts.address,
                turn: AtomicUsize::new(0),
            }))),
            Err(reason) => Err(Error::invalid(format!("endpoint `{shown}`: {reason}"))),
        }
    }

    fn key(&self) -> (&Address, TlsDecision) {
        (&self.0.address, self.0.tls)
    }
}

struct Parts {
    authority: String,
    server_name: String,
    tls: TlsDecision,
    address: Address,
}

/// `//user@host:port/path?query#fragment` without its slashes.
fn url(rest: &str, tls: TlsDecision) -> Result<Parts, String> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if rest[authority.len()..].contains('@') {
        // Left of it stands the host, or the beginning of a password.
        return Err("there is an `@` after a `/`, `?` or `#`: write these as %2F, %3F and %23 if they belong to a password, and leave the path out otherwise".to_owned());
    }
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    tcp(host, tls)
}

fn tcp(text: &str, tls: TlsDecision) -> Result<Parts, String> {
    let (host, port) = split_port(text)?;
    let ip = check_host(host)?;
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
            Ok(0) => return Err("nothing listens on port 0".to_owned()),
            Ok(port) => port,
            // Not shown either.
            Err(_) => return Err("a port is a number from 1 to 65535".to_owned()),
        },
        // Not shown: it may be half of a password.
        Some(_) => return Err(format!("what follows the last colon is no port; {FORMS}")),
    };
    if ip.is_some_and(|ip| ip.to_canonical().is_unspecified()) {
        return Err(format!(
            "`{host}` is an address to listen on, not one to connect to; name the host, or \
             127.0.0.1 for this one"
        ));
    }
    let host = host.to_ascii_lowercase();
    // A zone means something on this machine only: neither the certificate nor the server knows it.
    let without_zone = host.split('%').next().unwrap_or_default().to_owned();
    Ok(Parts {
        authority: if host.contains('%') {
            format!("[{without_zone}]:{port}")
        } else {
            text.to_owned()
        },
        // A certificate's names have no dot at their end, which a resolver takes as "look no further".
        server_name: without_zone.trim_end_matches('.').to_owned(),
        tls,
        address: Address::Tcp { host: host.replacen("%25", "%", 1), port },
    })
}

/// The host without brackets, and what is written as its port.
fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((host, rest)) = rest.split_once(']') else {
            return Err("`]` is missing after the IPv6 address".to_owned());
        };
        if host.split('%').next().unwrap_or_default().parse::<Ipv6Addr>().is_err() {
            return Err(format!("`{host}` in brackets is no IPv6 address"));
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("after `]` comes `:` and a port, or nothing".to_owned()),
        };
    }
    if text.split('%').next().unwrap_or_default().parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address is written in brackets: [{text}]:{DEFAULT_PORT}"));
    }
    Ok(match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    })
}

/// Refuses what is no host; its address if it is one.
fn check_host(host: &str) -> Result<Option<IpAddr>, String> {
    if host.is_empty() {
        return Err(format!("the host is missing; {FORMS}"));
    }
    if let Ok(ip) = host.parse() {
        return Ok(Some(ip));
    }
    if host.contains(':') {
        // Only an IPv6 address with a zone gets here with a colon and is one.
        return if host.contains('%') {
            Ok(None)
        } else {
            Err(format!("there are too many colons; {FORMS}"))
        };
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.contains('/') {
        return Err(format!("a path without a scheme; {FORMS}"));
    }
    if !host.bytes().all(allowed) {
        return Err(
            "a host has letters, digits, `-`, `_` and `.` (write other alphabets as punycode)"
                .to_owned(),
        );
    }
    let all_digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    if host.split('.').all(all_digits) {
        return Err(format!("`{host}` is neither a name nor an IPv4 address"));
    }
    Ok(None)
}

/// What follows `unix:`. Two slashes and a relative path is an old form of etcd's own.
fn socket(rest: &str, tls: TlsDecision) -> Result<Parts, String> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.is_empty() {
        return Err("it names no socket; write unix:///path/to/socket".to_owned());
    }
    if path.contains('\0') {
        return Err("a path has no NUL in it".to_owned());
    }
    // A file may be called anything, a host may not: then what gRPC says over sockets.
    let sendable = !name.contains('@') && name.parse::<http::uri::Authority>().is_ok();
    Ok(Parts {
        authority: if sendable { name } else { "localhost" }.to_owned(),
        server_name: strip_port(name).to_owned(),
        tls,
        address: Address::Unix(PathBuf::from(path)),
    })
}

/// A socket's file name is often a host and a port (`localhost:2379`), and its certificate then the host's.
fn strip_port(name: &str) -> &str {
    let host = match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => name,
    };
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn in_process(name: &str) -> Result<Parts, String> {
    let name = name.strip_prefix("//").unwrap_or(name);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(
            "after `inprocess:` comes a name of letters, digits, `-`, `_` and `.`".to_owned()
        );
    }
    Ok(Parts {
        authority: name.to_owned(),
        server_name: name.to_owned(),
        tls: TlsDecision::Never,
        address: Address::InProcess(name.to_owned()),
    })
}

/// The text without a user name and password that may stand before an `@`. Rather too much is blotted out than too
/// little: a password with a slash in it is no valid URL, and yet is typed.
fn redact(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("unix:") || lower.starts_with("unixs:") {
        return text.to_owned();
    }
    let start = text.find("://").map_or(0, |at| at + 3);
    match text[start..].rfind('@') {
        Some(at) => format!("{}***{}", &text[..start], &text[start + at..]),
        None => text.to_owned(),
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

macro_rules! try_from_text {
    ($($text:ty),*) => {$(
        impl TryFrom<$text> for Endpoint {
            type Error = Error;

            fn try_from(text: $text) -> Result<Self> {
                Self::parse(text.as_ref())
            }
        }
    )*};
}
try_from_text!(&str, &&str, String, &String);

impl From<&Self> for Endpoint {
    fn from(endpoint: &Self) -> Self {
        endpoint.clone()
    }
}

/// So that whatever converts into an [`Endpoint`], and an [`Endpoint`] itself, can be given where endpoints are wanted.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Endpoint {}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.0.text)
    }
}

#[cfg(test)]
mod tests;
