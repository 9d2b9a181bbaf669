//! Where connections come from.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::error::Error;
use crate::node::Node;
use crate::task::{Task, spawn, spawn_into};
use crate::{clock, front};

/// How long accepting rests when the process has no more file descriptors.
const REST: std::time::Duration = std::time::Duration::from_millis(50);

/// A bound address. It stays bound across restarts.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener, PathBuf),
}

impl Listener {
    /// Binds `host:port`, or `unix:` and a path. A socket file that nobody listens on any more is replaced.
    pub(crate) async fn bind(address: &str) -> Result<Self, Error> {
        let failed = |error| Error::listen(address, error);
        let Some(path) = address.strip_prefix("unix:") else {
            let address = address.strip_prefix("http://").unwrap_or(address);
            return TcpListener::bind(address).await.map(Self::Tcp).map_err(failed);
        };
        Self::bind_unix(path.trim_start_matches("//").into()).await.map_err(failed)
    }

    #[cfg(unix)]
    async fn bind_unix(path: PathBuf) -> io::Result<Self> {
        use tokio::net::{UnixListener, UnixStream};
        let bound = match UnixListener::bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if UnixStream::connect(&path).await.is_ok() {
                    return Err(error);
                }
                std::fs::remove_file(&path)?;
                UnixListener::bind(&path)?
            }
            bound => bound?,
        };
        Ok(Self::Unix(bound, path))
    }

    #[cfg(not(unix))]
    async fn bind_unix(_: PathBuf) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "there are no unix sockets here"))
    }

    /// The URL for clients.
    pub(crate) fn url(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => Ok(format!("http://{}", listener.local_addr()?)),
            #[cfg(unix)]
            Self::Unix(_, path) => Ok(format!("unix://{}", path.display())),
        }
    }

    /// Serves connections until the task is dropped, and they with it.
    pub(crate) fn serve(self, node: Arc<Node>) -> Task {
        spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                if self.accept(&node, &mut connections).await.is_err() {
                    clock::pause(REST).await;
                }
            }
        })
    }

    async fn accept(&self, node: &Arc<Node>, connections: &mut JoinSet<()>) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                serve_tcp(stream, node, connections);
            }
            #[cfg(unix)]
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let node = Arc::clone(node);
                spawn_into(connections, async move {
                    let serving = front::serve(stream, Arc::clone(&node), None);
                    node.while_connected(serving).await;
                });
            }
        }
        Ok(())
    }
}

fn serve_tcp(stream: TcpStream, node: &Arc<Node>, connections: &mut JoinSet<()>) {
    let node = Arc::clone(node);
    spawn_into(connections, async move {
        node.while_connected(front::serve(stream, Arc::clone(&node), None)).await;
    });
}

impl Drop for Listener {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Self::Unix(_, path) = self {
            // Nobody can connect to it any more.
            let _ = std::fs::remove_file(path);
        }
    }
}
