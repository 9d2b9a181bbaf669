use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A frozen member accepts connections and never answers.
const DEADLINE: Duration = Duration::from_secs(2);

/// The body of a plain HTTP GET. Version 1.0 keeps it simple: no chunks, and the server closes.
pub(super) async fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    timeout(DEADLINE, async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        parse(response)
    })
    .await?
}

fn parse(mut response: String) -> io::Result<String> {
    let head = response.find("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = response.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        return Err(io::Error::other(format!("HTTP status {status}")));
    }
    Ok(response.split_off(head + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses() {
        let check = |response: &str, expected: Result<&str, &str>| {
            let body = parse(response.to_owned()).map_err(|error| error.to_string());
            assert_eq!(body.as_deref().map_err(String::as_str), expected, "{response:?}");
        };
        check("HTTP/1.0 200 OK\r\nA: b\r\n\r\nx 1\n", Ok("x 1\n"));
        check("HTTP/1.1 503 Service Unavailable\r\n\r\n", Err("HTTP status 503"));
        check("HTTP/1.0 200 OK\r\nA:", Err("unexpected end of file"));
    }
}
