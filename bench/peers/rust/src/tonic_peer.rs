//! A bare tonic channel with its defaults and our messages: what a client generated from etcd's files
//! costs before anybody adds to it.

use std::sync::Arc;

use etcdkit_bench::Error;
use etcdkit_bench::load::{LoadClient, Workload};
use etcdkit_proto::etcdserverpb::{PutRequest, PutResponse, RangeRequest, RangeResponse};
use http::uri::PathAndQuery;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// A clone of the generic client for each worker.
#[derive(Clone)]
pub struct Tonic {
    grpc: Grpc<Channel>,
    workload: Arc<Workload>,
}

impl LoadClient for Tonic {
    async fn connect(workload: Arc<Workload>) -> Result<Self, Error> {
        let endpoint = workload.endpoints.first().ok_or("no endpoint")?;
        let channel = Endpoint::from_shared(format!("http://{endpoint}"))?.connect().await?;
        Ok(Self { grpc: Grpc::new(channel), workload })
    }

    async fn put(&mut self, number: usize) -> Result<(), Error> {
        let request = PutRequest {
            key: self.workload.key(number).clone(),
            value: self.workload.value.clone(),
            ..PutRequest::default()
        };
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
        self.grpc.ready().await?;
        let codec = ProstCodec::<PutRequest, PutResponse>::default();
        self.grpc.unary(Request::new(request), path, codec).await?;
        Ok(())
    }

    async fn get(&mut self, number: usize) -> Result<(), Error> {
        let request =
            RangeRequest { key: self.workload.key(number).clone(), ..RangeRequest::default() };
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Range");
        self.grpc.ready().await?;
        let codec = ProstCodec::<RangeRequest, RangeResponse>::default();
        let response = self.grpc.unary(Request::new(request), path, codec).await?;
        if response.into_inner().kvs.len() == 1 {
            Ok(())
        } else {
            Err("not exactly one key in a get's answer".into())
        }
    }
}
