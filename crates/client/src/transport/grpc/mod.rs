//! gRPC over HTTP/2, on the `h2` crate: the transport in use.
//!
//! [`H2`] connects; [`connection`] carries calls; [`message`] frames and assembles messages; [`head`] builds request
//! headers; [`status`] reads a server's verdict out of headers and trailers. Nothing here retries or chooses.

mod answer;
mod connection;
mod failure;
mod head;
mod keep_alive;
mod message;
mod meter;
mod mux;
mod status;
mod stream;

pub use connection::H2Connection;
pub use message::frame;
pub use stream::{H2Sink, H2Source};

use std::sync::Arc;

use super::connector::{self, ConnectSettings};
use super::traits::Transport;
use crate::config::{Config, Endpoint, KeepAlive};
use crate::error::Cause;

/// The transport of every client: gRPC on the `h2` crate.
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
        H2Connection::start(endpoint, established, self.receive_limit, self.keep_alive).await
    }
}
