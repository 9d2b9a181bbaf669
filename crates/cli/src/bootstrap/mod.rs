//! The cluster that a member says it is of, as etcd and etcdutl take it: `NAME=URL,…`.
//!
//! `url.rs` reads URLs. Called by `serve` and by `snapshot restore`, which refuse what etcd refuses.

mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::net::ToSocketAddrs;

pub(crate) use url::Url;

/// The members of a cluster with their peer URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    urls: BTreeMap<String, Vec<Url>>,
}

impl Members {
    /// Reads them. A name that comes twice has several URLs.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut members = Self::default();
        for member in text.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            let (name, url) = member.split_once('=').unwrap_or((member, ""));
            members.urls.entry(name.to_owned()).or_default().push(Url::parse(url)?);
        }
        members.urls.values_mut().for_each(|urls| urls.sort());
        Ok(members)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.urls.keys().map(String::as_str).collect()
    }

    /// Checks that a member is of them, with these URLs. The errors are etcd's.
    pub(crate) fn check(&self, name: &str, own: &[Url]) -> Result<(), String> {
        let Some(urls) = self.urls.get(name).filter(|_| !name.is_empty()) else {
            return Err(format!(
                "couldn't find local name {name:?} in the initial cluster configuration"
            ));
        };
        let mut all: Vec<&Url> = self.urls.values().flatten().collect();
        all.sort();
        if all.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("initial cluster {self} has duplicate url"));
        }
        if urls == own {
            return Ok(());
        }
        if let Some(more) =
            own.iter().find(|url| !urls.contains(url)).filter(|_| own.len() > urls.len())
        {
            let listed: Vec<String> = own.iter().map(|url| format!("{name}={url}")).collect();
            return Err(format!(
                "--initial-advertise-peer-urls has {more} but missing from --initial-cluster={}",
                listed.join(",")
            ));
        }
        let why = if own.len() != urls.len() {
            Some(format!("len({}) != len({})", quoted(own), quoted(urls)))
        } else {
            urls.iter().zip(own).find_map(|(theirs, ours)| {
                (resolved(theirs) != resolved(ours))
                    .then(|| format!("resolved urls: \"{ours}\" != \"{theirs}\""))
            })
        };
        let Some(why) = why else { return Ok(()) };
        let missing = urls.iter().find(|url| !own.contains(url)).unwrap_or(&urls[0]);
        let own: Vec<String> = own.iter().map(Url::to_string).collect();
        Err(format!(
            "--initial-cluster has {name}={missing} but missing from --initial-advertise-peer-urls={} ({why})",
            own.join(",")
        ))
    }
}

impl fmt::Display for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self
            .urls
            .iter()
            .flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")));
        f.write_str(&pairs.collect::<Vec<_>>().join(","))
    }
}

fn quoted(urls: &[Url]) -> String {
    let quoted: Vec<String> = urls.iter().map(|url| format!("\"{url}\"")).collect();
    format!("[{}]", quoted.join(" "))
}

/// What a URL leads to. Like etcd's tools, this takes `localhost` for a name of its own.
fn resolved(url: &Url) -> String {
    if url.is_unix() || url.host() == "localhost" {
        return url.to_string();
    }
    let Ok(found) = url.address().to_socket_addrs() else { return url.to_string() };
    let first = found.min_by_key(|address| (address.is_ipv6(), *address));
    first.map_or_else(|| url.to_string(), |address| format!("{}://{address}", url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_one_of_them_with_its_urls() {
        const A: &str = "http://127.0.0.1:1";
        const B: &str = "http://127.0.0.1:2";
        for (members, name, own, expected) in [
            (format!("m={A}"), "m", A.to_owned(), ""),
            (format!("m={A},"), "m", A.to_owned(), ""),
            (format!("m={B},m={A},n=http://a:1"), "m", format!("{B},{A}"), ""),
            (format!("m={A}"), "n", A.to_owned(), "couldn't find local name \"n\""),
            (String::new(), "m", A.to_owned(), "couldn't find local name \"m\""),
            (format!("={A}"), "", A.to_owned(), "couldn't find local name \"\""),
            (format!("m={A},n={A}"), "m", A.to_owned(), "initial cluster m=http://127.0.0.1:1,n="),
            (format!("m={A}"), "m", B.to_owned(), "(resolved urls: \"http://127.0.0.1:2\" != "),
            (
                format!("m={A},m={B}"),
                "m",
                A.to_owned(),
                "m=http://127.0.0.1:2 but missing from --initial-advertise-peer-urls=http://127.0.0.1:1 (len([",
            ),
            (
                format!("m={A}"),
                "m",
                format!("{A},{B}"),
                "--initial-advertise-peer-urls has http://127.0.0.1:2 but missing from --initial-cluster=",
            ),
            ("m".to_owned(), "m", A.to_owned(), "URL scheme must be http, https, unix, or unixs: "),
        ] {
            let own = Url::parse_list(&own).expect("they are");
            let checked = Members::parse(&members).and_then(|members| members.check(name, &own));
            match checked {
                Ok(()) => assert!(expected.is_empty(), "{members} of {name}"),
                Err(why) => {
                    assert!(!expected.is_empty() && why.contains(expected), "{members}: {why}")
                }
            }
        }
    }
}
