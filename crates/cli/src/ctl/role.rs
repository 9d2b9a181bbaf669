//! `role`: what the users of a role may do.

use bytes::Bytes;
use etcdkit::prefix_end;
use etcdkit::proto::authpb::Permission;
use etcdkit::proto::authpb::permission::Type;
use etcdkit::proto::etcdserverpb::*;
use etcdkit::proto::method;

use super::print::fields::{Fields, Writer};
use super::session::Session;
use super::{heading, print};
use crate::command::{Action, Call, Command, Flag, Values};
use crate::failure::{Failure, Result};

pub(super) static ROLE: Command = Command {
    usage: "role",
    short: "Role related commands. Use `etcdctl role --help` to see subcommands",
    heading: heading::AUTHENTICATION,
    long: "Role related commands",
    commands: &[
        &ROLE_ADD,
        &ROLE_DELETE,
        &ROLE_GET,
        &ROLE_GRANT_PERMISSION,
        &ROLE_LIST,
        &ROLE_REVOKE_PERMISSION,
    ],
    ..Command::BASE
};

static ROLE_ADD: Command = Command {
    usage: "add <role name>",
    short: "Adds a new role",
    action: Action::Run(role_add),
    ..Command::BASE
};

static ROLE_DELETE: Command = Command {
    usage: "delete <role name>",
    short: "Deletes a role",
    action: Action::Run(role_delete),
    ..Command::BASE
};

static ROLE_GET: Command = Command {
    usage: "get <role name>",
    short: "Gets detailed information of a role",
    action: Action::Run(role_get),
    ..Command::BASE
};

static ROLE_GRANT_PERMISSION: Command = Command {
    usage: "grant-permission [options] <role name> <permission type> <key> [endkey]",
    short: "Grants a key to a role",
    flags: &[
        Flag::bool(
            "from-key",
            "grant a permission of keys that are greater than or equal to the given key using byte compare",
        ),
        Flag::bool("prefix", "grant a prefix permission"),
    ],
    action: Action::Run(role_grant_permission),
    ..Command::BASE
};

static ROLE_LIST: Command = Command {
    usage: "list",
    short: "Lists all roles",
    action: Action::Run(role_list),
    ..Command::BASE
};

static ROLE_REVOKE_PERMISSION: Command = Command {
    usage: "revoke-permission <role name> <key> [endkey]",
    short: "Revokes a key from a role",
    flags: &[
        Flag::bool(
            "from-key",
            "revoke a permission of keys that are greater than or equal to the given key using byte compare",
        ),
        Flag::bool("prefix", "revoke a prefix permission"),
    ],
    action: Action::Run(role_revoke_permission),
    ..Command::BASE
};

/// What a range without an end has for one.
const OPEN_END: &[u8] = &[0];

fn role_add(call: &mut Call<'_>) -> Result<()> {
    let name = role_name(call, "add")?;
    let session = Session::open(call)?;
    let request = AuthRoleAddRequest { name: name.clone() };
    let response = session.call(method::auth::ROLE_ADD, &request)?;
    session.display.show(call.console, &response, |text| {
        print::line(text, format!("Role {name} created"));
    })
}

fn role_delete(call: &mut Call<'_>) -> Result<()> {
    let role = role_name(call, "delete")?;
    let session = Session::open(call)?;
    let request = AuthRoleDeleteRequest { role: role.clone() };
    let response = session.call(method::auth::ROLE_DELETE, &request)?;
    session.display.show(call.console, &response, |text| {
        print::line(text, format!("Role {role} deleted"));
    })
}

fn role_get(call: &mut Call<'_>) -> Result<()> {
    let role = role_name(call, "get")?;
    let session = Session::open(call)?;
    show_role(&session, call, &role)
}

/// Prints the permissions of a role.
pub(super) fn show_role(session: &Session, call: &mut Call<'_>, role: &str) -> Result<()> {
    let request = AuthRoleGetRequest { role: role.to_owned() };
    let response = session.call(method::auth::ROLE_GET, &request)?;
    session.display.show(call.console, &response, |text| {
        print::line(text, format!("Role {role}"));
        for (heading, other) in [("KV Read:", Type::Read), ("KV Write:", Type::Write)] {
            print::line(text, heading);
            for permission in &response.perm {
                if permission.perm_type() == other || permission.perm_type() == Type::ReadWrite {
                    let mut line = b"\t".to_vec();
                    line.extend_from_slice(&range_of(permission));
                    print::line(text, line);
                }
            }
        }
    })
}

/// The keys of a permission, as one reads them.
fn range_of(permission: &Permission) -> Vec<u8> {
    let (key, end) = (&permission.key, &permission.range_end);
    let mut text = Vec::new();
    if end.is_empty() {
        text.extend_from_slice(key);
        return text;
    }
    text.push(b'[');
    text.extend_from_slice(key);
    text.extend_from_slice(b", ");
    if end.as_ref() == OPEN_END {
        text.extend_from_slice(b"<open ended>");
        return text;
    }
    text.extend_from_slice(end);
    text.push(b')');
    if *end == prefix_end(key) {
        text.extend_from_slice(b" (prefix ");
        text.extend_from_slice(key);
        text.push(b')');
    }
    text
}

fn role_list(call: &mut Call<'_>) -> Result<()> {
    if !call.arguments.is_empty() {
        return Err(Failure::bad_arguments("role list command requires no arguments"));
    }
    let session = Session::open(call)?;
    let response = session.call(method::auth::ROLE_LIST, &AuthRoleListRequest {})?;
    session.display.show(call.console, &response, |text| {
        for role in &response.roles {
            print::line(text, role);
        }
    })
}

fn role_grant_permission(call: &mut Call<'_>) -> Result<()> {
    let [name, kind, keys @ ..] = call.arguments.as_slice() else {
        return Err(grant_arguments());
    };
    if keys.is_empty() {
        return Err(grant_arguments());
    }
    let kind = String::from_utf8_lossy(kind);
    let kind = match kind.to_uppercase().as_str() {
        "READ" => Type::Read,
        "WRITE" => Type::Write,
        "READWRITE" => Type::ReadWrite,
        _ => return Err(Failure::bad_arguments(format!("invalid permission type: {kind}"))),
    };
    let (key, range_end) = range(&call.flags, keys)?;
    let mut permission = Permission { key, range_end, ..Permission::default() };
    permission.set_perm_type(kind);
    let name = String::from_utf8_lossy(name).into_owned();
    let session = Session::open(call)?;
    let request = AuthRoleGrantPermissionRequest { name: name.clone(), perm: Some(permission) };
    let response = session.call(method::auth::ROLE_GRANT_PERMISSION, &request)?;
    session.display.show(call.console, &response, |text| {
        print::line(text, format!("Role {name} updated"));
    })
}

fn grant_arguments() -> Failure {
    Failure::bad_arguments(
        "role grant command requires role name, permission type, and key [endkey] as its argument",
    )
}

fn role_revoke_permission(call: &mut Call<'_>) -> Result<()> {
    let [role, keys @ ..] = call.arguments.as_slice() else {
        return Err(revoke_arguments());
    };
    if keys.is_empty() {
        return Err(revoke_arguments());
    }
    let (key, range_end) = range(&call.flags, keys)?;
    let shown_key = keys[0].clone();
    let role = String::from_utf8_lossy(role).into_owned();
    let session = Session::open(call)?;
    let request =
        AuthRoleRevokePermissionRequest { role: role.clone(), key, range_end: range_end.clone() };
    let response = session.call(method::auth::ROLE_REVOKE_PERMISSION, &request)?;
    session.display.show(call.console, &response, |text| {
        let mut line = b"Permission of ".to_vec();
        if range_end.is_empty() {
            line.extend_from_slice(b"key ");
            line.extend_from_slice(&shown_key);
        } else {
            line.extend_from_slice(b"range [");
            line.extend_from_slice(&shown_key);
            line.extend_from_slice(b", ");
            if range_end == OPEN_END {
                line.extend_from_slice(b"<open ended>");
            } else {
                line.extend_from_slice(&range_end);
                line.push(b')');
            }
        }
        line.extend_from_slice(format!(" is revoked from role {role}").as_bytes());
        print::line(text, line);
    })
}

fn revoke_arguments() -> Failure {
    Failure::bad_arguments(
        "role revoke-permission command requires role name and key [endkey] as its argument",
    )
}

/// The keys that a permission is about.
fn range(flags: &Values, keys: &[Vec<u8>]) -> Result<(Bytes, Bytes)> {
    let (prefix, from_key) = (flags.bool("prefix"), flags.bool("from-key"));
    let key = Bytes::from(keys[0].clone());
    let end = keys.get(1);
    if prefix && from_key {
        return Err(Failure::bad_arguments("--from-key and --prefix flags are mutually exclusive"));
    }
    for (flag, name) in [(prefix, "prefix"), (from_key, "from-key")] {
        if flag && end.is_some() {
            return Err(Failure::bad_arguments(format!(
                "unexpected endkey argument with --{name} flag"
            )));
        }
    }
    // etcd stores no empty key.
    let or_first = |key: Bytes| if key.is_empty() { Bytes::from_static(OPEN_END) } else { key };
    Ok(match end {
        Some(end) => (or_first(key), Bytes::from(end.clone())),
        None if from_key || prefix && key.is_empty() => {
            (or_first(key), Bytes::from_static(OPEN_END))
        }
        None if prefix => {
            let end = prefix_end(&key);
            (key, end)
        }
        None => (or_first(key), Bytes::new()),
    })
}

impl Fields for AuthRoleListResponse {
    fn fields(&self, writer: &mut Writer) -> Result<()> {
        writer.header(self.header.as_ref());
        let roles: String = self.roles.iter().map(|role| format!(" \"{role}\"")).collect();
        writer.field("Roles", roles.trim_start());
        Ok(())
    }
}

impl Fields for AuthRoleGetResponse {
    fn fields(&self, writer: &mut Writer) -> Result<()> {
        writer.header(self.header.as_ref());
        for permission in &self.perm {
            writer.field("PermType", format_args!(" {}", permission.perm_type().as_str_name()));
            writer.quoted("Key", &permission.key);
            writer.quoted("RangeEnd", &permission.range_end);
        }
        Ok(())
    }
}

fn role_name(call: &Call<'_>, command: &str) -> Result<String> {
    let [name] = call.texts().try_into().map_err(|_| {
        Failure::bad_arguments(format!("role {command} command requires role name as its argument"))
    })?;
    Ok(name)
}
