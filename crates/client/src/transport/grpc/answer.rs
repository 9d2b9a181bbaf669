//! What the peer says on one stream, read into messages and a verdict.

use bytes::Bytes;

use super::message::Assembler;
use super::status::{Opening, Told};
use crate::error::Cause;
use crate::transport::traits::Failure;

/// An answer as it comes in.
#[derive(Debug)]
pub(super) struct Reading {
    told: Told,
    /// The head was there: what follows are messages, and fields are trailers.
    begun: bool,
    assembler: Assembler,
}

/// What a part of an answer means for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More has to come.
    Open,
    /// The server ended the call with success.
    Over,
}

impl Reading {
    pub(super) fn new(limit: usize) -> Self {
        Self { told: Told::default(), begun: false, assembler: Assembler::new(limit) }
    }

    /// Takes one field of the head or of the trailers.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        self.told.field(name, value);
    }

    /// The fields were all there. An error ends the call.
    pub(super) fn fields_end(&mut self) -> Result<Progress, Failure> {
        let told = std::mem::take(&mut self.told);
        if !std::mem::replace(&mut self.begun, true) {
            match told.opening()? {
                Opening::Messages => return Ok(Progress::Open),
                Opening::Status => told.verdict()?,
            }
        } else {
            told.verdict()?;
        }
        if self.assembler.held() > 0 {
            return Err(truncated());
        }
        Ok(Progress::Over)
    }

    /// The fields were too many to be told, and some of them were not. Trailers hold the status all the same, if it was
    /// among the others; `None` if nothing is known.
    pub(super) fn fields_cut(&mut self) -> Option<Result<(), Failure>> {
        (self.begun && self.told.has_status()).then(|| self.fields_end().map(|_| ()))
    }

    /// Takes content, of which [`message`](Self::message) has the messages.
    pub(super) fn data(&mut self, payload: Bytes) {
        self.assembler.push(payload);
    }

    /// The next whole message.
    pub(super) fn message(&mut self) -> Result<Option<Bytes>, Failure> {
        self.assembler.next().map_err(Failure::Unknown)
    }
}

/// The answer of a unary call as it comes in: one message and a verdict.
#[derive(Debug)]
pub(super) struct UnaryReading {
    pub(super) reading: Reading,
    answer: Option<Bytes>,
}

impl UnaryReading {
    pub(super) fn new(limit: usize) -> Self {
        Self { reading: Reading::new(limit), answer: None }
    }

    pub(super) fn data(&mut self, payload: Bytes) -> Result<(), Failure> {
        self.reading.data(payload);
        while let Some(message) = self.reading.message()? {
            if self.answer.replace(message).is_some() {
                return Err(unary_answers("more than one message"));
            }
        }
        Ok(())
    }

    /// What has come of the call, where the verdict is success.
    pub(super) fn outcome(&mut self) -> Result<Bytes, Failure> {
        self.answer.take().ok_or_else(|| unary_answers("no message"))
    }
}

/// The server promised one message and sent another number of them.
#[cold]
fn unary_answers(what: &str) -> Failure {
    Failure::Unknown(Cause::Protocol(format!("the server answered a unary call with {what}")))
}

#[cold]
fn truncated() -> Failure {
    Failure::Unknown(Cause::Protocol("the answer ends in the middle of a message".into()))
}
