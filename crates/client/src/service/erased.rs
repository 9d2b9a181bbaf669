//! The form of a service that can be stored: one type, whatever layers are in it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{CallOptions, Service, Streaming};
use crate::error::{Error, Result};
use crate::request::{
    AnyRequest, AnyResponse, AnyStream, AnyStreamRequest, Request, StreamRequest,
};

pub(super) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`Service`] over the closed list of requests, so that it can be a trait object.
trait ErasedService: Send + Sync {
    fn call<'a>(
        &'a self,
        request: AnyRequest,
        options: &'a CallOptions,
    ) -> BoxFuture<'a, Result<AnyResponse>>;

    fn open<'a>(
        &'a self,
        request: AnyStreamRequest,
        options: &'a CallOptions,
    ) -> BoxFuture<'a, Result<AnyStream>>;
}

impl<S: Service> ErasedService for S {
    fn call<'a>(
        &'a self,
        request: AnyRequest,
        options: &'a CallOptions,
    ) -> BoxFuture<'a, Result<AnyResponse>> {
        Box::pin(request.call_on(self, options))
    }

    fn open<'a>(
        &'a self,
        request: AnyStreamRequest,
        options: &'a CallOptions,
    ) -> BoxFuture<'a, Result<AnyStream>> {
        Box::pin(request.open_on(self, options))
    }
}

/// Any service, behind one type: clone-cheap, at the price of one boxed future per call.
///
/// ```
/// use etcdkit::service::BoxService;
/// use etcdkit::Client;
///
/// struct Application {
///     etcd: Client<BoxService>, // a real cluster, a namespace of one, or a mock
/// }
/// # fn assert_send<T: Send + Sync>() {}
/// # assert_send::<Application>();
/// ```
#[derive(Clone)]
pub struct BoxService(Arc<dyn ErasedService>);

impl BoxService {
    /// Puts `service` behind the common type.
    pub fn new(service: impl Service) -> Self {
        Self(Arc::new(service))
    }
}

impl fmt::Debug for BoxService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxService")
    }
}

impl Service for BoxService {
    async fn call<R: Request>(&self, request: R, options: &CallOptions) -> Result<R::Response> {
        let response = self.0.call(request.into_any(), options).await?;
        R::response(response).ok_or_else(|| mismatch::<R>())
    }

    async fn open<R: StreamRequest>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> Result<Streaming<R::Item, R::Control>> {
        let stream = self.0.open(request.into_any(), options).await?;
        R::stream(stream).ok_or_else(|| mismatch::<R>())
    }
}

/// A service answered one request with another's response.
pub(crate) fn mismatch<R>() -> Error {
    Error::internal(format!(
        "the service answered a {} with another request's response",
        std::any::type_name::<R>()
    ))
}
