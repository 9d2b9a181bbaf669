//! What an [`EtcdLike`](super::EtcdLike) can answer.

use bytes::Bytes;

/// The answer to one unary call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A message (without its prefix) and status OK.
    Message(Bytes),
    /// A status and its text in a trailers-only response, as servers answer errors.
    Status(u32, String),
    /// A status and its text in trailers after headers of their own, without a message.
    StatusAfterHeaders(u32, String),
    /// These headers and no more, whatever they are, `:status` included.
    Headers(Vec<(String, String)>),
    /// Headers and a message, and never the trailers.
    MessageThenHang(Bytes),
    /// Nothing; the stream stays open.
    Hang,
    /// RST_STREAM with this code.
    Rst(u32),
    /// GOAWAY; the connection stays open and goes on serving.
    GoAway {
        /// The last stream that was processed; `None` is the one before this call's, which says it may be retried.
        last_stream: Option<u32>,
        /// The error code.
        code: u32,
        /// The debug data.
        debug: Bytes,
    },
    /// FIN.
    CloseConnection,
    /// RST, where the transport has it.
    ResetConnection,
}

impl Answer {
    /// [`Answer::Message`] from anything that can be bytes.
    pub fn message(message: impl Into<Bytes>) -> Self {
        Self::Message(message.into())
    }

    /// [`Answer::Status`] from a borrowed text.
    pub fn status(code: u32, message: &str) -> Self {
        Self::Status(code, message.to_owned())
    }
}
