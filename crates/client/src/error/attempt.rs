//! How one attempt of a call failed.

use std::fmt;
use std::sync::Arc;

use etcdkit_proto::Code;

/// One attempt that failed: where, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    endpoint: Arc<str>,
    cause: Cause,
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The name could not be resolved.
    Resolve(String),
    /// No connection: refused, unreachable, or no such socket.
    Connect(String),
    /// The connection was not up in time.
    ConnectTimeout,
    /// The TLS handshake failed, or one side speaks TLS where the other expects plain text.
    Tls(String),
    /// Whatever listens there does not speak HTTP/2, or does not speak gRPC.
    Protocol(String),
    /// The connection broke.
    Disconnected(String),
    /// The member stopped answering: requests and then a probe stayed without an answer.
    Frozen,
    /// This client gave the connection up, for another member may serve it better: this one lags behind, say.
    Left(String),
    /// The server is going away or refused the stream; it did not look at the request.
    Refused(String),
    /// The server reset the stream.
    Reset(String),
    /// The attempt was ended because time was up.
    Deadline,
    /// The server answered with an error.
    Status(Code, String),
    /// The member belongs to another cluster than before.
    OtherCluster(String),
    /// A limit of this client was exceeded.
    Limit(String),
}

impl Attempt {
    pub(crate) fn new(endpoint: Arc<str>, cause: Cause) -> Self {
        Self { endpoint, cause }
    }

    /// The endpoint as it was configured.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How it failed there.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }
}

impl Cause {
    /// Whether time alone won't mend it: the configuration, or what listens there, has to change.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Protocol(_) | Self::OtherCluster(_))
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
            Self::Resolve(why) => write!(f, "name not resolved: {why}"),
            Self::Connect(why) => write!(f, "not connected: {why}"),
            Self::ConnectTimeout => f.write_str("not connected in time"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Protocol(why) | Self::Left(why) | Self::Limit(why) | Self::OtherCluster(why) => {
                f.write_str(why)
            }
            Self::Disconnected(why) => write!(f, "connection lost: {why}"),
            Self::Frozen => f.write_str("frozen: neither the request nor a probe was answered"),
            Self::Refused(why) => write!(f, "refused before it was looked at: {why}"),
            Self::Reset(why) => write!(f, "stream reset: {why}"),
            Self::Deadline => f.write_str("no answer in time"),
            Self::Status(code, message) => write!(f, "{code}: {message}"),
        }
    }
}

/// Writes attempts in one line, repeated ones once.
pub(super) fn fmt_list(attempts: &[Attempt], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut shown: Vec<(&Attempt, usize)> = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        match shown.iter_mut().find(|(other, _)| *other == attempt) {
            Some((_, times)) => *times += 1,
            None => shown.push((attempt, 1)),
        }
    }
    for (index, (attempt, times)) in shown.iter().enumerate() {
        if index > 0 {
            f.write_str("; ")?;
        }
        write!(f, "{attempt}")?;
        if *times > 1 {
            write!(f, " ({times} times)")?;
        }
    }
    Ok(())
}
