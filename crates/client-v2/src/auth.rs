//! Users, roles, and whether they matter.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::answer;
use crate::client::Client;
use crate::error::Result;
use crate::members::{json, list, request, segment, written};

/// Authentication of a cluster, as seen by a [`Client`].
///
/// ```no_run
/// # async fn example(client: etcdkit_v2::Client) -> etcdkit_v2::Result<()> {
/// use etcdkit_v2::{Client, Permissions};
///
/// let auth = client.auth();
/// auth.add_user("root", "secret").await?;
/// auth.enable().await?;
///
/// let root = Client::builder().endpoints(client.endpoints()).user("root", "secret").build()?;
/// root.auth().add_role("hosts").await?;
/// root.auth().grant_permissions("hosts", &Permissions::new().read_write("/hosts/*")).await?;
/// # Ok(())
/// # }
/// ```
///
/// Dropping the future of a call aborts it, see [`Client`](crate::Client#cancellation); a change may have been made
/// nonetheless.
#[derive(Clone, Debug)]
pub struct Auth {
    client: Client,
}

/// A user and the roles that it has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    #[serde(rename = "user")]
    name: String,
    #[serde(default, deserialize_with = "list")]
    roles: Vec<RoleName>,
}

/// A role's name: by itself, or out of the whole role, which other versions send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum RoleName {
    Name(String),
    Role { role: String },
}

impl User {
    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the user's roles.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(|role| match role {
            RoleName::Name(name) | RoleName::Role { role: name } => name.as_str(),
        })
    }
}

/// A role and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Role {
    #[serde(rename = "role")]
    name: String,
    #[serde(default)]
    permissions: Permissions,
}

impl Role {
    /// The role's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may do.
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }
}

/// Which keys may be read, and which written. A key with `*` at its end stands for all that begin so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "it is given to `Auth::grant_permissions`"]
pub struct Permissions {
    #[serde(default)]
    kv: KeyPermissions,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KeyPermissions {
    #[serde(default, deserialize_with = "list")]
    read: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    write: Vec<String>,
}

impl Permissions {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// And to read `key`.
    pub fn read(mut self, key: impl Into<String>) -> Self {
        self.kv.read.push(key.into());
        self
    }

    /// And to write `key`.
    pub fn write(mut self, key: impl Into<String>) -> Self {
        self.kv.write.push(key.into());
        self
    }

    /// And to read and write `key`.
    pub fn read_write(self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.read(key.clone()).write(key)
    }

    /// The keys that may be read.
    #[must_use]
    pub fn readable(&self) -> &[String] {
        &self.kv.read
    }

    /// The keys that may be written.
    #[must_use]
    pub fn writable(&self) -> &[String] {
        &self.kv.write
    }
}

#[derive(Deserialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Deserialize)]
struct Users {
    #[serde(default, deserialize_with = "list")]
    users: Vec<User>,
}

#[derive(Deserialize)]
struct Roles {
    #[serde(default, deserialize_with = "list")]
    roles: Vec<Role>,
}

#[derive(Default, Serialize)]
struct UserChange<'a> {
    user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grant: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revoke: Vec<String>,
}

#[derive(Default, Serialize)]
struct RoleChange<'a> {
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a Permissions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<&'a Permissions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke: Option<&'a Permissions>,
}

const ENABLE: &str = "/v2/auth/enable";

impl Auth {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Whether authentication is on.
    ///
    /// # Errors
    ///
    /// No endpoint could serve the call.
    pub async fn is_enabled(&self) -> Result<bool> {
        let answer = self.client.call(&request(Method::GET, ENABLE)).await?;
        Ok(answer::json::<Enabled>(&answer, &[200])?.enabled)
    }

    /// Switches authentication on: there has to be a user `root`. Others than that user may then do what the role
    /// `guest` may, which is everything unless it is changed.
    ///
    /// # Errors
    ///
    /// There is no user `root`, or authentication is on already.
    pub async fn enable(&self) -> Result<()> {
        let answer = self.client.call(&request(Method::PUT, ENABLE)).await?;
        answer::check(&answer, &[200])
    }

    /// Switches authentication off.
    ///
    /// # Errors
    ///
    /// The caller is not `root`, or it is off already.
    pub async fn disable(&self) -> Result<()> {
        let answer = self.client.call(&request(Method::DELETE, ENABLE)).await?;
        answer::check(&answer, &[200])
    }

    /// Every user.
    ///
    /// # Errors
    ///
    /// See [`Error`](crate::Error).
    pub async fn users(&self) -> Result<Vec<User>> {
        let answer = self.client.call(&request(Method::GET, "/v2/auth/users")).await?;
        Ok(answer::json::<Users>(&answer, &[200])?.users)
    }

    /// One user.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such user.
    pub async fn user(&self, name: &str) -> Result<User> {
        let answer = self.client.call(&request(Method::GET, &user_path(name)?)).await?;
        answer::json(&answer, &[200])
    }

    /// Adds a user. etcd does not object if there is one: its password is changed then.
    ///
    /// # Errors
    ///
    /// See [`Error`](crate::Error).
    pub async fn add_user(&self, name: &str, password: &str) -> Result<()> {
        self.change_user(UserChange { user: name, password: Some(password), ..Default::default() })
            .await
            .map(drop)
    }

    /// Gives a user another password.
    ///
    /// # Errors
    ///
    /// See [`Error`](crate::Error).
    pub async fn change_password(&self, name: &str, password: &str) -> Result<User> {
        self.change_user(UserChange { user: name, password: Some(password), ..Default::default() })
            .await
    }

    /// Gives roles to a user.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such user,
    /// [`Conflict`](crate::ErrorKind::Conflict) if it has one of the roles already.
    pub async fn grant_roles<I>(&self, name: &str, roles: I) -> Result<User>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let grant = roles.into_iter().map(Into::into).collect();
        self.change_user(UserChange { user: name, grant, ..Default::default() }).await
    }

    /// Takes roles from a user.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such user,
    /// [`Conflict`](crate::ErrorKind::Conflict) if it does not have one of the roles.
    pub async fn revoke_roles<I>(&self, name: &str, roles: I) -> Result<User>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let revoke = roles.into_iter().map(Into::into).collect();
        self.change_user(UserChange { user: name, revoke, ..Default::default() }).await
    }

    /// Removes a user.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such user.
    pub async fn remove_user(&self, name: &str) -> Result<()> {
        let answer = self.client.call(&request(Method::DELETE, &user_path(name)?)).await?;
        answer::check(&answer, &[200, 204])
    }

    /// Every role.
    ///
    /// # Errors
    ///
    /// See [`Error`](crate::Error).
    pub async fn roles(&self) -> Result<Vec<Role>> {
        let answer = self.client.call(&request(Method::GET, "/v2/auth/roles")).await?;
        Ok(answer::json::<Roles>(&answer, &[200])?.roles)
    }

    /// One role.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such role.
    pub async fn role(&self, name: &str) -> Result<Role> {
        let answer = self.client.call(&request(Method::GET, &role_path(name)?)).await?;
        answer::json(&answer, &[200])
    }

    /// Adds a role without permissions.
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::ErrorKind::Conflict) if there is such a role.
    pub async fn add_role(&self, name: &str) -> Result<()> {
        let permissions = Permissions::new();
        let change =
            RoleChange { role: name, permissions: Some(&permissions), ..Default::default() };
        self.change_role(change).await.map(drop)
    }

    /// Gives permissions to a role.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such role,
    /// [`Conflict`](crate::ErrorKind::Conflict) if it has one of the permissions already.
    pub async fn grant_permissions(&self, name: &str, permissions: &Permissions) -> Result<Role> {
        self.change_role(RoleChange { role: name, grant: Some(permissions), ..Default::default() })
            .await
    }

    /// Takes permissions from a role.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such role,
    /// [`Conflict`](crate::ErrorKind::Conflict) if it does not have one of the permissions.
    pub async fn revoke_permissions(&self, name: &str, permissions: &Permissions) -> Result<Role> {
        self.change_role(RoleChange { role: name, revoke: Some(permissions), ..Default::default() })
            .await
    }

    /// Removes a role.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such role.
    pub async fn remove_role(&self, name: &str) -> Result<()> {
        let answer = self.client.call(&request(Method::DELETE, &role_path(name)?)).await?;
        answer::check(&answer, &[200, 204])
    }

    async fn change_user(&self, change: UserChange<'_>) -> Result<User> {
        let mut outgoing = json(Method::PUT, &user_path(change.user)?, &change)?;
        if change.password.is_some() {
            let shown = UserChange { password: Some("***"), ..change };
            outgoing.shown = serde_json::to_string(&shown).ok();
        }
        written(&self.client.call(&outgoing).await?, &[200, 201])
    }

    async fn change_role(&self, change: RoleChange<'_>) -> Result<Role> {
        let outgoing = json(Method::PUT, &role_path(change.role)?, &change)?;
        written(&self.client.call(&outgoing).await?, &[200, 201])
    }
}

fn user_path(name: &str) -> Result<String> {
    segment("/v2/auth/users/", name)
}

fn role_path(name: &str) -> Result<String> {
    segment("/v2/auth/roles/", name)
}
