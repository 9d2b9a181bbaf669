//! The URLs that etcd listens on and advertises: a scheme and an address, and nothing else.

use std::fmt;

/// A URL of one of the four schemes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Url {
    scheme: &'static str,
    /// `host:port`, or what follows `unix://`.
    address: String,
}

impl Url {
    /// Parses one, as strictly as etcd does.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let found = ["http", "https", "unix", "unixs"]
            .into_iter()
            .find_map(|scheme| Some((scheme, text.strip_prefix(scheme)?.strip_prefix("://")?)));
        let Some((scheme, address)) = found else {
            return Err(format!("URL scheme must be http, https, unix, or unixs: {text}"));
        };
        if scheme.starts_with("http") {
            let (authority, path) =
                address.split_at(address.find(['/', '?', '#']).unwrap_or(address.len()));
            let port = authority.rsplit_once(':').map(|(_, port)| port);
            let bracketed = !authority.starts_with('[') || authority.contains("]:");
            if port.is_none_or(|port| port.is_empty() || port.contains(']')) || !bracketed {
                return Err(format!(r#"URL address does not have the form "host:port": {text}"#));
            }
            if port.is_some_and(|port| port.parse::<u16>().is_err()) {
                return Err(format!("URL port is no number below 65536: {text}"));
            }
            if !path.is_empty() {
                return Err(format!("URL must not contain a path: {text}"));
            }
        }
        Ok(Self { scheme, address: address.to_owned() })
    }

    /// Parses those in a comma-separated list, in etcd's order.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let mut urls =
            text.split(',').map(|url| Self::parse(url.trim())).collect::<Result<Vec<_>, _>>()?;
        urls.sort();
        Ok(urls)
    }

    pub(crate) const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Whether its scheme asks for TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.scheme.ends_with('s')
    }

    pub(crate) fn is_unix(&self) -> bool {
        self.scheme.starts_with("unix")
    }

    /// `host:port`, or the path of a socket.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The host without its port and brackets.
    pub(crate) fn host(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_a_scheme_and_an_address() {
        for (text, expected) in [
            ("http://127.0.0.1:2379", Ok("127.0.0.1")),
            ("https://[::1]:2379", Ok("::1")),
            ("http://:2379", Ok("")),
            ("unix:///run/etcd.sock", Ok("/run/etcd.sock")),
            ("unixs://localhost:17", Ok("localhost")),
            ("foo", Err("URL scheme must be http, https, unix, or unixs: foo")),
            (
                "http:/127.0.0.1:1",
                Err("URL scheme must be http, https, unix, or unixs: http:/127.0.0.1:1"),
            ),
            (
                "http://127.0.0.1",
                Err("URL address does not have the form \"host:port\": http://127.0.0.1"),
            ),
            ("http://[::1]", Err("URL address does not have the form \"host:port\": http://[::1]")),
            ("http://a:1/", Err("URL must not contain a path: http://a:1/")),
            ("http://a:65536", Err("URL port is no number below 65536: http://a:65536")),
        ] {
            let parsed = Url::parse(text);
            assert_eq!(parsed.as_ref().map(Url::host).map_err(String::as_str), expected, "{text}");
            if let Ok(url) = parsed {
                assert_eq!(url.to_string(), text);
            }
        }
    }
}
