//! A running server.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::task::JoinSet;

use crate::builder::ServerBuilder;
use crate::clock::{Clock, stopwatch, time_of_day};
use crate::config::AutoCompaction;
use crate::error::Error;
use crate::fault::Faults;
use crate::front::{self, Offer, Peer};
use crate::listen::Listener;
use crate::node::Node;
use crate::state::State;
use crate::storage::{Storage, StorageError};
use crate::task::{Task, spawn, spawn_into};

/// How much one side of an in-process connection may write before the other reads.
const BUFFER: usize = 256 * 1024;

/// How long the committer has to finish when the server stops.
const LAST_COMMIT: Duration = Duration::from_secs(10);

/// An etcd server with one member, in this process. Dropping it ends it.
///
/// ```
/// use etcdkit_server::Server;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), etcdkit_server::Error> {
/// let server = Server::builder().listen("127.0.0.1:0").start().await?;
/// assert!(server.client_urls()[0].starts_with("http://127.0.0.1:"));
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    node: Arc<Node>,
    urls: Vec<String>,
    connections: Arc<Mutex<JoinSet<()>>>,
    committer: Option<Task>,
    tasks: Vec<Task>,
}

impl Server {
    /// Settings to start a server with.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Starts an empty server in memory that listens nowhere: for tests, which [`connect`](Self::connect) to it. That
    /// takes a fraction of a millisecond, and no two of them get in each other's way.
    ///
    /// Passwords are hashed with the least work that bcrypt knows.
    ///
    /// # Errors
    ///
    /// None today.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time.
    pub async fn start_ephemeral() -> Result<Self, Error> {
        Self::builder().bcrypt_cost(4).start().await
    }

    pub(crate) fn new(
        node: Arc<Node>,
        listeners: Vec<Listener>,
        urls: Vec<String>,
        storage: Box<dyn Storage>,
    ) -> Self {
        let serve = |listener: Listener| listener.serve(Arc::clone(&node));
        let mut tasks: Vec<Task> = listeners.into_iter().map(serve).collect();
        tasks.push(spawn(expire(Arc::clone(&node))));
        tasks.push(spawn(remove(Arc::clone(&node))));
        if node.config.auto_compaction != AutoCompaction::Off {
            tasks.push(spawn(compact(Arc::clone(&node))));
        }
        let committer = storage.is_durable().then(|| {
            let node = Arc::clone(&node);
            spawn(async move { node.commit(storage).await })
        });
        Self { node, urls, connections: Arc::default(), committer, tasks }
    }

    /// The URLs that it listens on.
    #[must_use]
    pub fn client_urls(&self) -> &[String] {
        &self.urls
    }

    /// A new connection to the server, without a socket: what is written to it the server reads. It speaks what a TCP
    /// connection to the server speaks.
    #[must_use]
    pub fn connect(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        serve(&self.node, &self.connections, ours, Peer::local());
        theirs
    }

    /// A way to [`connect`](Self::connect) that can be handed on. Once the server is dropped it fails.
    ///
    /// ```
    /// use etcdkit::Client;
    /// use etcdkit::transport::in_process;
    /// use etcdkit_server::Server;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::start_ephemeral().await?;
    /// let connector = in_process(server.connector());
    /// let client =
    ///     Client::builder().connector(connector).endpoints(["inprocess:etcd"]).connect().await?;
    /// client.put("/a", "1").await?;
    /// assert_eq!(server.revision(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connector(
        &self,
    ) -> impl Fn() -> io::Result<DuplexStream> + Clone + Send + Sync + 'static {
        let node = Arc::downgrade(&self.node);
        let connections = Arc::downgrade(&self.connections);
        move || {
            let (Some(node), Some(connections)) = (node.upgrade(), connections.upgrade()) else {
                let text = "the server in this process is gone";
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, text));
            };
            let (ours, theirs) = tokio::io::duplex(BUFFER);
            serve(&node, &connections, ours, Peer::local());
            Ok(theirs)
        }
    }

    /// Serves a connection that somebody else accepted, until it ends. Where it comes from nobody knows: the JSON gateway is
    /// for those who ask by a name that [`ServerBuilder::gateway_hosts`] allows.
    pub fn serve_connection<T>(&self, io: T)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        serve(&self.node, &self.connections, io, Peer::default());
    }

    /// What can be made to go wrong.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.node.faults
    }

    /// The time that leases and tokens go by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.node.clock
    }

    /// The present revision of the store.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.node.state().published()
    }

    /// Waits until the storage has failed so that nobody knows what is durable, and returns why: a sync failed, or a write
    /// that was not for lack of space. From then on every call is refused with that, and streams have ended with it.
    /// What was acknowledged is in the storage: end the server and open the storage anew to go on. Without a storage this
    /// waits for ever.
    ///
    /// Dropping the future loses nothing.
    ///
    /// ```
    /// use etcdkit_server::{Server, storage::Disk};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let signal = async {};
    /// let server = Server::builder().storage(Disk::open(folder.path())?).start().await?;
    /// tokio::select! {
    ///     why = server.failed() => return Err(why.into()),
    ///     () = signal => server.shutdown().await,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn failed(&self) -> StorageError {
        self.node.commits().failed().await
    }

    /// Makes everything before a revision unreadable, whoever is allowed to.
    ///
    /// Dropping the future does not undo it.
    ///
    /// # Errors
    ///
    /// [`Compacted`](etcdkit_proto::ServerError::Compacted) or
    /// [`FutureRevision`](etcdkit_proto::ServerError::FutureRevision), as a client would be told.
    pub async fn compact(&self, revision: i64) -> Result<(), etcdkit_proto::ServerError> {
        let done = self.node.write(|state| Ok(state.compact_to(revision))).await;
        self.node.compacted.notify_one();
        done.unwrap_or(Err(etcdkit_proto::ServerError::Stopped))
    }

    /// Makes all tokens that were handed out invalid.
    pub fn expire_tokens(&self) {
        self.node.state().tokens.clear();
    }

    /// Stops and starts again, in place: connections break, tokens are forgotten, leases begin anew, the term grows. The
    /// addresses stay, and so does what was stored.
    pub fn restart(&self) {
        let now = self.node.now();
        self.node.state_mut().started_again(now);
        // What is read from here on waits until this is settled.
        self.node.commits().wake();
        self.node.faults.drop_connections();
        self.node.leases_changed.notify_one();
    }

    /// Ends the server: no call is served any more, and what was applied is durable.
    ///
    /// Dropping the future ends it as well, without waiting for the storage.
    pub async fn shutdown(mut self) {
        for task in self.tasks.drain(..) {
            task.stopped().await;
        }
        let mut connections = std::mem::take(&mut *self.lock_connections());
        connections.shutdown().await;
        self.node.stop();
        if let Some(committer) = self.committer.take() {
            // One that hangs in a sync cannot be waited for for ever.
            let _ = tokio::time::timeout(LAST_COMMIT, committer.ended()).await;
        }
    }

    fn lock_connections(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("urls", &self.urls).finish_non_exhaustive()
    }
}

fn serve<T>(node: &Arc<Node>, connections: &Mutex<JoinSet<()>>, io: T, peer: Peer)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let node = Arc::clone(node);
    let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
    spawn_into(&mut connections, async move {
        node.while_connected(front::serve(io, Arc::clone(&node), peer, Offer::Everything)).await;
    });
}

/// Ends leases as they expire.
async fn expire(node: Arc<Node>) {
    loop {
        let next = node.state().lessor.next_deadline();
        let changed = node.leases_changed.notified();
        match next {
            Some(deadline) => {
                let due = node.clock.until(deadline);
                either(due, changed).await;
            }
            None => changed.await,
        }
        // A broken storage answers everything with an error; there is nobody to tell here.
        let _ = node.expire().await;
    }
}

/// Removes what was compacted, a little at a time.
async fn remove(node: Arc<Node>) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    node.removed.send_replace(node.state().removed);
    loop {
        let compacted = node.compacted.notified();
        let mut time = stopwatch();
        loop {
            let (more, removed) = {
                let mut state = node.state_mut();
                let pause = (!state.compactions.is_empty()).then(stopwatch);
                let more = state.compact_some();
                if let Some(pause) = pause {
                    node.observed.pauses.count(milliseconds(pause()));
                }
                (more, state.removed)
            };
            if node.removed.send_if_modified(|known| std::mem::replace(known, removed) != removed) {
                node.observed.compactions.count(milliseconds(time()));
                node.observed.compacted.set(time_of_day().as_secs());
                time = stopwatch();
            }
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
        compacted.await;
    }
}

/// Compacts by itself.
async fn compact(node: Arc<Node>) {
    let mut auto = crate::auto_compaction::AutoCompactor::new(node.config.auto_compaction);
    loop {
        node.clock.until(auto.next(node.now())).await;
        let now = node.now();
        let revision = node.state().published();
        if let Some(revision) = auto.due(now, revision) {
            // Somebody else may have compacted further.
            let _ = node.write(|state: &mut State| Ok(state.compact_to(revision))).await;
            node.compacted.notify_one();
        }
    }
}

async fn either(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    std::future::poll_fn(|context| {
        if a.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        b.as_mut().poll(context)
    })
    .await;
}
