//! Whether an endpoint is reached through a proxy.

mod server;

use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use server::{ProxyServer, Speaks};

use super::origin::{Origin, Place};
use crate::error::Result;

/// Through which proxy endpoints are reached.
///
/// The default is what the environment says, in the words that Go's client knows: `HTTP_PROXY` for `http://` endpoints,
/// `HTTPS_PROXY` for `https://` ones, each also in lower case, and `NO_PROXY` for those that are reached directly: names,
/// which hold for all names below them too (only for these with a dot in front), addresses, networks (`10.0.0.0/8`), each
/// with a port if one is meant, and `*` for all. `localhost` and loopback addresses are reached directly. In a CGI program
/// `HTTP_PROXY` is left out, since there a request's header can set it.
///
/// A proxy is a URL `http://host:port`, `http://` being understood, `https://host:port` or `socks5://host:port`; a name and a
/// password in it are shown to the proxy alone. TLS with the member goes through a tunnel, which HTTP proxies make by
/// `CONNECT`, and SOCKS proxies for everything; names are looked up by the proxy. The certificate of an `https://` proxy is
/// checked as those of members are, by [`Tls`](crate::Tls) without its `server_name`. Sockets are always reached directly.
///
/// ```
/// use etcdkit_v2::{Client, Proxy};
///
/// let client = Client::builder()
///     .endpoints(["http://etcd.example.com:2379"])
///     .proxy(Proxy::new("http://proxy.example.com:3128")?)
///     .build()?;
/// # let _ = client;
/// assert!(Proxy::new("gopher://proxy.example.com").is_err());
/// # Ok::<(), etcdkit_v2::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Proxy {
    plain: Option<Result<Arc<ProxyServer>>>,
    secure: Option<Result<Arc<ProxyServer>>>,
    direct: Direct,
}

/// Who is reached without a proxy.
#[derive(Clone, Debug)]
enum Direct {
    Nobody,
    /// And this machine.
    Listed(String),
}

impl Proxy {
    /// Every endpoint directly.
    #[must_use]
    pub fn none() -> Self {
        Self { plain: None, secure: None, direct: Direct::Nobody }
    }

    /// Every endpoint, loopback too, through the proxy at `url`.
    ///
    /// # Errors
    ///
    /// `url` is no URL of a proxy.
    pub fn new(url: &str) -> Result<Self> {
        let server = Arc::new(ProxyServer::parse("proxy", url)?);
        Ok(Self {
            plain: Some(Ok(server.clone())),
            secure: Some(Ok(server)),
            direct: Direct::Nobody,
        })
    }

    /// What the environment says now. A variable that makes no sense is told when a client would use it.
    #[must_use]
    pub fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| variable(name).filter(|value| !value.is_empty());
        let either = |name: &str| value(name).or_else(|| value(&name.to_ascii_lowercase()));
        let parse = |name: &str, url: String| ProxyServer::parse(name, &url).map(Arc::new);
        let plain = match value("REQUEST_METHOD") {
            None => either("HTTP_PROXY"),
            Some(_) => value("http_proxy"),
        };
        Self {
            plain: plain.map(|url| parse("HTTP_PROXY", url)),
            secure: either("HTTPS_PROXY").map(|url| parse("HTTPS_PROXY", url)),
            direct: Direct::Listed(either("NO_PROXY").unwrap_or_default().to_ascii_lowercase()),
        }
    }

    /// The proxy on the way to `origin`, if there is one.
    pub(crate) fn to(&self, origin: &Origin) -> Result<Option<Arc<ProxyServer>>> {
        let Place::Host { name, port } = &origin.place else { return Ok(None) };
        let direct = match &self.direct {
            Direct::Nobody => false,
            Direct::Listed(list) => is_here(name) || is_listed(list, name, *port),
        };
        if direct {
            return Ok(None);
        }
        if origin.secure { self.secure.clone() } else { self.plain.clone() }.transpose()
    }
}

/// Whether `host` is this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether one of the entries of `NO_PROXY` means `host`.
fn is_listed(list: &str, host: &str, port: u16) -> bool {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        let address = host.parse::<IpAddr>().ok();
        if let Some((network, bits)) = entry.split_once('/') {
            let network = network.parse().ok().zip(bits.parse().ok());
            return network
                .zip(address)
                .is_some_and(|((network, bits), address)| is_within(address, network, bits));
        }
        let is_address = entry.parse::<IpAddr>().is_ok();
        let (name, only) = match entry.rsplit_once(':') {
            Some((name, digits)) if !is_address && digits.parse::<u16>().is_ok() => {
                (name, digits.parse::<u16>().ok())
            }
            _ => (entry, None),
        };
        if only.is_some_and(|only| only != port) {
            return false;
        }
        let name = name.trim_matches(['[', ']']);
        match (name.parse::<IpAddr>(), address) {
            (Ok(name), Some(address)) => return name == address,
            (Err(_), None) => {}
            _ => return false,
        }
        let name = name.strip_prefix('*').unwrap_or(name);
        host.strip_suffix(name).is_some_and(|before| {
            if name.starts_with('.') {
                !before.is_empty()
            } else {
                before.is_empty() || before.ends_with('.')
            }
        })
    })
}

/// Whether the first `bits` of both are the same.
fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let differ = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
        _ => return false,
    };
    let width = if address.is_ipv4() { 32 } else { 128 };
    bits <= width && differ.leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of(&url.parse().unwrap()).unwrap()
    }

    fn environment(variables: &'static [(&'static str, &'static str)]) -> Proxy {
        Proxy::read(|wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn chosen(proxy: &Proxy, url: &str) -> Option<String> {
        proxy.to(&origin(url)).unwrap().map(|server| server.to_string())
    }

    #[test]
    fn the_environment_names_proxies() {
        let proxy = environment(&[("HTTP_PROXY", "p:1"), ("https_proxy", "http://u:w@q:2/")]);
        assert_eq!(chosen(&proxy, "http://a:2379").as_deref(), Some("http://p:1"));
        assert_eq!(chosen(&proxy, "https://a:2379").as_deref(), Some("http://q:2"));
        let server = proxy.to(&origin("https://a")).unwrap().unwrap();
        assert_eq!(server.authorization().unwrap(), "Basic dTp3");
        assert!(!format!("{proxy:?}").contains("dTp3"));
        for url in ["http://localhost:1", "http://127.0.0.1:1", "https://[::1]:1"] {
            assert_eq!(chosen(&proxy, url), None, "{url}");
        }
        assert_eq!(chosen(&environment(&[("HTTP_PROXY", "")]), "http://a"), None);
        // In a CGI program it may be a request's header `Proxy`.
        let cgi = environment(&[("HTTP_PROXY", "p:1"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(chosen(&cgi, "http://a"), None);
    }

    #[test]
    fn no_proxy_names_those_that_are_reached_directly() {
        for (entry, url, direct) in [
            ("*", "http://a", true),
            ("a.b", "http://a.b", true),
            ("a.b", "http://x.a.b", true),
            ("a.b", "http://xa.b", false),
            (".a.b", "http://a.b", false),
            (".a.b", "http://x.a.b", true),
            ("*.a.b", "http://x.a.b", true),
            ("A.B", "http://a.b", true),
            ("a:1", "http://a:1", true),
            ("a:1", "http://a:2", false),
            ("x, 10.0.0.1 ,", "http://10.0.0.1:1", true),
            ("10.0.0.1:2", "http://10.0.0.1:1", false),
            ("0.1", "http://10.0.0.1:1", false),
            ("10.0.0.0/8", "http://10.9.9.9", true),
            ("10.0.0.0/8", "http://11.0.0.0", false),
            ("0.0.0.0/0", "http://11.0.0.0", true),
            ("10.0.0.0/99", "http://10.0.0.0", false),
            ("fd00::/8", "http://[fd00::1]", true),
            ("fd00::1", "http://[fd00::1]", true),
            ("[fd00::1]:1", "http://[fd00::1]:1", true),
            ("fd00::/8", "http://10.0.0.0", false),
            ("", "http://a", false),
        ] {
            assert_eq!(
                is_listed(&entry.to_ascii_lowercase(), origin(url).host(), port(url)),
                direct,
                "{entry} {url}"
            );
        }
    }

    fn port(url: &str) -> u16 {
        let Place::Host { port, .. } = origin(url).place else { panic!("a host") };
        port
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_told_when_it_is_needed() {
        let proxy = environment(&[("HTTP_PROXY", "gopher://p:1")]);
        let error = proxy.to(&origin("http://a")).unwrap_err().to_string();
        assert!(error.contains("HTTP_PROXY `gopher://p:1`"), "{error}");
        assert_eq!(chosen(&proxy, "http://127.0.0.1"), None);
        assert_eq!(chosen(&proxy, "https://a"), None);
    }
}
