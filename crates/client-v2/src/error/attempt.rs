//! How one attempt of a call failed.

use std::fmt;

use super::ErrorKind;
use crate::config::Endpoint;

/// One attempt that failed: where, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    endpoint: Endpoint,
    cause: Cause,
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// No connection: the name was not resolved, or the host refused or is unreachable.
    Connect(String),
    /// The connection, TLS included, was not up in time.
    ConnectTimeout,
    /// The TLS handshake failed, or the certificates that were configured can't be used.
    Tls(String),
    /// The connection broke before the answer was complete.
    Disconnected(String),
    /// The answer, or the rest of it, did not come in time.
    HeaderTimeout,
    /// The member stopped answering: neither the request nor a probe.
    Frozen,
    /// The member is up and knows no leader, or the cluster could not decide in time.
    NoLeader(String),
    /// The server failed with this status.
    Server(u16, String),
    /// A redirect that was not followed.
    Redirect(String),
    /// What listens there does not speak HTTP.
    Protocol(String),
    /// The answer is larger than this client accepts.
    TooLarge(String),
}

impl Attempt {
    pub(crate) fn new(endpoint: Endpoint, cause: Cause) -> Self {
        Self { endpoint, cause }
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How it failed there.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }
}

/// The kind of a call that failed by these attempts and no other.
pub(super) fn kind_of(attempts: &[Attempt]) -> ErrorKind {
    let any = |test: fn(&Cause) -> bool| attempts.iter().any(|attempt| test(&attempt.cause));
    if any(|cause| matches!(cause, Cause::TooLarge(_))) {
        ErrorKind::ResourceExhausted
    } else if any(|cause| matches!(cause, Cause::NoLeader(_))) {
        ErrorKind::NoLeader
    } else if any(|cause| !cause.is_timeout()) || attempts.is_empty() {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Timeout
    }
}

impl Cause {
    fn is_timeout(&self) -> bool {
        matches!(self, Self::ConnectTimeout | Self::HeaderTimeout | Self::Frozen)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "not connected: {why}"),
            Self::ConnectTimeout => f.write_str("not connected in time"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Disconnected(why) => write!(f, "connection lost: {why}"),
            Self::HeaderTimeout => f.write_str("no answer in time"),
            Self::Frozen => f.write_str("frozen: neither the request nor a probe was answered"),
            Self::NoLeader(why) => write!(f, "no leader: {why}"),
            Self::Server(status, why) => write!(f, "server error {status}: {why}"),
            Self::Redirect(why) => write!(f, "redirect: {why}"),
            Self::Protocol(why) => write!(f, "not HTTP: {why}"),
            Self::TooLarge(why) => f.write_str(why),
        }
    }
}

/// Writes attempts in one line.
pub(super) fn fmt_list(attempts: &[Attempt], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, attempt) in attempts.iter().enumerate() {
        if index > 0 {
            f.write_str("; ")?;
        }
        write!(f, "{attempt}")?;
    }
    Ok(())
}
