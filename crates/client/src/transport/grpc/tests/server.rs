//! A server of the `h2` crate.

use std::future::poll_fn;

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Response};
use tokio::io::DuplexStream;

use super::framed;
use crate::task::{self, Task};

/// What a server allows, and how it behaves.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) streams: u32,
    pub(super) window: u32,
    pub(super) frame: u32,
}

impl Server {
    /// Serves until the connection ends: by an echo, but for [`FLOOD`] and [`HOLD`].
    pub(super) async fn serve(self, stream: DuplexStream) {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(self.streams).initial_window_size(self.window);
        builder.max_frame_size(self.frame);
        let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
        let mut echoes: Vec<Task> = Vec::new();
        while let Some(request) = connection.accept().await {
            // What a client does wrong ends the connection, or the test that waits on it.
            let Ok((request, mut respond)) = request else { return };
            echoes.retain(|echo| !echo.is_over());
            echoes.push(task::spawn(async move {
                let head = Response::builder().header("content-type", "application/grpc");
                let Ok(mut answer) = respond.send_response(head.body(()).unwrap(), false) else {
                    return;
                };
                // An error says that the client gave the call up.
                let _ = match request.uri().path() {
                    FLOOD => flood(answer).await,
                    HOLD => poll_fn(|cx| answer.poll_reset(cx)).await.map(drop),
                    _ => echo(request.into_body(), answer).await,
                };
            }));
        }
    }
}

/// The metadata that numbers a call.
pub(super) const NUMBER: &str = "x-number";

/// Serves by an echo, and leaves after so many calls: at once, or once they are answered. Returns the numbers of all calls
/// that were begun.
pub(super) async fn leave(stream: DuplexStream, after: usize, abruptly: bool) -> Vec<usize> {
    let (mut begun, mut echoes) = (Vec::new(), Vec::new());
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        begun.push(request.headers()[NUMBER].to_str().unwrap().parse().unwrap());
        if begun.len() == after {
            match abruptly {
                true => connection.abrupt_shutdown(h2::Reason::NO_ERROR),
                false => connection.graceful_shutdown(),
            }
        }
        echoes.push(task::spawn(async move {
            let head = Response::builder().header("content-type", "application/grpc");
            // An error says that the connection is over.
            if let Ok(answer) = respond.send_response(head.body(()).unwrap(), false) {
                let _ = echo(request.into_body(), answer).await;
            }
        }));
    }
    begun
}

async fn echo(mut request: RecvStream, mut answer: SendStream<Bytes>) -> Result<(), h2::Error> {
    while let Some(content) = request.data().await {
        let content = content?;
        request.flow_control().release_capacity(content.len())?;
        send(&mut answer, content).await?;
    }
    succeed(answer)
}

/// The RPC that is answered with [`FLOODED`] messages of so many bytes.
pub(super) const FLOOD: &str = "/a/Flood";
pub(super) const FLOODED: usize = 1000;
pub(super) const MESSAGE: usize = 10_000;

/// The RPC that lasts until the client gives it up.
pub(super) const HOLD: &str = "/a/Hold";

async fn flood(mut answer: SendStream<Bytes>) -> Result<(), h2::Error> {
    for _ in 0..FLOODED {
        send(&mut answer, framed(&[1; MESSAGE])).await?;
    }
    succeed(answer)
}

/// Sends content as the windows allow.
async fn send(answer: &mut SendStream<Bytes>, mut content: Bytes) -> Result<(), h2::Error> {
    while content.has_remaining() {
        answer.reserve_capacity(content.len());
        let Some(room) = poll_fn(|cx| answer.poll_capacity(cx)).await else { return Ok(()) };
        answer.send_data(content.split_to(room?.min(content.len())), false)?;
    }
    Ok(())
}

fn succeed(mut answer: SendStream<Bytes>) -> Result<(), h2::Error> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    answer.send_trailers(trailers)
}
