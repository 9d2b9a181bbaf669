//! Alarms, and what they keep from happening.

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::request_op::Request;
use etcdkit_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, PutRequest, TxnRequest,
    alarm_request::AlarmAction,
};
use prost::Message as _;

use crate::auth::Who;
use crate::state::{Alarm, State};
use crate::status::Result;
use crate::storage::Bucket;

/// What a put costs beside its key and value.
const PUT: u64 = 256;

pub(super) const fn cost_of_put(request: &PutRequest) -> u64 {
    PUT + request.key.len() as u64 + request.value.len() as u64
}

/// The costs of the more expensive branch; 0 for a transaction that puts nothing.
pub(super) fn cost_of_txn(request: &TxnRequest) -> u64 {
    let cost = |operations: &[etcdkit_proto::etcdserverpb::RequestOp]| {
        let costs = operations.iter().map(|operation| match &operation.request {
            Some(Request::Put(put)) => cost_of_put(put),
            Some(Request::Txn(inner)) => cost_of_txn(inner),
            _ => 0,
        });
        costs.sum::<u64>()
    };
    cost(&request.success).max(cost(&request.failure))
}

impl State {
    /// Whether something of that cost may be written. What costs nothing always may. When there is no room, the alarm is
    /// raised, and stays until somebody clears it.
    pub(super) fn has_space(&mut self, cost: u64) -> Result<(), ServerError> {
        self.not_corrupt()?;
        if cost == 0 {
            return Ok(());
        }
        if self.db_size() + cost >= self.config.quota_backend_bytes {
            self.raise(AlarmType::NoSpace);
        }
        if self.has_alarm(AlarmType::NoSpace) { Err(ServerError::NoSpace) } else { Ok(()) }
    }

    pub(crate) fn not_corrupt(&self) -> Result<(), ServerError> {
        if self.has_alarm(AlarmType::Corrupt) { Err(ServerError::Corrupt) } else { Ok(()) }
    }

    pub(crate) fn has_alarm(&self, kind: AlarmType) -> bool {
        let first = (kind as i32, 0);
        self.alarms.range(first..=(kind as i32, u64::MAX)).next().is_some()
    }

    /// Raises an alarm about this member.
    pub(crate) fn raise(&mut self, kind: AlarmType) {
        self.set_alarm((kind as i32, self.identity.member));
    }

    fn set_alarm(&mut self, alarm: Alarm) {
        if self.alarms.insert(alarm) {
            self.journal.put(Bucket::Alarm, member_of(alarm).encode_to_vec(), Vec::new());
        }
    }

    pub(crate) fn alarm(
        &mut self,
        who: Option<&Who>,
        request: &AlarmRequest,
    ) -> Result<AlarmResponse> {
        let header = Some(self.header_now());
        let (kind, member) = (request.alarm, request.member_id);
        let mut alarms = Vec::new();
        match AlarmAction::from_i32(request.action) {
            Some(AlarmAction::Get) => {
                self.auth.check_user(who)?;
                let wanted = |alarm: &&Alarm| kind == 0 || alarm.0 == kind;
                alarms.extend(self.alarms.iter().filter(wanted).map(|alarm| member_of(*alarm)));
            }
            Some(AlarmAction::Activate) => {
                self.auth.check_root(who)?;
                if kind != AlarmType::None as i32 {
                    self.set_alarm((kind, member));
                    alarms.push(member_of((kind, member)));
                }
            }
            Some(AlarmAction::Deactivate) => {
                self.auth.check_root(who)?;
                if self.alarms.remove(&(kind, member)) {
                    let gone = member_of((kind, member));
                    self.journal.delete(Bucket::Alarm, gone.encode_to_vec());
                    alarms.push(gone);
                }
            }
            None => {}
        }
        Ok(AlarmResponse { header, alarms })
    }
}

const fn member_of((alarm, member_id): Alarm) -> AlarmMember {
    AlarmMember { member_id, alarm }
}
