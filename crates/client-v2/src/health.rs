//! Version and health of members.

use http::Method;
use serde::Deserialize;

use crate::answer;
use crate::client::Client;
use crate::config::Endpoint;
use crate::error::Result;
use crate::http::Answer;
use crate::members::request;

/// What a member runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Version {
    #[serde(rename = "etcdserver")]
    server: String,
    #[serde(rename = "etcdcluster")]
    cluster: String,
}

impl Version {
    /// The version of the member that answered, such as `3.4.23`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The version that all members can speak, such as `3.4.0`.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }
}

/// How healthy a member says it is. etcd wrote the value as a string, and others as a boolean.
#[derive(Deserialize)]
#[serde(untagged)]
enum Health {
    Text { health: String },
    Flag { health: bool },
}

/// Whether an answer to `/health` says so.
pub(crate) fn is_healthy(answer: &Answer) -> bool {
    answer.status == 200
        && match serde_json::from_slice(&answer.body) {
            Ok(Health::Text { health }) => health == "true",
            Ok(Health::Flag { health }) => health,
            Err(_) => false,
        }
}

impl Client {
    /// The version of the member that answers, and of the cluster.
    ///
    /// # Errors
    ///
    /// No endpoint could serve the call, or it is not etcd.
    pub async fn version(&self) -> Result<Version> {
        answer::json(&self.call(&request(Method::GET, "/version")).await?, &[200])
    }

    /// Whether some endpoint is healthy: part of a cluster with a leader that decides.
    ///
    /// # Errors
    ///
    /// No endpoint answered, or each one that did says of itself that it is not healthy:
    /// [`NoLeader`](crate::ErrorKind::NoLeader).
    pub async fn is_healthy(&self) -> Result<bool> {
        Ok(is_healthy(&self.call(&request(Method::GET, "/health")).await?))
    }

    /// The health of each endpoint, one after the other.
    ///
    /// An `Err` is an endpoint that did not answer, or said that it is not healthy.
    pub async fn health(&self) -> Vec<(Endpoint, Result<bool>)> {
        let mut all = Vec::new();
        for endpoint in self.endpoints() {
            let health = match self.only(endpoint.clone()) {
                Ok(client) => client.is_healthy().await,
                Err(error) => Err(error),
            };
            all.push((endpoint, health));
        }
        all
    }
}
