//! How a call ends when it fails: gRPC's code and etcd's text.

use std::borrow::Cow;
use std::fmt;

use etcdkit_proto::{Code, ServerError, VersionLine};

/// The line of etcd whose behaviour this is.
const LINE: VersionLine = VersionLine::V3_7;

/// A gRPC status that is not OK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) code: Code,
    pub(crate) message: Cow<'static, str>,
}

pub(crate) type Result<T, E = Status> = std::result::Result<T, E>;

impl Status {
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// The text that Go makes of a status, which is what watchers are told.
    pub(crate) fn in_go(&self) -> String {
        format!("rpc error: code = {} desc = {}", self.code, self.message)
    }

    /// As the services send it that are clients of the server that they run in.
    pub(crate) fn unknown(self) -> Self {
        Self { code: Code::Unknown, message: self.message }
    }
}

impl From<ServerError> for Status {
    fn from(error: ServerError) -> Self {
        Self::new(error.code_in(LINE), error.message())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
