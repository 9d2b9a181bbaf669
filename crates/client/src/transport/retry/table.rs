//! The table: what a failure says, and what follows from it.

use etcdkit_proto::method::Class;
use etcdkit_proto::{Applied, Code, ServerError};

use crate::error::{Cause, code_meant};
use crate::transport::traits::{Failure, Status};

/// What decides about a call, beside how it failed.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct Nature {
    /// What a repetition does.
    pub(in crate::transport) class: Class,
    /// Whether the call asked to be refused by a member without a leader.
    pub(in crate::transport) require_leader: bool,
    /// Whether the server makes several requests of it, so that its refusal of one says nothing about those before.
    pub(in crate::transport) in_steps: bool,
    /// Whether there is a name and a password to get another token with.
    pub(in crate::transport) can_authenticate: bool,
}

/// What to do about a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Decision {
    /// Tell the caller.
    Fail,
    /// Try again, at another member if there is one.
    Retry,
    /// Try again, but only at a member that has not been asked yet.
    Elsewhere,
    /// Get another token, then try again.
    Authenticate,
}

/// Decides what follows `failure`.
pub(in crate::transport) fn decide(nature: Nature, failure: &Failure) -> Decision {
    let repeatable = nature.class != Class::Write;
    match failure {
        // What breaks a limit of ours breaks it again.
        Failure::NotProcessed(Cause::Limit(_)) | Failure::Unknown(Cause::Limit(_)) => {
            Decision::Fail
        }
        Failure::NotProcessed(_) => Decision::Retry,
        Failure::Unknown(_) if repeatable => Decision::Retry,
        Failure::Unknown(_) => Decision::Fail,
        Failure::Status(status) => of_status(nature, status, repeatable),
    }
}

fn of_status(nature: Nature, status: &Status, repeatable: bool) -> Decision {
    use ServerError as S;
    match ServerError::from_message(&status.message) {
        // The request was turned away at the door, or had no effect when it was applied.
        Some(S::InvalidAuthToken | S::AuthOldRevision | S::UserEmpty)
            if nature.can_authenticate =>
        {
            Decision::Authenticate
        }
        // Identified by certificate: the member only has to catch up with a change of users.
        Some(S::AuthOldRevision) => Decision::Retry,
        Some(S::NotSupportedForLearner) => Decision::Elsewhere,
        // Turned away before it was proposed.
        Some(S::TooManyRequests) => Decision::Retry,
        Some(S::NoLeader) if nature.require_leader => Decision::Elsewhere,
        Some(error) if repeatable && error.code() == Code::Unavailable => Decision::Retry,
        Some(S::Canceled | S::DeadlineExceeded) if repeatable => Decision::Retry,
        Some(_) => Decision::Fail,
        None => match code_meant(status.code, &status.message) {
            Code::Unauthenticated if nature.can_authenticate => Decision::Authenticate,
            Code::Unavailable | Code::Canceled | Code::DeadlineExceeded if repeatable => {
                Decision::Retry
            }
            _ => Decision::Fail,
        },
    }
}

/// Whether `failure` leaves it unknown if a write was applied.
pub(in crate::transport) fn leaves_unknown(nature: Nature, failure: &Failure) -> bool {
    if nature.class == Class::Read {
        return false;
    }
    match failure {
        Failure::NotProcessed(_) => false,
        Failure::Unknown(_) => true,
        Failure::Status(status) => match ServerError::from_message(&status.message) {
            // With `hasleader` the member refuses before it does anything.
            Some(ServerError::NoLeader) => !nature.require_leader,
            Some(error) => nature.in_steps || error.applied() == Applied::Unknown,
            None => !is_turned_away(status),
        },
    }
}

/// Whether a status in other words than etcd's shows that no handler saw the request: gRPC itself, or a gateway, gave it.
fn is_turned_away(status: &Status) -> bool {
    match status.code {
        Code::Unauthenticated
        | Code::PermissionDenied
        | Code::Unimplemented
        | Code::InvalidArgument => true,
        // The server's limit on requests. Other limits, such as a gateway's on answers, say nothing about the request.
        Code::ResourceExhausted => {
            status.message.starts_with("grpc: received message larger than max")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Nature = Nature {
        class: Class::Read,
        require_leader: false,
        in_steps: false,
        can_authenticate: false,
    };
    const WRITE: Nature = Nature { class: Class::Write, ..READ };
    const AGAIN: Nature = Nature { class: Class::Repeatable, ..READ };

    fn status(error: ServerError) -> Failure {
        Failure::Status(Status { code: error.code(), message: error.message().into() })
    }

    fn lost() -> Failure {
        Failure::Unknown(Cause::Disconnected("cut".into()))
    }

    /// A failure; what follows for a read, a repeatable call and a write; whether the write is unknown.
    #[test]
    fn what_follows_a_failure() {
        use Decision::{Elsewhere, Fail, Retry};
        let refused = || Failure::NotProcessed(Cause::Refused("going away".into()));
        let canceled =
            Failure::Status(Status { code: Code::Canceled, message: "context canceled".into() });
        let unknown = |message: &str| {
            Failure::Status(Status { code: Code::Unknown, message: message.into() })
        };
        for (failure, read, again, write, unknown) in [
            (lost(), Retry, Retry, Fail, true),
            (Failure::Unknown(Cause::Frozen), Retry, Retry, Fail, true),
            (refused(), Retry, Retry, Retry, false),
            (canceled, Retry, Retry, Fail, true),
            (unknown("context deadline exceeded"), Retry, Retry, Fail, true),
            (unknown("context canceled"), Retry, Retry, Fail, true),
            (unknown("who knows"), Fail, Fail, Fail, true),
            (status(ServerError::Timeout), Retry, Retry, Fail, true),
            (status(ServerError::TimeoutDueToLeaderFail), Retry, Retry, Fail, true),
            (status(ServerError::Stopped), Retry, Retry, Fail, true),
            (status(ServerError::LeaderChanged), Retry, Retry, Fail, true),
            (status(ServerError::NoLeader), Retry, Retry, Fail, true),
            (status(ServerError::DeadlineExceeded), Retry, Retry, Fail, true),
            (status(ServerError::TooManyRequests), Retry, Retry, Retry, false),
            (status(ServerError::NotSupportedForLearner), Elsewhere, Elsewhere, Elsewhere, false),
            (status(ServerError::AuthOldRevision), Retry, Retry, Retry, false),
            (status(ServerError::InvalidAuthToken), Fail, Fail, Fail, false),
            (status(ServerError::UserEmpty), Fail, Fail, Fail, false),
            (status(ServerError::PermissionDenied), Fail, Fail, Fail, false),
            (status(ServerError::Compacted), Fail, Fail, Fail, false),
            (status(ServerError::NoSpace), Fail, Fail, Fail, true),
            (status(ServerError::LeaseNotFound), Fail, Fail, Fail, false),
            (status(ServerError::EmptyKey), Fail, Fail, Fail, false),
            (status(ServerError::NotCapable), Fail, Fail, Fail, false),
            (Failure::Unknown(Cause::Limit("too long".into())), Fail, Fail, Fail, true),
        ] {
            assert_eq!(decide(READ, &failure), read, "read: {failure:?}");
            assert_eq!(decide(AGAIN, &failure), again, "repeatable: {failure:?}");
            assert_eq!(decide(WRITE, &failure), write, "write: {failure:?}");
            assert_eq!(leaves_unknown(WRITE, &failure), unknown, "unknown: {failure:?}");
            assert!(!leaves_unknown(READ, &failure), "a read is never unknown: {failure:?}");
        }
    }

    #[test]
    fn a_refused_token_is_replaced_for_every_class() {
        for nature in [READ, WRITE, AGAIN] {
            let nature = Nature { can_authenticate: true, ..nature };
            for error in [
                ServerError::InvalidAuthToken,
                ServerError::AuthOldRevision,
                ServerError::UserEmpty,
            ] {
                assert_eq!(decide(nature, &status(error)), Decision::Authenticate, "{error:?}");
            }
            assert_eq!(decide(nature, &status(ServerError::AuthFailed)), Decision::Fail);
        }
    }

    #[test]
    fn a_leader_that_is_required_and_missing_proves_that_nothing_happened() {
        let nature = Nature { require_leader: true, ..WRITE };
        assert_eq!(decide(nature, &status(ServerError::NoLeader)), Decision::Elsewhere);
        assert!(!leaves_unknown(nature, &status(ServerError::NoLeader)));
    }

    #[test]
    fn a_refused_step_of_a_lock_says_nothing_about_the_steps_before() {
        let lock = Nature { in_steps: true, ..WRITE };
        for error in [ServerError::PermissionDenied, ServerError::Compacted] {
            assert!(!leaves_unknown(WRITE, &status(error)));
            assert!(leaves_unknown(lock, &status(error)));
        }
    }

    #[test]
    fn codes_of_older_versions_mean_the_same() {
        let old = Failure::Status(Status {
            code: Code::Unavailable,
            message: ServerError::NotSupportedForLearner.message().into(),
        });
        assert_eq!(decide(WRITE, &old), Decision::Elsewhere);
    }
}
