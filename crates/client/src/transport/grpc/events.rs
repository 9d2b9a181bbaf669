//! What the server says, brought to whom it concerns.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use etcdkit_http2::client::{End, Events, Part, Payload, Sent};
use etcdkit_http2::frame::{ErrorCode, StreamId};
use tokio::sync::oneshot;

use super::answer::{Progress, Reading, UnaryReading};
use super::call::Answer;
use super::failure::{failure_of, going_away};
use super::stream::Flow;
use super::task::Shared;
use crate::error::Cause;
use crate::transport::traits::Failure;

/// The payload of our pings; there is one at a time.
pub(super) const PING: [u8; 8] = *b"etcdkit?";

/// One call on its stream.
#[derive(Debug)]
pub(super) enum Call {
    Unary {
        answer: Arc<Answer>,
        reading: UnaryReading,
    },
    Stream {
        flow: Arc<Flow>,
        reading: Reading,
    },
    /// Its caller knows the outcome.
    Told,
}

impl Call {
    /// Tells the caller how it ended, unless it has been told.
    pub(super) fn tell(&mut self, outcome: Result<(), Failure>) {
        match self {
            Self::Unary { answer, reading } => {
                answer.give(outcome.and_then(|()| reading.outcome()));
            }
            Self::Stream { flow, .. } => flow.end(outcome),
            Self::Told => {}
        }
        *self = Self::Told;
    }

    fn reading(&mut self) -> Option<&mut Reading> {
        match self {
            Self::Unary { reading, .. } => Some(&mut reading.reading),
            Self::Stream { reading, .. } => Some(reading),
            Self::Told => None,
        }
    }
}

/// Hears what the peer says.
#[derive(Debug)]
pub(super) struct Heard {
    /// Streams whose calls are over before the peer has ended them.
    pub(super) over: Vec<StreamId>,
    /// Who waits for the answer to the ping that is under way.
    pub(super) pings: Vec<oneshot::Sender<()>>,
    /// The server's word that it takes no more calls.
    pub(super) leaving: Option<Cause>,
    /// Why the connection ended.
    pub(super) lost: Cause,
    /// What the socket may have taken of every request that was begun, though it did not say so.
    pub(super) sent: Sent,
    shared: Arc<Shared>,
}

impl Heard {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            over: Vec::new(),
            pings: Vec::new(),
            leaving: None,
            lost: Cause::Disconnected("the connection's task ended".into()),
            sent: Sent::Nothing,
            shared,
        }
    }
}

impl Events for Heard {
    type Stream = Call;

    fn field(&mut self, _: StreamId, call: &mut Call, name: &[u8], value: &[u8]) {
        if let Some(reading) = call.reading() {
            reading.field(name, value);
        }
    }

    fn fields_end(&mut self, id: StreamId, call: &mut Call, part: Part) {
        let Some(reading) = call.reading() else { return };
        let over = match reading.fields_end() {
            Ok(Progress::Open) => return,
            Ok(Progress::Over) => Ok(()),
            Err(failure) => Err(failure),
        };
        call.tell(over);
        if part == Part::Head {
            self.over.push(id);
        }
    }

    fn data(&mut self, id: StreamId, call: &mut Call, payload: Payload<'_>) -> usize {
        let length = payload.len();
        if length == 0 {
            return 0;
        }
        let (taken, release) = match call {
            Call::Unary { reading, .. } => (reading.data(payload.into_bytes()), length),
            Call::Stream { flow, reading } => {
                reading.data(payload.into_bytes());
                (hand_out(flow, reading), flow.release(length))
            }
            Call::Told => return length,
        };
        if let Err(failure) = taken {
            call.tell(Err(failure));
            self.over.push(id);
        }
        release
    }

    fn ended(&mut self, _: StreamId, mut call: Call, end: End, sent: Sent) {
        let Some(reading) = call.reading() else { return };
        let sent = sent.max(self.sent);
        let cut = if end == End::TooLong { reading.fields_cut() } else { None };
        let outcome =
            cut.unwrap_or_else(|| Err(failure_of(end, sent, self.leaving.as_ref(), &self.lost)));
        call.tell(outcome);
    }

    fn pong(&mut self, payload: [u8; 8]) {
        if payload == PING {
            for asked in self.pings.drain(..) {
                // Who does not wait any more need not be told.
                let _ = asked.send(());
            }
        }
    }

    fn going_away(&mut self, code: ErrorCode, reason: &[u8]) {
        self.leaving = Some(going_away(code, reason));
    }

    fn limit(&mut self, streams: usize) {
        self.shared.capacity.store(streams, Ordering::Relaxed);
    }
}

/// Leaves the messages that are whole for the reader.
fn hand_out(flow: &Flow, reading: &mut Reading) -> Result<(), Failure> {
    while let Some(message) = reading.message()? {
        flow.receive(message);
    }
    Ok(())
}
