//! Roles, and what they allow.

use std::fmt;
use std::str::FromStr;

use etcdkit_proto::authpb;
use etcdkit_proto::etcdserverpb::*;
use etcdkit_proto::method::auth;

use super::range::{KeyRange, check_key};
use crate::error::{Error, Result};

/// What a role may do with the keys of a range.
///
/// ```
/// use etcdkit::auth::Permission;
///
/// assert_eq!("ReadWrite".parse::<Permission>()?, Permission::ReadWrite);
/// assert_eq!(Permission::Read.to_string(), "READ");
/// let error = "all".parse::<Permission>().unwrap_err();
/// assert_eq!(error.to_string(), "invalid permission type: all");
/// # Ok::<(), etcdkit::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Read and watch them.
    Read,
    /// Write and delete them.
    Write,
    /// Both.
    ReadWrite,
}

impl Permission {
    pub(crate) fn from_wire(wire: i32) -> Option<Self> {
        Some(match authpb::permission::Type::from_i32(wire)? {
            authpb::permission::Type::Read => Self::Read,
            authpb::permission::Type::Write => Self::Write,
            authpb::permission::Type::ReadWrite => Self::ReadWrite,
        })
    }

    fn wire(self) -> i32 {
        match self {
            Self::Read => authpb::permission::Type::Read,
            Self::Write => authpb::permission::Type::Write,
            Self::ReadWrite => authpb::permission::Type::ReadWrite,
        }
        .into()
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::ReadWrite => "READWRITE",
        })
    }
}

impl FromStr for Permission {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Read, Self::Write, Self::ReadWrite]
            .into_iter()
            .find(|permission| permission.to_string().eq_ignore_ascii_case(text))
            .ok_or_else(|| Error::invalid(format!("invalid permission type: {text}")))
    }
}

/// Adds a role, which allows nothing yet.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleAdd(AuthRoleAddRequest);

impl RoleAdd {
    /// Adds the role `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(AuthRoleAddRequest { name: name.into() })
    }

    /// The role's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

unary!(RoleAdd: AuthRoleAddRequest => AuthRoleAddResponse, auth::ROLE_ADD);

/// Deletes a role, and takes it from all users that have it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleDelete(AuthRoleDeleteRequest);

impl RoleDelete {
    /// Deletes the role `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(AuthRoleDeleteRequest { role: name.into() })
    }

    /// The role's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.role
    }
}

unary!(RoleDelete: AuthRoleDeleteRequest => AuthRoleDeleteResponse, auth::ROLE_DELETE);

/// Asks what a role allows. Everybody may ask for the roles that they have.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleGet(AuthRoleGetRequest);

impl RoleGet {
    /// Asks what the role `name` allows.
    pub fn new(name: impl Into<String>) -> Self {
        Self(AuthRoleGetRequest { role: name.into() })
    }

    /// The role's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.role
    }
}

unary!(RoleGet: AuthRoleGetRequest => AuthRoleGetResponse, auth::ROLE_GET);

/// Asks for the names of all roles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleList(AuthRoleListRequest);

impl RoleList {
    /// Asks for the names of all roles.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

unary!(RoleList: AuthRoleListRequest => AuthRoleListResponse, auth::ROLE_LIST);

/// Allows a role something with the keys of a range. What it was allowed with the very same range before is replaced.
///
/// ```
/// use etcdkit::KeyRange;
/// use etcdkit::auth::{Permission, RoleGrantPermission};
///
/// let grant = RoleGrantPermission::new("jobs", KeyRange::prefix("/jobs/"), Permission::ReadWrite);
/// assert_eq!(grant.key_range(), KeyRange::prefix("/jobs/"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RoleGrantPermission(AuthRoleGrantPermissionRequest);

impl RoleGrantPermission {
    /// Allows `role` to do `permission` with the keys of `range`.
    pub fn new(
        role: impl Into<String>,
        range: impl Into<KeyRange>,
        permission: Permission,
    ) -> Self {
        let (key, range_end) = range.into().into_parts();
        let perm = authpb::Permission { perm_type: permission.wire(), key, range_end };
        Self(AuthRoleGrantPermissionRequest { name: role.into(), perm: Some(perm) })
    }

    /// The role's name.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.0.name
    }

    /// The keys.
    #[must_use]
    pub fn key_range(&self) -> KeyRange {
        let (key, end) = self.0.perm.as_ref().map(|perm| (&perm.key, &perm.range_end)).unzip();
        KeyRange::from_parts(key.cloned().unwrap_or_default(), end.cloned().unwrap_or_default())
    }

    /// Is about the keys of `range` instead: what a layer that moves keys does.
    #[must_use]
    pub fn with_key_range(mut self, range: impl Into<KeyRange>) -> Self {
        if let Some(perm) = &mut self.0.perm {
            (perm.key, perm.range_end) = range.into().into_parts();
        }
        self
    }
}

unary!(
    RoleGrantPermission: AuthRoleGrantPermissionRequest => AuthRoleGrantPermissionResponse,
    auth::ROLE_GRANT_PERMISSION,
    {
        fn check(&self) -> Result<()> {
            check_key(self.key_range().start())
        }
    }
);

/// Takes from a role what it was allowed with a range: the very range that was granted, not a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleRevokePermission(AuthRoleRevokePermissionRequest);

impl RoleRevokePermission {
    /// Takes from `role` what it was allowed with the keys of `range`.
    pub fn new(role: impl Into<String>, range: impl Into<KeyRange>) -> Self {
        let (key, range_end) = range.into().into_parts();
        Self(AuthRoleRevokePermissionRequest { role: role.into(), key, range_end })
    }

    /// The role's name.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.0.role
    }

    /// The keys.
    #[must_use]
    pub fn key_range(&self) -> KeyRange {
        KeyRange::from_parts(self.0.key.clone(), self.0.range_end.clone())
    }

    /// Is about the keys of `range` instead: what a layer that moves keys does.
    #[must_use]
    pub fn with_key_range(mut self, range: impl Into<KeyRange>) -> Self {
        (self.0.key, self.0.range_end) = range.into().into_parts();
        self
    }
}

unary!(
    RoleRevokePermission: AuthRoleRevokePermissionRequest => AuthRoleRevokePermissionResponse,
    auth::ROLE_REVOKE_PERMISSION,
    {
        fn check(&self) -> Result<()> {
            check_key(&self.0.key)
        }
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_by_name() {
        let table = [
            ("read", Some(Permission::Read)),
            ("WRITE", Some(Permission::Write)),
            ("ReadWrite", Some(Permission::ReadWrite)),
            ("rw", None),
            ("", None),
        ];
        for (text, expected) in table {
            let parsed = text.parse::<Permission>();
            assert_eq!(parsed.as_ref().ok(), expected.as_ref(), "{text}");
            if let Err(error) = parsed {
                assert_eq!(error.to_string(), format!("invalid permission type: {text}"));
            }
        }
    }

    #[test]
    fn ranges_go_as_they_are() {
        let table = [
            (KeyRange::key("a"), ("a", "")),
            (KeyRange::prefix("a/"), ("a/", "a0")),
            (KeyRange::from_key("a"), ("a", "\0")),
            (KeyRange::all(), ("\0", "\0")),
        ];
        for (range, (key, end)) in table {
            let grant = RoleGrantPermission::new("r", range.clone(), Permission::Read);
            let wire = grant.0.perm.clone().unwrap();
            assert_eq!((&*wire.key, &*wire.range_end), (key.as_bytes(), end.as_bytes()));
            assert_eq!(grant.key_range(), range);
            let revoke = RoleRevokePermission::new("r", range.clone());
            assert_eq!((&*revoke.0.key, &*revoke.0.range_end), (key.as_bytes(), end.as_bytes()));
            assert_eq!(revoke.key_range(), range);
        }
    }
}
