//! gRPC over HTTP/2: the transport in use.
//!
//! [`H2`] connects; a [`connection`] is what callers hold. They leave what they want in its [`queue`], and wait where
//! [`call`] and [`stream`] say; its [`task`], the only one to touch the socket, sends that and reads what comes, which
//! [`events`] brings to them. [`head`] says what requests begin with, [`message`] frames and assembles messages, [`answer`]
//! and [`status`] read a server's verdict out of headers and trailers, [`failure`] what is certain where there is none.
//! Nothing here retries or chooses; the rules of HTTP/2 are in `etcdkit-http2`.

mod answer;
mod call;
mod connection;
mod events;
mod failure;
mod head;
mod keep_alive;
mod message;
mod queue;
mod status;
mod stream;
mod task;

#[cfg(test)]
mod tests;

pub use connection::H2Connection;
pub use message::frame;
pub use stream::{H2Sink, H2Source};

use std::sync::Arc;

use super::connector::{self, ConnectSettings};
use super::traits::Transport;
use crate::config::{Config, Endpoint, KeepAlive};
use crate::error::Cause;

/// The transport of every client: gRPC over HTTP/2.
#[derive(Clone, Debug)]
pub struct H2 {
    connect: Arc<ConnectSettings>,
    receive_limit: usize,
    keep_alive: Option<KeepAlive>,
}

impl H2 {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            connect: Arc::clone(&config.connect),
            receive_limit: config.limits.max_receive_message,
            keep_alive: config.keep_alive,
        }
    }
}

impl Transport for H2 {
    type Connection = H2Connection;

    async fn connect(&self, endpoint: &Endpoint) -> Result<H2Connection, Cause> {
        let established = connector::establish(endpoint, &self.connect).await?;
        H2Connection::start(endpoint, established, self.receive_limit, self.keep_alive)
    }
}
