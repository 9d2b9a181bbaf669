//! A bare gRPC client over a connection in memory, for the targets that ask a server.

use bytes::{BufMut, Bytes, BytesMut};
use etcdkit_proto::method::Method;
use etcdkit_server::Server;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use prost::Message;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// A runtime whose tasks all run in the thread of the target: a run depends on its input alone.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

/// A connection to a server.
#[derive(Debug)]
pub struct Peer {
    send: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Peer {
    /// Connects.
    pub async fn to(server: &Server) -> Self {
        let mut builder = h2::client::Builder::new();
        // What is not read must not keep other answers waiting.
        builder.initial_window_size(1 << 24).initial_connection_window_size(1 << 30);
        let (send, connection) =
            builder.handshake(server.connect()).await.expect("the server speaks HTTP/2");
        let driver = tokio::spawn(async move { drop(connection.await) });
        Self { send, driver }
    }

    /// Begins a call.
    pub async fn open(&self, path: &str, token: &str) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::post(format!("http://etcd{path}"))
            .header("content-type", "application/grpc")
            .header("token", token)
            .body(())
            .expect("a path makes a request");
        let mut send = self.send.clone().ready().await.expect("the connection lives");
        send.send_request(request, false).expect("the connection lives")
    }

    /// One message out, one back; `None` if the server refuses.
    pub async fn call<Q: Message, A: Message + Default>(
        &self,
        method: Method<Q, A>,
        request: &Q,
        token: &str,
    ) -> Option<A> {
        let (response, mut body) = self.open(method.path(), token).await;
        body.send_data(framed(&request.encode_to_vec()), true).expect("the connection lives");
        let response = response.await.expect("the server answers");
        let mut answer = BytesMut::new();
        let mut received: RecvStream = response.into_body();
        while let Some(data) = received.data().await {
            let data = data.expect("the answer comes whole");
            received.flow_control().release_capacity(data.len()).expect("it was received");
            answer.extend_from_slice(&data);
        }
        let message = answer.get(5..)?;
        Some(A::decode(message).expect("the answer is a message"))
    }
}

/// A message with the prefix of gRPC.
pub fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).expect("inputs are small"));
    out.put_slice(message);
    out.freeze()
}
