//! Users, and whether anybody has to be one.

use std::fmt;

use etcdkit_proto::authpb::UserAddOptions;
use etcdkit_proto::etcdserverpb::*;
use etcdkit_proto::method::auth;

use crate::auth::HashedPassword;

/// A password. `Debug` shows that there is one, and never what it is.
///
/// ```
/// use etcdkit::auth::Password;
///
/// assert_eq!(format!("{:?}", Password::new("secret")), "***");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }
}

impl<P: Into<String>> From<P> for Password {
    fn from(password: P) -> Self {
        Self::new(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Turns authentication on: from then on, whoever calls needs a token or a certificate.
///
/// There has to be a user `root` with the role `root`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthEnable(AuthEnableRequest);

impl AuthEnable {
    /// Turns authentication on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

unary!(AuthEnable: AuthEnableRequest => AuthEnableResponse, auth::ENABLE);

/// Turns authentication off: from then on, everybody may do everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthDisable(AuthDisableRequest);

impl AuthDisable {
    /// Turns authentication off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

unary!(AuthDisable: AuthDisableRequest => AuthDisableResponse, auth::DISABLE);

/// Asks whether authentication is on. Since etcd 3.5.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthStatus(AuthStatusRequest);

impl AuthStatus {
    /// Asks whether authentication is on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

unary!(AuthStatus: AuthStatusRequest => AuthStatusResponse, auth::STATUS);

/// Adds a user.
///
/// ```
/// use etcdkit::auth::UserAdd;
///
/// let alice = UserAdd::new("alice", "secret");
/// assert_eq!(alice.name(), "alice");
/// assert!(!format!("{alice:?}").contains("secret"));
/// assert!(UserAdd::without_password("bob").has_no_password());
/// ```
///
/// etcd's API also has a field for a password that somebody else hashed. No etcd from 3.4 to 3.7 takes it when a user is
/// added: each hashes the *other* field in its place, and the user ends up with an empty password. So
/// [`with_hashed_password`](Self::with_hashed_password) is sent as two calls.
#[derive(Clone, Debug, PartialEq)]
pub struct UserAdd(AuthUserAddRequest);

impl UserAdd {
    /// A user with a password.
    pub fn new(name: impl Into<String>, password: impl Into<Password>) -> Self {
        let Password(password) = password.into();
        Self(AuthUserAddRequest { name: name.into(), password, ..AuthUserAddRequest::default() })
    }

    /// A user that has no password, and can prove itself only by a client certificate with its name as common name.
    /// Since etcd 3.4.
    pub fn without_password(name: impl Into<String>) -> Self {
        let options = Some(UserAddOptions { no_password: true });
        Self(AuthUserAddRequest { name: name.into(), options, ..AuthUserAddRequest::default() })
    }

    /// A user with a password of which only the hash is known here. Since etcd 3.5.
    ///
    /// The user is added with a password that nobody knows, which is changed to the hashed one at once. If the second
    /// call fails, the error says that it [may be applied](crate::Error::maybe_applied): then the user may exist, and
    /// only [changing the password](UserChangePassword::with_hashed_password) lets somebody in.
    ///
    /// A member of 3.4 would set the *empty* password, so a member is asked for its version first, and an older one is
    /// [`Unsupported`](crate::ErrorKind::Unsupported). Don't mix it with [`Client::raw`](crate::Client::raw), which asks
    /// nobody.
    pub fn with_hashed_password(name: impl Into<String>, hash: HashedPassword) -> Self {
        let (name, hashed_password) = (name.into(), hash.into_wire());
        Self(AuthUserAddRequest { name, hashed_password, ..AuthUserAddRequest::default() })
    }

    /// The change that sets the hashed password, if there is one.
    pub(crate) fn hashed(&self) -> Option<UserChangePassword> {
        let AuthUserAddRequest { name, hashed_password, .. } = &self.0;
        (!hashed_password.is_empty()).then(|| {
            UserChangePassword(AuthUserChangePasswordRequest {
                name: name.clone(),
                hashed_password: hashed_password.clone(),
                ..AuthUserChangePasswordRequest::default()
            })
        })
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the user has no password, not even an empty one.
    #[must_use]
    pub fn has_no_password(&self) -> bool {
        self.0.options.as_ref().is_some_and(|options| options.no_password)
    }
}

unary!(UserAdd: AuthUserAddRequest => AuthUserAddResponse, auth::USER_ADD);

/// Deletes a user. Its tokens are worth nothing from then on.
#[derive(Clone, Debug, PartialEq)]
pub struct UserDelete(AuthUserDeleteRequest);

impl UserDelete {
    /// Deletes the user `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(AuthUserDeleteRequest { name: name.into() })
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

unary!(UserDelete: AuthUserDeleteRequest => AuthUserDeleteResponse, auth::USER_DELETE);

/// Gives a user another password. Its tokens are worth nothing from then on.
#[derive(Clone, Debug, PartialEq)]
pub struct UserChangePassword(AuthUserChangePasswordRequest);

impl UserChangePassword {
    /// Gives the user `name` the password `password`.
    pub fn new(name: impl Into<String>, password: impl Into<Password>) -> Self {
        let Password(password) = password.into();
        Self(AuthUserChangePasswordRequest {
            name: name.into(),
            password,
            ..AuthUserChangePasswordRequest::default()
        })
    }

    /// Gives the user `name` the password of which this is the hash. Since etcd 3.5; see
    /// [`UserAdd::with_hashed_password`] for what older members would do, and why one is asked for its version first.
    pub fn with_hashed_password(name: impl Into<String>, hash: HashedPassword) -> Self {
        let (name, hashed_password) = (name.into(), hash.into_wire());
        let password = String::new();
        Self(AuthUserChangePasswordRequest { name, password, hashed_password })
    }

    /// Whether it sets a hash.
    pub(crate) fn is_hashed(&self) -> bool {
        !self.0.hashed_password.is_empty()
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

unary!(
    UserChangePassword: AuthUserChangePasswordRequest => AuthUserChangePasswordResponse,
    auth::USER_CHANGE_PASSWORD
);

/// Asks for a user's roles. Everybody may ask for their own.
#[derive(Clone, Debug, PartialEq)]
pub struct UserGet(AuthUserGetRequest);

impl UserGet {
    /// Asks for the roles of the user `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(AuthUserGetRequest { name: name.into() })
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

unary!(UserGet: AuthUserGetRequest => AuthUserGetResponse, auth::USER_GET);

/// Asks for the names of all users.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserList(AuthUserListRequest);

impl UserList {
    /// Asks for the names of all users.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

unary!(UserList: AuthUserListRequest => AuthUserListResponse, auth::USER_LIST);

/// Grants a role to a user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserGrantRole(AuthUserGrantRoleRequest);

impl UserGrantRole {
    /// Grants `role` to `user`.
    pub fn new(user: impl Into<String>, role: impl Into<String>) -> Self {
        Self(AuthUserGrantRoleRequest { user: user.into(), role: role.into() })
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// The role's name.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.0.role
    }
}

unary!(UserGrantRole: AuthUserGrantRoleRequest => AuthUserGrantRoleResponse, auth::USER_GRANT_ROLE);

/// Takes a role from a user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserRevokeRole(AuthUserRevokeRoleRequest);

impl UserRevokeRole {
    /// Takes `role` from `user`.
    pub fn new(user: impl Into<String>, role: impl Into<String>) -> Self {
        Self(AuthUserRevokeRoleRequest { name: user.into(), role: role.into() })
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.0.name
    }

    /// The role's name.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.0.role
    }
}

unary!(
    UserRevokeRole: AuthUserRevokeRoleRequest => AuthUserRevokeRoleResponse,
    auth::USER_REVOKE_ROLE
);
