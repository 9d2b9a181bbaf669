//! What can be a peer URL, told before it costs a round trip.

use crate::error::{Error, Result};

/// Refuses what no server accepts, in the words that etcd uses.
pub(super) fn check(urls: &[String]) -> Result<()> {
    if urls.is_empty() {
        return Err(Error::invalid("no valid URLs given"));
    }
    urls.iter().try_for_each(|url| match fault(url) {
        Some(fault) => Err(Error::invalid(format!("{fault}: {url}"))),
        None => Ok(()),
    })
}

fn fault(url: &str) -> Option<&'static str> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    match scheme {
        "http" | "https" => {
            let (host, path) = match rest.find(['/', '?', '#']) {
                Some(at) => rest.split_at(at),
                None => (rest, ""),
            };
            // What comes before an `@` is a user's name.
            let host = host.rsplit('@').next().unwrap_or(host);
            if !has_port(host) {
                return Some(r#"URL address does not have the form "host:port""#);
            }
            path.starts_with('/').then_some("URL must not contain a path")
        }
        "unix" | "unixs" => None,
        _ => Some("URL scheme must be http, https, unix, or unixs"),
    }
}

/// Whether this is `host:port`, with the host in brackets if it has colons.
fn has_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    port.parse::<u16>().is_ok() && (bracketed || !host.contains([':', '[', ']']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_and_refused() {
        const SCHEME: &str = "URL scheme must be http, https, unix, or unixs: ";
        const PORT: &str = r#"URL address does not have the form "host:port": "#;
        const PATH: &str = "URL must not contain a path: ";
        let table = [
            ("http://127.0.0.1:2380", None),
            ("https://etcd.example:2380", None),
            ("http://[::1]:2380", None),
            ("unix://localhost:2380", None),
            ("unixs://m0", None),
            ("://127.0.0.1:2379", Some(SCHEME)),
            ("mailto://127.0.0.1:2379", Some(SCHEME)),
            ("127.0.0.1:1234", Some(SCHEME)),
            ("localhost:1234", Some(SCHEME)),
            ("", Some(SCHEME)),
            ("http://127.0.0.1", Some(PORT)),
            ("http://127.0.0.1:", Some(PORT)),
            ("http://127.0.0.1:http", Some(PORT)),
            ("http://::1:2380", Some(PORT)),
            ("http://127.0.0.1:2379/path", Some(PATH)),
            ("http://127.0.0.1:2379/", Some(PATH)),
        ];
        for (url, expected) in table {
            let told = check(&[url.to_owned()]).err().map(|error| error.to_string());
            assert_eq!(told, expected.map(|fault| format!("{fault}{url}")), "{url}");
        }
        assert_eq!(check(&[]).unwrap_err().to_string(), "no valid URLs given");
    }
}
