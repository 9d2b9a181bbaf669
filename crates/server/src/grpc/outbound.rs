//! The messages that a client gets.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use etcdkit_proto::Code;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use prost::Message;

use super::budget::Hold;
use super::counts::Tally;
use super::{PREFIX, head};
use crate::status::{Result, Status};

/// The other half of a call: its headers, messages and end.
#[derive(Debug)]
pub(crate) struct Outbound {
    respond: SendResponse<Bytes>,
    stream: Option<SendStream<Bytes>>,
    tally: Tally,
}

impl Outbound {
    pub(super) const fn new(respond: SendResponse<Bytes>, tally: Tally) -> Self {
        Self { respond, stream: None, tally }
    }

    /// Sends a message, and waits until the client has room for it. The headers go out with the first one.
    ///
    /// # Errors
    ///
    /// When nobody reads any more.
    pub(crate) async fn send(&mut self, message: &impl Message) -> Result<()> {
        self.send_framed(framed(message)).await
    }

    /// As [`send`](Self::send), for bytes that begin with the prefix already: one message or several.
    pub(crate) async fn send_framed(&mut self, framed: Vec<u8>) -> Result<()> {
        self.tally.sent(&framed);
        let stream = self.open()?;
        let mut data = Bytes::from(framed);
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            let room = poll_fn(|context| stream.poll_capacity(context)).await;
            let Some(Ok(room)) = room else { return Err(gone()) };
            let part = data.split_to(room.min(data.len()));
            stream.send_data(part, false).map_err(|_| gone())?;
        }
        Ok(())
    }

    /// Sends the headers now, so that the client knows that its call is served.
    pub(crate) fn open(&mut self) -> Result<&mut SendStream<Bytes>> {
        if self.stream.is_none() {
            let stream = self.respond.send_response(head::opening(), false);
            self.stream = Some(stream.map_err(|_| gone())?);
        }
        self.stream.as_mut().ok_or_else(gone)
    }

    /// Sends the one answer of a call and its end. What the client has no room for is held until it has.
    pub(super) async fn answer(mut self, framed: Vec<u8>, mut hold: Hold) {
        self.tally.sent(&framed);
        let Ok(stream) = self.open() else { return };
        let mut data = Bytes::from(framed);
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            let mut refused = None;
            let room = poll_fn(|context| {
                let room = stream.poll_capacity(context);
                if room.is_pending() {
                    refused = hold.set(data.len()).err();
                }
                if refused.is_some() { Poll::Ready(None) } else { room }
            });
            let room = room.await;
            if let Some(status) = refused {
                return self.end(Err(status));
            }
            let Some(Ok(room)) = room else { return };
            let part = data.split_to(room.min(data.len()));
            if stream.send_data(part, false).is_err() {
                return;
            }
        }
        let _ = stream.send_trailers(head::trailers_ok());
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

fn gone() -> Status {
    Status::new(Code::Canceled, "the client is gone")
}
