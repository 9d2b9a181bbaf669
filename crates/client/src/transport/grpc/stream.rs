//! The two halves of a stream.

use std::future::poll_fn;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use tokio::sync::watch;

use super::answer::truncated;
use super::failure::failure_of;
use super::keep_alive::OpenStream;
use super::message::Assembler;
use super::status::{self, Opening};
use crate::error::Cause;
use crate::transport::traits::{Failure, Sink, Source};

/// Why the connection below ended, once it has.
type Fate = watch::Receiver<Option<Cause>>;

/// The sending half of a stream of the [`H2`](super::H2) transport.
#[derive(Debug)]
pub struct H2Sink {
    body: SendStream<Bytes>,
    fate: Fate,
}

impl H2Sink {
    pub(super) fn new(body: SendStream<Bytes>, fate: Fate) -> Self {
        Self { body, fate }
    }

    fn failure(&self, error: &h2::Error) -> Failure {
        failure_of(error, self.fate.borrow().clone())
    }

    fn ended() -> Failure {
        Failure::Unknown(Cause::Disconnected("the server ended the stream".into()))
    }
}

impl Sink for H2Sink {
    async fn send(&mut self, mut message: Bytes) -> Result<(), Failure> {
        while !message.is_empty() {
            self.body.reserve_capacity(message.len());
            let granted = poll_fn(|cx| self.body.poll_capacity(cx)).await;
            let granted = granted.ok_or_else(Self::ended)?.map_err(|error| self.failure(&error))?;
            let part = message.split_to(granted.min(message.len()));
            self.body.send_data(part, false).map_err(|error| self.failure(&error))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.body.send_data(Bytes::new(), true).map_err(|error| self.failure(&error))
    }
}

/// The receiving half of a stream of the [`H2`](super::H2) transport.
#[derive(Debug)]
pub struct H2Source {
    state: State,
    assembler: Assembler,
    fate: Fate,
    _open: OpenStream,
}

#[derive(Debug)]
enum State {
    /// No answer yet.
    Opening(ResponseFuture),
    Reading(RecvStream),
    Over,
}

impl H2Source {
    pub(super) fn new(
        response: ResponseFuture,
        limit: usize,
        fate: Fate,
        open: OpenStream,
    ) -> Self {
        let assembler = Assembler::new(limit);
        Self { state: State::Opening(response), assembler, fate, _open: open }
    }

    async fn step(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match &mut self.state {
                State::Over => return Ok(None),
                State::Opening(response) => {
                    let response = response.await.map_err(|error| self.failure(&error))?;
                    let (parts, body) = response.into_parts();
                    self.state = match status::check_response(parts.status, &parts.headers)? {
                        Opening::Messages => State::Reading(body),
                        Opening::Status => {
                            status::of_trailers(&parts.headers)?;
                            State::Over
                        }
                    };
                }
                State::Reading(body) => {
                    if let Some(message) = self.assembler.next().map_err(Failure::Unknown)? {
                        return Ok(Some(message));
                    }
                    match poll_fn(|cx| body.poll_data(cx)).await {
                        Some(Ok(payload)) => {
                            let length = payload.len();
                            self.assembler.push(payload);
                            if let Err(error) = body.flow_control().release_capacity(length) {
                                return Err(self.failure(&error));
                            }
                        }
                        Some(Err(error)) => return Err(self.failure(&error)),
                        None => {
                            let trailers = poll_fn(|cx| body.poll_trailers(cx)).await;
                            let trailers = trailers.map_err(|error| self.failure(&error))?;
                            self.state = State::Over;
                            status::of_trailers(&trailers.ok_or_else(status::missing)?)?;
                            if self.assembler.held() > 0 {
                                return Err(truncated());
                            }
                        }
                    }
                }
            }
        }
    }

    fn failure(&self, error: &h2::Error) -> Failure {
        failure_of(error, self.fate.borrow().clone())
    }
}

impl Source for H2Source {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let step = self.step().await;
        if step.is_err() {
            self.state = State::Over;
        }
        step
    }
}
