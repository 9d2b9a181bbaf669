//! The flags of all commands, which the environment sets too.

use std::collections::BTreeMap;

use crate::command::{Call, Flag, Kind};
use crate::failure::{Failure, Result, exit};
use crate::notation::duration;

/// The flags. They are left out of every help; `options` lists them.
pub(crate) const FLAGS: &[Flag] = &[
    Flag::text("auth-jwt-token", "", "JWT token used for authentication (if this option is used, --user and --password should not be set)").hidden(),
    Flag::text("cacert", "", "verify certificates of TLS-enabled secure servers using this CA bundle").hidden(),
    Flag::text("cert", "", "identify secure client using this TLS certificate file").hidden(),
    Flag::duration("command-timeout", "5s", "timeout for short running command (excluding dial timeout)").hidden(),
    Flag::bool("debug", "enable client-side debug logging").hidden(),
    Flag::duration("dial-timeout", "2s", "dial timeout for client connections").hidden(),
    Flag::text("discovery-srv", "", "domain name to query for SRV records describing cluster endpoints").short(b'd').hidden(),
    Flag::text("discovery-srv-name", "", "service name to query when using DNS discovery").hidden(),
    Flag::list("endpoints", "127.0.0.1:2379", "gRPC endpoints").hidden(),
    Flag::bool("hex", "print byte strings as hex encoded strings").hidden(),
    Flag::bool("insecure-discovery", "accept insecure SRV records describing cluster endpoints").default("true").hidden(),
    Flag::bool("insecure-skip-tls-verify", "skip server certificate verification (CAUTION: this option should be enabled only for testing purposes)").hidden(),
    Flag::bool("insecure-transport", "disable transport security for client connections").default("true").hidden(),
    Flag::duration("keepalive-time", "2s", "keepalive time for client connections").hidden(),
    Flag::duration("keepalive-timeout", "6s", "keepalive timeout for client connections").hidden(),
    Flag::text("key", "", "identify secure client using this TLS key file").hidden(),
    Flag::int("max-recv-bytes", "0", r#"client-side response receive limit in bytes (if 0, it defaults to "math.MaxInt32")"#).hidden(),
    Flag::int("max-request-bytes", "0", "client-side request send limit in bytes (if 0, it defaults to 2.0 MiB (2 * 1024 * 1024).)").hidden(),
    Flag::text("password", "", "password for authentication (if this option is used, --user option shouldn't include password)").hidden(),
    Flag::text("user", "", "username[:password] for authentication (prompt if password is not supplied)").hidden(),
    Flag::text("write-out", "simple", "set the output format (fields, json, protobuf, simple, table)").short(b'w').hidden(),
];

/// How the variables begin that stand for flags.
const PREFIX: &str = "ETCDCTL_";

/// Sets flags that aren't given from variables such as `ETCDCTL_DIAL_TIMEOUT`.
///
/// # Errors
///
/// A variable contradicts a flag. What is no value of its flag is passed over, and so is an empty one.
pub(super) fn apply_environment(call: &mut Call<'_>) -> Result<()> {
    let variables: BTreeMap<String, Vec<u8>> = call
        .console
        .variables()
        .filter_map(|(name, value)| {
            let name = name.to_str()?.strip_prefix(PREFIX)?.to_owned();
            Some((name, value.as_encoded_bytes().to_vec()))
        })
        .collect();
    let mut unknown = Vec::new();
    for (name, value) in variables {
        let shown = format!("{PREFIX}{name}={}", String::from_utf8_lossy(&value));
        let flag = FLAGS.iter().find(|flag| variable(flag) == name);
        match flag {
            // Also where it is empty.
            Some(flag) if call.flags.is_given(flag.name) => {
                log(call, "fatal", CONFLICT, &format!("{PREFIX}{name}"));
                return Err(Failure::silent(exit::ERROR));
            }
            Some(flag) if !value.is_empty() => {
                // Refused values are passed over, as ever.
                let _ = call.flags.set(flag, &value);
            }
            _ => unknown.push(shown),
        }
    }
    // The command of a watch and its key have variables of their own.
    unknown.retain(|shown| !shown.starts_with("ETCDCTL_WATCH_"));
    for shown in unknown {
        log(call, "warn", "unrecognized environment variable", &shown);
    }
    if call.flags.bool("debug") {
        print_all(call);
    }
    Ok(())
}

const CONFLICT: &str = "conflicting environment variable is shadowed by corresponding command-line \
                        flag (either unset environment variable or disable flag))";

/// The part of a variable's name that names the flag.
fn variable(flag: &Flag) -> String {
    flag.name.to_uppercase().replace('-', "_")
}

/// A line for machines on stderr, in the shape of etcd's own logs.
fn log(call: &mut Call<'_>, level: &str, message: &str, variable: &str) {
    let variable = super::print::json::text(variable);
    call.console.error_line(format_args!(
        "{{\"level\":\"{level}\",\"msg\":\"{message}\",\"environment-variable\":{variable}}}"
    ));
}

/// Prints every flag as the variable that would set it.
fn print_all(call: &mut Call<'_>) {
    let flags = &call.flags;
    let lines: Vec<String> = FLAGS
        .iter()
        .map(|flag| {
            let value = match flag.kind {
                Kind::Bool => flags.bool(flag.name).to_string(),
                Kind::Int => flags.int(flag.name).to_string(),
                Kind::Uint | Kind::Uint64 => flags.uint(flag.name).to_string(),
                Kind::Duration => duration::write(flags.nanos(flag.name)),
                Kind::Text => flags.text(flag.name),
                Kind::List => format!("[{}]", flags.list(flag.name).join(",")),
            };
            format!("{PREFIX}{}={value}\n", variable(flag))
        })
        .collect();
    call.console.print_error(lines.concat());
}
