//! The new cluster's members: names, URLs, and the ids that follow from them.

use std::collections::{BTreeMap, BTreeSet};

use sha1::{Digest, Sha1};

use crate::error::{Error, Result};

/// A member of the cluster to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewMember {
    pub(super) id: u64,
    pub(super) name: String,
    /// Sorted.
    pub(super) peer_urls: Vec<String>,
}

/// The cluster to be, seen by one of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) cluster_id: u64,
    pub(super) member_id: u64,
    /// By ascending id.
    pub(super) members: Vec<NewMember>,
}

impl Cluster {
    pub(super) fn new(
        name: &str,
        initial_cluster: &str,
        token: &str,
        advertised: &[String],
    ) -> Result<Self> {
        let peers = parse(initial_cluster)?;
        let own = peers.get(name).ok_or_else(|| {
            Error::invalid(format!("there is no {name:?} in initial_cluster {initial_cluster:?}"))
        })?;
        let advertised = urls(advertised.iter().map(String::as_str))?;
        if *own != advertised {
            let message = format!(
                "initial_cluster has {name}={} but initial_advertise_peer_urls is {}",
                own.join(","),
                advertised.join(",")
            );
            return Err(Error::invalid(message));
        }
        let mut members: Vec<NewMember> = peers
            .into_iter()
            .map(|(name, peer_urls)| NewMember {
                id: member_id(&peer_urls, token),
                name,
                peer_urls,
            })
            .collect();
        members.sort_by_key(|member| member.id);
        let ids: BTreeSet<u64> = members.iter().map(|member| member.id).collect();
        if ids.len() < members.len() || ids.contains(&0) {
            return Err(Error::invalid("two members have the same id: use another token"));
        }
        let member_id = members
            .iter()
            .find(|member| member.name == name)
            .map(|member| member.id)
            .unwrap_or_default();
        Ok(Self { cluster_id: cluster_id(&ids), member_id, members })
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.id).collect()
    }
}

/// The first eight bytes of the SHA-1 of the sorted URLs and the token.
fn member_id(sorted_urls: &[String], token: &str) -> u64 {
    first_eight(Sha1::new_with_prefix(sorted_urls.concat()).chain_update(token))
}

/// The first eight bytes of the SHA-1 of the ascending ids.
fn cluster_id(ids: &BTreeSet<u64>) -> u64 {
    first_eight(ids.iter().fold(Sha1::new(), |sha1, id| sha1.chain_update(id.to_be_bytes())))
}

fn first_eight(sha1: Sha1) -> u64 {
    sha1.finalize().iter().take(8).fold(0, |id, &byte| id << 8 | u64::from(byte))
}

/// Parses `name=url,name=url`: a name that comes again has more than one URL.
fn parse(initial_cluster: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let mut peers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for part in initial_cluster.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, url) = part.split_once('=').unwrap_or((part, ""));
        if name.is_empty() || url.is_empty() {
            return Err(Error::invalid(format!("{part:?} in initial_cluster is no name=url")));
        }
        if !seen.insert(url) {
            let message = format!("initial_cluster {initial_cluster:?} has {url} twice");
            return Err(Error::invalid(message));
        }
        peers.entry(name.to_owned()).or_default().push(url);
    }
    peers.into_iter().map(|(name, list)| Ok((name, urls(list.into_iter())?))).collect()
}

/// Checks peer URLs and sorts them.
fn urls<'a>(list: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let mut urls = Vec::new();
    for url in list {
        let url = url.trim();
        check_url(url).map_err(|why| Error::invalid(format!("peer URL {url:?}: {why}")))?;
        urls.push(url.to_owned());
    }
    if urls.is_empty() {
        return Err(Error::invalid("no peer URLs"));
    }
    urls.sort_unstable();
    Ok(urls)
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let Some((scheme, rest)) = url.split_once("://") else { return Err("no scheme") };
    match scheme {
        "unix" | "unixs" if rest.is_empty() => Err("no path"),
        "unix" | "unixs" => Ok(()),
        "http" | "https" => check_address(rest),
        _ => Err("the scheme must be http, https, unix or unixs"),
    }
}

fn check_address(address: &str) -> Result<(), &'static str> {
    if address.contains(['/', '?', '#', ' ']) {
        return Err("there must be nothing behind host:port");
    }
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err("no port");
    };
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the port is no number");
    }
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !bracketed {
        return Err("an IPv6 address must be in brackets");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, initial: &str, urls: &[&str]) -> Result<Cluster> {
        let urls: Vec<String> = urls.iter().map(|&url| url.to_owned()).collect();
        Cluster::new(name, initial, "etcd-cluster", &urls)
    }

    #[test]
    fn default_ids_are_those_that_etcd_computes() {
        let cluster =
            cluster("default", "default=http://localhost:2380", &["http://localhost:2380"])
                .expect("valid");
        assert_eq!(cluster.member_id, 0x8e9e_05c5_2164_694d);
        assert_eq!(cluster.cluster_id, 0xcdf8_1819_4e3a_8c32);
    }

    #[test]
    fn several_urls_in_any_order() {
        let initial = "a=http://h:2,b=http://i:1,a=http://h:1";
        let one = cluster("a", initial, &["http://h:1", "http://h:2"]).expect("valid");
        let other = cluster("a", initial, &["http://h:2", "http://h:1"]).expect("valid");
        assert_eq!(one, other);
        assert_eq!(one.members.len(), 2);
        assert!(one.members.is_sorted_by_key(|member| member.id));
    }

    #[test]
    fn what_etcd_refuses_is_refused() {
        let check = |initial: &str, urls: &[&str], expected: &str| {
            let error = cluster("a", initial, urls).expect_err(initial).to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("b=http://h:1", &["http://h:1"], "there is no \"a\"");
        check("a=http://h:1", &["http://h:2"], "but initial_advertise_peer_urls is http://h:2");
        check("a=http://h:1,b=http://h:1", &["http://h:1"], "twice");
        check("a=http://h", &["http://h"], "no port");
        check("a=http://h:1/", &["http://h:1/"], "nothing behind");
        check("a=ftp://h:1", &["ftp://h:1"], "scheme");
        check("a=http://::1:1", &["http://::1:1"], "brackets");
        check("a", &["http://h:1"], "no name=url");
        check("a=http://h:1", &[], "no peer URLs");
    }
}
