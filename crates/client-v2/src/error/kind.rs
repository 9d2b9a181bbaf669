//! The kinds of failure that callers act upon differently.

/// What kind of failure an [`Error`](crate::Error) is.
///
/// There is one per way to go on: a new kind needs a caller who would act differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request or the configuration makes no sense; the message says what to change.
    InvalidArgument,
    /// The server does not know who is calling, or that user may not do this: v2 does not tell these apart.
    Unauthenticated,
    /// Nobody may do this, such as writing to the root directory.
    PermissionDenied,
    /// The key, member, user or role does not exist.
    NotFound,
    /// A comparison failed, it exists already, or a directory is not empty: the state has to change first.
    Conflict,
    /// The key is a directory where a value was expected, or a value where a directory was.
    WrongType,
    /// The events asked for are no longer kept (etcd keeps the last 1000): read the present state and watch from there.
    IndexCleared,
    /// The members that answered know no leader: the cluster can't decide anything now.
    NoLeader,
    /// No endpoint could serve the call; [`Error::attempts`](crate::Error::attempts) has each one's failure.
    Unavailable,
    /// No endpoint answered in time.
    Timeout,
    /// The answer is larger than this client accepts.
    ResourceExhausted,
    /// What answered has no v2 API: etcd without `--enable-v2`, etcd 3.6 or newer, or no etcd at all.
    Unsupported,
    /// An answer that makes no sense, or a defect of this crate.
    Internal,
}

impl ErrorKind {
    /// Whether time alone may mend it.
    pub(crate) fn is_transient(self) -> bool {
        matches!(self, Self::NoLeader | Self::Unavailable | Self::Timeout)
    }
}
