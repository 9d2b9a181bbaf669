//! Both services of a domain, in the order in which they are to be tried.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::dns::{self, Record};

/// Looks up `_etcd-client-ssl._tcp` and `_etcd-client._tcp` of a domain.
///
/// ```no_run
/// # async fn example() -> Result<(), etcdkit_srv::Failure> {
/// for target in etcdkit_srv::Lookup::new("example.com").targets().await? {
///     println!("{target}"); // https://etcd-1.example.com:2379
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing is asked before `targets`"]
pub struct Lookup {
    domain: String,
    service_name: Option<String>,
    servers: Vec<SocketAddr>,
    timeout: Duration,
}

/// Where a member may be. Shown as a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Whether it was found under the service that speaks TLS.
    pub tls: bool,
    /// Its name, without the dot at its end, so that TLS finds it in certificates.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Why nothing was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// What was to be asked for is no domain name.
    InvalidName(String),
    /// Neither service has records; each with its reason.
    NoRecords(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName(name) => write!(f, "`{name}` is no domain name"),
            Self::NoRecords(reasons) => write!(f, "no endpoints by DNS: {reasons}"),
        }
    }
}

impl Error for Failure {}

impl Lookup {
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

    /// What is found: first that which speaks TLS, then that which does not, each in the order of the priorities and, within
    /// one priority, at random by the weights.
    ///
    /// # Errors
    ///
    /// The domain is no name, or neither service has records.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the look-up.
    pub async fn targets(&self) -> Result<Vec<Target>, Failure> {
        let servers = match self.servers.is_empty() {
            false => self.servers.clone(),
            true => system_servers(),
        };
        let mut rng = fastrand::Rng::new();
        let mut targets = Vec::new();
        let mut reasons = Vec::new();
        for (tls, service) in [(true, "etcd-client-ssl"), (false, "etcd-client")] {
            let suffix = self.service_name.as_ref().map(|name| format!("-{name}"));
            let suffix = suffix.unwrap_or_default();
            let name = format!("_{service}{suffix}._tcp.{}", self.domain.trim_end_matches('.'));
            let Some(query) = dns::query(rng.u16(..), &name) else {
                return Err(Failure::InvalidName(name));
            };
            match dns::ask(&servers, &query, self.timeout).await {
                Ok(records) => targets.extend(order(records, &mut rng).into_iter().map(|record| {
                    let host = record.target.trim_end_matches('.').to_owned();
                    Target { tls, host, port: record.port }
                })),
                Err(why) => reasons.push(format!("{name}: {why}")),
            }
        }
        if targets.is_empty() {
            return Err(Failure::NoRecords(reasons.join(" and ")));
        }
        Ok(targets)
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
