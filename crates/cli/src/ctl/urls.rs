//! URLs of members as they are given on a command line.

use crate::failure::{Failure, Result};

/// Refuses what is no list of URLs of one kind, in the words of the official tools.
pub(super) fn check(urls: &[String]) -> Result<()> {
    for url in urls {
        let url = url.trim();
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(Failure::error(format!(
                "URL scheme must be http, https, unix, or unixs: {url}"
            )));
        };
        if !matches!(scheme, "http" | "https" | "unix" | "unixs") {
            return Err(Failure::error(format!(
                "URL scheme must be http, https, unix, or unixs: {url}"
            )));
        }
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        if matches!(scheme, "http" | "https") && !has_port(authority) {
            return Err(Failure::error(format!(
                "URL address does not have the form \"host:port\": {url}"
            )));
        }
        if matches!(scheme, "http" | "https") && !path.is_empty() {
            return Err(Failure::error(format!("URL must not contain a path: {url}")));
        }
    }
    Ok(())
}

fn has_port(authority: &str) -> bool {
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| !port.contains(']'))
}
