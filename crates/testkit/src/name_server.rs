//! A name server that knows SRV records and nothing else.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// An SRV record: priority, weight, port and target.
pub type Record = (u16, u16, u16, &'static str);

/// The records of a name, which comes without the dot at its end. None is no such name.
pub trait Zone: Fn(&str) -> Vec<Record> + Clone + Send + 'static {}

impl<F: Fn(&str) -> Vec<Record> + Clone + Send + 'static> Zone for F {}

/// A name server on this machine, until it is dropped.
#[derive(Debug)]
pub struct NameServer {
    addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl NameServer {
    /// Answers over UDP, each time after an answer to somebody else.
    pub async fn start(zone: impl Zone) -> Self {
        Self::serve(zone, false).await
    }

    /// Answers over TCP, and over UDP with the hint to ask there.
    pub async fn start_large(zone: impl Zone) -> Self {
        Self::serve(zone, true).await
    }

    /// Where it is.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    async fn serve(zone: impl Zone, large: bool) -> Self {
        let (tcp, udp) = sockets().await;
        let addr = tcp.local_addr().expect("a bound socket has an address");
        let mut tasks = JoinSet::new();
        let over_udp = zone.clone();
        tasks.spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((size, from)) = udp.recv_from(&mut buffer).await {
                let query = &buffer[..size];
                let reply =
                    if large { answer(query, 0x8200, &[]) } else { resolve(query, &over_udp) };
                let _ = udp.send_to(&[0; 12], from).await;
                let _ = udp.send_to(&reply, from).await;
            }
        });
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let Ok(size) = stream.read_u16().await else { continue };
                let mut query = vec![0; size.into()];
                if stream.read_exact(&mut query).await.is_err() {
                    continue;
                }
                let reply = resolve(&query, &zone);
                let size = u16::try_from(reply.len()).expect("answers of tests are short");
                let _ = stream.write_u16(size).await;
                let _ = stream.write_all(&reply).await;
            }
        });
        Self { addr, _tasks: tasks }
    }
}

/// One port for both. Somebody else may have the other one.
async fn sockets() -> (TcpListener, UdpSocket) {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let addr = tcp.local_addr().expect("a bound socket has an address");
        if let Ok(udp) = UdpSocket::bind(addr).await {
            return (tcp, udp);
        }
    }
    panic!("no port is free for both TCP and UDP");
}

fn resolve(query: &[u8], zone: &impl Zone) -> Vec<u8> {
    let mut name = String::new();
    let mut at = 12;
    while query[at] != 0 {
        let label = &query[at + 1..=at + usize::from(query[at])];
        name.push_str(std::str::from_utf8(label).expect("tests ask for names in ASCII"));
        name.push('.');
        at += label.len() + 1;
    }
    let record = |(priority, weight, port, target): Record| {
        let target = encode(target);
        let length = u16::try_from(target.len() + 6).expect("names of tests are short");
        let numbers = [0xc00c, 33, 1, 0, 60, length, priority, weight, port];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|n: &u16| n.to_be_bytes()).collect();
        bytes.extend(target);
        bytes
    };
    let records: Vec<_> = zone(name.trim_end_matches('.')).into_iter().map(record).collect();
    answer(query, if records.is_empty() { 0x8183 } else { 0x8180 }, &records)
}

fn encode(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.trim_end_matches('.').split('.') {
        bytes.push(u8::try_from(label.len()).expect("labels of tests are short"));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

fn answer(query: &[u8], flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = query.to_vec();
    bytes[2..4].copy_from_slice(&flags.to_be_bytes());
    let count = u16::try_from(records.len()).expect("few records");
    bytes[6..8].copy_from_slice(&count.to_be_bytes());
    bytes.extend(records.concat());
    bytes
}
