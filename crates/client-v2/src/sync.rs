//! Endpoints out of the member list.

use crate::client::Client;
use crate::config::{Endpoint, Selection};
use crate::error::{Error, ErrorKind, Result};

impl Client {
    /// Asks the cluster for its members and uses the client URLs that they advertise from now on.
    ///
    /// If these are the endpoints in use already, the pinned one stays. With
    /// [`Selection::PrioritizeLeader`] the leader is asked for too, and pinned. URLs that can't be
    /// reached from here (`0.0.0.0`, and sockets where none is in use), and URLs without TLS where the endpoints in use
    /// all have it, are left out.
    ///
    /// # Errors
    ///
    /// See [`Members::list`](crate::Members::list); [`Unavailable`](ErrorKind::Unavailable) if no usable URL is left;
    /// and with `PrioritizeLeader`, [`NoLeader`](ErrorKind::NoLeader) if the leader could not be asked for. The
    /// endpoints are the same as before then.
    pub async fn sync(&self) -> Result<()> {
        let secure = self.endpoints().iter().all(Endpoint::is_secure);
        let sockets = self.endpoints().iter().any(Endpoint::is_socket);
        let usable = |url: &String| {
            let endpoint: Endpoint = url.parse().ok()?;
            let reachable = !endpoint.is_unspecified() && (sockets || !endpoint.is_socket());
            (reachable && (endpoint.is_secure() || !secure)).then_some(endpoint)
        };
        let members = self.members();
        let mut endpoints = Vec::new();
        for member in members.list().await? {
            endpoints.extend(member.client_urls().iter().filter_map(usable));
        }
        if endpoints.is_empty() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "no member advertises a client URL that can be used from here",
            ));
        }
        let endpoints = self.cluster().config.check_endpoints(endpoints)?;
        let preferred = match self.cluster().config.selection {
            Selection::Random => None,
            Selection::PrioritizeLeader => {
                let leader = members.leader().await.map_err(|error| {
                    let text = format!("the leader could not be found: {error}");
                    Error::new(ErrorKind::NoLeader, text).with_source(error)
                })?;
                leader.client_urls().iter().find_map(usable)
            }
        };
        self.cluster().replace(endpoints, preferred.as_ref());
        Ok(())
    }
}
