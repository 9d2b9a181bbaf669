use super::*;

const LINES: [VersionLine; 5] =
    [VersionLine::V3_3, VersionLine::V3_4, VersionLine::V3_5, VersionLine::V3_6, VersionLine::V3_7];

#[test]
fn every_message_is_found_plain_and_wrapped() {
    for &error in ServerError::ALL {
        let plain = error.message();
        let wrapped = format!("rpc error: code = {} desc = {plain}", error.code());
        let twice = format!("rpc error: code = Unknown desc = {wrapped}");
        for text in [plain, &wrapped, &twice] {
            assert_eq!(ServerError::from_message(text), Some(error), "{text}");
        }
        assert_eq!(error.to_string(), plain);
    }
}

#[test]
fn other_messages_are_not_found() {
    for text in [
        "",
        "etcdserver: ",
        "etcdserver: no leader ",
        "no leader",
        "rpc error: code = Unavailable desc = ",
        "rpc error: code = Unavailable",
        "desc = etcdserver: no leader",
        "etcdserver: request timed out, possibly",
    ] {
        assert_eq!(ServerError::from_message(text), None, "{text}");
    }
}

#[test]
fn messages_are_distinct() {
    let mut messages: Vec<_> = ServerError::ALL.iter().map(|error| error.message()).collect();
    messages.sort_unstable();
    messages.dedup();
    assert_eq!(messages.len(), ServerError::ALL.len());
}

#[test]
fn words_of_the_packages_below() {
    for (text, error) in [
        ("auth: permission denied", ServerError::PermissionDenied),
        ("auth: user name is empty", ServerError::UserEmpty),
        ("auth: invalid auth token", ServerError::InvalidAuthToken),
        ("auth: revision in header is old", ServerError::AuthOldRevision),
    ] {
        assert_eq!(ServerError::from_message(text), Some(error), "{text}");
    }
}

#[test]
fn codes_by_version() {
    use Code::{FailedPrecondition, InvalidArgument, Unavailable, Unknown};
    let changed = [Unavailable, Unavailable, Unavailable, FailedPrecondition, FailedPrecondition];
    for (error, codes) in [
        (ServerError::NotCapable, changed),
        (ServerError::NotSupportedForLearner, changed),
        (ServerError::ClusterVersionUnavailable, changed),
        (ServerError::MemberNotEnoughStarted, [Unknown; 5]),
        (ServerError::TooManyRequests, [Unknown; 5]),
        (ServerError::NoPasswordUser, [Unknown; 5]),
        (ServerError::NoLeader, [Unavailable; 5]),
        (ServerError::AuthOldRevision, [InvalidArgument; 5]),
    ] {
        assert_eq!(LINES.map(|line| error.code_in(line)), codes, "{error:?}");
    }
    for &error in ServerError::ALL {
        let arrives = error.code_in(VersionLine::V3_7);
        assert!(arrives == error.code() || arrives == Unknown, "{error:?}");
    }
}

#[test]
fn version_lines() {
    for (version, line) in [
        ("3.0.17", Some(VersionLine::V3_3)),
        ("3.3.27", Some(VersionLine::V3_3)),
        ("3.4", Some(VersionLine::V3_4)),
        ("3.5.0-rc.1", Some(VersionLine::V3_5)),
        ("3.6.14+git", Some(VersionLine::V3_6)),
        ("3.12.1", Some(VersionLine::V3_7)),
        ("3", None),
        ("3.", None),
        ("3.x.1", None),
        ("not_decided", None),
        ("4.0.0", None),
        ("3.99999999999", None),
    ] {
        assert_eq!(VersionLine::of(version), line, "{version}");
    }
}

/// An unavailable cluster is never proof, except for the check that comes before the proposal.
#[test]
fn unavailable_answers_prove_nothing() {
    for &error in ServerError::ALL {
        if error.code() == Code::Unavailable && error != ServerError::Unhealthy {
            assert_eq!(error.applied(), Applied::Unknown, "{error:?}");
        }
        if error.code() == Code::InvalidArgument {
            assert_eq!(error.applied(), Applied::Never, "{error:?}");
        }
    }
    for error in [
        ServerError::TooManyRequests,
        ServerError::InvalidAuthToken,
        ServerError::PermissionDenied,
        ServerError::LeaseNotFound,
        ServerError::NotSupportedForLearner,
        ServerError::Unhealthy,
    ] {
        assert_eq!(error.applied(), Applied::Never, "{error:?}");
    }
    for error in [
        ServerError::NoSpace,
        ServerError::Corrupt,
        ServerError::Canceled,
        ServerError::MutexSessionExpired,
    ] {
        assert_eq!(error.applied(), Applied::Unknown, "{error:?}");
    }
}
