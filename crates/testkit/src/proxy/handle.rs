//! The proxy that tests hold: its faults are values in a watch channel, which every connection reads.

use std::collections::VecDeque;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::supervisor::{Command, Port, Supervisor};

/// One of the two ways through a proxied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server behind the proxy.
    ToServer,
    /// From the server behind the proxy to the client.
    ToClient,
}

impl Direction {
    /// The place of this direction in the arrays that hold something for each.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::ToServer => 0,
            Self::ToClient => 1,
        }
    }
}

/// What the network does at this moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) frozen: bool,
    /// By [`Direction::index`].
    pub(super) dropped: [bool; 2],
    pub(super) delay: Duration,
    pub(super) rate: Option<NonZeroU64>,
    /// How often connections were ended, and how they were the last time.
    pub(super) endings: u64,
    pub(super) ending: Ending,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    /// FIN to both sides.
    #[default]
    Close,
    /// RST to both sides.
    Reset,
}

/// What one connection does once it has forwarded a number of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) direction: Direction,
    pub(super) remaining: u64,
    pub(super) then: AfterCut,
}

/// What follows the last byte before a [`Cut`].
#[derive(Clone, Copy, Debug)]
pub(super) enum AfterCut {
    /// RST to both sides.
    Reset,
    /// The rest of that direction is read and discarded.
    Silence,
}

/// What has happened so far, summed over all connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) active: usize,
    /// By [`Direction::index`].
    pub(super) forwarded: [u64; 2],
    /// By [`Direction::index`].
    pub(super) discarded: [u64; 2],
}

/// What the handle and the tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) upstream: String,
    pub(super) faults: watch::Sender<Faults>,
    pub(super) counts: watch::Sender<Counts>,
    /// One for each of the next connections.
    pub(super) cuts: Mutex<VecDeque<Cut>>,
}

/// A TCP proxy on a loopback port of its own; dropping it closes the port and every connection.
///
/// # Examples
///
/// ```
/// # use etcdkit_testkit::proxy::Proxy;
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # use tokio::net::{TcpListener, TcpStream};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = TcpListener::bind("127.0.0.1:0").await?;
/// let proxy = Proxy::start(server.local_addr()?).await;
///
/// let mut client = TcpStream::connect(proxy.addr()).await?;
/// client.write_all(b"hello").await?;
/// let (mut accepted, _) = server.accept().await?;
/// let mut received = [0; 5];
/// accepted.read_exact(&mut received).await?;
/// assert_eq!(&received, b"hello");
///
/// proxy.reset();
/// proxy.wait_active(0).await;
/// assert!(client.read(&mut received).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    /// The supervisor, which owns the connections; aborted when the proxy is dropped.
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy to `upstream`, which is a socket address, `host:port`, or a URL with nothing but these.
    ///
    /// The upstream is connected to once for each accepted connection, so it need not exist yet; while it cannot be
    /// reached, accepted connections are reset.
    ///
    /// # Panics
    ///
    /// If no loopback port can be bound.
    pub async fn start(upstream: impl Display) -> Self {
        let upstream = upstream.to_string();
        let authority = upstream.split_once("://").map_or(upstream.as_str(), |(_, rest)| rest);
        let shared = Arc::new(Shared {
            upstream: authority.trim_end_matches('/').to_owned(),
            faults: watch::Sender::default(),
            counts: watch::Sender::default(),
            cuts: Mutex::default(),
        });
        let port = Port::listening().expect("a loopback port is free");
        let addr = port.addr().expect("a bound socket has an address");
        let (commands, receiver) = mpsc::channel(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(Supervisor::new(port, Arc::clone(&shared)).run(receiver));
        Self { addr, shared, commands, _tasks: tasks }
    }

    /// The address that clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops reading and forwarding, both ways, with all sockets kept open.
    ///
    /// New connections are accepted and then ignored. This is how a process that was sent SIGSTOP looks. Bytes that
    /// are sent from now on stay in the kernel's buffers and are forwarded after [`unfreeze`](Self::unfreeze).
    pub fn freeze(&self) {
        self.set(|faults| faults.frozen = true);
    }

    /// Ends [`freeze`](Self::freeze): what was held back is forwarded.
    pub fn unfreeze(&self) {
        self.set(|faults| faults.frozen = false);
    }

    /// Reads and discards everything sent in `direction`, its FIN included.
    ///
    /// After [`heal`](Self::heal) a connection that has lost bytes stays silent in that direction: TCP never
    /// delivers a stream with a gap.
    pub fn drop_direction(&self, direction: Direction) {
        self.set(|faults| faults.dropped[direction.index()] = true);
    }

    /// Drops both directions: each side believes in a connection whose other side is gone.
    pub fn half_open(&self) {
        self.set(|faults| faults.dropped = [true; 2]);
    }

    /// Holds every byte back for `delay`, each way, without limiting how many are under way.
    pub fn delay(&self, delay: Duration) {
        self.set(|faults| faults.delay = delay);
    }

    /// Forwards at most so many bytes per second, on each connection and each way.
    pub fn throttle(&self, bytes_per_second: NonZeroU64) {
        self.set(|faults| faults.rate = Some(bytes_per_second));
    }

    /// Ends freezing, dropping, delays and throttling; a port that refuses keeps refusing.
    pub fn heal(&self) {
        self.set(|faults| {
            let Faults { endings, ending, .. } = *faults;
            *faults = Faults { endings, ending, ..Faults::default() };
        });
    }

    /// Sends RST to both sides of every connection, discarding what is under way.
    pub fn reset(&self) {
        self.end(Ending::Reset);
    }

    /// Sends FIN to both sides of every connection, discarding what is under way.
    pub fn close(&self) {
        self.end(Ending::Close);
    }

    /// The next connection forwards exactly `bytes` in `direction`, then both its sides are reset.
    ///
    /// Called again before that connection came, it prepares the one after it.
    ///
    /// A receiver whose buffers are full when the RST arrives loses what did not fit, as with any RST.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.push_cut(Cut { direction, remaining: bytes, then: AfterCut::Reset });
    }

    /// The next connection forwards exactly `bytes` in `direction` and silently discards the rest of it.
    pub fn silence_after(&self, direction: Direction, bytes: u64) {
        self.push_cut(Cut { direction, remaining: bytes, then: AfterCut::Silence });
    }

    /// Stops listening: once this returns, connecting is refused. Existing connections live on.
    ///
    /// The port stays reserved for [`listen_again`](Self::listen_again).
    ///
    /// # Panics
    ///
    /// If the port cannot be reserved.
    pub async fn refuse(&self) {
        self.command(Command::Refuse).await;
    }

    /// Listens again, on the same port, after [`refuse`](Self::refuse).
    ///
    /// # Panics
    ///
    /// If the port cannot be listened on.
    pub async fn listen_again(&self) {
        self.command(Command::Listen).await;
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.counts.borrow().accepted
    }

    /// How many connections exist now.
    pub fn active(&self) -> usize {
        self.shared.counts.borrow().active
    }

    /// How many bytes were forwarded in `direction` so far.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.counts.borrow().forwarded[direction.index()]
    }

    /// How many bytes were read and discarded in `direction` so far.
    pub fn discarded(&self, direction: Direction) -> u64 {
        self.shared.counts.borrow().discarded[direction.index()]
    }

    /// Waits until at least `n` connections were accepted since the start.
    pub async fn wait_connections(&self, n: u64) {
        self.wait(|counts| counts.accepted >= n).await;
    }

    /// Waits until exactly `n` connections exist.
    pub async fn wait_active(&self, n: usize) {
        self.wait(|counts| counts.active == n).await;
    }

    /// Waits until at least `n` bytes were forwarded in `direction` since the start.
    pub async fn wait_bytes(&self, direction: Direction, n: u64) {
        self.wait(|counts| counts.forwarded[direction.index()] >= n).await;
    }

    /// Waits until at least `n` bytes were discarded in `direction` since the start.
    pub async fn wait_discarded(&self, direction: Direction, n: u64) {
        self.wait(|counts| counts.discarded[direction.index()] >= n).await;
    }

    fn set(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }

    fn end(&self, ending: Ending) {
        self.set(|faults| {
            faults.endings += 1;
            faults.ending = ending;
        });
    }

    fn push_cut(&self, cut: Cut) {
        self.shared.cuts.lock().expect("no holder of the cuts panics").push_back(cut);
    }

    async fn command(&self, command: fn(oneshot::Sender<()>) -> Command) {
        let (done, answered) = oneshot::channel();
        let sent = self.commands.send(command(done)).await.is_ok();
        assert!(sent && answered.await.is_ok(), "the proxy on {} has lost its port", self.addr);
    }

    async fn wait(&self, reached: impl FnMut(&Counts) -> bool) {
        let mut counts = self.shared.counts.subscribe();
        counts.wait_for(reached).await.expect("the proxy owns the sender");
    }
}
