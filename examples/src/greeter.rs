//! The service of the example `tonic_services`, as tonic's code generation would write it: one call, from text to text.

use std::convert::Infallible;
use std::future::{Ready, ready};

use tonic::codegen::{BoxFuture, Context, Poll, Service, http};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, body::Body, server::NamedService};
use tonic_prost::ProstCodec;

/// Answers every call with its name.
#[derive(Clone, Copy, Debug)]
pub struct Greeter(
    /// The name.
    pub &'static str,
);

impl NamedService for Greeter {
    const NAME: &'static str = "example.Greeter";
}

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let greet = Greet(self.0);
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            Ok(grpc.unary(greet, request).await)
        })
    }
}

struct Greet(&'static str);

impl Service<Request<String>> for Greet {
    type Response = Response<String>;
    type Error = Status;
    type Future = Ready<Result<Response<String>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        ready(Ok(Response::new(self.0.to_owned())))
    }
}

/// Calls one of the services behind a channel: the name of who answered.
///
/// # Errors
///
/// What tonic's call fails with.
pub async fn greet(channel: Channel) -> Result<String, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = http::uri::PathAndQuery::from_static("/example.Greeter/Greet");
    let codec = ProstCodec::<String, String>::default();
    Ok(grpc.unary(Request::new(String::new()), path, codec).await?.into_inner())
}
