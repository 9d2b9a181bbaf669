//! The care of members, one by one mostly.

use etcdkit_proto::etcdserverpb::*;
use etcdkit_proto::grpc_health_v1::{HealthCheckRequest, HealthCheckResponse};
use etcdkit_proto::method::{Class, Patience, health, maintenance};

use crate::response::cluster::MemberId;
use crate::response::maintenance::RaisedAlarm;
use crate::revision::Revision;
use crate::version::Version;

/// Asks a member how it is. Learners answer too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status(StatusRequest);

impl Status {
    /// Asks a member how it is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

unary!(Status: StatusRequest => StatusResponse, maintenance::STATUS, {
    fn serializable(&self) -> bool {
        true
    }
});

/// Lists, clears or raises alarms.
///
/// ```
/// use etcdkit::maintenance::{Alarm, AlarmKind, RaisedAlarm};
///
/// let raised = RaisedAlarm::new(7, AlarmKind::NoSpace);
/// assert_ne!(Alarm::list(), Alarm::disarm(raised));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm(AlarmRequest);

impl Alarm {
    /// Lists the alarms of all members.
    #[must_use]
    pub fn list() -> Self {
        Self(AlarmRequest::default())
    }

    /// Clears an alarm. What raised it should be mended before.
    #[must_use]
    pub fn disarm(alarm: RaisedAlarm) -> Self {
        Self::about(alarm, alarm_request::AlarmAction::Deactivate)
    }

    /// Raises an alarm by hand: with [`NoSpace`](crate::maintenance::AlarmKind::NoSpace) the cluster takes no more
    /// writes, with [`Corrupt`](crate::maintenance::AlarmKind::Corrupt) it serves no keys at all.
    #[must_use]
    pub fn activate(alarm: RaisedAlarm) -> Self {
        Self::about(alarm, alarm_request::AlarmAction::Activate)
    }

    fn about(alarm: RaisedAlarm, action: alarm_request::AlarmAction) -> Self {
        Self(AlarmRequest {
            action: action.into(),
            member_id: alarm.member.get(),
            alarm: alarm.kind.wire(),
        })
    }

    fn only_lists(&self) -> bool {
        self.0.action == i32::from(alarm_request::AlarmAction::Get)
    }
}

unary!(Alarm: AlarmRequest => AlarmResponse, maintenance::ALARM, {
    fn class(&self) -> Class {
        if self.only_lists() { Class::Read } else { maintenance::ALARM.class() }
    }

    fn patience(&self) -> Patience {
        if self.only_lists() { Patience::Read } else { maintenance::ALARM.patience() }
    }
});

/// Has a member rewrite its backend, so that what was compacted leaves the disk. It serves nothing meanwhile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defragment(DefragmentRequest);

impl Defragment {
    /// Has a member rewrite its backend.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

unary!(Defragment: DefragmentRequest => DefragmentResponse, maintenance::DEFRAGMENT);

/// Has a member hash its whole backend. For tests: other than those of [`HashKv`], hashes of healthy members differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hash(HashRequest);

impl Hash {
    /// Has a member hash its whole backend.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

unary!(Hash: HashRequest => HashResponse, maintenance::HASH);

/// Has a member hash its keys, with their history since the last compaction. At the same revision and with the same
/// compaction, all members answer the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HashKv(HashKvRequest);

impl HashKv {
    /// Hashes what there is now.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes what there was at `revision`.
    #[must_use]
    pub fn at_revision(mut self, revision: impl Into<Revision>) -> Self {
        self.0.revision = revision.into().get();
        self
    }

    /// The revision; [`Revision::NONE`] for the newest.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision::new(self.0.revision)
    }
}

unary!(HashKv: HashKvRequest => HashKvResponse, maintenance::HASH_KV);

/// Hands the leadership over to another member.
///
/// Only the leader can do that. A channel finds it, unless the call names an endpoint
/// ([`CallOptions::endpoint`](crate::CallOptions::endpoint)): then that one is asked and has to be the leader.
#[derive(Clone, Debug, PartialEq)]
pub struct MoveLeader(MoveLeaderRequest);

impl MoveLeader {
    /// Has the member `id` lead.
    pub fn to(id: impl Into<MemberId>) -> Self {
        Self(MoveLeaderRequest { target_id: id.into().get() })
    }

    /// The member that is to lead.
    #[must_use]
    pub fn member(&self) -> MemberId {
        MemberId::new(self.0.target_id)
    }
}

unary!(MoveLeader: MoveLeaderRequest => MoveLeaderResponse, maintenance::MOVE_LEADER);

/// Prepares the cluster for members of the minor version before its own, or stops doing so. Since etcd 3.5, and
/// complete since 3.6.
///
/// ```
/// use etcdkit::maintenance::{Downgrade, Version};
///
/// let version = Version::new(3, 6, 0);
/// assert_ne!(Downgrade::validate(version), Downgrade::enable(version));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Downgrade(DowngradeRequest);

impl Downgrade {
    /// Asks whether the cluster could go down to `version`.
    #[must_use]
    pub fn validate(version: Version) -> Self {
        Self::act(downgrade_request::DowngradeAction::Validate, version.to_string())
    }

    /// Starts going down to `version`: its members may be replaced one by one then.
    #[must_use]
    pub fn enable(version: Version) -> Self {
        Self::act(downgrade_request::DowngradeAction::Enable, version.to_string())
    }

    /// Stops what [`enable`](Self::enable) started.
    #[must_use]
    pub fn cancel() -> Self {
        Self::act(downgrade_request::DowngradeAction::Cancel, String::new())
    }

    fn act(action: downgrade_request::DowngradeAction, version: String) -> Self {
        Self(DowngradeRequest { action: action.into(), version })
    }
}

unary!(Downgrade: DowngradeRequest => DowngradeResponse, maintenance::DOWNGRADE, {
    fn class(&self) -> Class {
        let validates = i32::from(downgrade_request::DowngradeAction::Validate);
        if self.0.action == validates { Class::Read } else { maintenance::DOWNGRADE.class() }
    }
});

/// Asks a server whether it serves: gRPC's standard health check, which needs no user and no quorum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health(HealthCheckRequest);

impl Health {
    /// Asks about the server as a whole, the only thing that etcd before 3.6 knows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks about one gRPC service of the server.
    pub fn of_service(service: impl Into<String>) -> Self {
        Self(HealthCheckRequest { service: service.into() })
    }
}

unary!(Health: HealthCheckRequest => HealthCheckResponse, health::CHECK);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::maintenance::AlarmKind;
    use crate::transport::Unary;

    #[test]
    fn what_only_reads_is_a_read() {
        let alarm = RaisedAlarm::new(7, AlarmKind::Corrupt);
        let version = Version::new(3, 5, 0);
        let table = [
            (Alarm::list().class(), Class::Read),
            (Alarm::disarm(alarm).class(), Class::Write),
            (Alarm::activate(alarm).class(), Class::Write),
            (Downgrade::validate(version).class(), Class::Read),
            (Downgrade::enable(version).class(), Class::Write),
            (Downgrade::cancel().class(), Class::Write),
            (Defragment::new().class(), Class::Write),
            (MoveLeader::to(7).class(), Class::Repeatable),
        ];
        for (index, (class, expected)) in table.into_iter().enumerate() {
            assert_eq!(class, expected, "row {index}");
        }
        assert_eq!(Alarm::list().patience(), Patience::Read);
        assert_eq!(Alarm::disarm(alarm).patience(), Patience::Admin);
        let wire = AlarmRequest { action: 2, member_id: 7, alarm: 2 };
        assert_eq!(Alarm::disarm(alarm).wire(), &wire);
    }
}
