//! The listening side: accepts connections and runs a script for each.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

#[derive(Debug)]
enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Clone, Debug)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What the handle and the scripts share.
#[derive(Debug, Default)]
struct Shared {
    progress: watch::Sender<Progress>,
    outcomes: Mutex<VecDeque<io::Result<()>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    accepted: u64,
    ended: u64,
    panicked: bool,
}

/// A scripted server; dropping it closes the listener and every connection.
///
/// An assertion in a script counts: a script's panic makes [`next_outcome`](Self::next_outcome) panic, or else the
/// drop of the peer.
///
/// # Examples
///
/// ```
/// # use etcdkit_testkit::peer::{Peer, frame::code};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut peer = Peer::bind().await;
/// peer.run(|mut conn| async move {
///     conn.handshake(&[]).await?;
///     let call = conn.next_request().await?;
///     assert_eq!(call.path, "/etcdserverpb.KV/Range");
///     conn.respond(call.stream_id, b"").await?;
///     let call = conn.next_request().await?;
///     conn.rst(call.stream_id, code::REFUSED_STREAM).await?;
///     conn.wait_close().await
/// });
/// assert!(peer.endpoint().starts_with("http://127.0.0.1:"));
/// # }
/// ```
#[derive(Debug)]
pub struct Peer {
    address: Address,
    tls: Option<Arc<ServerConfig>>,
    listener: Option<Listener>,
    shared: Arc<Shared>,
    /// The acceptor, which owns the scripts; aborted when the peer is dropped.
    tasks: JoinSet<()>,
}

impl Peer {
    /// Listens on a loopback port; connections wait until [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// If no loopback port can be bound.
    pub async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        Self::new(Address::Tcp(address), Listener::Tcp(listener))
    }

    /// Listens on a unix socket at `path`.
    ///
    /// # Panics
    ///
    /// If the socket cannot be made.
    pub fn bind_unix(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_owned();
        let listener = UnixListener::bind(&path).expect("a unix socket can be made");
        Self::new(Address::Unix(path), Listener::Unix(listener))
    }

    fn new(address: Address, listener: Listener) -> Self {
        Self {
            address,
            tls: None,
            listener: Some(listener),
            shared: Arc::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Speaks TLS on connections over TCP; scripts begin after its handshake.
    #[must_use]
    pub fn with_tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// The TCP address.
    ///
    /// # Panics
    ///
    /// If this listens on a unix socket.
    pub fn addr(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("{} is no TCP address", path.display()),
        }
    }

    /// The address as a URL: `http://…`, `https://…` or `unix://…`.
    pub fn endpoint(&self) -> String {
        match (&self.address, &self.tls) {
            (Address::Tcp(address), None) => format!("http://{address}"),
            (Address::Tcp(address), Some(_)) => format!("https://{address}"),
            (Address::Unix(path), _) => format!("unix://{}", path.display()),
        }
    }

    /// Runs a script for each connection, all at the same time; a connection is closed when its script ends.
    ///
    /// A script may return an error, for example because the client left: see [`next_outcome`](Self::next_outcome).
    ///
    /// # Panics
    ///
    /// If called twice.
    pub fn run<F, S>(&mut self, script: F)
    where
        F: FnMut(Connection) -> S + Send + 'static,
        S: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = self.listener.take().expect("a peer runs one script");
        let tls = self.tls.clone().map(TlsAcceptor::from);
        self.tasks.spawn(accept_all(listener, tls, Arc::clone(&self.shared), script));
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.progress.borrow().accepted
    }

    /// Waits until at least `n` connections were accepted.
    pub async fn wait_connections(&self, n: u64) {
        self.wait(|progress| progress.accepted >= n).await;
    }

    /// Waits for the next script to end and returns its result; a failed TLS handshake ends a script before it began.
    ///
    /// # Panics
    ///
    /// If a script has panicked.
    pub async fn next_outcome(&self) -> io::Result<()> {
        loop {
            let ended = self.shared.progress.borrow().ended;
            if let Some(outcome) = self.outcomes().pop_front() {
                return outcome;
            }
            self.wait(|progress| progress.ended > ended || progress.panicked).await;
            self.check_panic();
        }
    }

    fn outcomes(&self) -> std::sync::MutexGuard<'_, VecDeque<io::Result<()>>> {
        self.shared.outcomes.lock().expect("no holder of the outcomes panics")
    }

    fn check_panic(&self) {
        assert!(!self.shared.progress.borrow().panicked, "a script of the peer has panicked");
    }

    async fn wait(&self, reached: impl FnMut(&Progress) -> bool) {
        let mut progress = self.shared.progress.subscribe();
        progress.wait_for(reached).await.expect("the peer owns the sender");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check_panic();
        }
    }
}

async fn accept_all<F, S>(
    listener: Listener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    mut script: F,
) where
    F: FnMut(Connection) -> S,
    S: Future<Output = io::Result<()>> + Send + 'static,
{
    let _note = NotePanic(Arc::clone(&shared));
    // A script is made from a connection, which exists only after the TLS handshake; it must not hold up others.
    let mut handshakes = JoinSet::new();
    let mut scripts = JoinSet::new();
    loop {
        tokio::select! {
            accepted = accept(&listener) => {
                shared.progress.send_modify(|progress| progress.accepted += 1);
                handshakes.spawn(connection(accepted, tls.clone()));
            }
            Some(connection) = handshakes.join_next() => match connection {
                Ok(Ok(connection)) => {
                    scripts.spawn(guarded(script(connection), Arc::clone(&shared)));
                }
                Ok(Err(error)) => shared.end(Err(error)),
                // A handshake neither panics nor is aborted.
                Err(_) => {}
            },
            Some(_) = scripts.join_next() => {}
        }
    }
}

async fn accept(listener: &Listener) -> Accepted {
    match listener {
        Listener::Tcp(listener) => {
            Accepted::Tcp(listener.accept().await.expect("the peer can accept").0)
        }
        Listener::Unix(listener) => {
            Accepted::Unix(listener.accept().await.expect("the peer can accept").0)
        }
    }
}

async fn connection(accepted: Accepted, tls: Option<TlsAcceptor>) -> io::Result<Connection> {
    match accepted {
        Accepted::Unix(stream) => Ok(Connection::unix(stream)),
        Accepted::Tcp(stream) => {
            stream.set_nodelay(true)?;
            match tls {
                None => Ok(Connection::tcp(stream)),
                Some(tls) => tls.accept(stream).await.map(Connection::tls),
            }
        }
    }
}

/// Tells the handle if its owner panics.
#[derive(Debug)]
struct NotePanic(Arc<Shared>);

impl Drop for NotePanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.progress.send_modify(|progress| progress.panicked = true);
        }
    }
}

/// Runs a script and notes how it ended, a panic included.
async fn guarded(script: impl Future<Output = io::Result<()>>, shared: Arc<Shared>) {
    let note = NotePanic(shared);
    let outcome = script.await;
    note.0.end(outcome);
}

impl Shared {
    fn end(&self, outcome: io::Result<()>) {
        self.outcomes.lock().expect("no holder of the outcomes panics").push_back(outcome);
        self.progress.send_modify(|progress| progress.ended += 1);
    }
}
