//! The gRPC connection of a gateway to the server that it is in.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use etcdkit_proto::Code;
use etcdkit_proto::method::Class;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use crate::budget::Hold;
use crate::grpc::{self, PREFIX};
use crate::node::Node;
use crate::status::{Result, Status};
use crate::task::{Task, spawn};

/// How much one end may write before the other reads.
const BUFFER: usize = 64 * 1024;

/// A connection; it ends with this.
#[derive(Debug)]
pub(super) struct Upstream {
    send: SendRequest<Bytes>,
    _tasks: [Task; 2],
}

impl Upstream {
    pub(super) async fn open(node: Arc<Node>) -> Result<Self> {
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        let serving = spawn(async move { grpc::serve(theirs, node, None).await });
        let (send, connection) = h2::client::handshake(ours).await.map_err(|error| lost(&error))?;
        // It ends with the server's half, which tells why.
        let driving = spawn(async move { drop(connection.await) });
        Ok(Self { send, _tasks: [serving, driving] })
    }

    /// Begins a call, and sends these messages. With `open`, the client's side stays open after them.
    pub(super) async fn call(
        &mut self,
        path: &str,
        token: Option<&str>,
        messages: Vec<Vec<u8>>,
        open: bool,
    ) -> Result<Sent> {
        poll_fn(|context| self.send.poll_ready(context)).await.map_err(|error| lost(&error))?;
        let mut request = http::Request::post(format!("http://gateway{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("token", token);
        }
        let request =
            request.body(()).map_err(|_| Status::new(Code::InvalidArgument, "malformed token"))?;
        let (response, mut sink) =
            self.send.send_request(request, false).map_err(|error| lost(&error))?;
        for message in messages {
            send(&mut sink, &message).await?;
        }
        if !open {
            // A server that has answered already does not read the end.
            let _ = sink.send_data(Bytes::new(), true);
        }
        Ok(Sent { response, sink })
    }
}

/// A call that is not answered yet.
#[derive(Debug)]
pub(super) struct Sent {
    response: ResponseFuture,
    sink: SendStream<Bytes>,
}

impl Sent {
    /// Waits for the beginning of the answer, of which `hold` is for what is read. That to a read may be too much.
    pub(super) async fn answered(self, hold: Hold, class: Class) -> Result<Call> {
        let (parts, body) = self.response.await.map_err(|error| lost(&error))?.into_parts();
        match outcome(&parts.headers) {
            Some(Err(status)) => Err(status),
            _ => Ok(Call { body, unread: BytesMut::new(), hold, class, _sink: self.sink }),
        }
    }
}

async fn send(sink: &mut SendStream<Bytes>, message: &[u8]) -> Result<()> {
    let mut framed = vec![0; PREFIX];
    framed.extend_from_slice(message);
    grpc::seal(&mut framed, 0);
    let mut framed = Bytes::from(framed);
    while !framed.is_empty() {
        sink.reserve_capacity(framed.len());
        let Some(Ok(room)) = poll_fn(|context| sink.poll_capacity(context)).await else {
            // The server has answered without having read everything. What it said comes next.
            return Ok(());
        };
        let part = framed.split_to(room.min(framed.len()));
        if sink.send_data(part, false).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// A call whose answers are read.
#[derive(Debug)]
pub(super) struct Call {
    body: RecvStream,
    unread: BytesMut,
    /// For what is unread, and then for what became of it.
    pub(super) hold: Hold,
    class: Class,
    _sink: SendStream<Bytes>,
}

impl Call {
    /// The next answer; `None` at the end of a call that succeeded.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(message) = self.message() {
                return Ok(Some(message));
            }
            match self.body.data().await {
                Some(Ok(data)) => {
                    // Whoever reads this has room for what it has asked for.
                    let _ = self.body.flow_control().release_capacity(data.len());
                    let length = self.unread.len() + data.len();
                    // What was done is not said to be refused.
                    if self.class == Class::Read && length > BUFFER {
                        self.hold.set(length)?;
                    } else {
                        self.hold.keep(length);
                    }
                    self.unread.extend_from_slice(&data);
                }
                Some(Err(error)) => return Err(lost(&error)),
                None => break,
            }
        }
        let trailers = self.body.trailers().await.map_err(|error| lost(&error))?;
        match trailers.as_ref().and_then(outcome) {
            Some(Ok(())) => Ok(None),
            Some(Err(status)) => Err(status),
            None => Err(Status::new(Code::Unavailable, "the call ended without a status")),
        }
    }

    fn message(&mut self) -> Option<Bytes> {
        let prefix = self.unread.get(1..PREFIX)?;
        let length = u32::from_be_bytes(prefix.try_into().ok()?) as usize;
        if self.unread.len() < PREFIX + length {
            return None;
        }
        self.unread.advance(PREFIX);
        let message = self.unread.split_to(length).freeze();
        if self.unread.is_empty() {
            // What is left of it would keep all of the message.
            self.unread = BytesMut::new();
        }
        Some(message)
    }
}

/// What headers or trailers say of the call's end, if they do.
fn outcome(headers: &HeaderMap) -> Option<Result<()>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code: i32 = text("grpc-status")?.parse().ok()?;
    if code == 0 {
        return Some(Ok(()));
    }
    let code = Code::from_i32(code);
    Some(Err(Status::new(code, percent_decoded(text("grpc-message").unwrap_or_default()))))
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte =
            escaped.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = after.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn lost(error: &h2::Error) -> Status {
    Status::new(Code::Unavailable, format!("the server is gone: {error}"))
}
