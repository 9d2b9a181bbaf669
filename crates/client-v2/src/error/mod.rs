//! The one error of this crate.
//!
//! [`Error`] answers what a caller has to decide: what kind of failure it is ([`ErrorKind`]), what the server said
//! ([`ErrorCode`], cause and index), whether a write may have happened, and how each attempt failed at which endpoint
//! ([`Attempt`]). Rooms below build it; nothing here decides what is repeated.

mod attempt;
mod code;
mod kind;

pub use attempt::{Attempt, Cause};
pub use code::ErrorCode;
pub use kind::ErrorKind;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What the fallible functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. One word wide and cheap to clone.
///
/// The text of an error is for people and may change; decide by [`kind`](Self::kind),
/// [`error_code`](Self::error_code) and the predicates.
///
/// ```
/// use etcdkit_v2::{Client, ErrorKind};
///
/// let error = Client::builder().build().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
/// assert!(!error.maybe_applied());
/// assert_eq!(error.to_string(), "no endpoints: name at least one, such as http://127.0.0.1:2379");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    server: Option<Server>,
    status: Option<u16>,
    applied: bool,
    attempts: Vec<Attempt>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// What an error of the key space says about itself.
#[derive(Clone, Debug)]
struct Server {
    code: ErrorCode,
    cause: String,
    index: u64,
}

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The number that the v2 API puts on this error, if it was the key space that refused.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        self.0.server.as_ref().map(|server| server.code)
    }

    /// What the key space's error is about: mostly the key, or both sides of a comparison that failed.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.server.as_ref().map(|server| server.cause.as_str())
    }

    /// The index of the store at which the key space refused.
    #[must_use]
    pub fn index(&self) -> Option<u64> {
        self.0.server.as_ref().map(|server| server.index)
    }

    /// The HTTP status of the answer, if the server refused.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Whether the same call may succeed later, without the caller changing anything.
    ///
    /// It does not say that repeating is safe: ask [`maybe_applied`](Self::maybe_applied) before repeating a write.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_transient()
    }

    /// Whether a write may have happened although this call failed.
    ///
    /// `false` is certain: nothing was changed. `true` means unknown: the request left, and no answer proves that it
    /// was not applied (or will not be, once a frozen member goes on). Always `false` for reads.
    #[must_use]
    pub fn maybe_applied(&self) -> bool {
        self.0.applied
    }

    /// How each attempt failed at its endpoint, oldest first. Empty if a server's answer is the error.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            server: None,
            status: None,
            applied: false,
            attempts: Vec::new(),
            source: None,
        }))
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// An error of the key space.
    pub(crate) fn from_keys(code: ErrorCode, message: &str, cause: String, index: u64) -> Self {
        let text = format!("{code}: {message} ({cause}) [{index}]");
        let mut error = Self::new(code.kind(), text);
        error.edit().server = Some(Server { code, cause, index });
        error
    }

    /// No endpoint could serve the call.
    pub(crate) fn from_attempts(attempts: Vec<Attempt>, applied: bool) -> Self {
        let mut error = Self::new(attempt::kind_of(&attempts), "no endpoint could serve the call");
        let inner = error.edit();
        inner.attempts = attempts;
        inner.applied = applied;
        error
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.edit().status = Some(status);
        self
    }

    pub(crate) fn with_maybe_applied(mut self, applied: bool) -> Self {
        self.edit().applied = applied;
        self
    }

    pub(crate) fn with_source(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.edit().source = Some(Arc::new(source));
        self
    }

    fn edit(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.write_str(&inner.message)?;
        if inner.applied {
            f.write_str(" (the write may have been applied)")?;
        }
        if !inner.attempts.is_empty() {
            f.write_str("; tried ")?;
            attempt::fmt_list(&inner.attempts, f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &inner.kind).field("message", &inner.message);
        if let Some(server) = &inner.server {
            debug.field("server", server);
        }
        if let Some(status) = inner.status {
            debug.field("status", &status);
        }
        debug.field("maybe_applied", &inner.applied);
        if !inner.attempts.is_empty() {
            debug.field("attempts", &inner.attempts);
        }
        if let Some(source) = &inner.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
