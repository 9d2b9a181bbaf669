//! The one member, a learner that it can be told to wait for, and what it cannot do alone.

use std::iter;
use std::time::Duration;

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::*;

use crate::auth::Who;
use crate::identity::Identity;
use crate::state::State;
use crate::status::Result;
use crate::storage::Bucket;

impl State {
    pub(crate) fn member_list(&self, who: Option<&Who>) -> Result<MemberListResponse> {
        self.auth.check_user(who)?;
        Ok(MemberListResponse { header: Some(self.header(0)), members: self.members() })
    }

    /// A voter more would leave one of two started. etcd takes in the first one all the same, and stands still until it has
    /// started; what it says to a second one is said to the first here, who would never start. A learner has no vote: it is taken in, and waited for in vain.
    /// `time_of_day` makes its id differ from that of one that was added and removed before.
    pub(crate) fn member_add(
        &mut self,
        who: Option<&Who>,
        request: &MemberAddRequest,
        time_of_day: Duration,
    ) -> Result<MemberAddResponse> {
        self.auth.check_root(who)?;
        let added = time_of_day.as_secs().to_string();
        let id = Identity::derive(&request.peer_urls, &added).member;
        if self.member_with(id).is_ok() {
            return Err(ServerError::MemberExist.into());
        }
        self.are_free(&request.peer_urls, None)?;
        if !request.is_learner {
            return Err(ServerError::MemberNotEnoughStarted.into());
        }
        if self.learner.is_some() {
            return Err(ServerError::TooManyLearners.into());
        }
        let learner = Member {
            id,
            peer_urls: request.peer_urls.clone(),
            is_learner: true,
            ..Member::default()
        };
        self.learner = Some(learner.clone());
        self.save_members();
        let (header, members) = (Some(self.header(0)), self.members());
        Ok(MemberAddResponse { header, member: Some(learner), members })
    }

    pub(crate) fn member_remove(
        &mut self,
        who: Option<&Who>,
        request: &MemberRemoveRequest,
    ) -> Result<MemberRemoveResponse> {
        self.auth.check_root(who)?;
        if self.member_with(request.id)?.id == self.member.id {
            return Err(ServerError::MemberNotEnoughStarted.into());
        }
        self.learner = None;
        self.journal.delete(Bucket::Members, format!("{:x}", request.id));
        Ok(MemberRemoveResponse { header: Some(self.header(0)), members: self.members() })
    }

    pub(crate) fn member_update(
        &mut self,
        who: Option<&Who>,
        request: &MemberUpdateRequest,
    ) -> Result<MemberUpdateResponse> {
        self.auth.check_root(who)?;
        check_peer_urls(&request.peer_urls)?;
        self.member_with(request.id)?;
        self.are_free(&request.peer_urls, Some(request.id))?;
        self.member_with(request.id)?.peer_urls.clone_from(&request.peer_urls);
        self.save_members();
        Ok(MemberUpdateResponse { header: Some(self.header(0)), members: self.members() })
    }

    pub(crate) fn member_promote(
        &mut self,
        who: Option<&Who>,
        request: &MemberPromoteRequest,
    ) -> Result<MemberPromoteResponse> {
        self.auth.check_root(who)?;
        let learner = self.member_with(request.id)?.is_learner;
        // Nobody is behind the learner who could catch up.
        Err(if learner { ServerError::LearnerNotReady } else { ServerError::MemberNotLearner }
            .into())
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

    /// Sorted by their first URL, as etcd has them.
    fn members(&self) -> Vec<Member> {
        let mut members: Vec<Member> =
            iter::once(&self.member).chain(&self.learner).cloned().collect();
        members.sort_by(|a, b| a.peer_urls.first().cmp(&b.peer_urls.first()));
        members
    }

    fn member_with(&mut self, id: u64) -> Result<&mut Member> {
        let mut members = iter::once(&mut self.member).chain(&mut self.learner);
        members.find(|member| member.id == id).ok_or_else(|| ServerError::MemberNotFound.into())
    }

    /// Whether no member has one of the URLs, but for the one that is to get them.
    fn are_free(&self, urls: &[String], except: Option<u64>) -> Result<()> {
        let mut others = iter::once(&self.member)
            .chain(&self.learner)
            .filter(|member| Some(member.id) != except);
        if others.any(|other| urls.iter().any(|url| other.peer_urls.contains(url))) {
            return Err(ServerError::PeerUrlExist.into());
        }
        Ok(())
    }

    pub(crate) fn save_members(&mut self) {
        for member in self.saved_members() {
            self.journal.put(Bucket::Members, format!("{:x}", member.id), member.encode());
        }
    }
}

/// What etcd asks of peer URLs: at least one, each with a scheme that it knows, a host and a port, and no path.
pub(crate) fn check_peer_urls(urls: &[String]) -> Result<()> {
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
