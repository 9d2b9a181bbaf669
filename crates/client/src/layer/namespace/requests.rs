//! Requests on their way into a namespace. Without I/O.

use super::prefix::Prefix;
use crate::error::{Error, Result};
use crate::request::election::{Campaign, Leader, Observe, Proclaim, Resign};
use crate::request::lock::{Lock, Unlock};
use crate::request::roles::{RoleGrantPermission, RoleRevokePermission};
use crate::request::{AnyRequest, AnyStreamRequest, Compare, Delete, Get, Op, Put, Txn, Watch};
use crate::response::election::LeaderKey;

impl Prefix {
    /// The request as the cluster is to see it.
    pub(super) fn request_in(&self, request: AnyRequest) -> Result<AnyRequest> {
        use AnyRequest as R;
        Ok(match request {
            R::Get(get) => R::Get(self.get_in(get)?),
            R::Put(put) => R::Put(self.put_in(put)?),
            R::Delete(delete) => R::Delete(self.delete_in(delete)?),
            R::Txn(txn) => R::Txn(self.txn_in(&txn)?),
            R::Op(op) => R::Op(self.op_in(op)?),
            R::Lock(lock) => R::Lock(self.lock_in(lock)),
            R::Unlock(unlock) => {
                let key = self.key_in(unlock.key())?;
                R::Unlock(Unlock::with_key(unlock, key))
            }
            R::Campaign(campaign) => {
                let name = self.join(campaign.name());
                R::Campaign(Campaign::with_name(campaign, name))
            }
            R::Proclaim(proclaim) => {
                let leader = self.leader_in(proclaim.leader())?;
                R::Proclaim(Proclaim::with_leader(proclaim, leader))
            }
            R::Resign(resign) => R::Resign(Resign::new(self.leader_in(resign.leader())?)),
            R::Leader(leader) => {
                let name = self.join(leader.name());
                R::Leader(Leader::with_name(leader, name))
            }
            R::RoleGrantPermission(grant) => {
                let range = self.range_in(&grant.key_range())?;
                R::RoleGrantPermission(RoleGrantPermission::with_key_range(grant, range))
            }
            R::RoleRevokePermission(revoke) => {
                let range = self.range_in(&revoke.key_range())?;
                R::RoleRevokePermission(RoleRevokePermission::with_key_range(revoke, range))
            }
            // Revisions, leases, users and members belong to all. What an answer tells of keys is cut on its way out,
            // and the keys of a lease are looked at before it is revoked.
            request @ (R::Compact(_)
            | R::LeaseGrant(_)
            | R::LeaseRevoke(_)
            | R::LeaseTimeToLive(_)
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
            | R::RoleGet(_)
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
            | R::Health(_)) => request,
        })
    }

    /// The stream as the cluster is to open it.
    pub(super) fn stream_in(&self, request: AnyStreamRequest) -> Result<AnyStreamRequest> {
        use AnyStreamRequest as R;
        Ok(match request {
            R::GetStream(stream) => R::GetStream(self.get_in(Get::from(stream))?.streamed()),
            R::Watch(watch) => {
                let range = self.range_in(&watch.key_range())?;
                R::Watch(Watch::with_key_range(watch, range))
            }
            R::Observe(observe) => {
                let name = self.join(observe.name());
                R::Observe(Observe::with_name(observe, name))
            }
            R::KeepAlive(keep_alive) => R::KeepAlive(keep_alive),
            R::Snapshot(_) if !self.is_empty() => {
                return Err(Error::unsupported(
                    "a snapshot holds the keys of all namespaces: take it with a client that has none",
                ));
            }
            R::Snapshot(snapshot) => R::Snapshot(snapshot),
        })
    }

    fn get_in(&self, get: Get) -> Result<Get> {
        let range = self.range_in(&get.key_range())?;
        Ok(get.with_key_range(range))
    }

    fn put_in(&self, put: Put) -> Result<Put> {
        let key = self.key_in(put.key())?;
        Ok(put.with_key(key))
    }

    fn delete_in(&self, delete: Delete) -> Result<Delete> {
        let range = self.range_in(&delete.key_range())?;
        Ok(delete.with_key_range(range))
    }

    fn lock_in(&self, lock: Lock) -> Lock {
        let name = self.join(lock.name());
        lock.with_name(name)
    }

    fn leader_in(&self, leader: LeaderKey) -> Result<LeaderKey> {
        let (name, key) = (self.join(leader.name()), self.key_in(leader.key())?);
        Ok(leader.with_keys(name, key))
    }

    fn op_in(&self, op: Op) -> Result<Op> {
        Ok(match op {
            Op::Get(get) => Op::Get(self.get_in(get)?),
            Op::Put(put) => Op::Put(self.put_in(put)?),
            Op::Delete(delete) => Op::Delete(self.delete_in(delete)?),
            Op::Txn(txn) => Op::Txn(self.txn_in(&txn)?),
        })
    }

    fn txn_in(&self, txn: &Txn) -> Result<Txn> {
        let compares = each("when", txn.compares(), |compare| {
            let range = self.range_in(&compare.key_range())?;
            Ok(Compare::with_key_range(compare, range))
        })?;
        let success = each("then", txn.success(), |op| self.op_in(op))?;
        let failure = each("or_else", txn.failure(), |op| self.op_in(op))?;
        Ok(Txn::new().when(compares).then(success).or_else(failure))
    }
}

/// Moves each part of a transaction; an error says which one it is about.
fn each<T>(
    list: &str,
    parts: impl Iterator<Item = T>,
    mut move_in: impl FnMut(T) -> Result<T>,
) -> Result<Vec<T>> {
    parts
        .enumerate()
        .map(|(index, part)| {
            move_in(part).map_err(|error| Error::invalid(format!("{list}[{index}]: {error}")))
        })
        .collect()
}
