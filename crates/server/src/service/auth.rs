//! The requests about users that take a hash.

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::{
    AuthUserAddRequest, AuthUserAddResponse, AuthUserChangePasswordRequest,
    AuthUserChangePasswordResponse, AuthenticateRequest, AuthenticateResponse,
};

use crate::base64;
use crate::caller::Caller;
use crate::node::Node;
use crate::status::Result;

/// Exchanges a password for a token. When users change while it is verified, it is verified again.
pub(super) async fn authenticate(
    node: &Node,
    request: AuthenticateRequest,
) -> Result<AuthenticateResponse> {
    loop {
        let (hash, revision) = {
            let state = node.state();
            (state.auth.password(&request.name)?, state.auth.revision())
        };
        if !node.passwords.verify(request.password.clone(), hash).await? {
            return Err(ServerError::AuthFailed.into());
        }
        let now = node.now();
        let token = node.write(|state| {
            let same = state.auth.is_enabled() && state.auth.revision() == revision;
            Ok(same.then(|| state.token(&request.name, now)))
        });
        if let Some(response) = token.await? {
            return Ok(response);
        }
    }
}

/// Who may not add users is told so before anything is hashed. A hash in the request is not looked at, as in etcd: only a
/// change of the password takes one.
pub(super) async fn user_add(
    node: &Node,
    caller: &Caller,
    request: AuthUserAddRequest,
) -> Result<AuthUserAddResponse> {
    node.read_as(caller, |state, who| Ok(state.auth.check_root(who)?)).await?;
    let without = request.options.as_ref().is_some_and(|options| options.no_password);
    let hash = match request.password {
        _ if without => None,
        text => Some(node.passwords.hash(text, node.config.bcrypt_cost).await?),
    };
    node.write_as(caller, |state, who| state.user_add(who, &request.name, hash)).await
}

pub(super) async fn change_password(
    node: &Node,
    caller: &Caller,
    request: AuthUserChangePasswordRequest,
) -> Result<AuthUserChangePasswordResponse> {
    node.read_as(caller, |state, who| Ok(state.auth.check_root(who)?)).await?;
    let hash = if request.hashed_password.is_empty() {
        node.passwords.hash(request.password, node.config.bcrypt_cost).await?
    } else {
        read_hash(&request.hashed_password)?
    };
    node.write_as(caller, |state, who| state.user_change_password(who, &request.name, hash)).await
}

/// The hash of a password, as a request has it. What is none fits no password later.
fn read_hash(hashed: &str) -> Result<String> {
    let hash = base64::decode(hashed).and_then(|bytes| String::from_utf8(bytes).ok());
    hash.ok_or_else(|| ServerError::NoPasswordUser.into())
}
