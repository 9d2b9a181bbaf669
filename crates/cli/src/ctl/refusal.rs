//! Errors of the client in the words of the official tools.

use etcdkit::{Attempt, Cause, Code, Error, ErrorKind, ServerError};

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

/// What to do about an error: which endpoint fails in what way.
fn hint(error: &Error) -> Option<String> {
    let last = error.attempts().last()?;
    let endpoint = last.endpoint();
    Some(match last.cause() {
        Cause::Connect(why) => {
            format!("{endpoint}: {why}. Is etcd running there? --endpoints names others")
        }
        Cause::Resolve(why) => format!("{endpoint}: its name is not known here: {why}"),
        Cause::ConnectTimeout => {
            format!("{endpoint}: no connection in time. A firewall, or a wrong address?")
        }
        Cause::Tls(why) => format!(
            "{endpoint}: {why}. --cacert names the authority of the server's certificate, --cert and --key your own"
        ),
        Cause::Protocol(why) => {
            format!("{endpoint}: {why}. Is it an etcd client port, and does it want https?")
        }
        Cause::Frozen => {
            format!("{endpoint}: takes requests and answers none: it is frozen or overloaded")
        }
        Cause::Deadline => format!("{endpoint}: no answer in time. --command-timeout allows more"),
        Cause::OtherCluster(why) => format!("{endpoint}: {why}"),
        Cause::Status(..) => return status_hint(error),
        _ => Attempt::to_string(last),
    })
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
