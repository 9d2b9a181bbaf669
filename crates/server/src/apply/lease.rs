//! Leases.

use std::time::Duration;

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveResponse, LeaseLeasesResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};
use etcdkit_proto::leasepb::Lease;
use prost::Message as _;

use crate::auth::{Access, Who};
use crate::lease::Now;
use crate::state::State;
use crate::status::Result;
use crate::storage::Bucket;

/// What a lease costs of the quota.
const COST: u64 = 64;

impl State {
    pub(crate) fn lease_grant(
        &mut self,
        who: Option<&Who>,
        request: &LeaseGrantRequest,
        now: Now,
    ) -> Result<LeaseGrantResponse> {
        self.has_space(COST)?;
        self.auth.check_user(who)?;
        let (id, ttl) = self.lessor.grant(request.id, request.ttl, now)?;
        self.totals.granted += 1;
        self.save_lease(Lease { id, ttl, remaining_ttl: 0 });
        let header = Some(self.header_now());
        Ok(LeaseGrantResponse { header, id, ttl, error: String::new() })
    }

    pub(crate) fn lease_revoke(
        &mut self,
        who: Option<&Who>,
        request: &LeaseRevokeRequest,
    ) -> Result<LeaseRevokeResponse> {
        self.not_corrupt()?;
        self.auth.check_user(who)?;
        self.may_write_lease(who, request.id)?;
        self.end_lease(request.id)?;
        Ok(LeaseRevokeResponse { header: Some(self.header(self.store.present())) })
    }

    /// Ends a lease that has expired; returns whether there was one.
    pub(crate) fn expire(&mut self, now: Now) -> bool {
        let Some(id) = self.lessor.expired(now) else { return false };
        self.totals.expired += 1;
        // It was found a moment ago.
        self.end_lease(id).is_ok()
    }

    fn end_lease(&mut self, id: i64) -> Result<(), ServerError> {
        let keys = self.lessor.revoke(id)?;
        self.totals.revoked += 1;
        for key in &keys {
            self.totals.deletions += 1;
            self.store.delete(key);
        }
        self.journal.delete(Bucket::Lease, id.to_be_bytes());
        self.leased = self.index + 1;
        Ok(())
    }

    fn save_lease(&mut self, lease: Lease) {
        self.journal.put(Bucket::Lease, lease.id.to_be_bytes(), lease.encode_to_vec());
        self.leased = self.index + 1;
    }

    /// Begins a lease's time anew. One that does not exist has a life of 0.
    pub(crate) fn lease_keep_alive(
        &mut self,
        who: Option<&Who>,
        id: i64,
        now: Now,
    ) -> Result<LeaseKeepAliveResponse> {
        self.auth.check_user(who)?;
        self.may_write_lease(who, id)?;
        let header = Some(self.header(self.published()));
        let renewed = self.lessor.renew(id, now);
        self.totals.renewed += u64::from(renewed.is_some());
        let ttl = renewed.unwrap_or_default();
        Ok(LeaseKeepAliveResponse { header, id, ttl })
    }

    /// A renewed lease lives for all of its seconds after the next start, whatever a checkpoint had left of it.
    pub(crate) fn forget_checkpoint(&mut self, id: i64) {
        if let Some(lease) = self.lessor.forget_checkpoint(id) {
            self.save_lease(lease);
        }
    }

    pub(crate) fn lease_time_to_live(
        &self,
        who: Option<&Who>,
        request: &LeaseTimeToLiveRequest,
        now: Now,
    ) -> Result<LeaseTimeToLiveResponse> {
        self.auth.check_user(who)?;
        if request.keys {
            self.may_with_lease(who, request.id, Access::Read)?;
        }
        let mut response = LeaseTimeToLiveResponse {
            header: Some(self.header_now()),
            id: request.id,
            ttl: -1,
            ..LeaseTimeToLiveResponse::default()
        };
        if let Some(found) = self.lessor.time_to_live(request.id, now) {
            response.ttl = whole_seconds(found.remaining);
            response.granted_ttl = found.granted;
            if request.keys {
                response.keys =
                    self.lessor.keys(request.id).map(|key| key.to_vec().into()).collect();
            }
        }
        Ok(response)
    }

    pub(crate) fn lease_leases(&self, who: Option<&Who>) -> Result<LeaseLeasesResponse> {
        self.auth.check_user(who)?;
        self.lessor.ids().try_for_each(|id| self.may_with_lease(who, id, Access::Read))?;
        let leases = self.lessor.ids().map(|id| LeaseStatus { id }).collect();
        Ok(LeaseLeasesResponse { header: Some(self.header_now()), leases })
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
