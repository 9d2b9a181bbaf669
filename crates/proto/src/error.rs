//! The errors that etcd's servers answer with.
//!
//! An error is recognised by its message, which is the same in every version and on every path;
//! its code is advice, as it changed between versions and is lost where one server asks another.
//! The table is here; what to do about an error is the client's business.

use std::fmt;

use crate::Code;

/// A minor version of etcd, as far as servers of different ones answer differently.
///
/// ```
/// use etcdkit_proto::VersionLine;
///
/// assert_eq!(VersionLine::of("3.5.33"), Some(VersionLine::V3_5));
/// assert_eq!(VersionLine::of("3.8.0-alpha.0"), Some(VersionLine::V3_7));
/// assert_eq!(VersionLine::of("2.3.8"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum VersionLine {
    /// 3.3 and older.
    V3_3,
    /// 3.4.
    V3_4,
    /// 3.5.
    V3_5,
    /// 3.6.
    V3_6,
    /// 3.7 and newer.
    V3_7,
}

impl VersionLine {
    /// The line of a server's version, such as "3.5.33"; `None` for what is not a 3.x version.
    pub fn of(version: &str) -> Option<Self> {
        let minor = version.strip_prefix("3.")?.split(['.', '-', '+']).next()?;
        Some(match minor.parse::<u16>().ok()? {
            0..=3 => Self::V3_3,
            4 => Self::V3_4,
            5 => Self::V3_5,
            6 => Self::V3_6,
            _ => Self::V3_7,
        })
    }
}

/// Whether a write can have been applied that was answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Applied {
    /// The answer proves that the write was not applied.
    Never,
    /// The write may have been applied, or may still be.
    Unknown,
}

/// One line for each error: its documentation, its name, its newest code, its message, and the
/// first line of versions that has it.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident, $code:ident, $message:literal, $since:ident;)*) => {
        /// An error that etcd's servers answer with.
        ///
        /// ```
        /// use etcdkit_proto::{Applied, Code, ServerError};
        ///
        /// let error = ServerError::from_message("etcdserver: no leader");
        /// assert_eq!(error, Some(ServerError::NoLeader));
        /// assert_eq!(ServerError::NoLeader.code(), Code::Unavailable);
        /// assert_eq!(ServerError::NoLeader.applied(), Applied::Unknown);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ServerError {
            $($(#[$doc])* $name,)*
        }

        impl ServerError {
            /// Every error.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            fn from_exact(message: &str) -> Option<Self> {
                Some(match message {
                    $($message => Self::$name,)*
                    _ => return None,
                })
            }

            /// The message on the wire.
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$name => $message,)*
                }
            }

            /// The code that the newest etcd gives it. See [`ServerError::code_in`] for what
            /// arrives.
            pub const fn code(self) -> Code {
                match self {
                    $(Self::$name => Code::$code,)*
                }
            }

            /// The first line of versions that has it.
            pub const fn since(self) -> VersionLine {
                match self {
                    $(Self::$name => VersionLine::$since,)*
                }
            }
        }
    };
}

errors! {
    /// A request names no key.
    EmptyKey, InvalidArgument, "etcdserver: key is not provided", V3_3;
    /// A put is to keep the value or the lease of a key that does not exist, or an operation is
    /// empty.
    KeyNotFound, InvalidArgument, "etcdserver: key not found", V3_3;
    /// A put is to keep the value and brings one.
    ValueProvided, InvalidArgument, "etcdserver: value is provided", V3_3;
    /// A put is to keep the lease and brings one.
    LeaseProvided, InvalidArgument, "etcdserver: lease is provided", V3_3;
    /// A transaction has more operations than the server allows.
    TooManyOps, InvalidArgument, "etcdserver: too many operations in txn request", V3_3;
    /// A transaction would change a key twice.
    DuplicateKey, InvalidArgument, "etcdserver: duplicate key given in txn request", V3_3;
    /// The metadata `client-api-version` is not valid.
    InvalidClientApiVersion, InvalidArgument, "etcdserver: invalid client api version", V3_6;
    /// A range has an order or a target that does not exist.
    InvalidSortOption, InvalidArgument, "etcdserver: invalid sort option", V3_6;
    /// The revision is older than what the store keeps.
    Compacted, OutOfRange, "etcdserver: mvcc: required revision has been compacted", V3_3;
    /// The revision is newer than the store.
    FutureRevision, OutOfRange, "etcdserver: mvcc: required revision is a future revision", V3_3;
    /// The backend has reached its quota.
    NoSpace, ResourceExhausted, "etcdserver: mvcc: database space exceeded", V3_3;
    /// The lease does not exist, or not any more.
    LeaseNotFound, NotFound, "etcdserver: requested lease not found", V3_3;
    /// A lease with the chosen id exists.
    LeaseExist, FailedPrecondition, "etcdserver: lease already exists", V3_3;
    /// The lease would live longer than etcd allows.
    LeaseTtlTooLarge, OutOfRange, "etcdserver: too large lease TTL", V3_3;
    /// The server ended a watch.
    WatchCanceled, Canceled, "etcdserver: watch canceled", V3_4;
    /// The member to add exists.
    MemberExist, FailedPrecondition, "etcdserver: member ID already exist", V3_3;
    /// Another member has one of the peer URLs.
    PeerUrlExist, FailedPrecondition, "etcdserver: Peer URLs already exists", V3_3;
    /// The change would leave too few started members for a quorum.
    MemberNotEnoughStarted, FailedPrecondition,
        "etcdserver: re-configuration failed due to not enough started members", V3_3;
    /// A member's URLs are not valid.
    MemberBadUrls, InvalidArgument, "etcdserver: given member URLs are invalid", V3_3;
    /// There is no such member.
    MemberNotFound, NotFound, "etcdserver: member not found", V3_3;
    /// The member to promote votes already.
    MemberNotLearner, FailedPrecondition, "etcdserver: can only promote a learner member", V3_4;
    /// The learner to promote lags behind.
    LearnerNotReady, FailedPrecondition,
        "etcdserver: can only promote a learner member which is in sync with leader", V3_4;
    /// The cluster has as many learners as it may.
    TooManyLearners, FailedPrecondition, "etcdserver: too many learner members in cluster", V3_4;
    /// The members belong to different clusters.
    ClusterIdMismatch, FailedPrecondition, "etcdserver: cluster ID mismatch", V3_4;
    /// The request has more bytes than the server allows.
    RequestTooLarge, InvalidArgument, "etcdserver: request is too large", V3_3;
    /// The server has too many requests to apply.
    TooManyRequests, ResourceExhausted, "etcdserver: too many requests", V3_3;
    /// Authentication cannot be turned on without a user root.
    RootUserNotExist, FailedPrecondition, "etcdserver: root user does not exist", V3_3;
    /// Authentication cannot be turned on while the user root lacks the role root.
    RootRoleNotExist, FailedPrecondition, "etcdserver: root user does not have root role", V3_3;
    /// A user of that name exists.
    UserAlreadyExist, FailedPrecondition, "etcdserver: user name already exists", V3_3;
    /// A user's name is missing, or a request came without a token while authentication is on.
    UserEmpty, InvalidArgument, "etcdserver: user name is empty", V3_3;
    /// There is no such user.
    UserNotFound, FailedPrecondition, "etcdserver: user name not found", V3_3;
    /// A role of that name exists.
    RoleAlreadyExist, FailedPrecondition, "etcdserver: role name already exists", V3_3;
    /// There is no such role.
    RoleNotFound, FailedPrecondition, "etcdserver: role name not found", V3_3;
    /// A role's name is missing.
    RoleEmpty, InvalidArgument, "etcdserver: role name is empty", V3_4;
    /// The user or the password is wrong.
    AuthFailed, InvalidArgument,
        "etcdserver: authentication failed, invalid user ID or password", V3_3;
    /// A password was given for a user who has none.
    NoPasswordUser, Unknown,
        "auth: authentication failed, password was given for no password user", V3_4;
    /// A permission is missing in the request.
    PermissionNotGiven, InvalidArgument, "etcdserver: permission not given", V3_4;
    /// The user may not do this.
    PermissionDenied, PermissionDenied, "etcdserver: permission denied", V3_3;
    /// The user does not have the role.
    RoleNotGranted, FailedPrecondition, "etcdserver: role is not granted to the user", V3_3;
    /// The role does not have the permission.
    PermissionNotGranted, FailedPrecondition,
        "etcdserver: permission is not granted to the role", V3_3;
    /// There are no tokens while authentication is off.
    AuthNotEnabled, FailedPrecondition, "etcdserver: authentication is not enabled", V3_3;
    /// The token is not known, or has expired.
    InvalidAuthToken, Unauthenticated, "etcdserver: invalid auth token", V3_3;
    /// The change would take root's rights while authentication is on, or a range makes no sense.
    InvalidAuthManagement, InvalidArgument, "etcdserver: invalid auth management", V3_3;
    /// Users or roles changed after the token was made, or while the request was on its way.
    AuthOldRevision, InvalidArgument, "etcdserver: revision of auth store is old", V3_4;
    /// The member knows no leader.
    NoLeader, Unavailable, "etcdserver: no leader", V3_3;
    /// Only the leader does this.
    NotLeader, FailedPrecondition, "etcdserver: not leader", V3_3;
    /// The leader changed while the request was waiting.
    LeaderChanged, Unavailable, "etcdserver: leader changed", V3_3;
    /// The cluster's version does not have this yet.
    NotCapable, FailedPrecondition, "etcdserver: not capable", V3_3;
    /// The server is stopping.
    Stopped, Unavailable, "etcdserver: server stopped", V3_3;
    /// The cluster did not answer in time.
    Timeout, Unavailable, "etcdserver: request timed out", V3_3;
    /// The cluster did not answer in time; the leader had failed shortly before.
    TimeoutDueToLeaderFail, Unavailable,
        "etcdserver: request timed out, possibly due to previous leader failure", V3_3;
    /// The cluster did not answer in time; the member had lost its connection.
    TimeoutDueToConnectionLost, Unavailable,
        "etcdserver: request timed out, possibly due to connection lost", V3_3;
    /// The member did not catch up in time.
    TimeoutWaitAppliedIndex, Unavailable,
        "etcdserver: request timed out, waiting for the applied index took too long", V3_4;
    /// Too few members are connected to change the membership.
    Unhealthy, Unavailable, "etcdserver: unhealthy cluster", V3_3;
    /// Members disagree about the data.
    Corrupt, DataLoss, "etcdserver: corrupt cluster", V3_3;
    /// A learner does not serve this.
    NotSupportedForLearner, FailedPrecondition,
        "etcdserver: rpc not supported for learner", V3_4;
    /// The member to lead does not exist, or does not vote.
    BadLeaderTransferee, FailedPrecondition, "etcdserver: bad leader transferee", V3_4;
    /// The version to go down to cannot be read.
    WrongDowngradeVersionFormat, InvalidArgument,
        "etcdserver: wrong downgrade target version format", V3_5;
    /// The version to go down to is not the one before the cluster's.
    InvalidDowngradeTargetVersion, InvalidArgument,
        "etcdserver: invalid downgrade target version", V3_5;
    /// The cluster has not agreed on its version yet.
    ClusterVersionUnavailable, FailedPrecondition,
        "etcdserver: cluster version not found during downgrade", V3_5;
    /// A downgrade is under way.
    DowngradeInProcess, FailedPrecondition,
        "etcdserver: cluster has a downgrade job in progress", V3_5;
    /// No downgrade is under way.
    NoInflightDowngrade, FailedPrecondition, "etcdserver: no inflight downgrade job", V3_5;
    /// The caller, or someone on the way, gave the request up.
    Canceled, Canceled, "etcdserver: request canceled", V3_5;
    /// The request's own time ran out.
    DeadlineExceeded, DeadlineExceeded, "etcdserver: context deadline exceeded", V3_5;
    /// Nobody leads the election.
    ElectionNoLeader, Unknown, "election: no leader", V3_3;
    /// The leadership has ended.
    ElectionNotLeader, Unknown, "election: not leader", V3_3;
    /// The proof of leadership is missing in the request.
    LeaderFieldMissing, Unknown, "\"leader\" field must be provided", V3_3;
    /// The lease ended while waiting for the lock.
    MutexSessionExpired, Unknown, "mutex: session is expired", V3_4;
}

impl ServerError {
    /// The error with this message.
    ///
    /// The message may also be wrapped in Go's text of a status, as in a watch's reason for having
    /// ended:
    ///
    /// ```
    /// use etcdkit_proto::ServerError;
    ///
    /// let reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    /// assert_eq!(ServerError::from_message(reason), Some(ServerError::PermissionDenied));
    /// assert_eq!(ServerError::from_message("no such thing"), None);
    /// ```
    ///
    /// Some errors also come in the words of the package that they come from: 3.4 and early releases of 3.5 send them
    /// so, with [`Code::Unknown`].
    ///
    /// ```
    /// # use etcdkit_proto::ServerError;
    /// let error = ServerError::from_message("auth: revision in header is old");
    /// assert_eq!(error, Some(ServerError::AuthOldRevision));
    /// ```
    pub fn from_message(message: &str) -> Option<Self> {
        let mut message = message;
        while let Some((_, inner)) =
            message.strip_prefix("rpc error: code = ").and_then(|rest| rest.split_once(" desc = "))
        {
            message = inner;
        }
        match message {
            "auth: revision in header is old" => Some(Self::AuthOldRevision),
            // What older members answer to requests for maintenance.
            "auth: permission denied" => Some(Self::PermissionDenied),
            "auth: user name is empty" => Some(Self::UserEmpty),
            "auth: invalid auth token" => Some(Self::InvalidAuthToken),
            "context deadline exceeded" => Some(Self::DeadlineExceeded),
            "context canceled" => Some(Self::Canceled),
            _ => Self::from_exact(message),
        }
    }

    /// The code with which a server of that line sends it.
    ///
    /// The lock and election services send every error with [`Code::Unknown`], as they are clients
    /// of the server that they run in.
    pub const fn code_in(self, line: VersionLine) -> Code {
        use VersionLine::{V3_3, V3_4, V3_5};
        match (self, line) {
            (Self::NotCapable, V3_3 | V3_4 | V3_5)
            | (Self::NotSupportedForLearner, V3_3 | V3_4 | V3_5)
            | (Self::ClusterVersionUnavailable, V3_3 | V3_4 | V3_5) => Code::Unavailable,
            // The server's own table of codes lacks these two.
            (Self::MemberNotEnoughStarted | Self::TooManyRequests, _) => Code::Unknown,
            _ => self.code(),
        }
    }

    /// Whether a write that was answered with this error can have been applied.
    ///
    /// It speaks of the attempt that was answered, and of requests that the server handles as one.
    /// A lock or a campaign is several: its key may be there although a later step failed.
    pub const fn applied(self) -> Applied {
        match self {
            // Found in the request alone, before anything changes.
            Self::EmptyKey
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidClientApiVersion
            | Self::InvalidSortOption
            | Self::LeaseTtlTooLarge
            | Self::MemberBadUrls
            | Self::RequestTooLarge
            | Self::UserEmpty
            | Self::RoleEmpty
            | Self::PermissionNotGiven
            | Self::WrongDowngradeVersionFormat
            | Self::LeaderFieldMissing => Applied::Never,
            // Found when the request is applied, which is all or nothing: the state stays as it
            // was.
            Self::KeyNotFound
            | Self::Compacted
            | Self::FutureRevision
            | Self::LeaseNotFound
            | Self::LeaseExist
            | Self::MemberExist
            | Self::PeerUrlExist
            | Self::MemberNotFound
            | Self::MemberNotLearner
            | Self::RootUserNotExist
            | Self::RootRoleNotExist
            | Self::UserAlreadyExist
            | Self::UserNotFound
            | Self::RoleAlreadyExist
            | Self::RoleNotFound
            | Self::RoleNotGranted
            | Self::PermissionNotGranted
            | Self::InvalidAuthManagement
            | Self::ElectionNoLeader => Applied::Never,
            // Refused for who asks. An old auth revision is found when applying, in place of the
            // write.
            Self::AuthFailed
            | Self::NoPasswordUser
            | Self::PermissionDenied
            | Self::AuthNotEnabled
            | Self::InvalidAuthToken
            | Self::AuthOldRevision => Applied::Never,
            // Refused by the member, or by its leader, before anything is proposed.
            Self::MemberNotEnoughStarted
            | Self::LearnerNotReady
            | Self::TooManyLearners
            | Self::ClusterIdMismatch
            | Self::TooManyRequests
            | Self::NotLeader
            | Self::NotCapable
            | Self::Unhealthy
            | Self::NotSupportedForLearner
            | Self::BadLeaderTransferee
            | Self::InvalidDowngradeTargetVersion
            | Self::ClusterVersionUnavailable
            | Self::DowngradeInProcess
            | Self::NoInflightDowngrade => Applied::Never,
            // The member stopped waiting for a proposal that the cluster may have accepted. A
            // request with the metadata `hasleader` is refused with the same text as one that
            // waited in vain.
            Self::NoLeader
            | Self::LeaderChanged
            | Self::Stopped
            | Self::Timeout
            | Self::TimeoutDueToLeaderFail
            | Self::TimeoutDueToConnectionLost
            | Self::TimeoutWaitAppliedIndex
            | Self::Canceled
            | Self::DeadlineExceeded
            | Self::WatchCanceled => Applied::Unknown,
            // What takes the database over its quota is applied, and answered with this all the same. What comes later
            // is refused before it is applied, by the same words.
            Self::NoSpace => Applied::Unknown,
            // No state to rely on.
            Self::Corrupt => Applied::Unknown,
            // Answers of services that had written before they failed.
            Self::ElectionNotLeader | Self::MutexSessionExpired => Applied::Unknown,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.message())
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests;
