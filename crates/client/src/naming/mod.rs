//! Who offers a service, and where: endpoints that come and go, as etcd's Go client keeps them for its gRPC resolver.
//!
//! An endpoint is a key under the service's name and a slash, with a small JSON document as its value. [`Endpoints`]
//! writes and lists them, [`EndpointUpdates`] tells what changes.

mod endpoint;
mod endpoints;
mod updates;

pub use endpoint::{Endpoint, EndpointUpdate};
pub use endpoints::Endpoints;
pub use updates::{EndpointChange, EndpointUpdates};
