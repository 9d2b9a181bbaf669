use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use super::member::{self, Etcd};
use super::{Version, limit};
use crate::cluster::Cluster;

/// The configuration of a member or of a cluster, which is the same for each of its members.
///
/// Made by [`Etcd::builder`] and [`Cluster::builder`](crate::cluster::Cluster::builder).
#[must_use = "nothing runs until `start`"]
pub struct Builder<T> {
    settings: Settings,
    members: usize,
    starts: PhantomData<fn() -> T>,
}

/// What all members of a cluster have in common.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(super) version: Version,
    pub(super) arguments: Vec<String>,
    pub(super) tls: Option<Tls>,
    pub(super) client_host: &'static str,
    pub(super) unix_socket: bool,
    pub(super) gates: bool,
}

/// The files of a member that serves its clients over TLS.
#[derive(Clone, Debug)]
#[must_use]
pub struct Tls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) ca: PathBuf,
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// The server's certificate and key, and the authority that signed it, as PEM files.
    ///
    /// The certificate must be valid for the address that members listen on, `127.0.0.1`.
    pub fn new(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        ca: impl Into<PathBuf>,
    ) -> Self {
        Self { certificate: certificate.into(), key: key.into(), ca: ca.into(), client: None }
    }

    /// Demands a certificate of clients too, signed by the same authority. [`Etcd::etcdctl`] shows this one.
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client = Some((certificate.into(), key.into()));
        self
    }
}

impl Builder<Etcd> {
    pub(super) const fn etcd(version: Version) -> Self {
        Self::new(version, 1)
    }

    /// Starts the member and waits until it serves its clients.
    ///
    /// # Panics
    ///
    /// When it does not, with the end of its log.
    pub async fn start(self) -> Etcd {
        let permit = limit::acquire(1).await;
        let mut members = member::launch(&self.settings, 1).await;
        let mut etcd = members.pop().expect("one was launched");
        etcd.keep(permit);
        etcd
    }
}

impl Builder<Cluster> {
    pub(crate) const fn cluster(version: Version) -> Self {
        Self::new(version, 3)
    }

    /// How many members the cluster has. 3 by default.
    pub const fn members(mut self, members: usize) -> Self {
        self.members = members;
        self
    }

    /// Has the members reach each other through gates, so that they can be
    /// [kept apart](Cluster::isolate). Not for clusters that learners are added to.
    pub const fn gates(mut self) -> Self {
        self.settings.gates = true;
        self
    }

    /// Starts the members and waits until each serves its clients, which it does once there is a leader.
    ///
    /// # Panics
    ///
    /// When one does not, with the end of its log.
    pub async fn start(self) -> Cluster {
        let permit = limit::acquire(self.members).await;
        let members = member::launch(&self.settings, self.members).await;
        Cluster::new(members, permit)
    }
}

impl<T> Builder<T> {
    const fn new(version: Version, members: usize) -> Self {
        let settings = Settings {
            version,
            arguments: Vec::new(),
            tls: None,
            client_host: "127.0.0.1",
            unix_socket: false,
            gates: false,
        };
        Self { settings, members, starts: PhantomData }
    }

    /// Any flag of etcd, such as `--max-concurrent-streams=8`. It wins over the same flag set before.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.settings.arguments.push(argument.into());
        self
    }

    #[cfg(test)]
    pub(super) fn into_settings(self) -> Settings {
        self.settings
    }

    fn flag(self, name: &str, value: impl fmt::Display) -> Self {
        self.argument(format!("--{name}={value}"))
    }

    /// Serves clients over TLS instead of plain TCP.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.settings.tls = Some(tls);
        self
    }

    /// What kind of token authentication hands out: `simple`, or `jwt,` followed by its options.
    pub fn auth_token(self, kind: impl fmt::Display) -> Self {
        self.flag("auth-token", kind)
    }

    /// How long a simple token lives. 300 s by default, and etcd counts in whole seconds.
    pub fn auth_token_ttl(self, ttl: Duration) -> Self {
        self.flag("auth-token-ttl", ttl.as_secs())
    }

    /// The time between a leader's heartbeats. 100 ms by default.
    pub fn heartbeat(self, interval: Duration) -> Self {
        self.flag("heartbeat-interval", interval.as_millis())
    }

    /// How long a follower hears nothing before it asks for an election. 1 s by default, at least 5 heartbeats.
    pub fn election_timeout(self, timeout: Duration) -> Self {
        self.flag("election-timeout", timeout.as_millis())
    }

    /// How large the database may grow before the NOSPACE alarm is raised.
    pub fn quota_backend_bytes(self, bytes: u64) -> Self {
        self.flag("quota-backend-bytes", bytes)
    }

    /// How large a request may be. 1.5 MiB by default.
    pub fn max_request_bytes(self, bytes: u32) -> Self {
        self.flag("max-request-bytes", bytes)
    }

    /// How many operations a transaction may have. 128 by default.
    pub fn max_txn_ops(self, operations: u32) -> Self {
        self.flag("max-txn-ops", operations)
    }

    /// How often a client may ping; one that does so more often is sent away. 5 s by default.
    pub fn grpc_keepalive_min_time(self, time: Duration) -> Self {
        self.flag("grpc-keepalive-min-time", format_args!("{}ms", time.as_millis()))
    }

    /// After how many applied entries a member writes a snapshot and drops its log.
    pub fn snapshot_count(self, entries: u64) -> Self {
        self.flag("snapshot-count", entries)
    }

    /// The token that tells clusters of equal configuration apart; the cluster's id follows from it.
    pub fn initial_cluster_token(self, token: impl fmt::Display) -> Self {
        self.flag("initial-cluster-token", token)
    }

    /// Listens for clients on `[::1]` instead of `127.0.0.1`.
    pub const fn ipv6(mut self) -> Self {
        self.settings.client_host = "[::1]";
        self
    }

    /// Listens for clients on a Unix socket too: [`Etcd::unix_socket`].
    pub const fn unix_socket(mut self) -> Self {
        self.settings.unix_socket = true;
        self
    }

    /// Serves the legacy v2 API too.
    ///
    /// # Panics
    ///
    /// For etcd 3.6 and newer, which have none.
    pub fn enable_v2(self) -> Self {
        let version = self.settings.version;
        assert!(!version.at_least(3, 6), "etcd {version} has no v2 API");
        self.flag("enable-v2", true)
    }
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("settings", &self.settings)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}
