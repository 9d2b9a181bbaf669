//! Who offers a service, and where: endpoints that come and go, as etcd's Go client keeps them for its gRPC resolver.
//!
//! An endpoint is a key under the service's name and a slash, with a small JSON document as its value. [`Endpoints`]
//! writes and lists them, [`EndpointUpdates`] tells what changes. With the feature `tonic`, a channel of tonic's follows them.

#[cfg(feature = "tonic")]
mod balanced;
mod endpoint;
mod endpoints;
mod updates;

#[cfg(feature = "tonic")]
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
pub use balanced::Balanced;
pub use endpoint::{Endpoint, EndpointUpdate};
pub use endpoints::Endpoints;
pub use updates::{EndpointChange, EndpointUpdates};
