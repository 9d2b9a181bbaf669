//! Finding a cluster: by DNS, or by a discovery service.
//!
//! [`srv()`] looks up the SRV records of a domain and returns endpoints. [`Discovery`] is a client of a discovery service,
//! by which members that are about to form a cluster find each other.

mod service;
mod srv;

pub use service::Discovery;
pub use srv::{SrvLookup, srv};
