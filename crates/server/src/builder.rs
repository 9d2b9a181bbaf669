//! Settings of a server, and its start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, Clock};
use crate::config::{AutoCompaction, Config};
use crate::error::Error;
use crate::front::Offer;
use crate::lease::Now;
use crate::listen::{Listener, Wrapping};
use crate::node::Node;
use crate::server::Server;
use crate::snapshot;
use crate::state::State;
use crate::storage::{Memory, Storage, StorageError};
use crate::task::blocking;

/// The settings of a [`Server`], with etcd's defaults. Made by [`Server::builder`].
#[must_use = "nothing runs until `start`"]
#[derive(Debug)]
pub struct ServerBuilder {
    config: Config,
    listen: Vec<(String, Offer)>,
    storage: Box<dyn Storage>,
    snapshot: Option<PathBuf>,
    wrapping: Wrapping,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            listen: Vec::new(),
            storage: Box::new(Memory),
            snapshot: None,
            wrapping: Wrapping::default(),
        }
    }
}

impl ServerBuilder {
    /// Listens on an address too: `host:port`, where port 0 takes any that is free, or `unix:` and a path. Without any,
    /// there are in-process connections alone.
    ///
    /// It may be a URL. `https` and `unixs` then need a certificate, `http` and `unix` have TLS off whatever
    /// [`tls`](Self::tls) says.
    pub fn listen(self, address: impl Into<String>) -> Self {
        self.listen_for(address.into(), Offer::Everything)
    }

    /// Listens on an address for HTTP/1.1 alone. Those of [`listen`](Self::listen) then speak gRPC alone.
    pub fn listen_http(self, address: impl Into<String>) -> Self {
        self.listen_for(address.into(), Offer::Http)
    }

    /// Listens on an address that answers `/metrics`, `/health`, `/livez`, `/readyz` and `/version`, and reads or changes no
    /// keys: for those who watch over the member without being its clients.
    pub fn listen_metrics(self, address: impl Into<String>) -> Self {
        self.listen_for(address.into(), Offer::Monitoring)
    }

    fn listen_for(mut self, address: String, offer: Offer) -> Self {
        self.listen.push((address, offer));
        self
    }

    /// Has those who connect to an address speak TLS. In-process connections stay as they are.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or certificate and key do not belong together.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: &crate::ServerTls) -> Result<Self, Error> {
        self.wrapping = Wrapping::tls(tls)?;
        Ok(self)
    }

    /// Where the state is kept. [`Memory`] by default: nowhere.
    pub fn storage(mut self, storage: impl Storage) -> Self {
        self.storage = Box::new(storage);
        self
    }

    /// Starts with the keys, leases, users, roles and alarms of a snapshot file, as `etcdctl snapshot save` and
    /// `Client::snapshot` of etcdkit make them from any etcd. The storage must be empty.
    ///
    /// Revisions go on where the snapshot ends, and leases begin anew. Who the member is, the settings say.
    pub fn snapshot(mut self, path: impl Into<PathBuf>) -> Self {
        self.snapshot = Some(path.into());
        self
    }

    /// The member's name. "default" by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// The URLs that the member list names for clients, instead of those that it listens on.
    pub fn advertise_client_urls<U: Into<String>>(
        mut self,
        urls: impl IntoIterator<Item = U>,
    ) -> Self {
        self.config.client_urls = urls.into_iter().map(Into::into).collect();
        self
    }

    /// The URLs that the member list names for peers. Nobody listens on them; the ids of member and cluster follow from
    /// them. `http://localhost:2380` by default.
    pub fn peer_urls<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        self.config.peer_urls = urls.into_iter().map(Into::into).collect();
        self
    }

    /// The text that makes the cluster's id differ from others with the same URLs. "etcd-cluster" by default.
    pub fn cluster_token(mut self, token: impl Into<String>) -> Self {
        self.config.cluster_token = token.into();
        self
    }

    /// The size of the database from which on writes are refused, in bytes. 2 GiB by default; 0 is the default too.
    pub const fn quota_backend_bytes(mut self, bytes: u64) -> Self {
        if bytes > 0 {
            self.config.quota_backend_bytes = bytes;
        }
        self
    }

    /// How large a request may be, in bytes. 1.5 MiB by default.
    pub const fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.config.max_request_bytes = bytes;
        self
    }

    /// How many operations a transaction may have. 128 by default.
    pub const fn max_txn_ops(mut self, operations: usize) -> Self {
        self.config.max_txn_ops = operations;
        self
    }

    /// How many calls a connection may have open at once. As many as HTTP/2 can count, by default.
    pub const fn max_concurrent_streams(mut self, streams: u32) -> Self {
        self.config.max_concurrent_streams = streams;
        self
    }

    /// How long a client that has calls open leaves between its pings, as etcd has it: the connection of one that pings
    /// earlier for the third time, with no answer in between, ends with `ENHANCE_YOUR_CALM`. One without calls has no need
    /// to ping more than each two hours. 5 s by default; 0 is gRPC's own default, 5 minutes.
    pub const fn grpc_keepalive_min_time(mut self, time: Duration) -> Self {
        self.config.keepalive.min_time =
            if time.is_zero() { Duration::from_secs(5 * 60) } else { time };
        self
    }

    /// How long a client may say nothing before it is asked whether it is still there. 2 hours by default; 0 is never.
    pub const fn grpc_keepalive_interval(mut self, interval: Duration) -> Self {
        self.config.keepalive.interval = interval;
        self
    }

    /// How long a client may take to say that it is, before its connection ends. 20 s by default; with 0 it is not asked.
    pub const fn grpc_keepalive_timeout(mut self, timeout: Duration) -> Self {
        self.config.keepalive.timeout = timeout;
        self
    }

    /// How often watchers that ask for it hear that nothing happened. 10 minutes by default.
    pub const fn watch_progress_interval(mut self, interval: Duration) -> Self {
        self.config.progress_interval = interval;
        self
    }

    /// The time between the heartbeats that there would be. With the election timeout it sets the shortest life of a
    /// lease. 100 ms by default.
    pub const fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.config.heartbeat = interval;
        self
    }

    /// The election timeout that there would be: leases get it on top after a restart. 1 s by default.
    pub const fn election_timeout(mut self, timeout: Duration) -> Self {
        self.config.election = timeout;
        self
    }

    /// How long a token lives that is not used. 300 s by default.
    pub const fn auth_token_ttl(mut self, ttl: Duration) -> Self {
        self.config.token_ttl = ttl;
        self
    }

    /// Hands out and accepts JSON web tokens instead of simple ones. The keys are read now.
    ///
    /// # Errors
    ///
    /// When a key cannot be read, or does not fit the way to sign.
    #[cfg(feature = "jwt")]
    pub fn auth_jwt(mut self, jwt: &crate::AuthJwt) -> Result<Self, Error> {
        self.config.jwt = Some(jwt.load(clock::time_of_day())?);
        Ok(self)
    }

    /// How much work a password's hash is: each step doubles it. 10 by default, from 4 to 31.
    pub const fn bcrypt_cost(mut self, cost: u32) -> Self {
        self.config.bcrypt_cost = cost;
        self
    }

    /// Names that the JSON gateway is asked by, besides `localhost` and addresses of the loopback, which only those can use
    /// who are on this machine: what the `Host` header of a request may say, and the `Origin` of a page that makes one. `*`
    /// is any. None by default: the gateway is for this machine alone, and a page in its browser is kept out whatever name
    /// it gives this machine.
    pub fn gateway_hosts<H: Into<String>>(mut self, hosts: impl IntoIterator<Item = H>) -> Self {
        self.config.gateway_hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Has no JSON gateway. There is one by default.
    pub const fn without_gateway(mut self) -> Self {
        self.config.gateway = false;
        self
    }

    /// Which history the server forgets by itself. None by default.
    pub const fn auto_compaction(mut self, which: AutoCompaction) -> Self {
        self.config.auto_compaction = which;
        self
    }

    /// Starts the server. It serves when this returns.
    ///
    /// Dropping the future starts nothing.
    ///
    /// # Errors
    ///
    /// When a setting makes no sense, an address cannot be listened on, or the storage cannot be read.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time and I/O.
    pub async fn start(self) -> Result<Server, Error> {
        let Self { mut config, listen, storage, snapshot, wrapping } = self;
        check(&config)?;
        let http_apart = listen.iter().any(|(_, offer)| *offer == Offer::Http);
        let mut listeners = Vec::new();
        for (address, offer) in listen {
            let only_grpc = http_apart && offer == Offer::Everything;
            let offer = if only_grpc { Offer::Grpc } else { offer };
            listeners.push(Listener::bind(&address, &wrapping, offer).await?);
        }
        let for_clients =
            |listener: &&Listener| matches!(listener.offer(), Offer::Everything | Offer::Grpc);
        let urls: Vec<String> = listeners
            .iter()
            .filter(for_clients)
            .filter_map(|listener| listener.url().ok())
            .collect();
        if config.client_urls.is_empty() {
            config.client_urls.clone_from(&urls);
        }
        let clock = Clock::new();
        let state = State::new(Arc::new(config), clock::seed());
        let now = clock.elapsed();
        // Reading a storage takes as long as it is large.
        let (storage, mut state) = blocking(move || load(storage, state, snapshot, now))
            .await
            .map_err(|status| StorageError::Broken(status.to_string()))??;
        let durable = storage.is_durable();
        if durable {
            state.keep_journal();
            state.save_members();
        }
        let node = Arc::new(Node::new(state, clock, durable));
        Ok(Server::new(node, listeners, urls, storage))
    }
}

/// Has a state begin with what a storage holds, or else with a snapshot, which the storage takes over.
fn load(
    mut storage: Box<dyn Storage>,
    mut state: State,
    snapshot: Option<PathBuf>,
    now: Now,
) -> Result<(Box<dyn Storage>, State), Error> {
    let mut found = false;
    storage.load(&mut |bucket, key, value| {
        found = true;
        state.import(bucket, key, value, now)
    })?;
    if let Some(path) = snapshot {
        if found {
            let text = "the storage is not empty: start without the snapshot, or with another one";
            return Err(Error::setting(text));
        }
        storage.fill(&mut |each| snapshot::read(&path, each))?;
        snapshot::read(&path, &mut |bucket, key, value| state.import(bucket, key, value, now))?;
        found = true;
    }
    if found {
        state.imported();
        state.started_again(now);
    }
    Ok((storage, state))
}

fn check(config: &Config) -> Result<(), Error> {
    if !(4..=31).contains(&config.bcrypt_cost) {
        let text = format!("the cost of bcrypt is {}; it must be from 4 to 31", config.bcrypt_cost);
        return Err(Error::setting(text));
    }
    if config.election < config.heartbeat * 5 {
        let text = format!(
            "the election timeout is {:?}; it must be at least five heartbeats of {:?}",
            config.election, config.heartbeat
        );
        return Err(Error::setting(text));
    }
    Ok(())
}
