//! Errors of the client in the words of the official tools.

use etcdkit::{Attempt, Cause, Code, Error, ErrorKind, ServerError};

use crate::console::Console;
use crate::failure::{Failure, exit};

/// What is said about an error, without `Error: `.
///
/// etcd's own errors are said by their message alone, others with their code. Where no member answered, the official
/// tools wait until their time is up and say only that.
pub(super) fn words(error: &Error) -> String {
    let message = error.message();
    if let Some(code) = error.code() {
        return match error.server_error() {
            Some(known) if is_known(known) => message.to_owned(),
            _ if code == Code::DeadlineExceeded => "context deadline exceeded".to_owned(),
            _ => format!("rpc error: code = {code} desc = {message}"),
        };
    }
    match error.kind() {
        ErrorKind::Timeout | ErrorKind::Unavailable => "context deadline exceeded".to_owned(),
        ErrorKind::ResourceExhausted => {
            format!("rpc error: code = ResourceExhausted desc = {message}")
        }
        _ => message.to_owned(),
    }
}

/// Whether the official client knows the error by its message.
fn is_known(error: ServerError) -> bool {
    !matches!(
        error,
        ServerError::InvalidClientApiVersion
            | ServerError::WatchCanceled
            | ServerError::PermissionNotGiven
            | ServerError::TimeoutWaitAppliedIndex
            | ServerError::Canceled
            | ServerError::DeadlineExceeded
    )
}

/// The failure of a command whose call failed.
pub(super) fn failure(error: &Error) -> Failure {
    // The official client asks for its token before anything else.
    let code = match error.server_error() {
        Some(ServerError::AuthFailed) => exit::BAD_CONNECTION,
        _ => exit::ERROR,
    };
    with_hint(Failure::new(code, words(error)), error)
}

/// The same failure with what is known of its cause.
pub(super) fn with_hint(failure: Failure, error: &Error) -> Failure {
    match hint(error) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// Of a call whose time was up before any connection was there or had failed.
const NO_ATTEMPT: &str = "no member answered before the time was up: frozen, or behind a firewall? --endpoints names others, \
                          --command-timeout allows more";

/// Says what to do about an error that is one among others.
pub(super) fn show_hint(console: &mut Console, error: &Error) {
    if let Some(hint) = hint(error) {
        console.hint(&hint);
    }
}

/// What to do about an error: which endpoint fails in what way.
pub(super) fn hint(error: &Error) -> Option<String> {
    let Some(last) = error.attempts().last() else {
        let is_silent = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable);
        return is_silent.then(|| NO_ATTEMPT.to_owned());
    };
    let (why, remedy) = match last.cause() {
        Cause::Connect(why) => (why.as_str(), "Is etcd running there? --endpoints names others"),
        Cause::Resolve(why) => (why.as_str(), "Is the name right? --endpoints names others"),
        Cause::ConnectTimeout => {
            ("no connection in time", "Is it frozen, behind a firewall, or elsewhere?")
        }
        Cause::Tls(why) => (
            &*in_flags(why),
            "--cacert names the authority of the server's certificate, --cert and --key your own",
        ),
        Cause::Protocol(why) => (why.as_str(), "Is it etcd's port for clients, and is it https?"),
        Cause::Frozen => ("it takes requests and answers none", "It is frozen or overloaded"),
        Cause::Deadline => ("no answer in time", "--command-timeout allows more"),
        Cause::OtherCluster(why) => (why.as_str(), "--endpoints has members of several clusters"),
        Cause::Status(..) => return status_hint(error),
        _ => return Some(Attempt::to_string(last)),
    };
    // Some causes name the address themselves.
    let endpoint = last.endpoint();
    let place = if why.contains(endpoint) { String::new() } else { format!("{endpoint}: ") };
    let doubt = if error.maybe_applied() { ". It may have been done all the same" } else { "" };
    let stop = if why.ends_with('?') { "" } else { "." };
    Some(format!("{place}{why}{stop} {remedy}{doubt}"))
}

/// What the client says to programs, as it is done on a command line.
fn in_flags(why: &str) -> String {
    why.replace("`Tls::ca_file`", "--cacert")
        .replace("`Tls::client_certificate_files`", "--cert and --key")
        .replace(", or set `Tls::server_name`", "")
        .replace(": set `Tls::server_name`", "")
}

fn status_hint(error: &Error) -> Option<String> {
    let hint = match error.server_error()? {
        ServerError::UserEmpty => "authentication is enabled: give --user",
        ServerError::AuthFailed => "check --user and --password",
        ServerError::NoSpace => {
            "the database has reached its quota: compact, defrag, then `alarm disarm`"
        }
        ServerError::NoLeader => {
            "the cluster has lost its majority: `endpoint status --cluster` shows who is there"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_flags() {
        let said = in_flags("it wants one: give one with `Tls::client_certificate_files`");
        assert_eq!(said, "it wants one: give one with --cert and --key");
        assert_eq!(
            in_flags("connect to `a` by one, or set `Tls::server_name`"),
            "connect to `a` by one"
        );
    }

    #[test]
    fn what_no_member_said_has_no_code() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Nobody listens on port 1.
        let connecting = etcdkit::Client::connect(["127.0.0.1:1"]);
        let error = runtime.block_on(connecting).unwrap_err();
        let failure = failure(&error);
        assert_eq!(failure.message.as_deref(), Some("context deadline exceeded"));
        let hint = failure.hint.unwrap();
        assert_eq!(hint.matches("127.0.0.1:1").count(), 1, "{hint}");
        assert!(hint.ends_with("Is etcd running there? --endpoints names others"), "{hint}");
    }
}
