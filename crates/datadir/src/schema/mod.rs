//! What etcd keeps in its database: the buckets of etcd 3.4 to 3.7, typed.
//!
//! [`Backend`] opens a database and reads the small things at once (term, versions, members); [`KeyRecords`] and
//! [`Typed`] iterate over what may be large (keys by revision, leases, users, roles, alarms). `revision.rs` and
//! `key_value.rs` know the two encodings of the bucket of keys.
//!
//! What a bucket lacks because its etcd was too old is `None` here, not an error. Content that etcd itself would stumble
//! over is an error of kind `Corrupt`.

mod backend;
mod key_value;
mod member;
mod meta;
mod records;
mod revision;
mod typed;
mod version;

pub use backend::Backend;
pub use key_value::KeyValueRef;
pub use member::Member;
pub use meta::{AuthState, ConfState, Downgrade, Meta};
pub use records::{KeyRecord, KeyRecords};
pub use revision::{Revision, RevisionKey};
pub use typed::Typed;
pub use version::Version;

pub(crate) use backend::nested_bucket;
pub(crate) use member::{encode_json, json_string};
pub(crate) use meta::conf_state_json;
pub(crate) use records::record as record_of;

/// The names of etcd's buckets, in the order in which they lie in the file.
pub mod bucket {
    /// Active alarms.
    pub const ALARM: &str = "alarm";
    /// Whether authentication is on, and its revision.
    pub const AUTH: &str = "auth";
    /// Roles with their permissions.
    pub const AUTH_ROLES: &str = "authRoles";
    /// Users with their password hashes.
    pub const AUTH_USERS: &str = "authUsers";
    /// The cluster's version and a downgrade in progress.
    pub const CLUSTER: &str = "cluster";
    /// Every revision of every key.
    pub const KEY: &str = "key";
    /// Leases.
    pub const LEASE: &str = "lease";
    /// Members.
    pub const MEMBERS: &str = "members";
    /// The ids of members that were removed.
    pub const MEMBERS_REMOVED: &str = "members_removed";
    /// How far the log is applied, compaction, versions.
    pub const META: &str = "meta";

    /// All of them.
    pub const ALL: [&str; 10] =
        [ALARM, AUTH, AUTH_ROLES, AUTH_USERS, CLUSTER, KEY, LEASE, MEMBERS, MEMBERS_REMOVED, META];
}
