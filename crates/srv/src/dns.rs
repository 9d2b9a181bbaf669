//! One DNS query, over UDP, and over TCP if the answer does not fit.
//!
//! The operating system's resolver returns addresses only, and SRV records are all that is needed beyond them.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

const SRV: u16 = 33;
const INTERNET: u16 = 1;
const HEADER: usize = 12;
const RECURSION_DESIRED: u16 = 1 << 8;
const TRUNCATED: u16 = 1 << 9;
const RESPONSE: u16 = 1 << 15;
/// No name has more labels; more jumps than this are a loop.
const MAX_JUMPS: usize = 128;
const ROUNDS: usize = 2;

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) target: String,
}

/// Why there are no records.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered so: there is no such name, or it refused.
    Refused(u16),
    NoRecords,
    Malformed,
    Timeout,
    Io(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(3) => f.write_str("there is no such name"),
            Self::Refused(2) => f.write_str("the name server failed"),
            Self::Refused(code) => write!(f, "the name server refused with code {code}"),
            Self::NoRecords => f.write_str("it has no SRV records"),
            Self::Malformed => f.write_str("the name server's answer makes no sense"),
            Self::Timeout => f.write_str("the name server did not answer in time"),
            Self::Io(error) => write!(f, "the name server could not be asked: {error}"),
        }
    }
}

/// The query for SRV records of `name`. `None` if it is no name.
pub(super) fn query(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEADER + name.len() + 6);
    for number in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        bytes.extend(number.to_be_bytes());
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(SRV.to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    (bytes.len() <= HEADER + 255 + 4).then_some(bytes)
}

/// Asks `servers` in turn until one knows.
pub(super) async fn ask(
    servers: &[SocketAddr],
    query: &[u8],
    patience: Duration,
) -> Result<Vec<Record>, Failure> {
    let mut failure = Failure::NoRecords;
    for server in servers.iter().cycle().take(servers.len() * ROUNDS) {
        let answered = timeout(patience, ask_one(*server, query)).await;
        match answered.unwrap_or(Err(Failure::Timeout)) {
            Ok(records) => return Ok(records),
            // That is the answer.
            Err(failure @ (Failure::Refused(3) | Failure::NoRecords)) => return Err(failure),
            Err(other) => failure = other,
        }
    }
    Err(failure)
}

async fn ask_one(server: SocketAddr, query: &[u8]) -> Result<Vec<Record>, Failure> {
    let local = match server.ip() {
        IpAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
        IpAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
    };
    let socket = UdpSocket::bind(local).await.map_err(Failure::Io)?;
    socket.connect(server).await.map_err(Failure::Io)?;
    socket.send(query).await.map_err(Failure::Io)?;
    let mut buffer = vec![0; 4_096];
    loop {
        let size = socket.recv(&mut buffer).await.map_err(Failure::Io)?;
        match parse(&buffer[..size], query) {
            // Somebody else's, or a late one: the right one may still come.
            Ok(Parsed::Foreign) => {}
            Ok(Parsed::Truncated) => break,
            Ok(Parsed::Records(records)) => return Ok(records),
            Err(failure) => return Err(failure),
        }
    }
    let mut stream = TcpStream::connect(server).await.map_err(Failure::Io)?;
    let length = u16::try_from(query.len()).map_err(|_| Failure::Malformed)?;
    let message = [&length.to_be_bytes(), query].concat();
    stream.write_all(&message).await.map_err(Failure::Io)?;
    let size = stream.read_u16().await.map_err(Failure::Io)?;
    let mut answer = vec![0; size.into()];
    stream.read_exact(&mut answer).await.map_err(Failure::Io)?;
    match parse(&answer, query)? {
        Parsed::Records(records) => Ok(records),
        Parsed::Foreign | Parsed::Truncated => Err(Failure::Malformed),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Records(Vec<Record>),
    Truncated,
    /// Not the answer to the query.
    Foreign,
}

fn parse(message: &[u8], query: &[u8]) -> Result<Parsed, Failure> {
    read(message, query).unwrap_or(Err(Failure::Malformed))
}

/// `None` where the message ends too early, or points to nowhere.
fn read(message: &[u8], query: &[u8]) -> Option<Result<Parsed, Failure>> {
    let flags = number(message, 2)?;
    let question = query.get(HEADER..)?;
    let is_ours = number(message, 0) == number(query, 0)
        && flags & RESPONSE != 0
        && number(message, 4)? == 1
        && message.get(HEADER..query.len())?.eq_ignore_ascii_case(question);
    if !is_ours {
        return Some(Ok(Parsed::Foreign));
    }
    if flags & 0xf != 0 {
        return Some(Err(Failure::Refused(flags & 0xf)));
    }
    if flags & TRUNCATED != 0 {
        return Some(Ok(Parsed::Truncated));
    }
    let mut records = Vec::new();
    let mut at = query.len();
    for _ in 0..number(message, 6)? {
        at = name(message, at)?.1;
        let (kind, length) = (number(message, at)?, usize::from(number(message, at + 8)?));
        let data = at + 10;
        // Others are the aliases on the way to the records.
        if kind == SRV {
            records.push(Record {
                priority: number(message, data)?,
                weight: number(message, data + 2)?,
                port: number(message, data + 4)?,
                target: name(message, data + 6)?.0,
            });
        }
        at = data + length;
    }
    // A single root as the target says that there is no such service.
    records.retain(|record| record.target != ".");
    Some(if records.is_empty() { Err(Failure::NoRecords) } else { Ok(Parsed::Records(records)) })
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

/// A name, with a dot at its end, and where it ends.
fn name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut end = None;
    for _ in 0..MAX_JUMPS {
        let length = *message.get(at)?;
        match length {
            0 => {
                if text.is_empty() {
                    text.push('.');
                }
                return Some((text, end.unwrap_or(at + 1)));
            }
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(length))?;
                text.push_str(std::str::from_utf8(label).ok()?);
                text.push('.');
                at += 1 + usize::from(length);
            }
            // A name that goes on elsewhere.
            0xc0.. => {
                end.get_or_insert(at + 2);
                at = usize::from(number(message, at)? & 0x3fff);
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(query: &[u8], flags: u16, records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = query.to_vec();
        bytes[2..4].copy_from_slice(&(RESPONSE | flags).to_be_bytes());
        bytes[7] = records.len() as u8;
        for record in records {
            bytes.extend(*record);
        }
        bytes
    }

    #[test]
    fn records_are_read_through_pointers() {
        let query = query(7, "_a._tcp.b.c").unwrap();
        // An alias, then a record whose target ends in the question's `b.c`.
        let alias = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x00\x00\x02\xc0\x14";
        let record = b"\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x00\x00\x0b\x00\x01\x00\x02\x09\x4b\x02m1\xc0\x14";
        let message = answer(&query, 0, &[alias, record]);
        let expected = Record { priority: 1, weight: 2, port: 2_379, target: "m1.b.c.".to_owned() };
        assert_eq!(parse(&message, &query).unwrap(), Parsed::Records(vec![expected]));

        // Whatever is cut off or changed, nothing panics.
        for length in 0..message.len() {
            let _ = parse(&message[..length], &query);
        }
        for index in 0..message.len() {
            for value in [0, 1, 63, 64, 0xc0, 0xff] {
                let mut changed = message.clone();
                changed[index] = value;
                let _ = parse(&changed, &query);
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let query = query(7, "a.b").unwrap();
        assert_eq!(parse(&answer(&query, TRUNCATED, &[]), &query).unwrap(), Parsed::Truncated);
        assert!(matches!(parse(&answer(&query, 3, &[]), &query), Err(Failure::Refused(3))));
        assert!(matches!(parse(&answer(&query, 0, &[]), &query), Err(Failure::NoRecords)));
        let other = super::query(8, "a.b").unwrap();
        assert_eq!(parse(&answer(&other, 0, &[]), &query).unwrap(), Parsed::Foreign);
        assert!(matches!(parse(&[], &query), Err(Failure::Malformed)));
        let looping = b"\xc0\x15\x00\x21\x00\x01\x00\x00\x00\x00\x00\x02\xc0\x15";
        assert!(matches!(parse(&answer(&query, 0, &[looping]), &query), Err(Failure::Malformed)));
    }

    #[test]
    fn names_are_checked() {
        for name in ["", "a..b", &"x".repeat(64), &"abc.".repeat(80), "a."] {
            assert!(query(1, name).is_none(), "{name}");
        }
    }
}
