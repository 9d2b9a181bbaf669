//! What an error of h2 says about a request, and about the connection.

use h2::Reason;

use crate::error::Cause;
use crate::transport::connector;
use crate::transport::traits::Failure;

/// The longest response headers and trailers, together: they are short, but a status text may be long.
pub(super) const HEADERS: u32 = 64 << 10;

/// What an h2 error says about the request it hit.
///
/// A stream that fails by the server's own GOAWAY lies beyond the last one that the server will look at (RFC 9113 §6.8;
/// h2 fails no other stream with it), and REFUSED_STREAM means the same (§8.7). All else leaves the outcome unknown.
pub(super) fn failure_of(error: &h2::Error, fate: Option<Cause>) -> Failure {
    let refused = error.is_remote()
        && (error.is_go_away()
            || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)));
    if refused {
        return Failure::NotProcessed(cause_of(error));
    }
    Failure::Unknown(match fate {
        // That the server was going away did not end this call.
        None | Some(Cause::Refused(_)) => cause_of(error),
        Some(cause) => cause,
    })
}

pub(super) fn cause_of(error: &h2::Error) -> Cause {
    let reason = error.reason();
    if error.is_remote() && error.is_go_away() {
        return Cause::Refused(format!("the server is going away ({error})"));
    }
    if error.is_remote() && error.is_reset() {
        if reason == Some(Reason::REFUSED_STREAM) {
            return Cause::Refused("the server refused the stream".into());
        }
        return Cause::Reset(format!("by the server ({error})"));
    }
    if let Some(io) = error.get_io() {
        return connector::cause_of(io);
    }
    if error.is_library() && error.is_reset() {
        return Cause::Protocol(format!(
            "the answer breaks HTTP/2, or its headers have more than {HEADERS} bytes ({error})"
        ));
    }
    if error.is_library() && error.is_go_away() {
        return Cause::Protocol(format!("the server broke HTTP/2 ({error})"));
    }
    Cause::Protocol(format!("HTTP/2: {error}"))
}
