//! etcdkit with tonic's channel in place of its own transport: everything above a connection is the same, so the
//! difference to `etcdkit` is the transport's.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use etcdkit::config::Endpoint;
use etcdkit::transport::{Connection, Failure, Head, Sink, Source, Status, Transport};
use etcdkit::{Cause, Channel, Client, Code};
use etcdkit_bench::Error;
use etcdkit_bench::load::{LoadClient, Workload};
use http::uri::PathAndQuery;
use tokio::sync::Notify;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataValue, MetadataValue};

/// gRPC's five bytes in front of a message, which tonic writes itself.
const PREFIX: usize = 5;

#[derive(Debug, Clone)]
pub struct TonicDoor {
    client: Client<Channel<TonicTransport>>,
    workload: Arc<Workload>,
}

impl LoadClient for TonicDoor {
    async fn connect(workload: Arc<Workload>) -> Result<Self, Error> {
        let endpoints = workload.endpoints.iter().map(|endpoint| format!("http://{endpoint}"));
        let client = Client::builder().endpoints(endpoints).build_on(TonicTransport)?;
        client.wait_ready().await?;
        Ok(Self { client, workload })
    }

    async fn put(&mut self, number: usize) -> Result<(), Error> {
        let key = self.workload.key(number).clone();
        self.client.put(key, self.workload.value.clone()).await?;
        Ok(())
    }

    async fn get(&mut self, number: usize) -> Result<(), Error> {
        let response = self.client.get(self.workload.key(number).clone()).await?;
        if response.kvs().len() == 1 {
            Ok(())
        } else {
            Err("not exactly one key in a get's answer".into())
        }
    }
}

/// tonic's channel as a transport: plain text, unary calls.
#[derive(Debug, Clone)]
pub struct TonicTransport;

impl Transport for TonicTransport {
    type Connection = TonicConnection;

    async fn connect(&self, endpoint: &Endpoint) -> Result<TonicConnection, Cause> {
        let target = tonic::transport::Endpoint::from_shared(format!("http://{}", endpoint.authority()))
            .map_err(|error| Cause::Connect(error.to_string()))?
            .tcp_nodelay(true);
        let channel = target.connect().await.map_err(|error| Cause::Connect(error.to_string()))?;
        Ok(TonicConnection { channel, shut: Notify::new() })
    }
}

/// A tonic channel to one member.
#[derive(Debug)]
pub struct TonicConnection {
    channel: tonic::transport::Channel,
    shut: Notify,
}

impl Connection for TonicConnection {
    type Sink = NoStream;
    type Source = NoStream;

    async fn unary(&self, head: Head<'_>, message: Bytes) -> Result<Bytes, Failure> {
        let mut client = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(usize::MAX);
        client.ready().await.map_err(|error| Failure::NotProcessed(Cause::Connect(error.to_string())))?;
        let mut request = tonic::Request::new(message.slice(PREFIX..));
        let metadata = request.metadata_mut();
        metadata.insert("client-api-version", MetadataValue::from_static("3.7"));
        if let Some(token) = head.token
            && let Ok(token) = AsciiMetadataValue::try_from(token.as_bytes())
        {
            metadata.insert("token", token);
        }
        if let Some(timeout) = head.timeout {
            request.set_timeout(timeout);
        }
        let path = PathAndQuery::from_static(head.path);
        match client.unary(request, path, Raw).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(Failure::Status(Status {
                code: Code::from_i32(status.code() as i32),
                message: status.message().to_owned(),
            })),
        }
    }

    async fn open(&self, _head: Head<'_>) -> Result<(NoStream, NoStream), Failure> {
        Err(Failure::NotProcessed(Cause::Protocol("no streams in this comparison".into())))
    }

    /// tonic has none to send; it never says that it is full.
    async fn ping(&self) -> Result<(), Cause> {
        Ok(())
    }

    fn received(&self) -> u64 {
        0
    }

    async fn closed(&self) -> Cause {
        self.shut.notified().await;
        Cause::Disconnected("shut down".into())
    }

    fn shut_down(&self, _cause: Cause) {
        self.shut.notify_one();
    }
}

/// The streams that this transport does not have.
#[derive(Debug)]
pub enum NoStream {}

impl Sink for NoStream {
    async fn send(&mut self, _message: Bytes) -> Result<(), Failure> {
        match *self {}
    }

    fn finish(&mut self) -> Result<(), Failure> {
        match *self {}
    }
}

impl Source for NoStream {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match *self {}
    }
}

/// Messages that are bytes already.
#[derive(Debug, Clone, Copy)]
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

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        buffer.put(message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
