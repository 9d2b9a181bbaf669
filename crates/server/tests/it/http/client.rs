//! A bare client of HTTP/1.1.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// A connection that is used for one request after the other.
pub(crate) struct Http {
    host: String,
    pub(crate) stream: BufReader<TcpStream>,
}

impl Http {
    pub(crate) async fn to(url: &str) -> Self {
        let host = url.trim_start_matches("http://").to_owned();
        let stream = BufReader::new(TcpStream::connect(&host).await.expect("it listens"));
        Self { host, stream }
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) {
        let (host, length) = (&self.host, body.len());
        let host =
            if headers.contains("Host:") { String::new() } else { format!("Host: {host}\r\n") };
        let head =
            format!("{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\n\r\n");
        self.stream.write_all(format!("{head}{body}").as_bytes()).await.expect("it reads");
    }

    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.expect("it answers");
        line.trim_end().to_owned()
    }

    /// Status and headers.
    pub(crate) async fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let first = self.line().await;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        (status.unwrap_or_else(|| panic!("no status: {first:?}")), headers)
    }

    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Answer {
        self.send(method, path, headers, body).await;
        let (status, headers) = self.head().await;
        let header = |name: &str| {
            headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let mut body = Vec::new();
        if let Some(length) = header("content-length") {
            body.resize(length.parse().expect("a number"), 0);
            self.stream.read_exact(&mut body).await.expect("a body");
        } else {
            while let Some(part) = self.chunk().await {
                body.extend_from_slice(part.as_bytes());
            }
        }
        let body = String::from_utf8(body).expect("text");
        Answer { status, content_type: header("content-type").unwrap_or_default(), body }
    }

    /// A part of an answer without a length; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<String> {
        let length = usize::from_str_radix(&self.line().await, 16).expect("a length");
        let mut part = vec![0; length + 2];
        self.stream.read_exact(&mut part).await.expect("a chunk");
        part.truncate(length);
        (length > 0).then(|| String::from_utf8(part).expect("text"))
    }
}
