//! The messages that a client gets.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use etcdkit_proto::method::Class;
use etcdkit_proto::{Code, ServerError};
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use prost::Message;

use super::counts::Tally;
use super::{PREFIX, head};
use crate::budget::{Budget, Hold};
use crate::status::{Result, Status};

/// Bytes of a message that is never refused. An answer that has no more is not counted either: its call takes as much.
const SMALL: usize = 1024;

/// The other half of a call: its headers, messages and end.
#[derive(Debug)]
pub(crate) struct Outbound {
    respond: SendResponse<Bytes>,
    stream: Option<SendStream<Bytes>>,
    tally: Tally,
    budget: Arc<Budget>,
}

impl Outbound {
    pub(super) const fn new(
        respond: SendResponse<Bytes>,
        tally: Tally,
        budget: Arc<Budget>,
    ) -> Self {
        Self { respond, stream: None, tally, budget }
    }

    /// Waits until the client has taken enough to be sent more. What makes large messages waits for it before each.
    pub(crate) async fn room(&self) {
        self.budget.room_for_streams().await;
    }

    /// Holds so many bytes of what is to be sent.
    pub(crate) fn hold(&self, bytes: usize) -> Hold {
        let mut hold = self.budget.answer();
        hold.keep(bytes);
        hold
    }

    /// Sends a message, and waits until the client has room for it. The headers go out with the first one.
    ///
    /// # Errors
    ///
    /// When nobody reads any more, or what would wait is too much.
    pub(crate) async fn send(&mut self, message: &impl Message) -> Result<()> {
        self.budget.room_for_answers().await;
        self.send_framed(framed(message)).await
    }

    /// As [`send`](Self::send), for bytes that begin with the prefix already: one message or several.
    pub(crate) async fn send_framed(&mut self, framed: Vec<u8>) -> Result<()> {
        let length = framed.len();
        if length == 0 {
            return Ok(());
        }
        self.tally.sent(&framed);
        let mut hold = self.budget.answer();
        let stream = self.open()?;
        let wait = || if length > SMALL { hold.grow(length) } else { Ok(()) };
        let room = room_for(stream, length, wait).await?;
        write(stream, hold.bytes(framed), room).await
    }

    /// Sends the headers now, so that the client knows that its call is served.
    pub(crate) fn open(&mut self) -> Result<&mut SendStream<Bytes>> {
        if self.stream.is_none() {
            let stream = self.respond.send_response(head::opening(), false);
            self.stream = Some(stream.map_err(|_| gone())?);
        }
        self.stream.as_mut().ok_or_else(gone)
    }

    /// Sends the one answer of a call and its end. What the client has no room for is held until it has. Returns how it ended.
    pub(super) async fn answer(mut self, framed: Vec<u8>, mut hold: Hold) -> Code {
        self.tally.sent(&framed);
        let length = framed.len();
        let changes = self.tally.info().is_none_or(|info| info.class != Class::Read);
        let Ok(stream) = self.open() else { return Code::Canceled };
        let wait = || match length {
            ..=SMALL => Ok(()),
            // What was done is not said to be refused.
            _ if changes => hold.set(length).map_err(|_| ServerError::Timeout.into()),
            _ => hold.set(length),
        };
        let sent = match room_for(stream, length, wait).await {
            Ok(room) => {
                let data = if length > SMALL { hold.bytes(framed) } else { framed.into() };
                write(stream, data, room).await
            }
            Err(status) => Err(status),
        };
        let code = sent.as_ref().map_or_else(|status| status.code, |()| Code::Ok);
        self.end(sent);
        code
    }

    /// Ends the call. Whoever is gone is not told.
    pub(super) fn end(mut self, outcome: Result<()>) {
        match (self.stream.take(), outcome) {
            (Some(mut stream), Ok(())) => {
                let _ = stream.send_trailers(head::trailers_ok());
            }
            (Some(mut stream), Err(status)) => {
                let mut trailers = http::HeaderMap::new();
                head::write(&status, &mut trailers);
                let _ = stream.send_trailers(trailers);
            }
            (None, Ok(())) => {
                if let Ok(mut stream) = self.respond.send_response(head::opening(), false) {
                    let _ = stream.send_trailers(head::trailers_ok());
                }
            }
            (None, Err(status)) => {
                let mut response = head::opening();
                head::write(&status, response.headers_mut());
                let _ = self.respond.send_response(response, true);
            }
        }
    }

    /// Refuses what is not gRPC.
    pub(super) fn refuse(mut self, response: http::Response<()>) {
        let _ = self.respond.send_response(response, true);
    }

    /// Waits until the client gives the call up.
    pub(crate) async fn given_up(&mut self) {
        poll_fn(|context| self.poll_reset(context)).await;
    }

    /// The output of `work`; `None` if the client gives the call up before.
    pub(crate) async fn until_given_up<F: Future>(&mut self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_reset(context).map(|()| None),
        })
        .await
    }

    /// Whether the client gave the call up.
    pub(super) fn poll_reset(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.stream {
            Some(stream) => stream.poll_reset(context),
            None => self.respond.poll_reset(context),
        };
        reset.map(|_: Result<Reason, h2::Error>| ())
    }
}

/// A message with its prefix.
pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX + message.encoded_len());
    out.resize(PREFIX, 0);
    // A vector grows as needed, so that encoding into it cannot fail.
    let _ = message.encode(&mut out);
    seal(&mut out, 0);
    out
}

/// Fills in the prefix at `start` of the message that follows it.
pub(crate) fn seal(out: &mut [u8], start: usize) {
    let length = u32::try_from(out.len() - start - PREFIX).unwrap_or(u32::MAX);
    if let Some(slot) = out.get_mut(start + 1..start + PREFIX) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

/// How much of so many bytes the client has room for, at least some. If not for all, they have to be allowed to wait.
async fn room_for(
    stream: &mut SendStream<Bytes>,
    bytes: usize,
    mut wait: impl FnMut() -> Result<()>,
) -> Result<usize> {
    stream.reserve_capacity(bytes);
    poll_fn(|context| {
        let room = match stream.poll_capacity(context) {
            Poll::Ready(Some(Ok(room))) => Some(room),
            Poll::Ready(_) => return Poll::Ready(Err(gone())),
            Poll::Pending => None,
        };
        if room.is_none_or(|room| room < bytes) {
            wait()?;
        }
        room.map_or(Poll::Pending, |room| Poll::Ready(Ok(room)))
    })
    .await
}

/// Writes bytes, for the first of which there is room.
async fn write(stream: &mut SendStream<Bytes>, mut data: Bytes, mut room: usize) -> Result<()> {
    loop {
        let part = data.split_to(room.min(data.len()));
        stream.send_data(part, false).map_err(|_| gone())?;
        if data.is_empty() {
            return Ok(());
        }
        room = room_for(stream, data.len(), || Ok(())).await?;
    }
}

fn gone() -> Status {
    Status::new(Code::Canceled, "the client is gone")
}
