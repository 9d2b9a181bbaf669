//! Users, roles and what they may do: the calls of [`Client`] for whoever administers a cluster, with their requests
//! and answers.
//!
//! Nothing is asked of anybody until authentication is turned on, which takes a user `root` with the role `root`. After
//! that, everything in this room takes that role, but for questions about oneself. Every change makes the tokens that
//! are out old; clients of this crate get another one by themselves, as long as their password is still right.
//!
//! Changes are sent once: after [`maybe_applied`](crate::Error::maybe_applied) ask for the state
//! ([`user_get`](Client::user_get), [`role_get`](Client::role_get)) before doing one again.
//!
//! ```no_run
//! # async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
//! use etcdkit::KeyRange;
//! use etcdkit::auth::{Permission, UserAdd};
//!
//! client.role_add("jobs").await?;
//! client.role_grant_permission("jobs", KeyRange::prefix("/jobs/"), Permission::ReadWrite).await?;
//! client.user_add(UserAdd::new("worker", "secret")).await?;
//! client.user_grant_role("worker", "jobs").await?;
//!
//! client.user_add(UserAdd::new("root", "very secret")).await?;
//! client.role_add("root").await?;
//! client.user_grant_role("root", "root").await?;
//! client.auth_enable().await?;
//! # Ok(())
//! # }
//! ```

mod hashed;

use std::future::Future;

use crate::client::Client;
use crate::error::Result;
use crate::request::KeyRange;
use crate::response::HeaderResponse;
use crate::service::Service;

pub use self::hashed::HashedPassword;
pub use crate::request::roles::*;
pub use crate::request::users::*;
pub use crate::response::auth::*;

pub(crate) use self::hashed::{add_user, change_password};

impl<S: Service> Client<S> {
    /// Turns authentication on. Doing so twice is none the worse.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.auth_enable().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without a user `root`, [`Conflict`](crate::ErrorKind::Conflict) if that
    /// user has not the role `root`.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn auth_enable(&self) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(AuthEnable::new())
    }

    /// Turns authentication off. Doing so twice is none the worse.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.auth_disable().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) without the role `root`.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn auth_disable(&self) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(AuthDisable::new())
    }

    /// Whether authentication is on. Since etcd 3.5; since 3.7 nobody has to be a user to ask.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     let status = client.auth_status().await?;
    ///     println!("on: {}, revision {}", status.is_enabled(), status.auth_revision());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) by etcd 3.4.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn auth_status(&self) -> impl Future<Output = Result<AuthStatusResponse>> + Send {
        self.call(AuthStatus::new())
    }

    /// Adds a user: with a password, or without one.
    ///
    /// ```
    /// use etcdkit::auth::UserAdd;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.user_add(UserAdd::new("alice", "secret")).await?;
    ///     client.user_add(UserAdd::without_password("bob")).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if there is such a user,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the name is empty.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn user_add(&self, user: UserAdd) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(user)
    }

    /// Deletes a user.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.user_delete("alice").await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without such a user,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is `root` and authentication is on.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn user_delete(
        &self,
        name: impl Into<String>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(UserDelete::new(name))
    }

    /// Gives a user another password.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.user_change_password("alice", "more secret").await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without such a user.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn user_change_password(
        &self,
        name: impl Into<String>,
        password: impl Into<Password>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(UserChangePassword::new(name, password))
    }

    /// A user's roles. Everybody may ask for their own.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     println!("{:?}", client.user_get("alice").await?.roles());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without such a user.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn user_get(
        &self,
        name: impl Into<String>,
    ) -> impl Future<Output = Result<UserGetResponse>> + Send {
        self.call(UserGet::new(name))
    }

    /// The names of all users.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     println!("{:?}", client.user_list().await?.users());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) without the role `root`.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn user_list(&self) -> impl Future<Output = Result<UserListResponse>> + Send {
        self.call(UserList::new())
    }

    /// Grants a role to a user. Doing so twice is none the worse.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.user_grant_role("alice", "jobs").await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without such a user or role.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn user_grant_role(
        &self,
        user: impl Into<String>,
        role: impl Into<String>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(UserGrantRole::new(user, role))
    }

    /// Takes a role from a user.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.user_revoke_role("alice", "jobs").await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if the user has not got the role,
    /// [`NotFound`](crate::ErrorKind::NotFound) without such a user,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for `root` while authentication is on.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn user_revoke_role(
        &self,
        user: impl Into<String>,
        role: impl Into<String>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(UserRevokeRole::new(user, role))
    }

    /// Adds a role, which allows nothing yet.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.role_add("jobs").await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if there is such a role,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the name is empty.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn role_add(
        &self,
        name: impl Into<String>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(RoleAdd::new(name))
    }

    /// Deletes a role, and takes it from all users.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.role_delete("jobs").await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without such a role,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for `root` while authentication is on.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn role_delete(
        &self,
        name: impl Into<String>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(RoleDelete::new(name))
    }

    /// What a role allows. Everybody may ask for the roles that they have.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     for permission in client.role_get("jobs").await?.permissions() {
    ///         println!("{:?}: {:?}", permission.range, permission.permission);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without such a role.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn role_get(
        &self,
        name: impl Into<String>,
    ) -> impl Future<Output = Result<RoleGetResponse>> + Send {
        self.call(RoleGet::new(name))
    }

    /// The names of all roles.
    ///
    /// ```
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     println!("{:?}", client.role_list().await?.roles());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) without the role `root`.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost by dropping the future.
    pub fn role_list(&self) -> impl Future<Output = Result<RoleListResponse>> + Send {
        self.call(RoleList::new())
    }

    /// Allows a role something with the keys of a range.
    ///
    /// ```
    /// use etcdkit::KeyRange;
    /// use etcdkit::auth::Permission;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.role_grant_permission("jobs", KeyRange::prefix("/jobs/"), Permission::Read).await?;
    ///     client.role_grant_permission("jobs", "/lock", "readwrite".parse()?).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) without such a role.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn role_grant_permission(
        &self,
        role: impl Into<String>,
        range: impl Into<KeyRange>,
        permission: Permission,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(RoleGrantPermission::new(role, range, permission))
    }

    /// Takes from a role what it was allowed with a range: the very range that was granted.
    ///
    /// ```
    /// use etcdkit::KeyRange;
    ///
    /// async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
    ///     client.role_revoke_permission("jobs", KeyRange::prefix("/jobs/")).await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if nothing was granted for that range,
    /// [`NotFound`](crate::ErrorKind::NotFound) without such a role.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the change may or may not be made.
    pub fn role_revoke_permission(
        &self,
        role: impl Into<String>,
        range: impl Into<KeyRange>,
    ) -> impl Future<Output = Result<HeaderResponse>> + Send {
        self.call(RoleRevokePermission::new(role, range))
    }
}
