//! A proxy: where it is, and what it speaks.

use std::fmt;

use http::{HeaderValue, Uri};

use crate::config::builder::{Secret, basic};
use crate::config::origin::{Origin, Place};
use crate::error::{Error, Result};

/// A proxy.
#[derive(Debug)]
pub(crate) struct ProxyServer {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) speaks: Speaks,
}

#[derive(Debug)]
pub(crate) enum Speaks {
    Http { tls: bool, authorization: Option<HeaderValue> },
    Socks { user: Option<(String, Secret)> },
}

impl ProxyServer {
    /// `source` is what is to be corrected.
    pub(super) fn parse(source: &str, url: &str) -> Result<Self> {
        // Everything before the last `@` may be a password.
        let (credentials, rest) = match url.trim().rsplit_once('@') {
            None => (None, url.trim()),
            Some((before, rest)) => {
                (Some(before.split_once("://").unwrap_or(("http", before))), rest)
            }
        };
        let (scheme, authority) = match credentials {
            Some((scheme, _)) => (scheme, rest),
            None => rest.split_once("://").unwrap_or(("http", rest)),
        };
        let error = |why: &str| {
            Error::invalid(format!(
                "{source} `{scheme}://{authority}` can't be used: {why}; write http://host:port, \
                 https://host:port or socks5://host:port"
            ))
        };
        let uri: Uri = format!("http://{authority}").parse().map_err(|_| error("it is no URL"))?;
        let Place::Host { name, port } = Origin::of(&uri).map_err(error)?.place else {
            return Err(error("it is a socket"));
        };
        let user = credentials.map(|(_, text)| {
            let (user, password) = text.split_once(':').unwrap_or((text, ""));
            let decode = |text| unescape(text).ok_or_else(|| error("its user name is no text"));
            Ok::<_, Error>((decode(user)?, Secret(decode(password)?)))
        });
        let user = user.transpose()?;
        let (default, speaks) = match &*scheme.to_ascii_lowercase() {
            scheme @ ("http" | "https") => {
                let authorization = user.map(|(user, password)| basic(&user, &password));
                let tls = scheme == "https";
                let default = if tls { 443 } else { 80 };
                (default, Speaks::Http { tls, authorization: authorization.transpose()? })
            }
            "socks5" | "socks5h" => {
                let fits = |text: &str| (1..=255).contains(&text.len());
                if user.as_ref().is_some_and(|(user, word)| !fits(user) || !fits(&word.0)) {
                    return Err(error("its user name and password need 1 to 255 bytes each"));
                }
                (1080, Speaks::Socks { user })
            }
            _ => return Err(error("that is no kind of proxy that is spoken to")),
        };
        let port = if uri.port().is_some() { port } else { default };
        Ok(Self { host: name, port, speaks })
    }

    /// What it is shown with each request that it passes on, if it speaks HTTP.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        match &self.speaks {
            Speaks::Http { authorization, .. } => authorization.as_ref(),
            Speaks::Socks { .. } => None,
        }
    }

    /// Whether it passes on requests, rather than bytes, unless TLS hides them.
    pub(crate) fn passes_requests(&self) -> bool {
        matches!(self.speaks, Speaks::Http { .. })
    }
}

impl fmt::Display for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.speaks {
            Speaks::Http { tls: false, .. } => "http",
            Speaks::Http { tls: true, .. } => "https",
            Speaks::Socks { .. } => "socks5",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// The text that percent signs stand for.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let byte = if byte == b'%' { u8::try_from(digit()? * 16 + digit()?).ok()? } else { byte };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_their_ports() {
        for (url, shown) in [
            ("p", "http://p:80"),
            ("p:3128", "http://p:3128"),
            ("HTTPS://u:w@p", "https://p:443"),
            ("https://p:80", "https://p:80"),
            ("socks5://p", "socks5://p:1080"),
            ("socks5h://u:w@p:80", "socks5://p:80"),
        ] {
            assert_eq!(ProxyServer::parse("proxy", url).unwrap().to_string(), shown, "{url}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_password() {
        let long = format!("socks5://u:{}@p", "x".repeat(256));
        for url in [
            "gopher://p:1",
            "http://",
            "http://p:99999",
            "http://u:secret@p:x",
            "socks5://u@p",
            &long,
        ] {
            let error = ProxyServer::parse("proxy", url).unwrap_err().to_string();
            assert!(error.contains("http://host:port"), "{error}");
            assert!(!error.contains("secret") && !error.contains("xx"), "{error}");
        }
    }

    #[test]
    fn credentials_are_unescaped() {
        assert_eq!(unescape("a%40b%3A").as_deref(), Some("a@b:"));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }
}
