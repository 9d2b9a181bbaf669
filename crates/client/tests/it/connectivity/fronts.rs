use std::time::Duration;

use etcdkit::transport::EndpointStatus;
use etcdkit::{Client, ClientBuilder};
use etcdkit_testkit::clock::Moment;
use etcdkit_testkit::cluster::Cluster;
use etcdkit_testkit::etcd::{Builder, Version};
use etcdkit_testkit::proxy::Proxy;
use tokio::task::JoinSet;

use super::{seconds, within};

/// A cluster of three with a proxy before each member: the client knows the proxies only.
pub(super) struct Fronts {
    pub(super) cluster: Cluster,
    pub(super) proxies: Vec<Proxy>,
}

impl Fronts {
    pub(super) async fn start(version: Version) -> Self {
        Self::before(Cluster::builder(version)).await
    }

    pub(super) async fn before(cluster: Builder<Cluster>) -> Self {
        let cluster = cluster.start().await;
        let mut proxies = Vec::new();
        for member in cluster.members() {
            proxies.push(Proxy::start(member.client_addr()).await);
        }
        Self { cluster, proxies }
    }

    pub(super) fn endpoint(&self, index: usize) -> String {
        format!("http://{}", self.proxies[index].addr())
    }

    pub(super) fn endpoints(&self) -> Vec<String> {
        (0..self.proxies.len()).map(|index| self.endpoint(index)).collect()
    }

    /// Default settings, except for the endpoints.
    pub(super) fn builder(&self) -> ClientBuilder {
        Client::builder().endpoints(self.endpoints())
    }

    /// A client with default settings for which every member is ready.
    pub(super) async fn client(&self) -> Client {
        let client = self.builder().connect().await.expect("the members run");
        wait_all_ready(&client).await;
        client
    }

    /// A client around the proxies, for looking at the store.
    pub(super) async fn direct(&self) -> Client {
        Client::connect(self.cluster.endpoints()).await.expect("members run")
    }
}

/// Waits until a client has every endpoint ready.
pub(super) async fn wait_all_ready(client: &Client) {
    let mut states = client.watch_endpoint_states();
    within("the last endpoint", seconds(30), async {
        while let Some(states) = states.next().await {
            if states.iter().all(|state| state.is_ready()) {
                return;
            }
        }
        panic!("the client is closed");
    })
    .await;
}

/// Waits until an endpoint is ready, or no longer is.
pub(super) async fn wait_ready(client: &Client, endpoint: &str, ready: bool, limit: Duration) {
    let mut states = client.watch_endpoint_states();
    let what = format!("{endpoint} becoming {}ready", if ready { "" } else { "un" });
    within(&what, limit, async {
        while let Some(states) = states.next().await {
            if states.iter().any(|state| state.endpoint() == endpoint && state.is_ready() == ready)
            {
                return;
            }
        }
        panic!("the client is closed");
    })
    .await;
}

/// Notes when an endpoint comes and goes.
pub(super) struct Sightings {
    tasks: JoinSet<Vec<(Moment, bool, String)>>,
}

impl Sightings {
    pub(super) fn of(client: &Client, endpoint: String) -> Self {
        let mut states = client.watch_endpoint_states();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut seen: Vec<(Moment, bool, String)> = Vec::new();
            while let Some(states) = states.next().await {
                for state in states.iter().filter(|state| state.endpoint() == endpoint) {
                    let ready = state.is_ready();
                    if seen.last().is_none_or(|(_, last, _)| *last != ready) {
                        let why = match state.status() {
                            EndpointStatus::Failed(cause) => cause.to_string(),
                            other => format!("{other:?}"),
                        };
                        seen.push((Moment::now(), ready, why));
                    }
                }
            }
            seen
        });
        Self { tasks }
    }

    /// What was seen, once the client is closed: when, whether it was ready then, and why not.
    pub(super) async fn all(mut self) -> Vec<(Moment, bool, String)> {
        let seen = within("the end of the states", seconds(5), self.tasks.join_next()).await;
        seen.expect("there is one task").expect("it does not panic")
    }
}
