//! The one member, and what it cannot do alone.

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::*;

use crate::auth::Who;
use crate::state::State;
use crate::status::Result;
use crate::storage::Bucket;

impl State {
    pub(crate) fn member_list(&self, who: Option<&Who>) -> Result<MemberListResponse> {
        self.auth.check_user(who)?;
        Ok(MemberListResponse { header: Some(self.header(0)), members: self.members() })
    }

    /// A voter more would leave one of two started, and a learner could never catch up.
    pub(crate) fn member_add(
        &self,
        who: Option<&Who>,
        request: &MemberAddRequest,
    ) -> Result<MemberAddResponse> {
        self.auth.check_root(who)?;
        check_urls(&request.peer_urls)?;
        if request.peer_urls.iter().any(|url| self.member.peer_urls.contains(url)) {
            return Err(ServerError::PeerUrlExist.into());
        }
        Err(ServerError::Unhealthy.into())
    }

    pub(crate) fn member_remove(
        &self,
        who: Option<&Who>,
        request: &MemberRemoveRequest,
    ) -> Result<MemberRemoveResponse> {
        self.auth.check_root(who)?;
        self.is_member(request.id)?;
        Err(ServerError::MemberNotEnoughStarted.into())
    }

    pub(crate) fn member_update(
        &mut self,
        who: Option<&Who>,
        request: &MemberUpdateRequest,
    ) -> Result<MemberUpdateResponse> {
        self.auth.check_root(who)?;
        check_urls(&request.peer_urls)?;
        self.is_member(request.id)?;
        self.member.peer_urls.clone_from(&request.peer_urls);
        self.save_member();
        Ok(MemberUpdateResponse { header: Some(self.header(0)), members: self.members() })
    }

    pub(crate) fn member_promote(
        &self,
        who: Option<&Who>,
        request: &MemberPromoteRequest,
    ) -> Result<MemberPromoteResponse> {
        self.auth.check_root(who)?;
        self.is_member(request.id)?;
        Err(ServerError::MemberNotLearner.into())
    }

    pub(crate) fn move_leader(
        &self,
        who: Option<&Who>,
        request: &MoveLeaderRequest,
    ) -> Result<MoveLeaderResponse> {
        self.auth.check_root(who)?;
        if request.target_id == self.identity.member {
            Ok(MoveLeaderResponse::default())
        } else {
            Err(ServerError::BadLeaderTransferee.into())
        }
    }

    fn members(&self) -> Vec<Member> {
        vec![self.member.clone()]
    }

    fn is_member(&self, id: u64) -> Result<()> {
        if id == self.identity.member { Ok(()) } else { Err(ServerError::MemberNotFound.into()) }
    }

    pub(crate) fn save_member(&mut self) {
        let member = self.saved_member();
        self.journal.put(Bucket::Members, format!("{:x}", member.id), member.encode());
    }
}

/// What etcd asks of peer URLs: at least one, each with a scheme that it knows, a host and a port, and no path.
fn check_urls(urls: &[String]) -> Result<()> {
    let fine = |url: &String| {
        let Some((scheme, rest)) = url.split_once("://") else { return false };
        match scheme {
            "http" | "https" => {
                let host = rest.strip_suffix('/').unwrap_or(rest);
                let port = host.rsplit_once(':').map(|(_, port)| port);
                port.is_some_and(|port| !port.is_empty()) && !host.contains('/')
            }
            "unix" | "unixs" => true,
            _ => false,
        }
    };
    if urls.is_empty() || !urls.iter().all(fine) {
        return Err(ServerError::MemberBadUrls.into());
    }
    Ok(())
}
