//! What the server says of users and roles.

use etcdkit_proto::etcdserverpb;

use super::ResponseHeader;
use crate::request::KeyRange;
use crate::request::roles::Permission;

/// Whether authentication is on: the answer to [`AuthStatus`](crate::auth::AuthStatus).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthStatusResponse {
    header: ResponseHeader,
    enabled: bool,
    auth_revision: u64,
}

impl AuthStatusResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, enabled: bool, auth_revision: u64) -> Self {
        Self { header, enabled, auth_revision }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// Whether authentication is on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Grows with every change of users, roles and permissions.
    #[must_use]
    pub fn auth_revision(&self) -> u64 {
        self.auth_revision
    }
}

impl From<etcdserverpb::AuthStatusResponse> for AuthStatusResponse {
    fn from(wire: etcdserverpb::AuthStatusResponse) -> Self {
        Self::new(wire.header.into(), wire.enabled, wire.auth_revision)
    }
}

/// Answers that are a list of names.
macro_rules! names {
    ($($(#[$doc:meta])* $response:ident { $(#[$list:meta])* $names:ident } from $wire:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $response {
            header: ResponseHeader,
            $names: Vec<String>,
        }

        impl $response {
            /// An answer.
            #[must_use]
            pub fn new(header: ResponseHeader, $names: Vec<String>) -> Self {
                Self { header, $names }
            }

            /// Who answered, and when.
            #[must_use]
            pub fn header(&self) -> ResponseHeader {
                self.header
            }

            $(#[$list])*
            #[must_use]
            pub fn $names(&self) -> &[String] {
                &self.$names
            }
        }

        impl From<etcdserverpb::$wire> for $response {
            fn from(wire: etcdserverpb::$wire) -> Self {
                Self::new(wire.header.into(), wire.$names)
            }
        }
    )*};
}

names! {
    /// A user's roles: the answer to [`UserGet`](crate::auth::UserGet).
    UserGetResponse {
        /// The names of the user's roles, sorted.
        roles
    } from AuthUserGetResponse;

    /// The names of all users: the answer to [`UserList`](crate::auth::UserList).
    UserListResponse {
        /// The names, sorted.
        users
    } from AuthUserListResponse;

    /// The names of all roles: the answer to [`RoleList`](crate::auth::RoleList).
    RoleListResponse {
        /// The names, sorted.
        roles
    } from AuthRoleListResponse;
}

/// What a role may do with a range of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RangePermission {
    /// The keys.
    pub range: KeyRange,
    /// What may be done; `None` for what this version of etcdkit does not know.
    pub permission: Option<Permission>,
}

impl RangePermission {
    /// `permission` for the keys of `range`.
    pub fn new(range: impl Into<KeyRange>, permission: Permission) -> Self {
        Self { range: range.into(), permission: Some(permission) }
    }
}

/// What a role allows: the answer to [`RoleGet`](crate::auth::RoleGet).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleGetResponse {
    header: ResponseHeader,
    permissions: Vec<RangePermission>,
}

impl RoleGetResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, permissions: Vec<RangePermission>) -> Self {
        Self { header, permissions }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// What the role allows, sorted by key. The role `root` allows everything, whatever stands here.
    #[must_use]
    pub fn permissions(&self) -> &[RangePermission] {
        &self.permissions
    }
}

impl From<etcdserverpb::AuthRoleGetResponse> for RoleGetResponse {
    fn from(wire: etcdserverpb::AuthRoleGetResponse) -> Self {
        let permissions = wire.perm.into_iter().map(|perm| RangePermission {
            permission: Permission::from_wire(perm.perm_type),
            range: KeyRange::from_parts(perm.key, perm.range_end),
        });
        Self::new(wire.header.into(), permissions.collect())
    }
}
