//! Answers on their way out of a namespace. Without I/O.

use super::prefix::Prefix;
use crate::error::{Error, Result};
use crate::request::lock::LockResponse;
use crate::request::{AnyResponse, OpResponse};
use crate::response::auth::RoleGetResponse;
use crate::response::election::{CampaignResponse, LeaderResponse};
use crate::response::{
    DeleteResponse, Event, GetResponse, KeyValue, LeaseTimeToLiveResponse, PutResponse,
    TxnResponse, WatchResponse,
};

impl Prefix {
    /// The answer as the namespace is to see it. A key from outside is a broken promise of the server, and none that
    /// may be passed on.
    pub(super) fn response_out(&self, response: AnyResponse) -> Result<AnyResponse> {
        use AnyResponse as R;
        Ok(match response {
            R::Get(answer) => R::Get(self.get_out(answer)?),
            R::Put(answer) => R::Put(self.put_out(answer)?),
            R::Delete(answer) => R::Delete(self.delete_out(answer)?),
            R::Txn(answer) => R::Txn(self.txn_out(answer)?),
            R::Op(answer) => R::Op(self.op_out(answer)?),
            R::Lock(answer) => {
                let key = self.key_out(answer.key()).ok_or_else(outside)?;
                R::Lock(LockResponse::new(answer.header(), key))
            }
            R::Campaign(answer) => {
                let header = answer.header();
                let leader = answer.into_leader();
                let name = self.name_out(leader.name()).ok_or_else(outside)?;
                let key = self.key_out(leader.key()).ok_or_else(outside)?;
                R::Campaign(CampaignResponse::new(header, leader.with_keys(name, key)))
            }
            R::Leader(answer) => R::Leader(self.leader_out(answer)?),
            R::LeaseTimeToLive(answer) => R::LeaseTimeToLive(self.time_to_live_out(answer)),
            R::RoleGet(answer) => R::RoleGet(self.role_out(&answer)),
            answer @ (R::Compact(_)
            | R::Unlock(_)
            | R::Proclaim(_)
            | R::Resign(_)
            | R::RoleGrantPermission(_)
            | R::RoleRevokePermission(_)
            | R::LeaseGrant(_)
            | R::LeaseRevoke(_)
            | R::Leases(_)
            | R::KeepAliveOnce(_)
            | R::AuthEnable(_)
            | R::AuthDisable(_)
            | R::AuthStatus(_)
            | R::UserAdd(_)
            | R::UserDelete(_)
            | R::UserChangePassword(_)
            | R::UserGet(_)
            | R::UserList(_)
            | R::UserGrantRole(_)
            | R::UserRevokeRole(_)
            | R::RoleAdd(_)
            | R::RoleDelete(_)
            | R::RoleList(_)
            | R::MemberList(_)
            | R::MemberAdd(_)
            | R::MemberRemove(_)
            | R::MemberUpdate(_)
            | R::MemberPromote(_)
            | R::Status(_)
            | R::Alarm(_)
            | R::Defragment(_)
            | R::Hash(_)
            | R::HashKv(_)
            | R::MoveLeader(_)
            | R::Downgrade(_)
            | R::Health(_)) => answer,
        })
    }

    pub(super) fn get_out(&self, answer: GetResponse) -> Result<GetResponse> {
        let kvs = answer.kvs().iter().map(|kv| self.kv_out(kv)).collect::<Result<Vec<_>>>()?;
        Ok(answer.with_keys(kvs))
    }

    pub(super) fn watch_out(&self, response: WatchResponse) -> Result<WatchResponse> {
        let events = response.events().iter().map(|event| self.event_out(event));
        let events = events.collect::<Result<Vec<_>>>()?;
        Ok(response.with_events(events))
    }

    pub(super) fn leader_out(&self, answer: LeaderResponse) -> Result<LeaderResponse> {
        match answer.kv() {
            Some(kv) => Ok(LeaderResponse::new(answer.header(), self.kv_out(kv)?)),
            None => Ok(answer),
        }
    }

    fn kv_out(&self, kv: &KeyValue) -> Result<KeyValue> {
        let key = self.key_out(&kv.key_bytes()).ok_or_else(outside)?;
        Ok(kv.clone().with_key(key))
    }

    fn event_out(&self, event: &Event) -> Result<Event> {
        let key = self.key_out(&event.kv().key_bytes()).ok_or_else(outside)?;
        Ok(event.clone().with_key(key))
    }

    fn put_out(&self, answer: PutResponse) -> Result<PutResponse> {
        match answer.prev_kv() {
            Some(kv) => Ok(PutResponse::new(answer.header()).with_prev_kv(self.kv_out(kv)?)),
            None => Ok(answer),
        }
    }

    fn delete_out(&self, answer: DeleteResponse) -> Result<DeleteResponse> {
        let kvs = answer.prev_kvs().iter().map(|kv| self.kv_out(kv)).collect::<Result<Vec<_>>>()?;
        Ok(answer.with_prev_kvs(kvs))
    }

    fn op_out(&self, answer: OpResponse) -> Result<OpResponse> {
        Ok(match answer {
            OpResponse::Get(answer) => OpResponse::Get(self.get_out(answer)?),
            OpResponse::Put(answer) => OpResponse::Put(self.put_out(answer)?),
            OpResponse::Delete(answer) => OpResponse::Delete(self.delete_out(answer)?),
            OpResponse::Txn(answer) => OpResponse::Txn(self.txn_out(answer)?),
        })
    }

    fn txn_out(&self, answer: TxnResponse) -> Result<TxnResponse> {
        let (header, succeeded) = (answer.header(), answer.succeeded());
        let answers = answer.into_responses().into_iter().map(|answer| self.op_out(answer));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        Ok(if succeeded {
            TxnResponse::success(header, answers)
        } else {
            TxnResponse::failure(header, answers)
        })
    }

    /// A lease may hold keys of others as well.
    fn time_to_live_out(&self, answer: LeaseTimeToLiveResponse) -> LeaseTimeToLiveResponse {
        let keys: Vec<_> = answer.keys().iter().filter_map(|key| self.key_out(key)).collect();
        answer.with_keys(keys)
    }

    /// What a role may do in the namespace.
    fn role_out(&self, answer: &RoleGetResponse) -> RoleGetResponse {
        let permissions = answer.permissions().iter().filter_map(|granted| {
            let range = self.range_out(&granted.range)?;
            let mut seen = granted.clone();
            seen.range = range;
            Some(seen)
        });
        RoleGetResponse::new(answer.header(), permissions.collect())
    }
}

fn outside() -> Error {
    Error::internal("the server answered with a key from outside of the namespace")
}
