//! The numbers that the v2 API puts on its errors.

use std::fmt;

use super::ErrorKind;

/// The number of an error of the v2 API, such as 100 for a key that does not exist.
///
/// ```
/// use etcdkit_v2::ErrorCode;
///
/// assert_eq!(ErrorCode::KEY_NOT_FOUND.get(), 100);
/// assert_eq!(ErrorCode::new(101), ErrorCode::COMPARE_FAILED);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(u32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal => $kind:ident;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// The kind of a failure with this number.
            pub(crate) fn kind(self) -> ErrorKind {
                match self.0 {
                    $($number => ErrorKind::$kind,)*
                    100..=199 => ErrorKind::Conflict,
                    200..=299 => ErrorKind::InvalidArgument,
                    300..=399 => ErrorKind::Unavailable,
                    _ => ErrorKind::Internal,
                }
            }
        }
    };
}

codes! {
    /// The key does not exist.
    KEY_NOT_FOUND = 100 => NotFound;
    /// A comparison failed: the key has another value or index.
    COMPARE_FAILED = 101 => Conflict;
    /// The key is a directory.
    NOT_A_FILE = 102 => WrongType;
    /// The key, or one above it, is no directory.
    NOT_A_DIRECTORY = 104 => WrongType;
    /// The key exists.
    NODE_EXISTS = 105 => Conflict;
    /// The root directory can't be changed.
    ROOT_READ_ONLY = 107 => PermissionDenied;
    /// The directory is not empty.
    DIRECTORY_NOT_EMPTY = 108 => Conflict;
    /// The user has no permission, or there are no credentials.
    UNAUTHORIZED = 110 => Unauthenticated;
    /// A value is missing.
    VALUE_REQUIRED = 200 => InvalidArgument;
    /// The value to compare with is empty.
    PREV_VALUE_REQUIRED = 201 => InvalidArgument;
    /// The TTL is no number.
    TTL_NOT_A_NUMBER = 202 => InvalidArgument;
    /// The index is no number.
    INDEX_NOT_A_NUMBER = 203 => InvalidArgument;
    /// A field of the query has an invalid value.
    INVALID_FIELD = 209 => InvalidArgument;
    /// The form can't be read.
    INVALID_FORM = 210 => InvalidArgument;
    /// A refresh came with a value.
    REFRESH_VALUE = 211 => InvalidArgument;
    /// A refresh came without a TTL.
    REFRESH_TTL_REQUIRED = 212 => InvalidArgument;
    /// The cluster could not agree; the cause says why.
    RAFT_INTERNAL = 300 => Unavailable;
    /// A leader is being elected.
    LEADER_ELECT = 301 => NoLeader;
    /// The watch was ended by the server because its reader was too slow.
    WATCHER_CLEARED = 400 => IndexCleared;
    /// The events asked for are no longer kept.
    EVENT_INDEX_CLEARED = 401 => IndexCleared;
}

impl ErrorCode {
    /// Any number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => self.0.fmt(f),
        }
    }
}
