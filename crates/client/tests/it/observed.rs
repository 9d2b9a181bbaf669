//! A service below a layer that tells of each call.

use std::sync::Arc;

use etcdkit::service::{CallOptions, Service, Streaming};
use etcdkit::{AnyRequest, Channel, Client, Request, Result, StreamRequest};

/// Tells of each call before it is made.
#[derive(Clone)]
pub(crate) struct Observed {
    inner: Channel,
    tell: Arc<dyn Fn(AnyRequest) + Send + Sync>,
}

pub(crate) fn observed(
    client: &Client,
    tell: impl Fn(AnyRequest) + Send + Sync + 'static,
) -> Client<Observed> {
    let tell = Arc::new(tell);
    client.clone().layer(|inner| Observed { inner, tell })
}

impl Service for Observed {
    async fn call<R: Request>(&self, request: R, options: &CallOptions) -> Result<R::Response> {
        (self.tell)(request.clone().into_any());
        self.inner.call(request, options).await
    }

    async fn open<R: StreamRequest>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> Result<Streaming<R::Item, R::Control>> {
        self.inner.open(request, options).await
    }
}
