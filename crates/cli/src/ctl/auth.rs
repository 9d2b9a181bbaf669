//! `auth`: switches authentication on and off.

use etcdkit::ServerError;
use etcdkit::proto::etcdserverpb::*;
use etcdkit::proto::method;

use super::session::Session;
use super::{heading, print, refusal};
use crate::command::{Action, Call, Command};
use crate::failure::{Failure, Result};

pub(super) static AUTH: Command = Command {
    usage: "auth",
    short: "Enable or disable authentication. Use `etcdctl auth --help` to see subcommands",
    heading: heading::AUTHENTICATION,
    long: "Enable or disable authentication",
    commands: &[&AUTH_DISABLE, &AUTH_ENABLE, &AUTH_STATUS],
    ..Command::BASE
};

static AUTH_DISABLE: Command = Command {
    usage: "disable",
    short: "Disables authentication",
    action: Action::Run(auth_disable),
    ..Command::BASE
};

static AUTH_ENABLE: Command = Command {
    usage: "enable",
    short: "Enables authentication",
    action: Action::Run(auth_enable),
    ..Command::BASE
};

static AUTH_STATUS: Command = Command {
    usage: "status",
    short: "Returns authentication status",
    action: Action::Run(auth_status),
    ..Command::BASE
};

fn auth_status(call: &mut Call<'_>) -> Result<()> {
    no_arguments(call, "status")?;
    let session = Session::open(call)?;
    let response = session.call(method::auth::STATUS, &AuthStatusRequest {})?;
    session.display.show(call.console, &response, |text| {
        print::line(text, format!("Authentication Status: {}", response.enabled));
        print::line(text, format!("AuthRevision: {}", response.auth_revision));
    })
}

/// Enables authentication. The user root needs the role root for that, and gets it where it hasn't.
fn auth_enable(call: &mut Call<'_>) -> Result<()> {
    no_arguments(call, "enable")?;
    let session = Session::open(call)?;
    let Err(refused) = session.try_call(method::auth::ENABLE, &AuthEnableRequest {}) else {
        return Ok(call.console.line("Authentication Enabled")?);
    };
    if refused.server_error() != Some(ServerError::RootRoleNotExist) {
        return Err(refusal::failure(&refused));
    }
    let role = AuthRoleAddRequest { name: "root".to_owned() };
    if let Err(error) = session.try_call(method::auth::ROLE_ADD, &role)
        && error.server_error() != Some(ServerError::RoleAlreadyExist)
    {
        return Err(refusal::failure(&error));
    }
    let grant = AuthUserGrantRoleRequest { user: "root".to_owned(), role: "root".to_owned() };
    session.call(method::auth::USER_GRANT_ROLE, &grant)?;
    session.call(method::auth::ENABLE, &AuthEnableRequest {})?;
    Ok(call.console.line("Authentication Enabled")?)
}

fn auth_disable(call: &mut Call<'_>) -> Result<()> {
    no_arguments(call, "disable")?;
    let session = Session::open(call)?;
    session.call(method::auth::DISABLE, &AuthDisableRequest {})?;
    Ok(call.console.line("Authentication Disabled")?)
}

fn no_arguments(call: &Call<'_>, name: &str) -> Result<()> {
    if call.arguments.is_empty() {
        return Ok(());
    }
    Err(Failure::bad_arguments(format!("auth {name} command does not accept any arguments")))
}
