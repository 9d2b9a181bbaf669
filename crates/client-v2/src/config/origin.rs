//! Whom one talks to.

use std::fmt;

use http::Uri;

/// Whom one talks to: what connections are pooled by, and who may be told credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) secure: bool,
    pub(crate) place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// The name is without brackets if it is an IPv6 address.
    Host { name: String, port: u16 },
    /// The path of a unix-domain socket, relative if it does not begin with a slash.
    Socket(String),
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
        let name = authority.host().trim_matches(['[', ']']);
        if name.is_empty() {
            return Err("it has no host");
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(']') || !has_port(authority.as_str()) => {
                if secure { 443 } else { 80 }
            }
            None => return Err("its port is no number up to 65535"),
        };
        Ok(Self { secure, place: Place::Host { name: name.to_ascii_lowercase(), port } })
    }

    /// The socket that `text` names, if its scheme is `unix` or `unixs`.
    pub(crate) fn socket(text: &str) -> Option<Result<Self, &'static str>> {
        let (scheme, rest) = text.split_once(':')?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "unix" => false,
            "unixs" => true,
            _ => return None,
        };
        // Two slashes and a relative path is an old form of etcd's own.
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.contains('\0') {
            return Some(Err("a path has no NUL in it"));
        }
        if path.is_empty() || path.ends_with('/') {
            return Some(Err("it names no socket: write unix:///path/to/socket"));
        }
        Some(Ok(Self { secure, place: Place::Socket(path.to_owned()) }))
    }

    /// The host's name or address. A socket's is often its file's name (`localhost:2379`).
    pub(crate) fn host(&self) -> &str {
        match &self.place {
            Place::Host { name, .. } => name,
            Place::Socket(path) => {
                let file = path.rsplit('/').next().unwrap_or_default();
                let host = match file.rsplit_once(':') {
                    Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
                    _ => file,
                };
                host.trim_matches(['[', ']'])
            }
        }
    }

    /// Host and port, as a tunnel is asked for.
    pub(crate) fn authority(&self) -> String {
        let host = self.host();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match &self.place {
            Place::Host { port, .. } => format!("{host}:{port}"),
            // A file may be called anything, a host may not.
            Place::Socket(_) if host.parse::<http::uri::Authority>().is_ok() => host,
            Place::Socket(_) => "localhost".to_owned(),
        }
    }

    /// The value of the `Host` header.
    pub(crate) fn host_header(&self) -> String {
        let authority = self.authority();
        let default = if self.secure { ":443" } else { ":80" };
        match self.place {
            Place::Host { .. } => authority.strip_suffix(default).unwrap_or(&authority).to_owned(),
            Place::Socket(_) => authority,
        }
    }
}

/// Whether something follows the host; a bracketed IPv6 address has colons of its own.
fn has_port(authority: &str) -> bool {
    authority.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.secure { "s" } else { "" };
        match &self.place {
            Place::Host { .. } => write!(f, "http{s}://{}", self.host_header()),
            Place::Socket(path) => write!(f, "unix{s}://{path}"),
        }
    }
}
