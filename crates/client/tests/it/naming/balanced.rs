//! tonic channels that follow the endpoints of a service.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use etcdkit::naming::{Balanced, Endpoint, Endpoints};
use etcdkit::{Client, ErrorKind};
use etcdkit_testkit::peer::{Answer, EtcdLike};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::kv::members::*;

const GREET: &str = "/example.Greeter/Greet";

/// A service, which is any HTTP/2 peer that answers.
async fn service() -> EtcdLike {
    let service = EtcdLike::start().await;
    service.answer_with(|call| (call.path == GREET).then(|| Answer::message("hello")));
    service
}

/// Messages as the bytes that they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
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

fn plain(client: &Client, name: &str) -> Balanced {
    let connect = |endpoint: &Endpoint| format!("http://{}", endpoint.address()).try_into();
    Endpoints::new(client, name).unwrap().balanced(connect)
}

async fn greet(balanced: &Balanced) -> Result<Bytes, tonic::Status> {
    let mut grpc = Grpc::new(balanced.channel());
    grpc.ready().await.expect("the channel works");
    let request = tonic::Request::new(Bytes::new());
    let call = grpc.unary(request, PathAndQuery::from_static(GREET), Raw);
    in_time("a greeting", call).await.map(tonic::Response::into_inner)
}

/// Greets until each of `to` has been asked anew.
async fn reaches(balanced: &Balanced, to: &[&EtcdLike]) {
    let before: Vec<usize> = to.iter().map(|service| service.calls(GREET)).collect();
    let all_asked =
        || to.iter().zip(&before).all(|(service, before)| service.calls(GREET) > *before);
    in_time("all to be asked", async {
        while !all_asked() {
            // One that has just gone may still be tried once.
            let _ = greet(balanced).await;
        }
    })
    .await;
}

/// TestEtcdGrpcResolverRoundRobin: calls go to all endpoints, and follow additions, deletions and the end of a lease.
#[tokio::test]
async fn etcd_grpc_resolver_round_robin() {
    on_every_version(async |client, _| {
        let name = "grpc_resolver";
        let (one, two) = (service().await, service().await);
        let endpoints = Endpoints::new(&client, name).unwrap();
        let balanced = plain(&client, name);
        let early = greet(&balanced);
        let key = |n: u8| format!("{name}/{n}");
        let session = client.session(Duration::from_secs(60)).await.unwrap();
        let endpoint = Endpoint::new(one.addr().to_string());
        endpoints.add_on(session.lease(), key(1), endpoint).await.unwrap();
        assert_eq!(early.await.unwrap(), "hello", "a call made before there was an endpoint");
        assert_eq!(one.calls(GREET), 1);
        endpoints.add(key(2), Endpoint::new(two.addr().to_string())).await.unwrap();
        endpoints.add(format!("{name}_other/1"), Endpoint::new("1.2.3.4:5")).await.unwrap_err();
        reaches(&balanced, &[&one, &two]).await;

        session.close().await.unwrap();
        reaches(&balanced, &[&two]).await;
        // From when the channel has heard of it, all go to the one that is left.
        let gone = async || {
            let before = one.calls(GREET);
            for _ in 0..20 {
                greet(&balanced).await.unwrap();
            }
            (one.calls(GREET) == before).then_some(())
        };
        etcdkit_testkit::wait::eventually("the loss to be noticed", DEADLINE, gone).await;

        // One that makes no sense takes the place of one that did, and is left out.
        endpoints.add(key(1), Endpoint::new(one.addr().to_string())).await.unwrap();
        endpoints.add(key(2), Endpoint::new("no address")).await.unwrap();
        reaches(&balanced, &[&one]).await;
        etcdkit_testkit::wait::eventually("the other to be left", DEADLINE, async || {
            let before = two.calls(GREET);
            for _ in 0..20 {
                greet(&balanced).await.unwrap();
            }
            (two.calls(GREET) == before).then_some(())
        })
        .await;
    })
    .await;
}

/// Upstream's resolver dies with its watch, and says nothing.
#[tokio::test]
async fn a_channel_whose_endpoints_cannot_be_followed_says_why() {
    on_every_version(async |client, etcd| {
        let name = "grpc_resolver_ends";
        let one = service().await;
        let endpoints = Endpoints::new(&client, name).unwrap();
        endpoints.add(format!("{name}/1"), Endpoint::new(one.addr().to_string())).await.unwrap();
        let own = connect(etcd).await;
        let balanced = plain(&own, name);
        greet(&balanced).await.unwrap();
        own.close().await;
        let error = in_time("the end", balanced.ended()).await;
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        // What it knew, it still knows.
        greet(&balanced).await.unwrap();
    })
    .await;
}
