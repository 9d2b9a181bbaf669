//! A service made of a closure: what unit tests put in a cluster's place.

use std::fmt;
use std::future::Future;

use super::erased::mismatch;
use super::{CallOptions, Service, Streaming};
use crate::error::{Error, Result};
use crate::request::{AnyRequest, AnyResponse, Request, StreamRequest};

/// Makes a service of a closure that answers every request.
///
/// The streams of such a service fail with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
///
/// ```
/// use etcdkit::service::service_fn;
/// use etcdkit::{AnyRequest, AnyResponse, Client, ErrorKind, PutResponse};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> etcdkit::Result<()> {
/// let client = Client::from_service(service_fn(|request| async move {
///     match request {
///         AnyRequest::Put(put) if put.key() == b"a".as_slice() => {
///             Ok(AnyResponse::Put(PutResponse::default()))
///         }
///         other => panic!("unexpected {other:?}"),
///     }
/// }));
/// client.put("a", "1").await?;
/// # Ok(())
/// # }
/// ```
pub fn service_fn<F, Fut>(call: F) -> ServiceFn<F>
where
    F: Fn(AnyRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<AnyResponse>> + Send,
{
    ServiceFn { call }
}

/// A service made of a closure; see [`service_fn`].
#[derive(Clone)]
pub struct ServiceFn<F> {
    call: F,
}

impl<F> fmt::Debug for ServiceFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceFn")
    }
}

impl<F, Fut> Service for ServiceFn<F>
where
    F: Fn(AnyRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<AnyResponse>> + Send,
{
    async fn call<R: Request>(&self, request: R, _options: &CallOptions) -> Result<R::Response> {
        let response = (self.call)(request.into_any()).await?;
        R::response(response).ok_or_else(|| mismatch::<R>())
    }

    async fn open<R: StreamRequest>(
        &self,
        request: R,
        _options: &CallOptions,
    ) -> Result<Streaming<R::Item, R::Control>> {
        Err(Error::unsupported(format!(
            "a service made of a closure opens no streams, and {request:?} needs one"
        )))
    }
}
