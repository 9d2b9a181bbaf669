//! Why a server does not start.

use std::fmt;
use std::io;

use crate::storage::StorageError;

/// Why a server does not start, or does not stop as it should.
#[derive(Debug)]
pub struct Error(Box<Inner>);

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting makes no sense: change it.
    InvalidSetting,
    /// An address cannot be listened on: choose another.
    Listen,
    /// The storage cannot be used.
    Storage,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Source>,
}

#[derive(Debug)]
enum Source {
    Io(io::Error),
    Storage(StorageError),
}

impl Error {
    /// What can be done about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub(crate) fn setting(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidSetting, message.into(), None)
    }

    pub(crate) fn listen(address: &str, error: io::Error) -> Self {
        let message = format!("cannot listen on {address}: {error}");
        Self::new(ErrorKind::Listen, message, Some(Source::Io(error)))
    }

    fn new(kind: ErrorKind, message: String, source: Option<Source>) -> Self {
        Self(Box::new(Inner { kind, message, source }))
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let message = format!("the storage cannot be used: {error}");
        Self::new(ErrorKind::Storage, message, Some(Source::Storage(error)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.0.source.as_ref()? {
            Source::Io(error) => Some(error),
            Source::Storage(error) => Some(error),
        }
    }
}
