//! What goes wrong with a connection, and what can't be done on it.

use std::fmt;

use crate::frame::ErrorCode;
use crate::hpack::DecodeError;

/// The peer broke HTTP/2, and the connection is over. The peer is told by a GOAWAY in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    what: &'static str,
    unreadable: Option<DecodeError>,
}

impl Error {
    pub(super) const fn new(code: ErrorCode, what: &'static str) -> Self {
        Self { code, what, unreadable: None }
    }

    pub(super) const fn unreadable(error: DecodeError) -> Self {
        let what = "a block of fields can't be read";
        Self { code: ErrorCode::COMPRESSION_ERROR, what, unreadable: Some(error) }
    }

    pub(super) const fn protocol(what: &'static str) -> Self {
        Self::new(ErrorCode::PROTOCOL_ERROR, what)
    }

    /// The code that the peer is told.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// What the peer did.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        self.what
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer broke HTTP/2: {}", self.what)?;
        if let Some(unreadable) = self.unreadable {
            write!(f, ": {unreadable}")?;
        }
        write!(f, " ({})", self.code)
    }
}

impl std::error::Error for Error {}

/// Why a stream was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many are open as the peer allows, or too much waits for the socket: later there may be room.
    Full,
    /// The peer is going away, or this connection has no more stream numbers: on another connection there may be room.
    GoingAway,
    /// The connection is over.
    Over,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the connection takes no more streams for now",
            Self::GoingAway => "the connection takes no more streams",
            Self::Over => "the connection is over",
        })
    }
}

impl std::error::Error for Refused {}

/// The stream is over, or was finished before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream takes no more data: it is over, or its end was sent")
    }
}

impl std::error::Error for Gone {}
