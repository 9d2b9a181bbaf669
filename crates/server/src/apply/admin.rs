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
use crate::storage::Bucket;

impl State {
    pub(crate) fn status(&self, who: Option<&Who>) -> Result<StatusResponse> {
        self.auth.check_user(who)?;
        let size = i64::try_from(self.db_size()).unwrap_or(i64::MAX);
        let quota = i64::try_from(self.config.quota_backend_bytes).unwrap_or(i64::MAX);
        let name = |kind: i32| AlarmType::from_i32(kind).unwrap_or_default().as_str_name();
        let errors = self.alarms.iter();
        let errors =
            errors.map(|(kind, member)| format!("memberID:{member} alarm:{}", name(*kind)));
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
            downgrade_info: Some(DowngradeInfo {
                enabled: self.downgrade.is_some(),
                target_version: self.downgrade.clone().unwrap_or_default(),
            }),
        })
    }

    /// Checks, announces or takes back that the cluster goes down a version. This server never becomes an older one: the
    /// announcement is all there is.
    pub(crate) fn downgrade(
        &mut self,
        who: Option<&Who>,
        request: &DowngradeRequest,
    ) -> Result<DowngradeResponse> {
        self.auth.check_root(who)?;
        match DowngradeAction::from_i32(request.action) {
            Some(DowngradeAction::Cancel) => self.announce(None),
            Some(DowngradeAction::Enable) => {
                let target = self.downgrade_target(&request.version)?;
                self.announce(Some(target));
            }
            _ => {
                self.downgrade_target(&request.version)?;
            }
        }
        // Major and minor, and no patch.
        let version = CLUSTER_VERSION.rsplit_once('.').map_or(CLUSTER_VERSION, |(minor, _)| minor);
        let version = version.to_owned();
        Ok(DowngradeResponse { header: Some(self.header_now()), version })
    }

    fn downgrade_target(&self, text: &str) -> Result<String, ServerError> {
        let target = version(text).ok_or(ServerError::WrongDowngradeVersionFormat)?;
        let now = version(CLUSTER_VERSION).unwrap_or_default();
        if (target.0, target.1 + 1) != now {
            return Err(ServerError::InvalidDowngradeTargetVersion);
        }
        if self.downgrade.is_some() {
            return Err(ServerError::DowngradeInProcess);
        }
        Ok(format!("{}.{}.0", target.0, target.1))
    }

    fn announce(&mut self, target: Option<String>) {
        self.downgrade = target;
        self.journal.put(Bucket::Cluster, "downgrade", self.saved_downgrade());
    }

    /// The announcement as the bucket `cluster` has it.
    pub(crate) fn saved_downgrade(&self) -> String {
        let target = self.downgrade.as_deref().unwrap_or_default();
        format!(r#"{{"target-version":"{target}","enabled":{}}}"#, self.downgrade.is_some())
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
