//! The peer against the `h2` crate's client, in good cases and bad ones.

mod connection;
mod etcd_like;
mod formats;
mod listener;

use std::future::poll_fn;
use std::io;

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Peer, grpc_message};

/// A client over `h2`; its connection is driven in the background.
struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinSet<Result<(), h2::Error>>,
}

/// What a whole response consists of.
#[derive(Debug)]
struct Response {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Response {
    /// The gRPC status, wherever it is, and its message.
    fn grpc_status(&self) -> (&str, &str) {
        let map = self.trailers.as_ref().unwrap_or(&self.headers);
        let text = |name| map.get(name).map_or("", |value| value.to_str().unwrap());
        (text("grpc-status"), text("grpc-message"))
    }
}

impl Client {
    async fn connect(peer: &Peer) -> Self {
        Self::over(TcpStream::connect(peer.addr()).await.unwrap()).await
    }

    async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::driven(h2::client::handshake(io).await.unwrap())
    }

    fn driven<T>((requests, driver): (SendRequest<Bytes>, h2::client::Connection<T>)) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut connection = JoinSet::new();
        connection.spawn(driver);
        Self { requests, connection }
    }

    /// Starts a call with a body of one message.
    async fn start(&mut self, path: &str, message: &[u8]) -> Result<ResponseFuture, h2::Error> {
        poll_fn(|context| self.requests.poll_ready(context)).await?;
        let request = http::Request::post(format!("http://etcd.test{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "5S")
            .body(())
            .unwrap();
        let (response, mut body) = self.requests.send_request(request, false)?;
        body.send_data(grpc_message(message), true)?;
        Ok(response)
    }

    async fn call(&mut self, path: &str, message: &[u8]) -> Result<Response, h2::Error> {
        finish(self.start(path, message).await?).await
    }

    /// How the connection ended.
    async fn ended(mut self) -> Result<(), h2::Error> {
        drop(self.requests);
        self.connection.join_next().await.unwrap().unwrap()
    }
}

/// Reads a response to its end.
async fn finish(response: ResponseFuture) -> Result<Response, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let mut body = BytesMut::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    let status = head.status.as_u16();
    Ok(Response { status, headers: head.headers, body: body.freeze(), trailers })
}

fn is_eof(outcome: &io::Result<()>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}
