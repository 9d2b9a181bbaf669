//! Endpoints out of the cluster's own member list.

use std::sync::Weak;
use std::time::Duration;

use etcdkit_proto::etcdserverpb::{MemberListRequest, MemberListResponse};
use etcdkit_proto::method;

use crate::client::Client;
use crate::clock;
use crate::config::Endpoints;
use crate::error::{Error, ErrorKind, Result};
use crate::service::CallOptions;
use crate::task::{Either, race};
use crate::transport::{Channel, Transport};

impl<T: Transport> Client<Channel<T>> {
    /// Replaces the endpoints by those that the members advertise.
    ///
    /// Learners and members that have not started are left out, and so is what this client could not or must not use:
    /// addresses that lead nowhere (`0.0.0.0`), addresses of this machine when the endpoints in use are elsewhere, and
    /// plain text to hosts that are used by TLS, or to any while nothing else goes over a network, and what settings of the
    /// client forbid. If nothing is left, the endpoints stay as they are.
    ///
    /// # Errors
    ///
    /// The member list could not be read, or no member advertises an endpoint that can be used: the message says why
    /// for each.
    pub async fn sync(&self) -> Result<()> {
        self.service().sync(self.options()).await
    }
}

impl<T: Transport> Channel<T> {
    async fn sync(&self, options: &CallOptions) -> Result<()> {
        let method = method::cluster::MEMBER_LIST;
        let pool = self.pool(options)?;
        let call = self.prepare(&pool, method.info(), false, options);
        let request = MemberListRequest { linearizable: true };
        let answer: MemberListResponse = self.exchange(&call, &request, false).await?;
        let urls = answer
            .members
            .iter()
            .filter(|member| !member.name.is_empty() && !member.is_learner)
            .flat_map(|member| member.client_urls.iter().map(String::as_str));
        let found = self.usable_of(urls);
        for (url, reason) in &found.dropped {
            tracing::debug!(url, reason, "left out of the endpoints");
        }
        if found.kept.is_empty() {
            let reasons: Vec<String> =
                found.dropped.iter().map(|(url, reason)| format!("{url}: {reason}")).collect();
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "no member advertises an endpoint that can be used, so the present ones stay; left out: [{}]",
                    reasons.join("; ")
                ),
            ));
        }
        self.adopt_endpoints(Endpoints::new(found.kept)?).await
    }
}

/// Synchronises again and again, for as long as somebody else holds the channel.
pub(crate) async fn keep_synchronised<T: Transport>(
    channel: Weak<crate::transport::Shared<T>>,
    interval: Duration,
) {
    loop {
        clock::sleep(interval).await;
        let Some(channel) = Channel::upgrade(&channel) else { return };
        match race(channel.sync(&CallOptions::new()), channel.let_go()).await {
            Either::First(Ok(())) => {}
            Either::First(Err(error)) if error.kind() == ErrorKind::Closed => return,
            Either::First(Err(error)) => tracing::info!(%error, "endpoints not synchronised"),
            Either::Second(()) => return,
        }
    }
}
