//! SRV records of a domain as endpoints.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::dns::{self, Record};
use crate::clock::rng;
use crate::config::Endpoint;
use crate::error::{Error, ErrorKind, Result};

/// The endpoints that a domain has SRV records for, by the system's name servers: [`SrvLookup`] with its defaults.
///
/// # Errors
///
/// See [`SrvLookup::endpoints`].
pub async fn srv(domain: impl Into<String>) -> Result<Vec<Endpoint>> {
    SrvLookup::new(domain).endpoints().await
}

/// Looks up `_etcd-client-ssl._tcp` and `_etcd-client._tcp` of a domain.
///
/// ```no_run
/// # async fn example() -> etcdkit_v2::Result<()> {
/// use etcdkit_v2::{Client, discovery::SrvLookup};
///
/// let endpoints = SrvLookup::new("example.com").service_name("prod").endpoints().await?;
/// let client = Client::new(endpoints)?;
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
///
/// Dropping the future of a look-up ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing is asked before `endpoints`"]
pub struct SrvLookup {
    domain: String,
    service_name: Option<String>,
    servers: Vec<SocketAddr>,
    timeout: Duration,
}

impl SrvLookup {
    /// Looks up `domain`, as a full name: search lists of the system are not applied.
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            service_name: None,
            servers: Vec::new(),
            timeout: Duration::from_secs(2),
        }
    }

    /// Looks up `_etcd-client-ssl-NAME` and `_etcd-client-NAME` instead, where several clusters share a domain.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = Some(name.into());
        self
    }

    /// Asks this name server. Can be repeated: they are asked in turn. Default: those in `/etc/resolv.conf`.
    pub fn server(mut self, server: SocketAddr) -> Self {
        self.servers.push(server);
        self
    }

    /// How long one name server is waited for; each is asked twice. Default 2 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The endpoints: `https` ones for the first name, then `http` ones for the second, each in the order of their
    /// priorities and, within one priority, at random by their weights. Names are without the dot at their end, so that
    /// TLS finds them in certificates.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if the domain is no name;
    /// [`Unavailable`](ErrorKind::Unavailable) if neither name has records, with the reason for each.
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>> {
        let servers = match self.servers.is_empty() {
            false => self.servers.clone(),
            true => system_servers(),
        };
        let mut endpoints = Vec::new();
        let mut failures = Vec::new();
        for (scheme, service) in [("https", "etcd-client-ssl"), ("http", "etcd-client")] {
            let suffix = self.service_name.as_ref().map(|name| format!("-{name}"));
            let suffix = suffix.unwrap_or_default();
            let name = format!("_{service}{suffix}._tcp.{}", self.domain.trim_end_matches('.'));
            let query = dns::query(rng().u16(..), &name)
                .ok_or_else(|| Error::invalid(format!("`{name}` is no domain name")))?;
            match dns::ask(&servers, &query, self.timeout).await {
                Ok(records) => {
                    for record in order(records, &mut rng()) {
                        let target = record.target.trim_end_matches('.');
                        endpoints.push(format!("{scheme}://{target}:{}", record.port).parse()?);
                    }
                }
                Err(why) => failures.push(format!("{name}: {why}")),
            }
        }
        if endpoints.is_empty() {
            let text = format!("no endpoints by DNS: {}", failures.join(" and "));
            return Err(Error::new(ErrorKind::Unavailable, text));
        }
        Ok(endpoints)
    }
}

/// As RFC 2782 says: lower priorities first, and among equals heavier ones more often first.
fn order(mut records: Vec<Record>, rng: &mut fastrand::Rng) -> Vec<Record> {
    records.sort_by_key(|record| record.priority);
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let equals = records.partition_point(|record| record.priority == first.priority);
        // One more, so that those without a weight have a chance.
        let weight = |record: &Record| u64::from(record.weight) + 1;
        let total: u64 = records[..equals].iter().map(weight).sum();
        let mut draw = rng.u64(..total);
        let index = records[..equals].iter().position(|record| {
            let hit = draw < weight(record);
            draw = draw.saturating_sub(weight(record));
            hit
        });
        ordered.push(records.remove(index.unwrap_or_default()));
    }
    ordered
}

/// The name servers of this system; the local one if it names none.
fn system_servers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = name_servers(&text);
    if servers.is_empty() { vec![SocketAddr::from(([127, 0, 0, 1], 53))] } else { servers }
}

fn name_servers(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, 53))
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, target: &str) -> Record {
        Record { priority, weight, port: 1, target: target.to_owned() }
    }

    #[test]
    fn records_are_ordered_by_priority_and_weight() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut heavy_first = 0;
        for _ in 0..1_000 {
            let records =
                vec![record(2, 0, "c"), record(1, 0, "a"), record(1, 98, "b"), record(0, 0, "z")];
            let ordered = order(records, &mut rng);
            let names: Vec<&str> = ordered.iter().map(|record| record.target.as_str()).collect();
            assert_eq!((names[0], names[3]), ("z", "c"));
            heavy_first += usize::from(names[1] == "b");
        }
        assert!((960..1_000).contains(&heavy_first), "{heavy_first}");
    }

    #[test]
    fn name_servers_are_read() {
        let text =
            "# x\nsearch a\nnameserver 10.0.0.1\nnameserver ::1 # y\nnameserver\noptions z\n";
        let servers = name_servers(text);
        assert_eq!(servers, ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    }
}
