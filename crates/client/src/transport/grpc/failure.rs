//! What the end of a stream says about its request, and about the connection.

use etcdkit_http2::client::{End, Sent};
use etcdkit_http2::frame::ErrorCode;

use super::status;
use crate::error::Cause;
use crate::transport::traits::Failure;

/// The longest response headers and trailers, each: they are short, but a status text may be long.
pub(super) const HEADERS: u32 = 64 << 10;
/// The longest reason for a server's going away that is told.
const REASON: usize = 256;

/// How a call failed whose stream ended so, before its verdict was there. `leaving` is the server's word that it goes away,
/// `lost` why the connection ended.
#[cold]
pub(super) fn failure_of(end: End, sent: Sent, leaving: Option<&Cause>, lost: &Cause) -> Failure {
    match end {
        End::Clean => status::missing(),
        End::Refused => {
            Failure::NotProcessed(Cause::Refused("the server refused the stream".into()))
        }
        End::GoneAway => Failure::NotProcessed(leaving.unwrap_or(lost).clone()),
        End::Reset(code) => Failure::Unknown(Cause::Reset(format!("by the server ({code})"))),
        End::TooLong => Failure::Unknown(Cause::Protocol(format!(
            "the answer breaks HTTP/2: its headers have more than {HEADERS} bytes"
        ))),
        End::Malformed(what) => {
            Failure::Unknown(Cause::Protocol(format!("the answer breaks HTTP/2: {what}")))
        }
        End::Lost if sent == Sent::Nothing => Failure::NotProcessed(lost.clone()),
        End::Lost => Failure::Unknown(lost.clone()),
    }
}

/// The server takes no more calls.
pub(super) fn going_away(code: ErrorCode, reason: &[u8]) -> Cause {
    let reason = String::from_utf8_lossy(&reason[..reason.len().min(REASON)]);
    Cause::Refused(match &*reason {
        "" => format!("the server is going away ({code})"),
        reason => format!("the server is going away ({code}: {reason:?})"),
    })
}
