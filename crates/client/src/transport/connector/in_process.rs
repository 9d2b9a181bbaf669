//! Connections to a server that hands them out itself.

use std::fmt;
use std::io;

use super::connect::{ConnectFuture, Connector, Io};
use crate::config::Address;

/// Connects by calling a function; made by [`in_process`].
#[derive(Clone)]
pub struct InProcessConnector<F> {
    connect: F,
}

/// A connector that takes each connection from a function, such as that of a server in the same process.
///
/// ```
/// use etcdkit::config::Address;
/// use etcdkit::transport::{Connector, in_process};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (accepted, mut servers) = tokio::sync::mpsc::channel(1);
/// let connector = in_process(move || {
///     let (ours, theirs) = tokio::io::duplex(1024);
///     accepted.try_send(theirs).map_err(std::io::Error::other)?;
///     Ok(ours)
/// });
/// let mut client = connector.connect(&Address::InProcess("m0".to_owned())).await?;
/// client.write_all(b"hello").await?;
/// let mut text = [0; 5];
/// servers.recv().await.unwrap().read_exact(&mut text).await?;
/// assert_eq!(&text, b"hello");
/// # Ok(())
/// # }
/// ```
pub fn in_process<F, S>(connect: F) -> InProcessConnector<F>
where
    F: Fn() -> io::Result<S> + Send + Sync + 'static,
    S: Io,
{
    InProcessConnector { connect }
}

impl<F, S> Connector for InProcessConnector<F>
where
    F: Fn() -> io::Result<S> + Send + Sync + 'static,
    S: Io,
{
    fn connect<'a>(&'a self, _: &'a Address) -> ConnectFuture<'a> {
        let connected = (self.connect)();
        Box::pin(async { connected.map(|stream| Box::new(stream) as Box<dyn Io>) })
    }
}

impl<F> fmt::Debug for InProcessConnector<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessConnector").finish_non_exhaustive()
    }
}
