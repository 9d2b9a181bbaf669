//! The cluster that a member says it is of: this server's has one.

use std::collections::BTreeMap;
use std::net::ToSocketAddrs;

use super::flags::Url;

/// Checks `NAME=URL,…` against the member's own name and peer URLs.
pub(super) fn check(initial_cluster: &str, name: &str, own: &[Url]) -> Result<(), String> {
    let members = parse(initial_cluster)?;
    if members.len() > 1 {
        let names: Vec<&str> = members.keys().copied().collect();
        return Err(format!(
            "--initial-cluster names {} members ({}), and this server is a cluster of one: name {name:?} alone, or run \
             etcd for a cluster",
            names.len(),
            names.join(", ")
        ));
    }
    let Some(urls) = members.get(name) else {
        return Err(format!(
            "couldn't find local name {name:?} in the initial cluster configuration ({initial_cluster}): name the same \
             member by --name and --initial-cluster"
        ));
    };
    if same(urls, own) {
        return Ok(());
    }
    Err(format!(
        "--initial-cluster has {name}={} and --initial-advertise-peer-urls {}: they must be the same",
        listed(urls),
        listed(own)
    ))
}

fn parse(text: &str) -> Result<BTreeMap<&str, Vec<Url>>, String> {
    let mut members: BTreeMap<&str, Vec<Url>> = BTreeMap::new();
    for member in text.split(',').map(str::trim).filter(|member| !member.is_empty()) {
        let Some((name, url)) = member.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(format!("--initial-cluster: {member:?} is not of the form NAME=URL"));
        };
        let url = Url::parse(url).map_err(|why| format!("--initial-cluster: {why}"))?;
        members.entry(name).or_default().push(url);
    }
    for urls in members.values_mut() {
        urls.sort();
    }
    Ok(members)
}

/// Whether the URLs are the same as texts, or lead to the same addresses.
fn same(ours: &[Url], theirs: &[Url]) -> bool {
    ours == theirs || matches!((resolved(ours), resolved(theirs)), (Some(a), Some(b)) if a == b)
}

fn resolved(urls: &[Url]) -> Option<Vec<(String, String)>> {
    let mut addresses = Vec::new();
    for url in urls {
        let address = if url.is_unix() {
            url.address().to_owned()
        } else {
            let mut found: Vec<_> = url.address().to_socket_addrs().ok()?.collect();
            found.sort_by_key(|address| (address.is_ipv6(), *address));
            found.first()?.to_string()
        };
        addresses.push((url.scheme().to_owned(), address));
    }
    addresses.sort();
    Some(addresses)
}

fn listed(urls: &[Url]) -> String {
    urls.iter().map(Url::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_the_member_alone() {
        let own = Url::parse_list("http://localhost:2380").expect("one");
        for (cluster, name, expected) in [
            ("m=http://localhost:2380", "m", Ok(())),
            ("m=http://127.0.0.1:2380", "m", Ok(())),
            ("m=http://localhost:2380,", "m", Ok(())),
            ("m=http://localhost:2381", "m", Err("they must be the same")),
            ("m=http://localhost:2380,m=http://localhost:2381", "m", Err("they must be the same")),
            ("m=https://localhost:2380", "m", Err("they must be the same")),
            ("m=http://localhost:2380", "n", Err("couldn't find local name \"n\"")),
            ("m=http://localhost:2380,n=http://localhost:2381", "m", Err("names 2 members (m, n)")),
            ("m", "m", Err("\"m\" is not of the form NAME=URL")),
            ("=http://localhost:2380", "m", Err("is not of the form NAME=URL")),
            ("m=localhost", "m", Err("--initial-cluster: URL scheme must be")),
            ("", "m", Err("couldn't find local name \"m\"")),
        ] {
            match (check(cluster, name, &own), expected) {
                (Ok(()), Ok(())) => {}
                (Err(text), Err(part)) if text.contains(part) => {}
                other => panic!("{cluster} of {name}: {other:?}"),
            }
        }
    }
}
