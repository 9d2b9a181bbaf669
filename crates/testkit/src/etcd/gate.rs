use std::collections::BTreeSet;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// No request between members has a longer head.
const HEAD: usize = 16 * 1024;
/// The header by which a member says which one it is.
const SENDER: &str = "x-server-from:";

/// What the other members connect to instead of a member's own peer port, so that they can be kept from it.
///
/// Raft's messages travel both on connections that a member makes and on those that it accepts, so that isolating one
/// takes all gates: its own is shut to everyone, and the others' to it. A gate tells by its first request whose
/// connection it is; requests that don't say so are let through unless it is shut to everyone.
#[derive(Debug)]
pub(crate) struct Gate {
    addr: SocketAddr,
    shut: watch::Sender<Shut>,
    /// The acceptor, which owns the connections; aborted when the gate is dropped.
    _tasks: JoinSet<()>,
}

/// Whom a gate is shut to.
#[derive(Clone, Debug, Default)]
struct Shut {
    everyone: bool,
    /// Member ids, as members write them.
    members: BTreeSet<String>,
}

impl Gate {
    pub(super) async fn start(member: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let addr = listener.local_addr().expect("a bound listener has an address");
        let (shut, receiver) = watch::channel(Shut::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept_all(listener, member, receiver));
        Self { addr, shut, _tasks: tasks }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Ends every connection to the member, and all that are tried until [`open`](Self::open).
    pub(crate) fn shut_to_everyone(&self) {
        self.shut.send_modify(|shut| shut.everyone = true);
    }

    /// The same for connections from the member with this id.
    pub(crate) fn shut_to(&self, member: u64) {
        self.shut.send_modify(|shut| {
            shut.members.insert(format!("{member:x}"));
        });
    }

    pub(crate) fn open(&self) {
        self.shut.send_replace(Shut::default());
    }
}

impl Shut {
    fn covers(&self, sender: Option<&str>) -> bool {
        self.everyone || sender.is_some_and(|sender| self.members.contains(sender))
    }
}

async fn accept_all(listener: TcpListener, member: SocketAddr, shut: watch::Receiver<Shut>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (from, _) = accepted.expect("the gate can accept");
                connections.spawn(carry(from, member, shut.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut from: TcpStream, member: SocketAddr, mut shut: watch::Receiver<Shut>) {
    let Some(head) = read_head(&mut from).await else { return };
    let sender = sender_of(&head);
    let pass = async {
        // Whatever fails, the connection ends, and its maker tries again.
        let mut to = TcpStream::connect(member).await?;
        let _ = from.set_nodelay(true);
        let _ = to.set_nodelay(true);
        to.write_all(&head).await?;
        copy_bidirectional(&mut from, &mut to).await
    };
    tokio::select! {
        biased;
        _ = shut.wait_for(|shut| shut.covers(sender.as_deref())) => {}
        _ = pass => {}
    }
}

/// What is sent up to the end of the first request's head, and what came along with it.
async fn read_head(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > HEAD || from.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn sender_of(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let line = head.lines().find_map(|line| line.strip_prefix(SENDER))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_tells_who_sent_it() {
        for (head, sender) in [
            (
                "GET /raft/stream HTTP/1.1\r\nHost: a\r\nX-Server-From: 8211F1\r\n\r\n",
                Some("8211f1"),
            ),
            ("GET /version HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ] {
            assert_eq!(sender_of(head.as_bytes()).as_deref(), sender);
        }
    }
}
