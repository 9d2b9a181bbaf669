//! The one door that every request goes through.
//!
//! [`Service`] turns a request value into a response ([`call`](Service::call)) or into a stream of them
//! ([`open`](Service::open)). The [`Channel`](crate::transport::Channel) at the bottom moves requests over the network;
//! layers (a namespace, an ordering check, your own) wrap a service and are one again; [`Client`](crate::Client) is the
//! face of any of them. [`BoxService`] is the form to store, [`ServiceFn`] the one to mock. The reasons for this shape
//! are in `docs/design/service.md`.

mod erased;
mod function;
mod options;
mod streaming;

pub use erased::BoxService;
pub(crate) use erased::mismatch;
pub use function::{ServiceFn, service_fn};
pub use options::CallOptions;
pub(crate) use options::Timeout;
pub use streaming::Streaming;
pub(crate) use streaming::unfold;

use std::future::Future;

use crate::error::Result;
use crate::request::{Request, StreamRequest};

/// Something that answers requests: a channel to a cluster, or a layer around another service.
///
/// ```
/// use etcdkit::service::{CallOptions, Service, Streaming};
/// use etcdkit::{Request, Result, StreamRequest};
///
/// /// Counts what passes.
/// struct Counted<S> {
///     inner: S,
///     calls: std::sync::atomic::AtomicU64,
/// }
///
/// impl<S: Service> Service for Counted<S> {
///     async fn call<R: Request>(&self, request: R, options: &CallOptions) -> Result<R::Response> {
///         self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///         self.inner.call(request, options).await
///     }
///
///     async fn open<R: StreamRequest>(
///         &self,
///         request: R,
///         options: &CallOptions,
///     ) -> Result<Streaming<R::Item, R::Control>> {
///         self.inner.open(request, options).await
///     }
/// }
/// ```
///
/// # Cancellation
///
/// Dropping the future of a call abandons it: the stream below is reset, and a write may or may not have been applied.
pub trait Service: Send + Sync + 'static {
    /// Makes one call.
    ///
    /// # Errors
    ///
    /// See [`Error`](crate::Error): what went wrong, at which endpoints, and whether a write may have been applied.
    fn call<R: Request>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> impl Future<Output = Result<R::Response>> + Send;

    /// Opens one stream.
    ///
    /// # Errors
    ///
    /// Fails if the stream can't be opened; what goes wrong later is an item of the stream.
    fn open<R: StreamRequest>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> impl Future<Output = Result<Streaming<R::Item, R::Control>>> + Send;
}

impl<S: Service + ?Sized> Service for std::sync::Arc<S> {
    fn call<R: Request>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> impl Future<Output = Result<R::Response>> + Send {
        (**self).call(request, options)
    }

    fn open<R: StreamRequest>(
        &self,
        request: R,
        options: &CallOptions,
    ) -> impl Future<Output = Result<Streaming<R::Item, R::Control>>> + Send {
        (**self).open(request, options)
    }
}
