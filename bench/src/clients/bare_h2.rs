//! The bare `h2` crate under load: the cost of its HTTP/2 and of nothing else.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use etcdkit_proto::etcdserverpb::{PutRequest, PutResponse, RangeRequest, RangeResponse};
use h2::client::SendRequest;
use http::Request;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::plain_writes::PlainWrites;
use crate::Error;
use crate::load::{LoadClient, Workload};

/// Flow-control windows of the size that hyper's clients use.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 5 << 20;
/// gRPC's head of each message: a compression flag and a length.
const MESSAGE_HEAD: usize = 5;

/// One connection to the first endpoint. `PLAIN` hides vectored writes, `DECODE` decodes the answers.
#[derive(Debug, Clone)]
pub struct BareH2<const PLAIN: bool, const DECODE: bool> {
    requests: SendRequest<Bytes>,
    prepared: Arc<Prepared>,
    /// Drives the connection; ends with the last clone.
    _driver: Arc<JoinSet<()>>,
}

/// What is made once, before the load begins.
#[derive(Debug)]
struct Prepared {
    put: Request<()>,
    get: Request<()>,
    puts: Vec<Bytes>,
    gets: Vec<Bytes>,
}

impl Prepared {
    fn new(authority: &str, workload: &Workload) -> Result<Self, Error> {
        let head = |method: &str| {
            Request::post(format!("http://{authority}/etcdserverpb.KV/{method}"))
                .version(http::Version::HTTP_2)
                .header("te", "trailers")
                .header("content-type", "application/grpc")
                .body(())
        };
        let put = |key: &Bytes| PutRequest {
            key: key.clone(),
            value: workload.value.clone(),
            ..PutRequest::default()
        };
        let get = |key: &Bytes| RangeRequest { key: key.clone(), ..RangeRequest::default() };
        Ok(Self {
            put: head("Put")?,
            get: head("Range")?,
            puts: workload.keys.iter().map(|key| framed(&put(key))).collect(),
            gets: workload.keys.iter().map(|key| framed(&get(key))).collect(),
        })
    }
}

/// A message behind its head.
fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(MESSAGE_HEAD + length);
    bytes.put_u8(0);
    bytes.put_u32(length as u32);
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

impl<const PLAIN: bool, const DECODE: bool> BareH2<PLAIN, DECODE> {
    async fn handshake<S>(stream: S) -> Result<(SendRequest<Bytes>, JoinSet<()>), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(stream)
            .await?;
        let mut driver = JoinSet::new();
        // Requests fail by themselves when the connection does.
        driver.spawn(async { drop(connection.await) });
        Ok((requests, driver))
    }

    /// Sends one prepared request and reads its whole answer; returns the message without its head.
    async fn call(&mut self, head: Request<()>, body: Bytes) -> Result<Bytes, Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut sender) = requests.send_request(head, false)?;
        sender.send_data(body, true)?;
        let mut body = response.await?.into_body();
        let mut message = Bytes::new();
        while let Some(part) = body.data().await {
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            message = if message.is_empty() { part } else { joined(&message, &part) };
        }
        let trailers = body.trailers().await?;
        let status = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
        if status.is_none_or(|status| status != "0") {
            return Err(format!("grpc-status {status:?}").into());
        }
        if message.len() < MESSAGE_HEAD {
            return Err("no message in the answer".into());
        }
        message.advance(MESSAGE_HEAD);
        Ok(message)
    }
}

fn joined(one: &[u8], other: &[u8]) -> Bytes {
    [one, other].concat().into()
}

impl<const PLAIN: bool, const DECODE: bool> LoadClient for BareH2<PLAIN, DECODE> {
    async fn connect(workload: Arc<Workload>) -> Result<Self, Error> {
        let authority = workload.endpoints.first().ok_or("no endpoint")?;
        let socket = TcpStream::connect(authority).await?;
        socket.set_nodelay(true)?;
        let prepared = Arc::new(Prepared::new(authority, &workload)?);
        let (requests, driver) = if PLAIN {
            Self::handshake(PlainWrites(socket)).await?
        } else {
            Self::handshake(socket).await?
        };
        Ok(Self { requests, prepared, _driver: Arc::new(driver) })
    }

    async fn put(&mut self, number: usize) -> Result<(), Error> {
        let body = self.prepared.puts[number % self.prepared.puts.len()].clone();
        let message = self.call(self.prepared.put.clone(), body).await?;
        if DECODE && PutResponse::decode(message)?.header.is_none() {
            return Err("a put's answer without a header".into());
        }
        Ok(())
    }

    async fn get(&mut self, number: usize) -> Result<(), Error> {
        let body = self.prepared.gets[number % self.prepared.gets.len()].clone();
        let message = self.call(self.prepared.get.clone(), body).await?;
        if DECODE && RangeResponse::decode(message)?.kvs.len() != 1 {
            return Err("not exactly one key in a get's answer".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Op, Plan, Runtime, run};
    use crate::null_server;

    /// The null server against an implementation of HTTP/2 and of the messages that it knows nothing of.
    fn check<C: LoadClient>(op: Op) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || null_server::serve(&listener, 256).unwrap());
        let plan = Plan {
            client: "test".to_owned(),
            runtime: Runtime::CurrentThread,
            op,
            concurrency: 100,
            measured: std::time::Duration::from_millis(50),
            warmup: std::time::Duration::from_millis(10),
            endpoints: vec![endpoint],
            value_size: 256,
            keys: 10,
        };
        let outcome = run::<C>(&plan).unwrap();
        assert!(outcome.ops > 0 && outcome.errors == 0 && outcome.hung == 0, "{outcome:?}");
    }

    #[test]
    fn the_null_server_answers_puts_and_gets() {
        check::<BareH2<true, true>>(Op::Put);
        check::<BareH2<true, true>>(Op::Get);
        check::<BareH2<false, false>>(Op::Put);
    }
}
