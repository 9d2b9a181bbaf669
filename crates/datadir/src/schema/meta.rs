//! The small things: how far the log is applied, compaction, versions, authentication.

use serde_json::Value;

use super::{Revision, Version};
use crate::error::{Defect, Error, Result};

/// The bucket `meta`. What is absent is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// The last index of the log that is contained.
    pub consistent_index: Option<u64>,
    /// That index's term. Since etcd 3.5.
    pub term: Option<u64>,
    /// The members that raft counts. Since etcd 3.5.
    pub conf_state: Option<ConfState>,
    /// The version of the storage. Since etcd 3.6, once the whole cluster is that new.
    pub storage_version: Option<Version>,
    /// The revision up to which compaction has removed what it removes.
    pub finished_compact: Option<Revision>,
    /// The revision that compaction was last asked for.
    pub scheduled_compact: Option<Revision>,
}

impl Meta {
    /// The revision below which nothing can be read, which is the later one of the two; `None` before the first
    /// compaction.
    #[must_use]
    pub fn compact_revision(&self) -> Option<i64> {
        let later = self.finished_compact.max(self.scheduled_compact)?;
        Some(later.main)
    }
}

/// The members that raft counts, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfState {
    /// Those that vote.
    pub voters: Vec<u64>,
    /// Those that don't.
    pub learners: Vec<u64>,
    /// Those that vote until a change of members is complete.
    pub voters_outgoing: Vec<u64>,
    /// Those that become learners with it.
    pub learners_next: Vec<u64>,
    /// Whether the change completes by itself.
    pub auto_leave: bool,
}

impl ConfState {
    /// Parses the JSON in `meta`.
    ///
    /// ```
    /// use etcdkit_datadir::schema::ConfState;
    ///
    /// let state = ConfState::decode(br#"{"voters":[10276657743932975437],"auto_leave":false}"#)?;
    /// assert_eq!(state.voters, [0x8e9e05c52164694d]);
    /// # Ok::<(), etcdkit_datadir::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is something else.
    pub fn decode(json: &[u8]) -> Result<Self> {
        let value = parse(json, "no configuration of members")?;
        let ids = |name: &str| match &value[name] {
            Value::Null => Ok(Vec::new()),
            Value::Array(ids) => ids
                .iter()
                .map(Value::as_u64)
                .collect::<Option<Vec<u64>>>()
                .ok_or_else(|| invalid("a member's id is no number")),
            _ => Err(invalid("member ids are no list")),
        };
        Ok(Self {
            voters: ids("voters")?,
            learners: ids("learners")?,
            voters_outgoing: ids("voters_outgoing")?,
            learners_next: ids("learners_next")?,
            auto_leave: value["auto_leave"].as_bool().unwrap_or_default(),
        })
    }
}

/// The form that etcd writes, for voters alone.
pub(crate) fn conf_state_json(voters: &[u64]) -> String {
    let voters: Vec<String> = voters.iter().map(u64::to_string).collect();
    format!("{{\"voters\":[{}],\"auto_leave\":false}}", voters.join(","))
}

/// A downgrade in progress, from the bucket `cluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downgrade {
    /// Whether there is one.
    pub enabled: bool,
    /// The version it goes to; empty when there is none.
    pub target_version: String,
}

impl Downgrade {
    /// Parses the JSON in `cluster`.
    ///
    /// ```
    /// use etcdkit_datadir::schema::Downgrade;
    ///
    /// assert!(Downgrade::decode(br#"{"target-version":"3.5.0","enabled":true}"#)?.enabled);
    /// # Ok::<(), etcdkit_datadir::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is something else.
    pub fn decode(json: &[u8]) -> Result<Self> {
        let value = parse(json, "no downgrade")?;
        Ok(Self {
            enabled: value["enabled"].as_bool().unwrap_or_default(),
            target_version: value["target-version"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

/// The bucket `auth`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthState {
    /// Whether authentication is on.
    pub enabled: bool,
    /// Counts changes of users and roles; 0 where etcd never ran.
    pub revision: u64,
}

fn parse(json: &[u8], what: &str) -> Result<Value> {
    let value: Value =
        serde_json::from_slice(json).map_err(|error| invalid(what).caused_by(error))?;
    if value.is_object() { Ok(value) } else { Err(invalid(what)) }
}

pub(super) fn invalid(what: &str) -> Error {
    Error::corrupt(Defect::InvalidMessage, what.to_owned())
}
