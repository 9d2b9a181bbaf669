//! The flags of all commands, which the environment sets too.

use crate::command::Flag;

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
