//! What a failure means for a watch, or for all watches of a stream.

use etcdkit_proto::etcdserverpb::WatchResponse;

use crate::error::{Code, Error, ErrorKind, ServerError};
use crate::revision::Revision;

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consequence {
    /// It is the end.
    Final,
    /// The same again.
    Again,
    /// The same again with another token.
    Renew,
    /// The same again at another member.
    Leave,
}

/// How often the server refused a token, each token counted once: that none could be had meanwhile is not its fault.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: u8,
    /// The token that was refused last.
    token: u64,
}

impl Refusals {
    /// The token was refused; how many were refused so far.
    pub(super) fn note(&mut self, token: u64) -> u8 {
        if self.count == 0 || self.token != token {
            self.count = self.count.saturating_add(1);
            self.token = token;
        }
        self.count
    }
}

/// Of a stream that broke or could not be opened. `can_renew` is asked if its token was refused.
pub(super) fn of_stream(error: &Error, mut can_renew: impl FnMut() -> bool) -> Consequence {
    use ServerError as S;
    match error.server_error() {
        Some(S::InvalidAuthToken | S::AuthOldRevision | S::UserEmpty) if can_renew() => {
            return Consequence::Renew;
        }
        Some(S::NoLeader | S::NotSupportedForLearner) => return Consequence::Leave,
        Some(S::TooManyRequests | S::NotCapable) => return Consequence::Again,
        _ => {}
    }
    match error.kind() {
        // An open stream that ends so has broken off; one that is refused so is retried by the channel already.
        ErrorKind::Unavailable
        | ErrorKind::Timeout
        | ErrorKind::Cancelled
        | ErrorKind::NoLeader
        | ErrorKind::Internal => Consequence::Again,
        _ => Consequence::Final,
    }
}

/// Of a watch that the server refused or ended.
pub(super) fn of_watch(error: &Error, denial_is_ambiguous: bool) -> Consequence {
    use ServerError as S;
    match error.server_error() {
        // Without a token: authentication was off when the stream was opened.
        Some(S::InvalidAuthToken | S::AuthOldRevision | S::UserEmpty) => Consequence::Renew,
        Some(S::PermissionDenied) if denial_is_ambiguous => Consequence::Renew,
        Some(S::NoLeader) => Consequence::Leave,
        Some(S::Stopped | S::Timeout | S::LeaderChanged | S::NotSupportedForLearner) => {
            Consequence::Leave
        }
        _ => Consequence::Final,
    }
}

/// How often a watch that is refused so is tried with another token: a change of users overtakes tokens, so that a fresh
/// one may be too old again.
pub(super) fn renewals(error: &Error) -> u8 {
    if error.server_error() == Some(ServerError::AuthOldRevision) { 8 } else { 1 }
}

/// The error of a response that says that a watch does not exist, or no more.
pub(super) fn of_response(response: &WatchResponse) -> Error {
    if response.compact_revision != 0 {
        let revision = Revision::new(response.compact_revision);
        return Error::compacted(revision);
    }
    let reason = response.cancel_reason.clone();
    if reason.is_empty() {
        return Error::new(ErrorKind::Cancelled, "the server ended the watch and gave no reason");
    }
    if ServerError::from_message(&reason).is_some() {
        return Error::from_status(code_in(&reason), reason);
    }
    match reason.as_str() {
        "mvcc: watcher range is empty" => Error::invalid("the range holds no keys"),
        "mvcc: duplicate watch ID provided on the WatchStream" => {
            Error::invalid("another watch has that id")
        }
        // Before 3.4.19 and 3.5.2 a start that was compacted is told only so.
        "etcdserver: mvcc: required revision has been compacted" => {
            Error::compacted(Revision::NONE)
        }
        _ => Error::from_status(code_in(&reason), reason),
    }
}

/// Of a revision whose pieces are more than may be received.
pub(super) fn too_large(limit: usize) -> Error {
    let message = format!(
        "a revision came in pieces of more than {limit} bytes together: watch a smaller range, or without the previous values"
    );
    Error::new(ErrorKind::ResourceExhausted, message)
}

/// The code in `rpc error: code = X desc = …`; etcd's watches end as cancelled where they name none.
fn code_in(reason: &str) -> Code {
    let named = reason.strip_prefix("rpc error: code = ").and_then(|rest| rest.split(' ').next());
    let all = [
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
        Code::Unknown,
    ];
    named
        .and_then(|named| all.into_iter().find(|code| format!("{code:?}") == named))
        .unwrap_or(Code::Canceled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canceled(reason: &str) -> WatchResponse {
        let cancel_reason = reason.to_owned();
        WatchResponse { canceled: true, cancel_reason, ..WatchResponse::default() }
    }

    #[test]
    fn reasons_become_typed_errors() {
        use {Consequence as C, ErrorKind as K};
        let table = [
            ("", K::Cancelled, C::Final),
            ("etcdserver: permission denied", K::PermissionDenied, C::Final),
            (
                "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
                K::PermissionDenied,
                C::Final,
            ),
            ("auth: revision in header is old", K::Unauthenticated, C::Renew),
            ("etcdserver: user name is empty", K::Unauthenticated, C::Renew),
            (
                "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
                K::Unauthenticated,
                C::Renew,
            ),
            ("etcdserver: no leader", K::NoLeader, C::Leave),
            ("rpc error: code = DataLoss desc = mvcc: broken", K::Corrupt, C::Final),
            ("mvcc: watcher range is empty", K::InvalidArgument, C::Final),
            ("something else", K::Cancelled, C::Final),
        ];
        for (reason, kind, consequence) in table {
            let error = of_response(&canceled(reason));
            assert_eq!(error.kind(), kind, "{reason:?}");
            assert_eq!(of_watch(&error, false), consequence, "{reason:?}");
        }
        let error = of_response(&canceled("etcdserver: permission denied"));
        assert_eq!(of_watch(&error, true), C::Renew);
    }

    #[test]
    fn compaction_names_its_revision() {
        let response = WatchResponse { compact_revision: 7, ..canceled("") };
        let error = of_response(&response);
        assert_eq!(error.kind(), ErrorKind::Compacted);
        assert_eq!(error.compact_revision(), Some(Revision::new(7)));
    }

    #[test]
    fn a_token_that_is_refused_again_is_counted_once() {
        let mut refusals = Refusals::default();
        let counts = [7, 7, 8, 8, 9].map(|token| refusals.note(token));
        assert_eq!(counts, [1, 1, 2, 2, 3]);
    }

    #[test]
    fn streams_break_and_are_refused() {
        use Consequence as C;
        let status = |code, text: &'static str| Error::from_status(code, text);
        let table = [
            (Error::new(ErrorKind::Unavailable, "broken"), C::Again),
            (status(Code::Unavailable, "etcdserver: no leader"), C::Leave),
            (status(Code::Unauthenticated, "etcdserver: invalid auth token"), C::Renew),
            (status(Code::InvalidArgument, "etcdserver: user name is empty"), C::Renew),
            (status(Code::PermissionDenied, "etcdserver: permission denied"), C::Final),
            (Error::new(ErrorKind::ResourceExhausted, "too large"), C::Final),
            (Error::closed(), C::Final),
        ];
        for (error, consequence) in table {
            assert_eq!(of_stream(&error, || true), consequence, "{error}");
        }
    }
}
