//! Asking a proxy for a tunnel.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::io::Stream;
use crate::config::ProxyServer;
use crate::error::Cause;

/// How long the head of a proxy's answer may be.
const HEAD: usize = 16 * 1024;

/// Has the proxy at the other end of `stream` connect it to `authority`.
pub(super) async fn open(
    stream: &mut Stream,
    authority: &str,
    proxy: &ProxyServer,
) -> Result<(), Cause> {
    let failed = |why: &str| Cause::Connect(format!("the proxy {proxy} {why}"));
    let broke = |error: std::io::Error| failed(&format!("broke off: {error}"));
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(authorization) = proxy.authorization() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.0.write_all(&request).await.map_err(broke)?;
    let mut head = Vec::new();
    // Nothing follows the head: the client speaks first in a tunnel for TLS.
    while !head.ends_with(b"\r\n\r\n") {
        let mut chunk = [0; 1024];
        let count = stream.0.read(&mut chunk).await.map_err(broke)?;
        if count == 0 {
            return Err(failed("closed the connection when asked for a tunnel"));
        }
        head.extend_from_slice(&chunk[..count]);
        let status = status(&head);
        if status.is_some_and(|status| !(200..300).contains(&status)) || head.len() > HEAD {
            let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let line = String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
            return Err(failed(&format!("makes no tunnel to {authority}: {line}")));
        }
    }
    match status(&head) {
        Some(_) => Ok(()),
        None => Err(failed("does not speak HTTP")),
    }
}

/// The status in the first line, once that has come.
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.strip_prefix("HTTP/1.")?.split(' ');
    words.nth(1).filter(|digits| digits.len() == 3)?.parse().ok()
}
