//! `user`

use etcdkit::proto::authpb::UserAddOptions;
use etcdkit::proto::etcdserverpb::*;
use etcdkit::proto::method;

use super::print::Format;
use super::print::fields::{Fields, Writer};
use super::session::Session;
use super::{heading, print, role};
use crate::command::{Action, Call, Command, Flag};
use crate::console::Console;
use crate::failure::{Failure, Result};

pub(super) static USER: Command = Command {
    usage: "user",
    short: "User related commands. Use `etcdctl user --help` to see subcommands",
    heading: heading::AUTHENTICATION,
    long: "User related commands",
    commands: &[
        &USER_ADD,
        &USER_DELETE,
        &USER_GET,
        &USER_GRANT_ROLE,
        &USER_LIST,
        &USER_PASSWD,
        &USER_REVOKE_ROLE,
    ],
    ..Command::BASE
};

static USER_ADD: Command = Command {
    usage: "add <user name or user:password> [options]",
    short: "Adds a new user",
    flags: &[
        Flag::bool("interactive", "Read password from stdin instead of interactive terminal")
            .default("true"),
        Flag::text("new-user-password", "", "Supply password from the command line flag"),
        Flag::bool("no-password", "Create a user without password (CN based auth only)"),
    ],
    action: Action::Run(user_add),
    ..Command::BASE
};

static USER_DELETE: Command = Command {
    usage: "delete <user name>",
    short: "Deletes a user",
    action: Action::Run(user_delete),
    ..Command::BASE
};

static USER_GET: Command = Command {
    usage: "get <user name> [options]",
    short: "Gets detailed information of a user",
    flags: &[Flag::bool("detail", "Show permissions of roles granted to the user")],
    action: Action::Run(user_get),
    ..Command::BASE
};

static USER_GRANT_ROLE: Command = Command {
    usage: "grant-role <user name> <role name>",
    short: "Grants a role to a user",
    action: Action::Run(user_grant_role),
    ..Command::BASE
};

static USER_LIST: Command = Command {
    usage: "list",
    short: "Lists all users",
    action: Action::Run(user_list),
    ..Command::BASE
};

static USER_PASSWD: Command = Command {
    usage: "passwd <user name> [options]",
    short: "Changes password of user",
    flags: &[Flag::bool(
        "interactive",
        "If true, read password from stdin instead of interactive terminal",
    )
    .default("true")],
    action: Action::Run(user_passwd),
    ..Command::BASE
};

static USER_REVOKE_ROLE: Command = Command {
    usage: "revoke-role <user name> <role name>",
    short: "Revokes a role from a user",
    action: Action::Run(user_revoke_role),
    ..Command::BASE
};

fn user_add(call: &mut Call<'_>) -> Result<()> {
    let given = user_name(call, "add")?;
    let session = Session::open(call)?;
    let no_password = call.flags.bool("no-password");
    let flag = call.flags.text("new-user-password");
    let (name, password) = if no_password {
        (given, String::new())
    } else if !flag.is_empty() {
        (given, flag)
    } else if let Some((name, password)) = given.split_once(':') {
        if name.is_empty() {
            return Err(Failure::bad_arguments("empty user name is not allowed"));
        }
        (name.to_owned(), password.to_owned())
    } else {
        let password = read_password(call, &given)?;
        (given, password)
    };
    let request = AuthUserAddRequest {
        name: name.clone(),
        password,
        options: Some(UserAddOptions { no_password }),
        ..AuthUserAddRequest::default()
    };
    let response = session.call(method::auth::USER_ADD, &request)?;
    session.display.show(call.console, &response, |text| {
        print::line(text, format!("User {name} created"));
    })
}

fn user_delete(call: &mut Call<'_>) -> Result<()> {
    let name = user_name(call, "delete")?;
    let session = Session::open(call)?;
    let request = AuthUserDeleteRequest { name: name.clone() };
    let response = session.call(method::auth::USER_DELETE, &request)?;
    session.display.show(call.console, &response, |text| {
        print::line(text, format!("User {name} deleted"));
    })
}

fn user_get(call: &mut Call<'_>) -> Result<()> {
    let name = user_name(call, "get")?;
    let session = Session::open(call)?;
    let request = AuthUserGetRequest { name: name.clone() };
    let response = session.call(method::auth::USER_GET, &request)?;
    if call.flags.bool("detail") {
        call.console.line(format!("User: {name}"))?;
        for role in &response.roles {
            call.console.print("\n")?;
            role::show_role(&session, call, role)?;
        }
        return Ok(());
    }
    session.display.show(call.console, &response, |text| {
        print::line(text, format!("User: {name}"));
        let roles: String = response.roles.iter().map(|role| format!(" {role}")).collect();
        print::line(text, format!("Roles:{roles}"));
    })
}

fn user_list(call: &mut Call<'_>) -> Result<()> {
    if !call.arguments.is_empty() {
        return Err(Failure::bad_arguments("user list command requires no arguments"));
    }
    let session = Session::open(call)?;
    let response = session.call(method::auth::USER_LIST, &AuthUserListRequest {})?;
    session.display.show(call.console, &response, |text| {
        for user in &response.users {
            print::line(text, user);
        }
    })
}

fn user_passwd(call: &mut Call<'_>) -> Result<()> {
    let name = user_name(call, "passwd")?;
    let session = Session::open(call)?;
    let password = read_password(call, &name)?;
    let request = AuthUserChangePasswordRequest {
        name,
        password,
        ..AuthUserChangePasswordRequest::default()
    };
    let response = session.call(method::auth::USER_CHANGE_PASSWORD, &request)?;
    session.display.show(call.console, &response, |text| print::line(text, "Password updated"))
}

fn user_grant_role(call: &mut Call<'_>) -> Result<()> {
    let [user, role] = call.texts().try_into().map_err(|_| {
        Failure::bad_arguments(
            "user grant command requires user name and role name as its argument",
        )
    })?;
    let session = Session::open(call)?;
    let request = AuthUserGrantRoleRequest { user: user.clone(), role: role.clone() };
    let response = session.call(method::auth::USER_GRANT_ROLE, &request)?;
    session.display.show(call.console, &response, |text| {
        print::line(text, format!("Role {role} is granted to user {user}"));
    })
}

fn user_revoke_role(call: &mut Call<'_>) -> Result<()> {
    let [name, role] = call.texts().try_into().map_err(|_| {
        Failure::bad_arguments("user revoke-role requires user name and role name as its argument")
    })?;
    let session = Session::open(call)?;
    let request = AuthUserRevokeRoleRequest { name: name.clone(), role: role.clone() };
    let response = session.call(method::auth::USER_REVOKE_ROLE, &request)?;
    session.display.show(call.console, &response, |text| {
        print::line(text, format!("Role {role} is revoked from user {name}"));
    })
}

fn user_name(call: &Call<'_>, command: &str) -> Result<String> {
    let [name] = call.texts().try_into().map_err(|_| {
        Failure::bad_arguments(format!("user {command} command requires user name as its argument"))
    })?;
    Ok(name)
}

/// Asks for a password twice, or reads it as it comes.
fn read_password(call: &mut Call<'_>, user: &str) -> Result<String> {
    let console: &mut Console = call.console;
    if !call.flags.bool("interactive") {
        return Ok(console.read_line());
    }
    let first = console.ask_secret(&format!("Password of {user}: "))?;
    if first.is_empty() {
        return Err(Failure::bad_arguments("empty password"));
    }
    let again = console.ask_secret(&format!("Type password of {user} again for confirmation: "))?;
    if first != again {
        return Err(Failure::bad_arguments("given passwords are different"));
    }
    Ok(first)
}

macro_rules! no_fields {
    ($($message:ty)*) => {
        $(impl Fields for $message {
            fn fields(&self, _: &mut Writer) -> Result<()> {
                Err(print::unsupported(Format::Fields))
            }
        })*
    };
}

no_fields!(AuthUserListResponse AuthUserGetResponse);
