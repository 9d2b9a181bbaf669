//! Who is tested: our client, and tonic's as a reference.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use etcdkit::proto::etcdserverpb::{PutRequest, PutResponse, RangeRequest, RangeResponse};
use etcdkit::service::CallOptions;
use etcdkit::{Client, Error, ErrorKind, GetResponse};
use http::uri::PathAndQuery;
use prost::Message;
use tokio::task::JoinSet;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};

use super::support::{self, HEALTH, LIMIT, PUT, RANGE, soon};

/// A call that cases make: one that changes something, or one that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rpc {
    Put,
    Get,
}

/// What kind of failure a subject reports, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ours(ErrorKind),
    Reference(tonic::Code),
    /// The subject panicked instead.
    Panic,
    /// The deadline passed, and the call went on.
    Hangs,
}

/// A failed call.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) kind: Kind,
    /// Whether the subject says that a write may have happened, if it says such a thing.
    pub(super) applied: Option<bool>,
    pub(super) text: String,
}

/// A client that makes unary calls.
pub(super) trait Subject: Sized {
    const NAME: &'static str;

    /// A client of one endpoint; it need not have connected yet.
    fn new(endpoint: &str) -> Self;

    /// Connects.
    fn connect(&mut self) -> impl Future<Output = ()> + Send;

    /// Makes one call, and returns the revision in the answer's header.
    fn call(
        &mut self,
        rpc: Rpc,
        value: &[u8],
        deadline: Duration,
    ) -> impl Future<Output = Result<i64, Failed>> + Send;
}

/// etcdkit's client.
pub(super) struct Ours(Client);

impl Subject for Ours {
    const NAME: &'static str = "etcdkit";

    fn new(endpoint: &str) -> Self {
        Self(support::builder([endpoint]).limits(support::limits()).build().unwrap())
    }

    async fn connect(&mut self) {
        soon("the member", self.0.wait_ready()).await.unwrap();
    }

    async fn call(&mut self, rpc: Rpc, value: &[u8], deadline: Duration) -> Result<i64, Failed> {
        let client = self.0.with_options(CallOptions::new().timeout(deadline));
        match rpc {
            Rpc::Put => client.put("k", value).await.map(|answer| answer.header().revision),
            Rpc::Get => client.get("k").await.map(|answer| answer.revision()),
        }
        .map(|revision| revision.get())
        .map_err(|error| Failed::from(&error))
    }
}

/// etcdkit's client with other calls under way on the same connection, whose own task makes the calls then.
pub(super) struct Busy {
    client: Ours,
    /// Calls that [`HELD`] makes the peer leave unanswered.
    held: Vec<Pin<Box<dyn Future<Output = etcdkit::Result<GetResponse>> + Send>>>,
}

/// The key of such calls.
pub(super) const HELD: &str = "held";
/// More than callers make by themselves.
const MANY: usize = 40;

impl Subject for Busy {
    const NAME: &'static str = "etcdkit, busy";

    fn new(endpoint: &str) -> Self {
        Self { client: Ours::new(endpoint), held: Vec::new() }
    }

    async fn connect(&mut self) {
        self.client.connect().await;
        for _ in 0..MANY {
            let client = self.client.0.clone();
            let mut call: Pin<Box<_>> = Box::pin(async move { client.get(HELD).await });
            // Sends it; what becomes of it is of no interest.
            assert!(support::ask(&mut call).await.is_none());
            self.held.push(call);
        }
    }

    async fn call(&mut self, rpc: Rpc, value: &[u8], deadline: Duration) -> Result<i64, Failed> {
        self.client.call(rpc, value, deadline).await
    }
}

impl From<&Error> for Failed {
    fn from(error: &Error) -> Self {
        Self {
            kind: Kind::Ours(error.kind()),
            applied: Some(error.maybe_applied()),
            text: error.to_string(),
        }
    }
}

/// tonic's generic client with its defaults, but for the message limits of the cases.
pub(super) struct Reference(tonic::client::Grpc<Channel>);

impl Subject for Reference {
    const NAME: &'static str = "tonic";

    fn new(endpoint: &str) -> Self {
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).unwrap();
        let channel = endpoint.connect_lazy();
        let grpc = tonic::client::Grpc::new(channel)
            .max_decoding_message_size(LIMIT)
            .max_encoding_message_size(LIMIT);
        Self(grpc)
    }

    async fn connect(&mut self) {
        soon("tonic", self.0.ready()).await.unwrap();
        let check = tonic::Request::new(Bytes::new());
        let check = self.0.unary(check, PathAndQuery::from_static(HEALTH), Raw);
        soon("tonic's health check", check).await.unwrap();
    }

    async fn call(&mut self, rpc: Rpc, value: &[u8], deadline: Duration) -> Result<i64, Failed> {
        let (path, message) = match rpc {
            Rpc::Put => {
                let value = Bytes::copy_from_slice(value);
                let request = PutRequest { key: "k".into(), value, ..Default::default() };
                (PUT, request.encode_to_vec())
            }
            Rpc::Get => {
                let request = RangeRequest { key: "k".into(), ..Default::default() };
                (RANGE, request.encode_to_vec())
            }
        };
        let mut grpc = self.0.clone();
        // In a task of its own: it may panic.
        let mut task = JoinSet::new();
        task.spawn(async move {
            grpc.ready().await.map_err(|error| tonic::Status::from_error(error.into()))?;
            let mut request = tonic::Request::new(Bytes::from(message));
            request.set_timeout(deadline);
            let answer = grpc.unary(request, PathAndQuery::from_static(path), Raw).await?;
            Ok(answer.into_inner())
        });
        let answer = match task.join_next().await.unwrap() {
            Ok(answer) => answer.map_err(|status: tonic::Status| Failed::from(&status))?,
            Err(died) => {
                let text = died
                    .into_panic()
                    .downcast::<String>()
                    .map_or_else(|_| String::new(), |text| *text);
                return Err(Failed { kind: Kind::Panic, applied: None, text });
            }
        };
        let header = match rpc {
            Rpc::Put => PutResponse::decode(answer).map(|answer| answer.header),
            Rpc::Get => RangeResponse::decode(answer).map(|answer| answer.header),
        };
        match header {
            Ok(header) => Ok(header.unwrap_or_default().revision),
            Err(error) => {
                Err(Failed::from(&tonic::Status::internal(format!("not decoded: {error}"))))
            }
        }
    }
}

impl Reference {
    /// Opens a stream of answers.
    pub(super) async fn stream(
        &mut self,
        path: &'static str,
        request: &impl Message,
    ) -> tonic::Streaming<Bytes> {
        self.0.ready().await.unwrap();
        let request = tonic::Request::new(Bytes::from(request.encode_to_vec()));
        let path = PathAndQuery::from_static(path);
        self.0.server_streaming(request, path, Raw).await.unwrap().into_inner()
    }
}

impl From<&tonic::Status> for Failed {
    fn from(status: &tonic::Status) -> Self {
        let mut text = status.message().to_owned();
        let mut source = std::error::Error::source(status);
        while let Some(error) = source {
            text += &format!(": {error}");
            source = error.source();
        }
        Self { kind: Kind::Reference(status.code()), applied: None, text }
    }
}

/// Messages as they are on the wire.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
