//! Asking a SOCKS proxy for a connection.
//!
//! Source: RFC 1928, and RFC 1929 for names and passwords.

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::io::Stream;
use crate::config::{ProxyServer, Secret};
use crate::error::Cause;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NAME_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Has the proxy at the other end of `stream` connect it to `host`, whose name it looks up itself.
pub(super) async fn open(
    stream: &mut Stream,
    (host, port): (&str, u16),
    proxy: &ProxyServer,
    user: Option<&(String, Secret)>,
) -> Result<(), Cause> {
    let failed = |why: String| Cause::Connect(format!("the proxy {proxy} {why}"));
    let broke = |error: io::Error| failed(format!("broke off: {error}"));
    let greeting: &[u8] = match user {
        None => &[VERSION, 1, NO_AUTHENTICATION],
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, NAME_AND_PASSWORD],
    };
    stream.0.write_all(greeting).await.map_err(broke)?;
    match (read::<2>(stream).await.map_err(broke)?, user) {
        ([VERSION, NO_AUTHENTICATION], _) => {}
        ([VERSION, NAME_AND_PASSWORD], Some((name, Secret(password)))) => {
            let mut request = vec![1];
            for text in [name, password] {
                push(&mut request, text).map_err(|why| failed(why.to_owned()))?;
            }
            stream.0.write_all(&request).await.map_err(broke)?;
            if read::<2>(stream).await.map_err(broke)?[1] != 0 {
                return Err(failed("does not accept the user name and the password".to_owned()));
            }
        }
        ([VERSION, _], Some(_)) => return Err(failed("takes no password".to_owned())),
        ([VERSION, _], None) => {
            return Err(failed("demands a user name and a password".to_owned()));
        }
        _ => return Err(failed("does not speak SOCKS 5".to_owned())),
    }

    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Err(_) => {
            request.push(NAME);
            push(&mut request, host).map_err(|why| failed(why.to_owned()))?;
        }
    }
    request.extend(port.to_be_bytes());
    stream.0.write_all(&request).await.map_err(broke)?;
    let [version, outcome, _, kind] = read(stream).await.map_err(broke)?;
    if (version, outcome) != (VERSION, 0) {
        return Err(failed(format!("makes no connection to {host}:{port}: {}", reason(outcome))));
    }
    // Where the proxy connects from, which is of no use here.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(read::<1>(stream).await.map_err(broke)?[0]),
        _ => return Err(failed("does not speak SOCKS 5".to_owned())),
    };
    let mut from = vec![0; length + 2];
    stream.0.read_exact(&mut from).await.map_err(broke)?;
    Ok(())
}

/// Adds a text with its length in front.
fn push(request: &mut Vec<u8>, text: &str) -> Result<(), &'static str> {
    let length = u8::try_from(text.len()).map_err(|_| "takes no name of more than 255 bytes")?;
    request.push(length);
    request.extend_from_slice(text.as_bytes());
    Ok(())
}

async fn read<const N: usize>(stream: &mut Stream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.0.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn reason(outcome: u8) -> String {
    let known = match outcome {
        1 => "it failed",
        2 => "its rules do not allow it",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "connection refused",
        6 => "it took too long",
        7 => "it makes no connections",
        8 => "it does not know this kind of address",
        other => return format!("its answer is {other}"),
    };
    known.to_owned()
}
