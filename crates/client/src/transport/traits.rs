//! The door between the channel and whatever carries its calls.

use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use crate::config::Endpoint;
use crate::error::{Cause, Code};
use crate::metadata::Metadata;

/// Opens connections to members.
///
/// The one in use is [`H2`](super::H2). The trait is public so that other transports can be compared with it and
/// tested by the same suite; it may change in any release.
pub trait Transport: Send + Sync + 'static {
    /// One connection to one member.
    type Connection: Connection;

    /// Connects to `endpoint`. The caller bounds the time; a dropped future leaves no connection behind.
    ///
    /// # Errors
    ///
    /// How connecting failed.
    fn connect(
        &self,
        endpoint: &Endpoint,
    ) -> impl Future<Output = Result<Self::Connection, Cause>> + Send;
}

/// What goes along with a call beside its message.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The RPC, such as `/etcdserverpb.KV/Range`.
    pub path: &'static str,
    /// How long the server may take, sent as `grpc-timeout`: what the caller chose, not a default.
    pub timeout: Option<Duration>,
    /// The auth token.
    pub token: Option<&'a HeaderValue>,
    /// Whether a member without a leader is to refuse.
    pub require_leader: bool,
    /// The caller's own metadata.
    pub metadata: &'a Metadata,
    /// Set if the call is given up before any of the request has left, and none of it will.
    pub unsent: Option<&'a AtomicBool>,
}

/// A server's answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The gRPC code.
    pub code: Code,
    /// The text.
    pub message: String,
}

/// How an attempt failed, and what is certain about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server answered with an error.
    Status(Status),
    /// The server certainly did not process the request: it never left, or the server said so.
    NotProcessed(Cause),
    /// Nothing is known: the request may have left, and there is no answer.
    Unknown(Cause),
}

/// A connection to one member that carries calls side by side.
///
/// Messages are passed with gRPC's five bytes of framing in front when sent ([`frame`](super::frame)), and without them
/// when received.
pub trait Connection: Send + Sync + 'static {
    /// The sending half of a stream.
    type Sink: Sink;
    /// The receiving half of a stream.
    type Source: Source;

    /// One request, one answer. Dropping the future resets the stream; if nothing has been sent by then, that is noted
    /// in [`Head::unsent`].
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    fn unary(
        &self,
        head: Head<'_>,
        message: Bytes,
    ) -> impl Future<Output = Result<Bytes, Failure>> + Send;

    /// Opens a stream. Dropping both halves resets it.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    fn open(
        &self,
        head: Head<'_>,
    ) -> impl Future<Output = Result<(Self::Sink, Self::Source), Failure>> + Send;

    /// How many calls the peer allows at once; more of them queue.
    fn capacity(&self) -> usize {
        usize::MAX
    }

    /// Whether the peer allows no call beyond those that are under way, for now or for good.
    fn is_full(&self) -> bool {
        false
    }

    /// Whether the peer has calls to answer, those included that nobody waits for any more.
    fn is_busy(&self) -> bool {
        false
    }

    /// Whether it has ended, and with it all that was under way.
    fn is_over(&self) -> bool {
        false
    }

    /// Waits until the peer takes another [`ping`](Self::ping) without offence. Each ping needs a turn of its own.
    fn ping_turn(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Has the peer answer something that needs no call, where [`is_full`](Self::is_full) leaves no other way.
    ///
    /// # Errors
    ///
    /// The connection is over.
    fn ping(&self) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Bytes received so far: any change is a sign of life.
    fn received(&self) -> u64;

    /// Waits until the connection takes no more calls, and says why.
    fn closed(&self) -> impl Future<Output = Cause> + Send;

    /// Ends the connection: the calls on it fail with `cause`.
    fn shut_down(&self, cause: Cause);
}

/// The sending half of a stream.
pub trait Sink: Send + 'static {
    /// Sends one framed message, waiting for room.
    ///
    /// # Errors
    ///
    /// The stream is over; its [`Source`] says why.
    fn send(&mut self, message: Bytes) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    ///
    /// The stream is over; its [`Source`] says why.
    fn finish(&mut self) -> Result<(), Failure>;
}

/// The receiving half of a stream.
pub trait Source: Send + 'static {
    /// The next message; `None` once the server ended the stream with success. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The stream is over and failed.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Failure>> + Send;
}
