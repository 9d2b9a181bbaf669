//! Users and roles. Passwords come hashed.

use etcdkit_proto::authpb::Permission;
use etcdkit_proto::etcdserverpb::*;
use prost::Message as _;

use crate::auth::Who;
use crate::lease::Now;
use crate::state::State;
use crate::status::Result;
use crate::storage::Bucket;

impl State {
    pub(crate) fn auth_enable(&mut self, who: Option<&Who>) -> Result<AuthEnableResponse> {
        self.auth.check_root(who)?;
        self.auth.enable()?;
        self.save_auth();
        Ok(AuthEnableResponse { header: Some(self.header_now()) })
    }

    pub(crate) fn auth_disable(&mut self, who: Option<&Who>) -> Result<AuthDisableResponse> {
        self.auth.check_root(who)?;
        if self.auth.disable() {
            self.tokens.clear();
        }
        self.save_auth();
        Ok(AuthDisableResponse { header: Some(self.header_now()) })
    }

    /// Anybody may ask whether a password is needed.
    pub(crate) fn auth_status(&self) -> AuthStatusResponse {
        AuthStatusResponse {
            header: Some(self.header_now()),
            enabled: self.auth.is_enabled(),
            auth_revision: self.auth.revision(),
        }
    }

    /// A token for a user whose password was found right at this revision of the users.
    pub(crate) fn token(&mut self, user: &str, now: Now) -> AuthenticateResponse {
        #[cfg(feature = "jwt")]
        if let Some(jwt) = &self.config.jwt {
            // Keys that could be read can sign.
            let token = jwt.issue(user, self.auth.revision(), now).unwrap_or_default();
            return AuthenticateResponse { header: Some(self.header_now()), token };
        }
        let number = self.index + 1;
        let token = self.tokens.issue(user, number, now, crate::clock::random_below);
        AuthenticateResponse { header: Some(self.header_now()), token }
    }

    pub(crate) fn user_add(
        &mut self,
        who: Option<&Who>,
        name: &str,
        hash: Option<String>,
    ) -> Result<AuthUserAddResponse> {
        self.auth.check_root(who)?;
        self.auth.add_user(name, hash)?;
        self.save_user(name);
        Ok(AuthUserAddResponse { header: Some(self.header_now()) })
    }

    pub(crate) fn user_get(
        &self,
        who: Option<&Who>,
        request: &AuthUserGetRequest,
    ) -> Result<AuthUserGetResponse> {
        // Nobody's name is empty, which is nobody's.
        if who.map_or("", |who| &who.name) != request.name {
            self.auth.check_root(who)?;
        }
        let roles = self.auth.user(&request.name)?.roles.clone();
        Ok(AuthUserGetResponse { header: Some(self.header_now()), roles })
    }

    pub(crate) fn user_list(&self, who: Option<&Who>) -> Result<AuthUserListResponse> {
        self.auth.check_root(who)?;
        let users = self.auth.users().map(|user| text(&user.name)).collect();
        Ok(AuthUserListResponse { header: Some(self.header_now()), users })
    }

    pub(crate) fn user_delete(
        &mut self,
        who: Option<&Who>,
        request: &AuthUserDeleteRequest,
    ) -> Result<AuthUserDeleteResponse> {
        self.auth.check_root(who)?;
        self.auth.delete_user(&request.name)?;
        self.tokens.forget(&request.name);
        self.save_user(&request.name);
        Ok(AuthUserDeleteResponse { header: Some(self.header_now()) })
    }

    pub(crate) fn user_change_password(
        &mut self,
        who: Option<&Who>,
        name: &str,
        hash: String,
    ) -> Result<AuthUserChangePasswordResponse> {
        self.auth.check_root(who)?;
        self.auth.change_password(name, hash)?;
        self.tokens.forget(name);
        self.save_user(name);
        Ok(AuthUserChangePasswordResponse { header: Some(self.header_now()) })
    }

    pub(crate) fn user_grant_role(
        &mut self,
        who: Option<&Who>,
        request: &AuthUserGrantRoleRequest,
    ) -> Result<AuthUserGrantRoleResponse> {
        self.auth.check_root(who)?;
        if self.auth.grant_role(&request.user, &request.role)? {
            self.save_user(&request.user);
        }
        Ok(AuthUserGrantRoleResponse { header: Some(self.header_now()) })
    }

    pub(crate) fn user_revoke_role(
        &mut self,
        who: Option<&Who>,
        request: &AuthUserRevokeRoleRequest,
    ) -> Result<AuthUserRevokeRoleResponse> {
        self.auth.check_root(who)?;
        self.auth.revoke_role(&request.name, &request.role)?;
        self.save_user(&request.name);
        Ok(AuthUserRevokeRoleResponse { header: Some(self.header_now()) })
    }

    pub(crate) fn role_add(
        &mut self,
        who: Option<&Who>,
        request: &AuthRoleAddRequest,
    ) -> Result<AuthRoleAddResponse> {
        self.auth.check_root(who)?;
        self.auth.add_role(&request.name)?;
        self.save_role(&request.name);
        Ok(AuthRoleAddResponse { header: Some(self.header_now()) })
    }

    /// Who has a role may look at it.
    pub(crate) fn role_get(
        &self,
        who: Option<&Who>,
        request: &AuthRoleGetRequest,
    ) -> Result<AuthRoleGetResponse> {
        let own = who.and_then(|who| self.auth.user(&who.name).ok());
        if !own.is_some_and(|user| user.roles.contains(&request.role)) {
            self.auth.check_root(who)?;
        }
        let perm = self.auth.permissions(&request.role)?;
        Ok(AuthRoleGetResponse { header: Some(self.header_now()), perm })
    }

    pub(crate) fn role_list(&self, who: Option<&Who>) -> Result<AuthRoleListResponse> {
        self.auth.check_root(who)?;
        let roles = self.auth.roles().map(|role| text(&role.name)).collect();
        Ok(AuthRoleListResponse { header: Some(self.header_now()), roles })
    }

    pub(crate) fn role_delete(
        &mut self,
        who: Option<&Who>,
        request: &AuthRoleDeleteRequest,
    ) -> Result<AuthRoleDeleteResponse> {
        self.auth.check_root(who)?;
        let had = self.auth.delete_role(&request.role)?;
        for user in had {
            self.tokens.forget(&user);
            self.save_user(&user);
        }
        self.save_role(&request.role);
        Ok(AuthRoleDeleteResponse { header: Some(self.header_now()) })
    }

    pub(crate) fn role_grant_permission(
        &mut self,
        who: Option<&Who>,
        name: &str,
        permission: Option<Permission>,
    ) -> Result<AuthRoleGrantPermissionResponse> {
        self.auth.check_root(who)?;
        self.auth.grant_permission(name, permission)?;
        self.save_role(name);
        Ok(AuthRoleGrantPermissionResponse { header: Some(self.header_now()) })
    }

    pub(crate) fn role_revoke_permission(
        &mut self,
        who: Option<&Who>,
        request: &AuthRoleRevokePermissionRequest,
    ) -> Result<AuthRoleRevokePermissionResponse> {
        self.auth.check_root(who)?;
        self.auth.revoke_permission(&request.role, &request.key, &request.range_end)?;
        self.save_role(&request.role);
        Ok(AuthRoleRevokePermissionResponse { header: Some(self.header_now()) })
    }

    fn save_auth(&mut self) {
        let enabled = u8::from(self.auth.is_enabled());
        self.journal.put(Bucket::Auth, "authEnabled", [enabled]);
        self.journal.put(Bucket::Auth, "authRevision", self.auth.revision().to_be_bytes());
    }

    fn save_user(&mut self, name: &str) {
        match self.auth.user(name) {
            Ok(user) => self.journal.put(Bucket::AuthUsers, name, user.encode_to_vec()),
            Err(_) => self.journal.delete(Bucket::AuthUsers, name),
        }
        self.save_auth();
    }

    fn save_role(&mut self, name: &str) {
        match self.auth.role(name) {
            Ok(role) => self.journal.put(Bucket::AuthRoles, name, role.encode_to_vec()),
            Err(_) => self.journal.delete(Bucket::AuthRoles, name),
        }
        self.save_auth();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
