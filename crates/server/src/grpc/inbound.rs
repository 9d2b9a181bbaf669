//! The messages that a client sends.

use std::future::poll_fn;
use std::task::Poll;

use bytes::{Buf, Bytes, BytesMut};
use etcdkit_proto::Code;
use h2::RecvStream;
use prost::Message;

use super::PREFIX;
use super::counts::Tally;
use crate::budget::Hold;
use crate::clock::Pause;
use crate::front::PATIENCE;
use crate::status::{Result, Status};

/// Bytes of a message that are not counted: a call takes as much by itself.
const LITTLE: usize = 1024;

/// One call's messages, one behind the other.
#[derive(Debug)]
pub(crate) struct Inbound {
    body: RecvStream,
    /// What came and is no whole message yet. Mostly a message is one frame, and never copied here.
    gathered: BytesMut,
    rest: Bytes,
    limit: usize,
    /// For what came of a message, until the next one is waited for.
    hold: Hold,
    tally: Tally,
    /// Whether a message has to come, even if nothing of it is there.
    expected: bool,
    /// How long the message may take that is to come.
    patience: Option<Pause>,
}

impl Inbound {
    pub(super) fn new(body: RecvStream, limit: usize, hold: Hold, tally: Tally) -> Self {
        let (gathered, rest) = Default::default();
        Self { body, gathered, rest, limit, hold, tally, expected: false, patience: None }
    }

    /// The next message; `None` once the client sends no more. Dropping the future loses nothing.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>> {
        match self.next_bytes().await? {
            Some(bytes) => decode(bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The one message of a call that has one. It may take as long to arrive as a part of a message may wait for the rest.
    pub(crate) async fn only(&mut self) -> Result<Bytes> {
        self.expected = true;
        let missing = || Status::new(Code::Internal, "grpc: the client sent no message");
        self.next_bytes().await?.ok_or_else(missing)
    }

    async fn next_bytes(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(message) = self.take()? {
                self.patience = None;
                self.tally.received();
                if message.len() >= LITTLE {
                    // It is there already, so refusing it would free nothing.
                    self.hold.keep(message.len());
                }
                return Ok(Some(message));
            }
            self.hold.set(self.gathered.len() + self.rest.len())?;
            let Some(data) = self.data().await? else {
                let whole = self.gathered.is_empty() && self.rest.is_empty();
                return if whole {
                    Ok(None)
                } else {
                    Err(broken("the stream ends within a message"))
                };
            };
            let data = data.map_err(|error| broken(&error.to_string()))?;
            // Everything is read at once, so that its room can be given back at once.
            let _ = self.body.flow_control().release_capacity(data.len());
            if self.rest.is_empty() && self.gathered.is_empty() {
                self.rest = data;
            } else {
                self.gathered.extend_from_slice(&self.rest);
                self.rest = Bytes::new();
                self.gathered.extend_from_slice(&data);
            }
        }
    }

    /// What comes next, unless it takes too long.
    async fn data(&mut self) -> Result<Option<Result<Bytes, h2::Error>>> {
        let begun = self.expected || !self.gathered.is_empty() || !self.rest.is_empty();
        let Self { body, patience, .. } = self;
        poll_fn(|context| {
            if let Poll::Ready(data) = body.poll_data(context) {
                return Poll::Ready(Ok(data));
            }
            if !begun {
                return Poll::Pending;
            }
            let patience = patience.get_or_insert_with(|| Pause::new(PATIENCE));
            patience.poll(context).map(|()| Err(late()))
        })
        .await
    }

    /// A message that is there already.
    fn take(&mut self) -> Result<Option<Bytes>> {
        let from_frame = self.gathered.is_empty();
        let have: &[u8] = if from_frame { &self.rest } else { &self.gathered };
        let Some((prefix, have)) = have.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let [compressed, length @ ..] = *prefix;
        if compressed != 0 {
            let text = "grpc: compressed flag set with identity or empty encoding";
            return Err(Status::new(Code::Internal, text));
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > self.limit {
            let text =
                format!("grpc: received message larger than max ({length} vs. {})", self.limit);
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        if have.len() < length {
            return Ok(None);
        }
        Ok(Some(if from_frame {
            self.rest.advance(PREFIX);
            self.rest.split_to(length)
        } else {
            self.gathered.advance(PREFIX);
            self.gathered.split_to(length).freeze()
        }))
    }
}

/// Decodes a message of a client.
pub(crate) fn decode<M: Message + Default>(bytes: Bytes) -> Result<M> {
    M::decode(bytes).map_err(|error| {
        let text = format!("grpc: error unmarshalling request: {error}");
        Status::new(Code::Internal, text)
    })
}

fn broken(why: &str) -> Status {
    Status::new(Code::Canceled, format!("the request did not arrive: {why}"))
}

fn late() -> Status {
    let text = format!("the request did not arrive within {} s", PATIENCE.as_secs());
    Status::new(Code::DeadlineExceeded, text)
}
