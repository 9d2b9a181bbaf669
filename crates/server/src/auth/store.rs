//! Users and roles.

use std::collections::BTreeMap;
use std::sync::Arc;

use etcdkit_proto::ServerError;
use etcdkit_proto::authpb::{Permission, Role, User, UserAddOptions, permission};

use super::permission::{cover, is_valid};
use crate::mvcc::KeyRange;

/// The name of the user and of the role that may do everything.
pub(crate) const ROOT: &str = "root";

type Result<T, E = ServerError> = std::result::Result<T, E>;

/// Who asks, as far as it is proven, and the state of the users that the proof is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) name: Arc<str>,
    pub(crate) revision: u64,
}

/// What is to be done with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// All users and roles, and whether they matter.
#[derive(Debug)]
pub(crate) struct Auth {
    enabled: bool,
    revision: u64,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
}

impl Default for Auth {
    fn default() -> Self {
        Self { enabled: false, revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }
}

impl Auth {
    pub(crate) const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Counts the changes of users and roles, from 1.
    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    pub(crate) fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    /// Takes over what a file says.
    pub(crate) fn load(&mut self, enabled: Option<bool>, revision: Option<u64>) {
        self.enabled = enabled.unwrap_or(self.enabled);
        self.revision = revision.unwrap_or(self.revision);
    }

    pub(crate) fn load_user(&mut self, user: User) {
        self.users.insert(text(&user.name), user);
    }

    pub(crate) fn load_role(&mut self, role: Role) {
        self.roles.insert(text(&role.name), role);
    }

    pub(crate) fn enable(&mut self) -> Result<()> {
        if self.enabled {
            return Ok(());
        }
        let root = self.users.get(ROOT).ok_or(ServerError::RootUserNotExist)?;
        if !has_root_role(root) {
            return Err(ServerError::RootRoleNotExist);
        }
        self.enabled = true;
        Ok(())
    }

    /// Whether it was on.
    pub(crate) const fn disable(&mut self) -> bool {
        let was = self.enabled;
        if was {
            self.enabled = false;
            self.revision += 1;
        }
        was
    }

    pub(crate) fn user(&self, name: &str) -> Result<&User> {
        self.users.get(name).ok_or(ServerError::UserNotFound)
    }

    /// Adds a user. `hash` is `None` for one who has no password.
    pub(crate) fn add_user(&mut self, name: &str, hash: Option<String>) -> Result<()> {
        if name.is_empty() {
            return Err(ServerError::UserEmpty);
        }
        if self.users.contains_key(name) {
            return Err(ServerError::UserAlreadyExist);
        }
        let options = UserAddOptions { no_password: hash.is_none() };
        let user = User {
            name: name.as_bytes().to_vec().into(),
            password: hash.unwrap_or_default().into_bytes().into(),
            options: Some(options),
            ..User::default()
        };
        self.users.insert(name.to_owned(), user);
        self.revision += 1;
        Ok(())
    }

    pub(crate) fn delete_user(&mut self, name: &str) -> Result<()> {
        if self.enabled && name == ROOT {
            return Err(ServerError::InvalidAuthManagement);
        }
        self.users.remove(name).ok_or(ServerError::UserNotFound)?;
        self.revision += 1;
        Ok(())
    }

    pub(crate) fn change_password(&mut self, name: &str, hash: String) -> Result<()> {
        let user = self.users.get_mut(name).ok_or(ServerError::UserNotFound)?;
        user.password = hash.into_bytes().into();
        self.revision += 1;
        Ok(())
    }

    /// Whether that changed anything: a role that the user has already is no change.
    pub(crate) fn grant_role(&mut self, name: &str, role: &str) -> Result<bool> {
        let user = self.users.get_mut(name).ok_or(ServerError::UserNotFound)?;
        if role != ROOT && !self.roles.contains_key(role) {
            return Err(ServerError::RoleNotFound);
        }
        let Err(place) = user.roles.binary_search_by(|have| have.as_str().cmp(role)) else {
            return Ok(false);
        };
        user.roles.insert(place, role.to_owned());
        self.revision += 1;
        Ok(true)
    }

    pub(crate) fn revoke_role(&mut self, name: &str, role: &str) -> Result<()> {
        if self.enabled && name == ROOT && role == ROOT {
            return Err(ServerError::InvalidAuthManagement);
        }
        let user = self.users.get_mut(name).ok_or(ServerError::UserNotFound)?;
        let place = user.roles.iter().position(|have| have == role);
        user.roles.remove(place.ok_or(ServerError::RoleNotGranted)?);
        self.revision += 1;
        Ok(())
    }

    pub(crate) fn add_role(&mut self, name: &str) -> Result<()> {
        if name.is_empty() {
            return Err(ServerError::RoleEmpty);
        }
        if self.roles.contains_key(name) {
            return Err(ServerError::RoleAlreadyExist);
        }
        let role = Role { name: name.as_bytes().to_vec().into(), ..Role::default() };
        self.roles.insert(name.to_owned(), role);
        self.revision += 1;
        Ok(())
    }

    pub(crate) fn role(&self, name: &str) -> Result<&Role> {
        self.roles.get(name).ok_or(ServerError::RoleNotFound)
    }

    /// The permissions to show for a role. The role root may do everything, which nobody granted it.
    pub(crate) fn permissions(&self, name: &str) -> Result<Vec<Permission>> {
        let role = self.role(name)?;
        if name != ROOT {
            return Ok(role.key_permission.clone());
        }
        let mut all = Permission { range_end: vec![0].into(), ..Permission::default() };
        all.set_perm_type(permission::Type::ReadWrite);
        Ok(vec![all])
    }

    /// Deletes a role. Returns the users that had it.
    pub(crate) fn delete_role(&mut self, name: &str) -> Result<Vec<String>> {
        if self.enabled && name == ROOT {
            return Err(ServerError::InvalidAuthManagement);
        }
        self.roles.remove(name).ok_or(ServerError::RoleNotFound)?;
        let mut had = Vec::new();
        for (user_name, user) in &mut self.users {
            let before = user.roles.len();
            user.roles.retain(|role| role != name);
            if user.roles.len() < before {
                had.push(user_name.clone());
            }
        }
        self.revision += 1;
        Ok(had)
    }

    pub(crate) fn grant_permission(
        &mut self,
        name: &str,
        permission: Option<Permission>,
    ) -> Result<()> {
        let permission = permission.ok_or(ServerError::PermissionNotGiven)?;
        if !is_valid(&permission) {
            return Err(ServerError::InvalidAuthManagement);
        }
        let role = self.roles.get_mut(name).ok_or(ServerError::RoleNotFound)?;
        let granted = &mut role.key_permission;
        // Of several with the same first key, etcd looks at the first one only.
        let place = granted.partition_point(|have| have.key < permission.key);
        match granted.get_mut(place) {
            Some(have) if have.key == permission.key && have.range_end == permission.range_end => {
                have.perm_type = permission.perm_type;
            }
            _ => {
                let after = granted.partition_point(|have| have.key <= permission.key);
                granted.insert(after, permission);
            }
        }
        self.revision += 1;
        Ok(())
    }

    pub(crate) fn revoke_permission(&mut self, name: &str, key: &[u8], end: &[u8]) -> Result<()> {
        let role = self.roles.get_mut(name).ok_or(ServerError::RoleNotFound)?;
        let before = role.key_permission.len();
        role.key_permission.retain(|have| have.key != key || have.range_end != end);
        if role.key_permission.len() == before {
            return Err(ServerError::PermissionNotGranted);
        }
        self.revision += 1;
        Ok(())
    }

    /// Whether who asks may have that access to all keys of a range.
    pub(crate) fn check(&self, who: Option<&Who>, access: Access, range: &KeyRange) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let user = self.asks(who)?.ok_or(ServerError::PermissionDenied)?;
        if has_root_role(user) {
            return Ok(());
        }
        let roles = user.roles.iter().filter_map(|role| self.roles.get(role));
        let permissions = roles.flat_map(|role| &role.key_permission);
        if cover(permissions, access, range) { Ok(()) } else { Err(ServerError::PermissionDenied) }
    }

    /// Whether who asks is known at all.
    pub(crate) fn check_user(&self, who: Option<&Who>) -> Result<()> {
        if self.enabled { self.asks(who).map(drop) } else { Ok(()) }
    }

    /// Whether who asks may do everything.
    pub(crate) fn check_root(&self, who: Option<&Who>) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let who = who.ok_or(ServerError::UserEmpty)?;
        match self.users.get(&*who.name) {
            Some(user) if has_root_role(user) => Ok(()),
            _ => Err(ServerError::PermissionDenied),
        }
    }

    /// The user who asks, with proof of the present state.
    fn asks(&self, who: Option<&Who>) -> Result<Option<&User>> {
        let who = who.ok_or(ServerError::UserEmpty)?;
        if who.revision < self.revision {
            return Err(ServerError::AuthOldRevision);
        }
        Ok(self.users.get(&*who.name))
    }

    /// What a password is to be compared with.
    pub(crate) fn password(&self, name: &str) -> Result<String> {
        if !self.enabled {
            return Err(ServerError::AuthNotEnabled);
        }
        let user = self.users.get(name).ok_or(ServerError::AuthFailed)?;
        if user.options.as_ref().is_some_and(|options| options.no_password) {
            return Err(ServerError::NoPasswordUser);
        }
        Ok(text(&user.password))
    }
}

pub(crate) fn has_root_role(user: &User) -> bool {
    user.roles.iter().any(|role| role == ROOT)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
