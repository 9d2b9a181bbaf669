//! From settings as they are written to settings that hold nothing invalid.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{
    Balance, Credentials, Endpoint, Endpoints, KeepAlive, Limits, Liveness, Reconnect, RetryPolicy,
    Secret, Timeouts, Tls, check,
};
use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::transport::{ConnectSettings, Connector};

/// Settings of a client; [`Client::builder`](crate::Client::builder) starts one.
///
/// Only endpoints are needed. Everything is checked when the client is built, before anything is connected to.
///
/// ```
/// use etcdkit::Client;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> etcdkit::Result<()> {
/// let client = Client::builder()
///     .endpoints(["http://127.0.0.1:2379", "http://127.0.0.1:22379"])
///     .user("alice", "wonderland")
///     .timeout(Duration::from_secs(3))
///     .build()?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ClientBuilder {
    endpoints: Vec<Endpoint>,
    /// What was wrong with the first bad endpoint.
    bad_endpoint: Option<Error>,
    tls: Option<Tls>,
    user: Option<(String, Secret)>,
    token: Option<Secret>,
    forbid_plaintext_credentials: bool,
    timeouts: Timeouts,
    limits: Limits,
    liveness: Liveness,
    reconnect: Reconnect,
    retry: RetryPolicy,
    balance: Balance,
    require_leader: bool,
    metadata: Metadata,
    keep_alive: Option<Duration>,
    keep_alive_timeout: Option<Duration>,
    auto_sync: Option<Duration>,
    reject_old_cluster: bool,
    connector: Option<Arc<dyn Connector>>,
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            endpoints: Vec::new(),
            bad_endpoint: None,
            tls: None,
            user: None,
            token: None,
            forbid_plaintext_credentials: false,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            liveness: Liveness::default(),
            reconnect: Reconnect::default(),
            retry: RetryPolicy::default(),
            balance: Balance::default(),
            require_leader: false,
            metadata: Metadata::default(),
            keep_alive: None,
            keep_alive_timeout: None,
            auto_sync: None,
            reject_old_cluster: false,
            connector: None,
        }
    }

    /// Adds endpoints: the members of one cluster, as many as are known. See [`Endpoint`] for what can be written.
    ///
    /// Repeated ones count once.
    pub fn endpoints<I>(mut self, endpoints: I) -> Self
    where
        I: IntoIterator,
        I::Item: TryInto<Endpoint>,
        <I::Item as TryInto<Endpoint>>::Error: Into<Error>,
    {
        for endpoint in endpoints {
            match endpoint.try_into() {
                Ok(endpoint) => self.endpoints.push(endpoint),
                Err(error) => {
                    self.bad_endpoint.get_or_insert_with(|| error.into());
                }
            }
        }
        self
    }

    /// How TLS connections are made. Default: as with [`Tls::new`] for `https://` and `unixs:` endpoints, and plain
    /// text for all others.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Authenticates with a user name and a password: a token is fetched with the first call that needs one, shared
    /// by all, and renewed when it runs out. Default: no authentication, unless a TLS certificate stands for a user.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), Secret::new(password)));
        self
    }

    /// Authenticates with a token made elsewhere, a JWT for instance. It is sent as it is and never renewed.
    ///
    /// Excludes [`user`](Self::user).
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Secret::new(token));
        self
    }

    /// Refuses to use a password or a token with endpoints that are not TLS; sockets of this machine are exempt.
    /// Default: allowed, since many clusters run without TLS in a network of their own.
    ///
    /// Endpoints that are set later are held to it too.
    pub fn forbid_plaintext_credentials(mut self) -> Self {
        self.forbid_plaintext_credentials = true;
        self
    }

    /// Deadlines by class of call. Default: [`Timeouts::default`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// One deadline for calls of every class. Connecting has its own, [`connect_timeout`](Self::connect_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeouts = self.timeouts.all(timeout);
        self
    }

    /// How long one attempt to connect to one endpoint may take. Default 5 s, see [`Timeouts::connect`].
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts = self.timeouts.connect(timeout);
        self
    }

    /// Bounds on messages, queues and connections. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// When a member counts as slow, and when as frozen. Default: [`Liveness::default`].
    pub fn liveness(mut self, liveness: Liveness) -> Self {
        self.liveness = liveness;
        self
    }

    /// How an endpoint that can't be reached is tried again. Default: [`Reconnect::default`].
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// How failed attempts are repeated. Default: [`RetryPolicy::default`].
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Which of the ready members serves the next call. Default: one after the other.
    pub fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// Has members that know no leader refuse every call at once
    /// ([`ErrorKind::NoLeader`](crate::ErrorKind::NoLeader)), and end watches after about three election timeouts
    /// without one, rather than hold them. Default: they hold them.
    ///
    /// [`CallOptions::require_leader`](crate::service::CallOptions::require_leader) is the same for one call.
    pub fn require_leader(mut self) -> Self {
        self.require_leader = true;
        self
    }

    /// Sends `metadata` along with every call. Default: none.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Pings connections on which streams rest, watches without events for instance, at this interval, 5 s or more.
    /// Default: off; requests that wait for an answer are watched over anyway, see [`Liveness`].
    ///
    /// It keeps what lies between from forgetting the connection, and finds out when it has. No ping is sent while no
    /// stream is open: etcd does not allow that.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = Some(interval);
        self
    }

    /// How long the answer to such a ping is waited for. Default 20 s, as in gRPC. Needs
    /// [`keep_alive`](Self::keep_alive).
    pub fn keep_alive_timeout(mut self, timeout: Duration) -> Self {
        self.keep_alive_timeout = Some(timeout);
        self
    }

    /// Asks the cluster for its members at this interval, and uses the client URLs that they advertise from then on.
    /// Default: off.
    ///
    /// URLs that can't be reached from here (`0.0.0.0`, or `localhost` while the endpoints are elsewhere) are left out, and so
    /// are URLs without TLS whose host is used by TLS, and all of them while nothing else goes over a network. If none remains,
    /// nothing changes.
    pub fn auto_sync(mut self, interval: Duration) -> Self {
        self.auto_sync = Some(interval);
        self
    }

    /// Has `connect` fail if a member is older than the previous minor version of etcd's API that this crate speaks.
    /// Default: any version is talked to.
    ///
    /// Once one member is ready, the others are waited for up to 1 s; one that can't be reached by then is not asked.
    pub fn reject_old_cluster(mut self) -> Self {
        self.reject_old_cluster = true;
        self
    }

    /// Connects by other means than this crate's own, to all endpoints: through a proxy, in a simulation, inside the
    /// process.
    ///
    /// TLS, where an endpoint asks for it, is spoken over what the connector returns. Default: TCP and unix-domain
    /// sockets.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = Some(Arc::new(connector));
        self
    }

    /// Whether making settings of it may read files.
    pub(crate) fn reads_certificates(&self) -> bool {
        self.tls.is_some() || self.endpoints.iter().any(|endpoint| endpoint.uses_tls(false))
    }

    /// The settings, if nothing is wrong with them. Reads certificate files; connects to nothing.
    pub(crate) fn config(self) -> Result<Config> {
        if let Some(error) = self.bad_endpoint {
            return Err(error);
        }
        let endpoints = Endpoints::new(self.endpoints)?;
        let credentials = Credentials::new(self.user, self.token)?;
        self.timeouts.validate()?;
        self.limits.validate()?;
        self.liveness.validate()?;
        self.reconnect.validate()?;
        self.retry.validate()?;
        let keep_alive = match (self.keep_alive, self.keep_alive_timeout) {
            (Some(interval), timeout) => {
                Some(KeepAlive::new(interval, timeout.unwrap_or(KeepAlive::DEFAULT_TIMEOUT))?)
            }
            (None, Some(_)) => {
                return Err(Error::invalid(
                    "`keep_alive_timeout` without `keep_alive`: set the interval",
                ));
            }
            (None, None) => None,
        };
        if let Some(interval) = self.auto_sync {
            check::not_zero("the auto-sync interval", interval)?;
        }
        let config = Config {
            credentials,
            forbid_plaintext_credentials: self.forbid_plaintext_credentials,
            timeouts: self.timeouts,
            limits: self.limits,
            liveness: self.liveness,
            reconnect: self.reconnect,
            retry: self.retry,
            balance: self.balance,
            require_leader: self.require_leader,
            metadata: self.metadata,
            keep_alive,
            auto_sync: self.auto_sync,
            reject_old_cluster: self.reject_old_cluster,
            connect: Arc::new(ConnectSettings::new(self.tls, self.connector)),
            endpoints,
        };
        config.connect.check_configured_tls()?;
        config.check_endpoints(&config.endpoints)?;
        for endpoint in &config.endpoints {
            config.connect.check_certificates(endpoint)?;
        }
        Ok(config)
    }
}

/// All settings of a client, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The endpoints to start with.
    pub(crate) endpoints: Endpoints,
    pub(crate) credentials: Credentials,
    pub(crate) forbid_plaintext_credentials: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) liveness: Liveness,
    pub(crate) reconnect: Reconnect,
    pub(crate) retry: RetryPolicy,
    pub(crate) balance: Balance,
    pub(crate) require_leader: bool,
    pub(crate) metadata: Metadata,
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) auto_sync: Option<Duration>,
    pub(crate) reject_old_cluster: bool,
    pub(crate) connect: Arc<ConnectSettings>,
}

impl Config {
    /// Whether this client can use these endpoints: asked when it is built, and again for endpoints that are set or
    /// learnt later. Touches no file: what is wrong with one by then shows when it is read to connect.
    pub(crate) fn check_endpoints(&self, endpoints: &Endpoints) -> Result<()> {
        endpoints.iter().try_for_each(|endpoint| self.check_endpoint(endpoint))
    }

    /// The same of one endpoint.
    pub(crate) fn check_endpoint(&self, endpoint: &Endpoint) -> Result<()> {
        self.connect.check_endpoint(endpoint)?;
        if self.forbid_plaintext_credentials
            && !self.credentials.is_none()
            && !self.connect.protects(endpoint)
        {
            return Err(Error::invalid(format!(
                "endpoint `{endpoint}` is plain text, and `forbid_plaintext_credentials` is set: \
                 use https"
            )));
        }
        Ok(())
    }
}
