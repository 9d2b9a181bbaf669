//! Calls for the leader, wherever it is.

use etcdkit_proto::ServerError;

use crate::config::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::request::cluster::MemberList;
use crate::request::maintenance::{MoveLeader, Status};
use crate::response::HeaderResponse;
use crate::response::cluster::MemberId;
use crate::service::CallOptions;
use crate::transport::{Channel, Transport};

/// Has the leader hand its leadership over. Who leads is looked up, and once more if it changes in between.
pub(crate) async fn move_leader<T: Transport>(
    channel: &Channel<T>,
    request: MoveLeader,
    options: &CallOptions,
) -> Result<HeaderResponse> {
    if options.endpoint.is_some() {
        return channel.unary(request, options).await;
    }
    let remaining = options.sharing(channel.config().timeouts.admin);
    let mut healed = false;
    loop {
        let endpoint = leader(channel, &remaining).await?;
        match channel.unary(request.clone(), &remaining().endpoint(endpoint)).await {
            Err(error) if !healed && error.server_error() == Some(ServerError::NotLeader) => {
                tracing::debug!(%error, "the leader changed");
                healed = true;
            }
            answer => return answer,
        }
    }
}

/// Where the leader is: at an endpoint that the channel knows it by, else at one that it advertises.
async fn leader<T: Transport>(
    channel: &Channel<T>,
    options: &(impl Fn() -> CallOptions + Sync),
) -> Result<Endpoint> {
    let status = channel.unary(Status::new(), &options()).await?;
    let Some(leader) = status.leader() else {
        return Err(Error::new(ErrorKind::NoLeader, "the member that was asked knows no leader"));
    };
    if let Some(endpoint) = known(channel, leader) {
        return Ok(endpoint);
    }
    let members = channel.unary(MemberList::new(), &options()).await?;
    let urls = members.member(leader).map(|member| member.client_urls.as_slice());
    let found = channel.usable_of(urls.unwrap_or_default().iter().map(String::as_str));
    found.kept.into_iter().next().ok_or_else(|| {
        let urls = urls.unwrap_or_default();
        Error::new(
            ErrorKind::Unavailable,
            format!("{leader} leads, and advertises nothing that it can be reached at: {urls:?}"),
        )
    })
}

/// The endpoint behind which `leader` answered.
fn known<T: Transport>(channel: &Channel<T>, leader: MemberId) -> Option<Endpoint> {
    let states = channel.states();
    let state =
        states.iter().find(|state| state.is_ready() && state.member_id() == Some(leader.get()))?;
    let endpoints = channel.endpoints();
    endpoints.iter().find(|endpoint| &**endpoint.name() == state.endpoint()).cloned()
}
