//! SRV records of a domain as endpoints.

use std::net::SocketAddr;
use std::time::Duration;

use etcdkit_srv::{Failure, Lookup};

use super::Endpoint;
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
/// # async fn example() -> etcdkit::Result<()> {
/// use etcdkit::Client;
/// use etcdkit::config::SrvLookup;
///
/// let endpoints = SrvLookup::new("example.com").service_name("prod").endpoints().await?;
/// let client = Client::connect(endpoints).await?;
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
///
/// DNS is believed as it is. Where members' certificates are made out to the domain rather than to their own names, say so
/// by [`Tls::server_name`](super::Tls::server_name). What is found mixes `https` and `http` if there are records of both:
/// [`ClientBuilder::forbid_plaintext_credentials`](super::ClientBuilder::forbid_plaintext_credentials) keeps passwords off
/// the latter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing is asked before `endpoints`"]
pub struct SrvLookup(Lookup);

impl SrvLookup {
    /// Looks up `domain`, as a full name: search lists of the system are not applied.
    pub fn new(domain: impl Into<String>) -> Self {
        Self(Lookup::new(domain))
    }

    /// Looks up `_etcd-client-ssl-NAME` and `_etcd-client-NAME` instead, where several clusters share a domain.
    pub fn service_name(self, name: impl Into<String>) -> Self {
        Self(self.0.service_name(name))
    }

    /// Asks this name server. Can be repeated: they are asked in turn. Default: those in `/etc/resolv.conf`.
    pub fn server(self, server: SocketAddr) -> Self {
        Self(self.0.server(server))
    }

    /// How long one name server is waited for; each is asked twice. Default 2 s.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }

    /// The endpoints: `https` ones for the first name, then `http` ones for the second, each in the order of their
    /// priorities and, within one priority, at random by their weights. Names are without the dot at their end, so that
    /// TLS finds them in certificates.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if the domain is no name;
    /// [`Unavailable`](ErrorKind::Unavailable) if neither name has records, with the reason for each.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the look-up.
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>> {
        let targets = self.0.targets().await.map_err(|failure| match failure {
            Failure::InvalidName(_) => Error::invalid(failure.to_string()),
            _ => Error::new(ErrorKind::Unavailable, failure.to_string()),
        })?;
        targets.iter().map(|target| target.to_string().parse()).collect()
    }
}
