//! Owns the proxy's port and the tasks of its connections.

use std::future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustix::net::{Shutdown, shutdown};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::handle::{Cut, Direction, Ending, Faults, Shared};
use super::pump::Pump;

/// How many connections the kernel may hold for us before they are accepted.
const BACKLOG: u32 = 1024;

/// What a handle asks of the supervisor; the answer says that it is done.
#[derive(Debug)]
pub(super) enum Command {
    Refuse(oneshot::Sender<()>),
    Listen(oneshot::Sender<()>),
}

/// The proxy's port: kept by a socket that never listens for as long as the proxy lives, so that nobody else is given it
/// while, or just before, it refuses.
#[derive(Debug)]
pub(super) struct Port {
    reserved: TcpSocket,
    listener: Option<TcpListener>,
}

impl Port {
    /// A free port of the loopback, and listens on it.
    pub(super) fn listening() -> io::Result<Self> {
        let reserved = TcpSocket::new_v4()?;
        reserved.set_reuseport(true)?;
        reserved.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let mut port = Self { reserved, listener: None };
        port.listen()?;
        Ok(port)
    }

    pub(super) fn addr(&self) -> io::Result<SocketAddr> {
        self.reserved.local_addr()
    }

    fn listen(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseport(true)?;
            // Connections of a listener before this one may be in TIME_WAIT.
            socket.set_reuseaddr(true)?;
            socket.bind(self.addr()?)?;
            self.listener = Some(socket.listen(BACKLOG)?);
        }
        Ok(())
    }

    fn refuse(&mut self) {
        if let Some(listener) = self.listener.take() {
            // Closing it is not enough: a process that another thread starts at this moment holds a copy of it until it
            // runs its own program. An error means that there is nothing to end.
            let _ = shutdown(&listener, Shutdown::Read);
        }
    }

    async fn accept(&self) -> TcpStream {
        match &self.listener {
            Some(listener) => listener.accept().await.expect("the proxy can accept").0,
            None => future::pending().await,
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// The task that accepts.
#[derive(Debug)]
pub(super) struct Supervisor {
    port: Port,
    shared: Arc<Shared>,
    connections: JoinSet<()>,
}

impl Supervisor {
    pub(super) fn new(port: Port, shared: Arc<Shared>) -> Self {
        Self { port, shared, connections: JoinSet::new() }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                client = self.port.accept() => self.start_connection(client),
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let done = match command {
            Command::Refuse(done) => {
                self.port.refuse();
                done
            }
            Command::Listen(done) => {
                self.port.listen().expect("a port that is kept can be listened on");
                done
            }
        };
        // A caller that no longer waits needs no answer.
        let _ = done.send(());
    }

    fn start_connection(&mut self, client: TcpStream) {
        let cut = self.shared.cuts.lock().expect("no holder of the cuts panics").pop_front();
        let faults = self.shared.faults.subscribe();
        // Looked at before the connection is counted: whoever has seen it counted can end it.
        let endings = faults.borrow().endings;
        let connection = Connection { client, server: None, faults, endings, cut };
        let active = Active::new(Arc::clone(&self.shared));
        self.connections.spawn(connection.run(active));
    }
}

/// Counts a connection for as long as it exists.
#[derive(Debug)]
struct Active(Arc<Shared>);

impl Active {
    fn new(shared: Arc<Shared>) -> Self {
        shared.counts.send_modify(|counts| {
            counts.accepted += 1;
            counts.active += 1;
        });
        Self(shared)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.counts.send_modify(|counts| counts.active -= 1);
    }
}

/// A client's socket and, once that is connected, the server's.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: Option<TcpStream>,
    faults: watch::Receiver<Faults>,
    /// [`Faults::endings`] when this was accepted: a later one ends it.
    endings: u64,
    cut: Option<Cut>,
}

impl Connection {
    async fn run(mut self, active: Active) {
        let ending = self.carry(&active.0).await;
        for socket in [Some(self.client), self.server].into_iter().flatten() {
            end(socket, ending).await;
        }
        drop(active);
    }

    /// Connects to the server and copies both ways until both sides are done, one breaks, or the test ends it.
    async fn carry(&mut self, shared: &Shared) -> Ending {
        let mut faults = self.faults.clone();
        let is_ended = |faults: &Faults| faults.endings != self.endings;
        let thawed = match faults.wait_for(|now| !now.frozen || is_ended(now)).await {
            Ok(faults) => *faults,
            Err(_) => return Ending::Close,
        };
        if is_ended(&thawed) {
            return thawed.ending;
        }
        // Not interrupted: the server may have accepted a socket that is not in our hands yet, and cannot be reset.
        let Ok(server) = TcpStream::connect(shared.upstream.as_str()).await else {
            return Ending::Reset;
        };
        let server = self.server.insert(server);
        for socket in [&self.client, &*server] {
            // An optimization that a socket which is already broken may refuse.
            let _ = socket.set_nodelay(true);
        }
        let (from_client, to_client) = self.client.split();
        let (from_server, to_server) = server.split();
        let pump = |direction| Pump::new(direction, self.faults.clone(), &shared.counts, self.cut);
        tokio::select! {
            biased;
            ended = faults.wait_for(is_ended) => {
                ended.map_or(Ending::Close, |faults| faults.ending)
            }
            copied = async {
                tokio::try_join!(
                    pump(Direction::ToServer).run(from_client, to_server),
                    pump(Direction::ToClient).run(from_server, to_client),
                )
            } => copied.map_or_else(|ending| ending, |((), ())| Ending::Close),
        }
    }
}

async fn end(mut socket: TcpStream, ending: Ending) {
    // Errors mean that the other side has already ended it.
    match ending {
        Ending::Reset => {
            let _ = socket.set_zero_linger();
        }
        Ending::Close => {
            let _ = socket.shutdown().await;
            // The kernel answers a close over unread bytes with RST, so read what has arrived.
            let mut unread = [0; 4096];
            while matches!(socket.try_read(&mut unread), Ok(1..)) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn a_port_refuses_while_a_process_that_starts_holds_a_copy_of_its_listener() {
        let mut port = Port::listening().unwrap();
        let addr = port.addr().unwrap();
        for _ in 0..2 {
            let _copy = port.listener.as_ref().unwrap().as_fd().try_clone_to_owned().unwrap();
            port.refuse();
            let refused = TcpStream::connect(addr).await.map_err(|error| error.kind());
            assert_eq!(refused.expect_err("refused"), io::ErrorKind::ConnectionRefused);
            port.listen().unwrap();
        }
    }
}
