//! The discovery service: a key space where members that are about to form a cluster find each other.

use http::Method;

use crate::answer;
use crate::config::{ClientBuilder, Endpoint};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::keys::{Get, Keys, Node, Watch};
use crate::members::request;

/// One cluster's entry with a discovery service, such as `https://discovery.etcd.io/TOKEN`.
///
/// ```no_run
/// # async fn example() -> etcdkit_v2::Result<()> {
/// use etcdkit_v2::{Client, discovery::Discovery};
///
/// let url = Discovery::create(Client::builder(), "https://discovery.example.com", 3).await?;
/// let discovery = Discovery::new(Client::builder(), &url)?;
/// discovery.register("8e9e05c52164694d", "m0=http://10.0.0.1:2380").await?;
/// let initial_cluster = discovery.wait().await?;
/// println!("--initial-cluster={initial_cluster}");
/// # Ok(())
/// # }
/// ```
///
/// Dropping the future of a call aborts it, see [`Client`](crate::Client#cancellation); a change may have been made
/// nonetheless.
#[derive(Clone, Debug)]
pub struct Discovery {
    keys: Keys,
    /// With a slash in front.
    token: String,
}

/// What is registered.
struct State {
    size: usize,
    /// In the order of their registration, at most as many as the size.
    nodes: Vec<Node>,
    index: u64,
}

impl Discovery {
    /// The entry at `url`. `builder` says how the service is talked to; its endpoints do not count.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if `url` is none, or has no token as its path.
    pub fn new(builder: ClientBuilder, url: &str) -> Result<Self> {
        let endpoint: Endpoint = url.parse()?;
        let token = endpoint.path().to_owned();
        if token.is_empty() {
            return Err(Error::invalid(format!("the discovery URL `{endpoint}` has no token")));
        }
        let client = builder.with_only(endpoint.origin().to_string().parse()?).build()?;
        Ok(Self { keys: client.keys_at(""), token })
    }

    /// Has the service at `url` make an entry for a cluster of `size` members, and returns the URL of that.
    ///
    /// # Errors
    ///
    /// The service could not be asked, or answered with something else than a URL.
    pub async fn create(builder: ClientBuilder, url: &str, size: usize) -> Result<String> {
        let client = builder.with_only(url.parse()?).build()?;
        // It makes an entry with each call: repeated, it would make two.
        let mut new = request(Method::GET, &format!("/new?size={size}"));
        new.repeatable = false;
        let answer = client.call(&new).await?;
        answer::check(&answer, &[200])?;
        let url = answer::text(&answer);
        let endpoint: Endpoint = url.parse().map_err(|error| {
            Error::internal("the discovery service did not answer with a URL").with_source(error)
        })?;
        Ok(endpoint.to_string())
    }

    /// How many members the cluster is to have.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if there is no such entry.
    pub async fn size(&self) -> Result<usize> {
        let answer = self.keys.get(Get::new(format!("{}/_config/size", self.token))).await?;
        let text = answer.node().and_then(Node::value).unwrap_or_default();
        text.parse().map_err(|error| {
            Error::internal(format!("the size of the entry is no number: `{text}`"))
                .with_source(error)
        })
    }

    /// Registers a member by its id, in hexadecimal, and `name=peerURL`, several of which are separated by commas.
    /// Once more under the same id changes nothing.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) if as many others are registered as the cluster is to have members.
    pub async fn register(&self, id: &str, member: &str) -> Result<()> {
        self.check_not_full(id).await?;
        match self.keys.create(format!("{}/{id}", self.token), member).await {
            Err(error) if error.error_code() != Some(ErrorCode::NODE_EXISTS) => Err(error),
            // Others may have come first meanwhile.
            _ => self.check_not_full(id).await,
        }
    }

    async fn check_not_full(&self, id: &str) -> Result<()> {
        let state = self.state().await?;
        if state.nodes.len() == state.size && state.nodes.iter().all(|node| node.name() != id) {
            return Err(Error::new(ErrorKind::Conflict, "the cluster has all its members already"));
        }
        Ok(())
    }

    /// What the members registered until now, in that order: `name=peerURL` each.
    ///
    /// # Errors
    ///
    /// See [`size`](Self::size).
    pub async fn members(&self) -> Result<Vec<String>> {
        Ok(values(&self.state().await?.nodes))
    }

    /// Waits until all members are registered, and returns what etcd's flag `--initial-cluster` takes.
    ///
    /// # Errors
    ///
    /// See [`size`](Self::size).
    pub async fn wait(&self) -> Result<String> {
        loop {
            let state = self.state().await?;
            if state.nodes.len() >= state.size {
                return Ok(values(&state.nodes).join(","));
            }
            let watch = Watch::new(&self.token).recursive().after_index(state.index).resync();
            self.keys.watch(watch).next().await?;
        }
    }

    async fn state(&self) -> Result<State> {
        let size = self.size().await?;
        let answer = self.keys.get(&self.token).await?;
        let index = answer.index();
        let (node, _) = answer.into_nodes();
        let mut nodes: Vec<Node> = node.map_or_else(Vec::new, |node| node.nodes().to_vec());
        nodes.retain(|node| node.name() != "_config");
        nodes.sort_by_key(Node::created_index);
        nodes.truncate(size);
        Ok(State { size, nodes, index })
    }
}

fn values(nodes: &[Node]) -> Vec<String> {
    nodes.iter().filter_map(|node| node.value().map(str::to_owned)).collect()
}
