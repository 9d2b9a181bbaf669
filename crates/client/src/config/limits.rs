//! What the client holds and sends at most.

use crate::error::{Error, Result};

/// Bounds on messages, queues and connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) max_send_message: usize,
    pub(crate) max_receive_message: usize,
    pub(crate) max_queued_calls: usize,
    pub(crate) connections_per_endpoint: usize,
}

/// gRPC's length prefix could say more; Go's client and server stop here.
const MAX_MESSAGE: usize = i32::MAX as usize;

/// More connections to one member than anyone has a use for.
const MAX_CONNECTIONS: usize = 64;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_send_message: 2 * 1024 * 1024,
            max_receive_message: MAX_MESSAGE,
            max_queued_calls: 10_000,
            connections_per_endpoint: 1,
        }
    }
}

impl Limits {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The largest request in bytes. Default 2 MiB, which is what a member takes with its own default
    /// (`--max-request-bytes` 1.5 MiB, and 512 KiB for the wrapping): a larger one is refused here, before it is sent.
    #[must_use]
    pub fn max_send_message(mut self, bytes: usize) -> Self {
        self.max_send_message = bytes;
        self
    }

    /// The largest response in bytes. Default 2 GiB − 1: a read without a limit may be as large as the store. Not less
    /// than [`max_send_message`](Self::max_send_message): what can be written should be readable.
    #[must_use]
    pub fn max_receive_message(mut self, bytes: usize) -> Self {
        self.max_receive_message = bytes;
        self
    }

    /// How many calls wait, per connection, while the server allows no further stream; one more fails at once with
    /// [`ResourceExhausted`](crate::ErrorKind::ResourceExhausted). Default 10 000.
    ///
    /// A member allows as many streams as its `--max-concurrent-streams` says, by default 2³² − 1; what lies between
    /// often allows 100.
    #[must_use]
    pub fn max_queued_calls(mut self, calls: usize) -> Self {
        self.max_queued_calls = calls;
        self
    }

    /// How many connections are held to each endpoint, from 1 to 64. Default 1: one connection carries any number of
    /// calls at once, and more only help where a single TLS session or a single core at the far end is what is full.
    #[must_use]
    pub fn connections_per_endpoint(mut self, connections: usize) -> Self {
        self.connections_per_endpoint = connections;
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        let Self { max_send_message: send, max_receive_message: receive, .. } = *self;
        if send == 0 {
            return Err(Error::invalid("the send limit is 0 bytes: no request would fit"));
        }
        if send > MAX_MESSAGE || receive > MAX_MESSAGE {
            return Err(Error::invalid(format!(
                "a message limit is above {MAX_MESSAGE} bytes, which is the most that gRPC peers \
                 handle"
            )));
        }
        if receive < send {
            return Err(Error::invalid(format!(
                "the receive limit ({receive} bytes) must not be less than the send limit ({send} \
                 bytes): what is written could not be read again"
            )));
        }
        if self.max_queued_calls == 0 {
            return Err(Error::invalid("the limit on queued calls is 0: allow at least one"));
        }
        if !(1..=MAX_CONNECTIONS).contains(&self.connections_per_endpoint) {
            return Err(Error::invalid(format!(
                "{} connections per endpoint: it takes from 1 to {MAX_CONNECTIONS}",
                self.connections_per_endpoint
            )));
        }
        Ok(())
    }
}
