//! The face: what programs hold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::Auth;
use crate::clock::sleep;
use crate::cluster::{Cluster, Scope};
use crate::config::{ClientBuilder, Endpoint};
use crate::error::{Error, Result};
use crate::http::{Answer, OnHead, Outgoing};
use crate::keys::Keys;
use crate::members::Members;
use crate::stats::Stats;
use crate::task::{self, Task};

/// Where etcd serves its keys.
const KEYS: &str = "/v2/keys";

/// A client of the v2 API of an etcd cluster. Cheap to clone; all clones share connections and the pinned endpoint.
///
/// ```no_run
/// # async fn example() -> etcdkit_v2::Result<()> {
/// use etcdkit_v2::Client;
///
/// let client = Client::new(["http://127.0.0.1:2379"])?;
/// let keys = client.keys();
/// keys.set("/greeting", "hello").await?;
/// let answer = keys.get("/greeting").await?;
/// assert_eq!(answer.node().and_then(|node| node.value()), Some("hello"));
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation
///
/// Dropping the future of any call aborts its request and closes the connection that it used. A write may have been
/// applied nonetheless.
#[derive(Clone)]
pub struct Client {
    cluster: Arc<Cluster>,
    scope: Scope,
    /// Synchronises the endpoints for as long as a clone exists.
    _sync: Option<Arc<Task>>,
}

impl Client {
    /// A client with every default. It connects when its first call wants to.
    ///
    /// # Errors
    ///
    /// There is no endpoint, or one makes no sense.
    pub fn new<I>(endpoints: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: TryInto<Endpoint>,
        <I::Item as TryInto<Endpoint>>::Error: Into<Error>,
    {
        Self::builder().endpoints(endpoints).build()
    }

    /// Starts the configuration of a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> Keys {
        self.keys_at(KEYS)
    }

    /// The keys below another path than `/v2/keys`, as proxies and discovery services have them.
    #[must_use]
    pub fn keys_at(&self, prefix: impl Into<String>) -> Keys {
        Keys::new(self.clone(), prefix.into())
    }

    /// The members of the cluster.
    #[must_use]
    pub fn members(&self) -> Members {
        Members::new(self.clone())
    }

    /// Users, roles, and whether they matter.
    #[must_use]
    pub fn auth(&self) -> Auth {
        Auth::new(self.clone())
    }

    /// What members count.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::new(self.clone())
    }

    /// The endpoints in use, in the order in which they are tried around the [pinned](Self::pinned) one.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        match &self.scope {
            Scope::All => self.cluster.endpoints(),
            Scope::Only(endpoint) => vec![endpoint.clone()],
        }
    }

    /// The endpoint that the next call turns to first.
    #[must_use]
    pub fn pinned(&self) -> Endpoint {
        match &self.scope {
            Scope::All => self.cluster.pinned(),
            Scope::Only(endpoint) => endpoint.clone(),
        }
    }

    /// Replaces the endpoints of all clones. Calls under way go on with those that they began with.
    ///
    /// # Errors
    ///
    /// The list is empty, or one of its endpoints makes no sense: then nothing is changed.
    pub fn set_endpoints<I>(&self, endpoints: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: TryInto<Endpoint>,
        <I::Item as TryInto<Endpoint>>::Error: Into<Error>,
    {
        let endpoints: Result<Vec<Endpoint>> =
            endpoints.into_iter().map(|endpoint| endpoint.try_into().map_err(Into::into)).collect();
        self.cluster.reset(self.cluster.config.check_endpoints(endpoints?)?);
        Ok(())
    }

    /// The same client, confined to one endpoint: to ask a certain member about its version, health or statistics.
    ///
    /// # Errors
    ///
    /// The endpoint makes no sense.
    ///
    /// ```no_run
    /// # async fn example(client: etcdkit_v2::Client) -> etcdkit_v2::Result<()> {
    /// for endpoint in client.endpoints() {
    ///     let version = client.only(endpoint.clone())?.version().await?;
    ///     println!("{endpoint} runs etcd {}", version.server());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn only<E>(&self, endpoint: E) -> Result<Self>
    where
        E: TryInto<Endpoint>,
        E::Error: Into<Error>,
    {
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        self.cluster.config.check_endpoints(vec![endpoint.clone()])?;
        let scope = Scope::Only(endpoint);
        Ok(Self { cluster: self.cluster.clone(), scope, _sync: self._sync.clone() })
    }

    /// [Synchronises](Self::sync) the endpoints now and at every `interval`, until it fails.
    ///
    /// It does not return otherwise. A program that wants to go on calls it again, or sets
    /// [`ClientBuilder::auto_sync`]. Dropping the future ends it.
    pub async fn auto_sync(&self, interval: Duration) -> Error {
        loop {
            if let Err(error) = self.sync().await {
                return error;
            }
            sleep(interval).await;
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) async fn call(&self, outgoing: &Outgoing) -> Result<Answer> {
        self.cluster.call(&self.scope, outgoing).await
    }

    pub(crate) async fn wait(
        &self,
        outgoing: &Outgoing,
        require_leader: bool,
        on_head: OnHead<'_>,
    ) -> Result<Answer> {
        self.cluster.wait(&self.scope, outgoing, require_leader, on_head).await
    }
}

impl ClientBuilder {
    /// A client. It connects when its first call wants to.
    ///
    /// # Errors
    ///
    /// The configuration makes no sense; the message says what to change.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, if [`auto_sync`](Self::auto_sync) is set.
    pub fn build(self) -> Result<Client> {
        let (config, endpoints) = self.config()?;
        let interval = config.auto_sync;
        let cluster = Arc::new(Cluster::new(config, endpoints));
        let client = Client { cluster, scope: Scope::All, _sync: None };
        let Some(interval) = interval else { return Ok(client) };
        // The task holds a client that does not hold the task, which therefore ends with the last of the others.
        let synchronised = client.clone();
        let task = task::spawn(async move {
            loop {
                let error = synchronised.auto_sync(interval).await;
                tracing::warn!(%error, "the endpoints could not be synchronised");
                sleep(interval).await;
            }
        });
        Ok(Client { _sync: Some(Arc::new(task)), ..client })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("cluster", &self.cluster)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
