//! The one error of this crate.
//!
//! [`Error`] answers what a caller has to decide: what kind of failure it is ([`ErrorKind`]), what the server said
//! ([`ServerError`], [`Code`]), whether a repetition makes sense, whether a write may have happened, and how each
//! attempt failed at which endpoint ([`Attempt`]). Rooms below build it; nothing here decides what is retried.

mod attempt;
mod kind;

pub use attempt::{Attempt, Cause};
pub use kind::ErrorKind;
pub(crate) use kind::code_meant;

pub use etcdkit_proto::{Code, ServerError};

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::revision::Revision;

/// What the fallible functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. One word wide and cheap to clone.
///
/// The text of an error is for people and may change; decide by [`kind`](Self::kind), the predicates, and
/// [`server_error`](Self::server_error). It is whole, since most logs hold nothing else: it includes what the
/// [source](std::error::Error::source) says, which is there to be downcast and need not be printed again.
///
/// ```
/// use etcdkit::{Client, ErrorKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = Client::builder().build().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
/// assert!(!error.maybe_applied());
/// assert_eq!(error.to_string(), "no endpoints: name at least one, such as http://127.0.0.1:2379");
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    code: Option<Code>,
    server: Option<ServerError>,
    applied: bool,
    compact: Option<Revision>,
    rpc: Option<&'static str>,
    attempts: Vec<Attempt>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What went wrong, without the RPC and the attempts: the server's own words if it was the server that refused.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The gRPC status code of the server's answer, if it was the server that refused.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.0.code
    }

    /// Which of etcd's own errors the server answered with, recognised by its message: etcd sends some of them under
    /// different codes in different versions.
    #[must_use]
    pub fn server_error(&self) -> Option<ServerError> {
        self.0.server
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
    /// `false` is certain: nothing was changed. `true` means unknown: the request left, and no answer proves that it was
    /// not applied (or will not be, once a frozen member goes on). Always `false` for reads.
    #[must_use]
    pub fn maybe_applied(&self) -> bool {
        self.0.applied
    }

    /// The revision up to which the history was compacted, if a watch ended with
    /// [`Compacted`](ErrorKind::Compacted) and the server said so: what is still there begins with it.
    #[must_use]
    pub fn compact_revision(&self) -> Option<Revision> {
        self.0.compact
    }

    /// The RPC that failed, such as `/etcdserverpb.KV/Put`.
    #[must_use]
    pub fn rpc(&self) -> Option<&'static str> {
        self.0.rpc
    }

    /// The endpoint of the last attempt.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.0.attempts.last().map(Attempt::endpoint)
    }

    /// How each attempt failed, and how each endpoint that could not be reached failed, oldest first.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            code: None,
            server: None,
            applied: false,
            compact: None,
            rpc: None,
            attempts: Vec::new(),
            source: None,
        }))
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the client is closed")
    }

    /// A watch begins with what was compacted.
    pub(crate) fn compacted(revision: Revision) -> Self {
        let mut error =
            Self::from_status(ServerError::Compacted.code(), ServerError::Compacted.message());
        error.edit().compact = (revision != Revision::NONE).then_some(revision);
        error
    }

    /// The server's answer `code` with `message`.
    pub(crate) fn from_status(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        let server = ServerError::from_message(&message);
        let mut error =
            Self::new(kind::of_status(kind::code_meant(code, &message), server), message);
        let inner = error.edit();
        inner.code = Some(code);
        inner.server = server;
        error
    }

    pub(crate) fn with_source(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.edit().source = Some(Arc::new(source));
        self
    }

    pub(crate) fn with_rpc(mut self, rpc: &'static str) -> Self {
        self.edit().rpc = Some(rpc);
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: Vec<Attempt>) -> Self {
        self.edit().attempts = attempts;
        self
    }

    pub(crate) fn with_maybe_applied(mut self, applied: bool) -> Self {
        self.edit().applied = applied;
        self
    }

    fn edit(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(rpc) = inner.rpc {
            write!(f, "{}: ", rpc.trim_start_matches('/'))?;
        }
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
        if let Some(server) = inner.server {
            debug.field("server_error", &server);
        }
        if let Some(code) = inner.code {
            debug.field("code", &code);
        }
        if let Some(rpc) = inner.rpc {
            debug.field("rpc", &rpc);
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
