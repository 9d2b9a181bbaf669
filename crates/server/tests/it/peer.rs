//! A bare gRPC client over the `h2` crate.
#![cfg(test)]

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use etcdkit_proto::method::Method;
use h2::client::SendRequest;
use h2::{Ping, PingPong, RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

/// How a call ended that did not succeed: code and text.
pub(crate) type Refused = (i32, String);

/// Bytes of all calls that there is room for.
const CONNECTION: u32 = 64 << 20;

pub(crate) struct Peer {
    send: SendRequest<Bytes>,
    pub(crate) token: Option<String>,
    pub(crate) needs_leader: bool,
    pings: PingPong,
    driver: JoinHandle<Result<(), h2::Error>>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Peer {
    pub(crate) async fn over<T>(io: T) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::with_window(io, CONNECTION).await
    }

    /// With room for so many bytes of each call that are not read.
    #[expect(clippy::disallowed_methods, reason = "aborted on drop")]
    pub(crate) async fn with_window<T>(io: T, window: u32) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(CONNECTION);
        let (send, mut connection) = builder.handshake(io).await.unwrap();
        let pings = connection.ping_pong().unwrap();
        let driver = tokio::spawn(connection);
        Self { send, token: None, needs_leader: false, pings, driver }
    }

    /// Pings, and waits for the answer. Returns whether there was one.
    pub(crate) async fn ping(&mut self) -> bool {
        self.pings.ping(Ping::opaque()).await.is_ok()
    }

    /// Waits until the server ends the connection. Returns why, as it says.
    pub(crate) async fn ended(&mut self) -> String {
        let ended = (&mut self.driver).await.unwrap();
        ended.map_or_else(|error| error.to_string(), |()| "closed".to_owned())
    }

    fn request(&self, path: &str) -> Request<()> {
        let mut request = Request::post(format!("http://etcd{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = &self.token {
            request = request.header("token", token);
        }
        if self.needs_leader {
            request = request.header("hasleader", "true");
        }
        request.body(()).unwrap()
    }

    pub(crate) async fn call<Q: Message, A: Message + Default>(
        &self,
        method: Method<Q, A>,
        request: &Q,
    ) -> Result<A, Refused> {
        let answer = self.call_bytes(method.path(), request.encode_to_vec()).await?;
        Ok(A::decode(answer).unwrap())
    }

    /// One message out, one back.
    pub(crate) async fn call_bytes(&self, path: &str, message: Vec<u8>) -> Result<Bytes, Refused> {
        let mut send = self.send.clone().ready().await.unwrap();
        let (response, mut body) = send.send_request(self.request(path), false).unwrap();
        body.send_data(framed(&message), true).unwrap();
        let response = response.await.unwrap_or_else(|error| panic!("{path}: {error}"));
        refused(response.headers())?;
        let mut messages = Messages::new(response.into_body());
        let first = messages.next().await?;
        assert!(messages.next().await?.is_none(), "one answer too many of {path}");
        Ok(first.unwrap_or_else(|| panic!("no answer of {path}")))
    }

    /// A stream each way.
    pub(crate) async fn open(&self, path: &str) -> (SendStream<Bytes>, h2::client::ResponseFuture) {
        let mut send = self.send.clone().ready().await.unwrap();
        let (response, body) = send.send_request(self.request(path), false).unwrap();
        (body, response)
    }
}

pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.extend_from_slice(&[0]);
    out.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    out.extend_from_slice(message);
    out.freeze()
}

pub(crate) fn refused(headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    match text("grpc-status").as_str() {
        "" | "0" => Ok(()),
        code => Err((code.parse().unwrap(), text("grpc-message"))),
    }
}

/// The messages of an answer.
pub(crate) struct Messages {
    body: RecvStream,
    bytes: BytesMut,
    whole: VecDeque<Bytes>,
}

impl Messages {
    pub(crate) fn new(body: RecvStream) -> Self {
        Self { body, bytes: BytesMut::new(), whole: VecDeque::new() }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refused> {
        loop {
            if let Some(message) = self.whole.pop_front() {
                return Ok(Some(message));
            }
            let Some(data) = self.body.data().await else {
                let trailers = self.body.trailers().await.unwrap();
                refused(&trailers.unwrap_or_default())?;
                return Ok(None);
            };
            let data = data.unwrap();
            self.body.flow_control().release_capacity(data.len()).unwrap();
            self.bytes.extend_from_slice(&data);
            while let Some(length) = self.bytes.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.bytes.len() < 5 + length {
                    break;
                }
                self.bytes.advance(5);
                self.whole.push_back(self.bytes.split_to(length).freeze());
            }
        }
    }
}
