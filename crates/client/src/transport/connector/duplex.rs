//! Connections to a server in the same process: no socket, no port, no operating system.

use std::io;

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::connect::{ConnectFuture, Connector, Io};
use crate::config::Address;

/// Connections made and not accepted yet; more wait, as on a listening socket.
const BACKLOG: usize = 16;

/// How much one side may write before the other reads, about what a local socket holds.
const BUFFER: usize = 256 * 1024;

/// Connects to the [`DuplexListener`] it was made with, whatever the endpoint is called.
#[derive(Clone, Debug)]
pub struct DuplexConnector {
    queue: mpsc::Sender<DuplexStream>,
}

/// Where the connections of a [`DuplexConnector`] arrive.
#[derive(Debug)]
pub struct DuplexListener {
    queue: mpsc::Receiver<DuplexStream>,
}

/// A connector for [`ClientBuilder::connector`](crate::ClientBuilder::connector), and the listener for the server.
///
/// ```
/// use etcdkit::config::Address;
/// use etcdkit::transport::{Connector, duplex};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (connector, mut listener) = duplex();
/// let address = Address::InProcess("m0".to_owned());
/// let mut client = connector.connect(&address).await?;
/// let mut server = listener.accept().await.expect("the connector is alive");
/// client.write_all(b"hello").await?;
/// let mut text = [0; 5];
/// server.read_exact(&mut text).await?;
/// assert_eq!(&text, b"hello");
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn duplex() -> (DuplexConnector, DuplexListener) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    (DuplexConnector { queue: sender }, DuplexListener { queue: receiver })
}

impl Connector for DuplexConnector {
    fn connect<'a>(&'a self, _: &'a Address) -> ConnectFuture<'a> {
        Box::pin(async {
            let (ours, theirs) = tokio::io::duplex(BUFFER);
            match self.queue.send(theirs).await {
                Ok(()) => Ok(Box::new(ours) as Box<dyn Io>),
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::ConnectionRefused,
                    "the server inside this process is gone",
                )),
            }
        })
    }
}

impl DuplexListener {
    /// The next connection; `None` once all connectors, and the clients that own them, are gone.
    ///
    /// Dropping the future loses no connection.
    pub async fn accept(&mut self) -> Option<DuplexStream> {
        self.queue.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;

    fn address() -> Address {
        Address::InProcess("m0".to_owned())
    }

    #[tokio::test]
    async fn the_backlog_is_bounded() {
        let (connector, mut listener) = duplex();
        let address = address();
        for _ in 0..BACKLOG {
            connector.connect(&address).await.unwrap();
        }
        let mut further = connector.connect(&address);
        let state = poll_fn(|context| Poll::Ready(further.as_mut().poll(context))).await;
        assert!(state.is_pending());
        assert!(listener.accept().await.is_some());
        assert!(further.await.is_ok());
    }

    #[tokio::test]
    async fn either_side_learns_that_the_other_is_gone() {
        let (connector, listener) = duplex();
        drop(listener);
        let error = connector.connect(&address()).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);

        let (connector, mut listener) = duplex();
        drop(connector);
        assert!(listener.accept().await.is_none());
    }
}
