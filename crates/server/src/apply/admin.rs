//! What there is to know of the member.

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::downgrade_request::DowngradeAction;
use etcdkit_proto::etcdserverpb::{
    AlarmType, DowngradeInfo, DowngradeRequest, DowngradeResponse, StatusResponse,
};

use crate::auth::Who;
use crate::config::{CLUSTER_VERSION, STORAGE_VERSION, VERSION};
use crate::state::State;
use crate::status::Result;

impl State {
    pub(crate) fn status(&self, who: Option<&Who>) -> Result<StatusResponse> {
        self.auth.check_user(who)?;
        let size = i64::try_from(self.db_size()).unwrap_or(i64::MAX);
        let quota = i64::try_from(self.config.quota_backend_bytes).unwrap_or(i64::MAX);
        let name = |kind: i32| AlarmType::from_i32(kind).unwrap_or_default().as_str_name();
        let errors = self.alarms.iter();
        let errors =
            errors.map(|(kind, member)| format!("memberID:{member} alarm:{} ", name(*kind)));
        Ok(StatusResponse {
            header: Some(self.header_now()),
            version: VERSION.to_owned(),
            db_size: size,
            db_size_in_use: size,
            leader: self.identity.member,
            raft_index: self.index,
            raft_applied_index: self.index,
            raft_term: self.term,
            errors: errors.collect(),
            is_learner: false,
            storage_version: STORAGE_VERSION.to_owned(),
            db_size_quota: quota,
            downgrade_info: Some(DowngradeInfo::default()),
        })
    }

    /// A member alone never goes down a version: nothing else is checked than what etcd checks first.
    pub(crate) fn downgrade(
        &self,
        who: Option<&Who>,
        request: &DowngradeRequest,
    ) -> Result<DowngradeResponse> {
        self.auth.check_root(who)?;
        match DowngradeAction::from_i32(request.action) {
            Some(DowngradeAction::Cancel) => Err(ServerError::NoInflightDowngrade.into()),
            _ => {
                let target =
                    version(&request.version).ok_or(ServerError::WrongDowngradeVersionFormat)?;
                let now = version(CLUSTER_VERSION).unwrap_or_default();
                if (target.0, target.1 + 1) != (now.0, now.1) {
                    return Err(ServerError::InvalidDowngradeTargetVersion.into());
                }
                let action = DowngradeAction::from_i32(request.action);
                if action == Some(DowngradeAction::Enable) {
                    return Err(ServerError::NotCapable.into());
                }
                let version = CLUSTER_VERSION.to_owned();
                Ok(DowngradeResponse { header: Some(self.header_now()), version })
            }
        }
    }
}

/// Major and minor of `3.6` or `3.6.0`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    if let Some(patch) = parts.next() {
        patch.parse::<u32>().ok()?;
    }
    parts.next().is_none().then_some((major, minor))
}
