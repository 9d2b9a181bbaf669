//! What can be set of a server, checked once and then only read.

use std::time::Duration;

/// etcd's default for [`ServerBuilder::quota_backend_bytes`](crate::ServerBuilder::quota_backend_bytes).
const QUOTA: u64 = 2 * 1024 * 1024 * 1024;

/// The version of etcd whose behaviour this server shows.
pub(crate) const VERSION: &str = "3.7.1";
/// The version of the cluster that it claims to be.
pub(crate) const CLUSTER_VERSION: &str = "3.7.0";
/// The version of the format of what it stores.
pub(crate) const STORAGE_VERSION: &str = "3.7.0";

/// Settings with etcd's defaults.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) peer_urls: Vec<String>,
    pub(crate) client_urls: Vec<String>,
    pub(crate) cluster_token: String,
    pub(crate) heartbeat: Duration,
    pub(crate) election: Duration,
    pub(crate) quota_backend_bytes: u64,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_txn_ops: usize,
    pub(crate) max_concurrent_streams: u32,
    pub(crate) keepalive: Keepalive,
    pub(crate) progress_interval: Duration,
    pub(crate) token_ttl: Duration,
    /// Instead of simple tokens.
    #[cfg(feature = "jwt")]
    pub(crate) jwt: Option<crate::auth::jwt::Jwt>,
    pub(crate) bcrypt_cost: u32,
    pub(crate) auto_compaction: AutoCompaction,
    /// Whether there is a JSON gateway.
    pub(crate) gateway: bool,
    pub(crate) gateway_hosts: Vec<String>,
}

/// Pings on connections of gRPC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    /// Between two of a client that has calls open.
    pub(crate) min_time: Duration,
    /// Without a byte of the client, before it is pinged.
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

impl Keepalive {
    /// Whether clients are pinged.
    pub(crate) const fn is_on(self) -> bool {
        !self.interval.is_zero() && !self.timeout.is_zero()
    }
}

/// Which history a server forgets by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AutoCompaction {
    /// Nothing is forgotten unless somebody asks for it.
    #[default]
    Off,
    /// What is older than this, looked at each tenth of it, or each six minutes if it is longer than an hour.
    Periodic(Duration),
    /// All but the last so many revisions, looked at each five minutes.
    Revisions(u64),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            peer_urls: vec!["http://localhost:2380".to_owned()],
            client_urls: Vec::new(),
            cluster_token: "etcd-cluster".to_owned(),
            heartbeat: Duration::from_millis(100),
            election: Duration::from_secs(1),
            quota_backend_bytes: QUOTA,
            max_request_bytes: 1536 * 1024,
            max_txn_ops: 128,
            max_concurrent_streams: u32::MAX,
            keepalive: Keepalive {
                min_time: Duration::from_secs(5),
                interval: Duration::from_secs(2 * 60 * 60),
                timeout: Duration::from_secs(20),
            },
            progress_interval: Duration::from_secs(600),
            token_ttl: Duration::from_secs(300),
            #[cfg(feature = "jwt")]
            jwt: None,
            bcrypt_cost: 10,
            auto_compaction: AutoCompaction::Off,
            gateway: true,
            gateway_hosts: Vec::new(),
        }
    }
}

impl Config {
    /// The shortest life of a lease: one and a half election timeouts, in whole seconds and never none.
    pub(crate) fn min_lease_ttl(&self) -> i64 {
        let heartbeat = self.heartbeat.max(Duration::from_millis(1));
        let ticks = self.election.as_millis() / heartbeat.as_millis();
        let least = heartbeat * u32::try_from(3 * ticks / 2).unwrap_or(u32::MAX);
        i64::try_from(least.as_millis().div_ceil(1000)).unwrap_or(i64::MAX).max(1)
    }

    /// The largest message that is received at all: a request, and room for what surrounds it.
    pub(crate) const fn receive_limit(&self) -> usize {
        self.max_request_bytes + 512 * 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lives_for_two_seconds_at_least() {
        assert_eq!(Config::default().min_lease_ttl(), 2);
        let slow = Config { election: Duration::from_secs(3), ..Config::default() };
        assert_eq!(slow.min_lease_ttl(), 5);
    }
}
