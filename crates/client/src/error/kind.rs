//! The kinds of failure that callers act upon differently.

use etcdkit_proto::{Code, ServerError};

/// What kind of failure an [`Error`](crate::Error) is.
///
/// There is one per way to go on: a new kind needs a caller who would act differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request or the configuration makes no sense; the message says what to change.
    InvalidArgument,
    /// The server does not know who is calling: no credentials, wrong ones, or a token it no longer accepts.
    Unauthenticated,
    /// The user may not do this.
    PermissionDenied,
    /// The key, lease, member, user or role does not exist.
    NotFound,
    /// It exists already, or something else stands in the way: the state has to change first.
    Conflict,
    /// The revision asked for is compacted away: read the present state and go on from there.
    Compacted,
    /// A watch was read too slowly for its buffer, and its caller chose that it ends then: read the present state and go on
    /// from there. See [`WhenFull`](crate::WhenFull).
    Lagged,
    /// The revision asked for does not exist yet.
    FutureRevision,
    /// The member knows no leader: the cluster can't decide anything now.
    NoLeader,
    /// No member could be reached, or none that was could serve the call.
    Unavailable,
    /// The deadline passed.
    Timeout,
    /// The server or something between ended the call.
    Cancelled,
    /// A limit was hit: quota, message size, queue length, or too many requests.
    ResourceExhausted,
    /// This server can't do it: too old, a learner, or no etcd at all.
    Unsupported,
    /// The cluster reports, or an answer shows, that data is damaged.
    Corrupt,
    /// The endpoints now lead to another cluster, or to one whose history was turned back (restored from a backup).
    ClusterChanged,
    /// The client is closed.
    Closed,
    /// An answer that makes no sense, or a defect of this crate.
    Internal,
}

impl ErrorKind {
    /// Whether time alone may mend it.
    pub(crate) fn is_transient(self) -> bool {
        matches!(self, Self::NoLeader | Self::Unavailable | Self::Timeout | Self::Cancelled)
    }
}

/// What a code means: etcd passes Go's context errors on bare, and with older gRPC servers (3.5.1 has one) these arrive as
/// unknown.
pub(crate) fn code_meant(code: Code, message: &str) -> Code {
    match (code, message) {
        (Code::Unknown, "context deadline exceeded") => Code::DeadlineExceeded,
        (Code::Unknown, "context canceled") => Code::Canceled,
        _ => code,
    }
}

/// The kind of a server's answer: by etcd's own error where it is one, else by the gRPC code.
pub(super) fn of_status(code: Code, server: Option<ServerError>) -> ErrorKind {
    use ServerError as S;
    match server {
        Some(S::Compacted) => ErrorKind::Compacted,
        Some(S::FutureRevision) => ErrorKind::FutureRevision,
        Some(S::NoLeader) => ErrorKind::NoLeader,
        Some(S::DeadlineExceeded) => ErrorKind::Timeout,
        Some(S::Canceled) => ErrorKind::Cancelled,
        Some(
            S::UserEmpty
            | S::InvalidAuthToken
            | S::AuthFailed
            | S::NoPasswordUser
            | S::AuthOldRevision,
        ) => ErrorKind::Unauthenticated,
        Some(S::KeyNotFound | S::UserNotFound | S::RoleNotFound | S::RootUserNotExist) => {
            ErrorKind::NotFound
        }
        Some(S::LeaseExist | S::MemberExist | S::PeerUrlExist) => ErrorKind::Conflict,
        Some(S::NotCapable | S::NotSupportedForLearner) => ErrorKind::Unsupported,
        Some(S::LeaseTtlTooLarge) => ErrorKind::InvalidArgument,
        Some(S::RequestTooLarge) => ErrorKind::ResourceExhausted,
        // Some go by different codes in different versions: the latest counts.
        Some(server) => of_code(server.code()),
        None => of_code(code),
    }
}

fn of_code(code: Code) -> ErrorKind {
    match code {
        Code::Canceled => ErrorKind::Cancelled,
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::InvalidArgument,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => ErrorKind::Conflict,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::ResourceExhausted => ErrorKind::ResourceExhausted,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::Ok | Code::Unknown | Code::Internal => ErrorKind::Internal,
    }
}
