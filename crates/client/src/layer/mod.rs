//! Layers: services around services.
//!
//! Each changes what a client sees of a cluster, and each is a [`Service`](crate::Service) again, so that they can be put
//! around each other in any order. They know the service below them by that trait alone, and nothing of connections.
//!
//! * [`Namespace`] shows the keys under a prefix as if there were no others.
//! * [`Leasing`] answers reads of single keys from memory.
//! * [`Ordering`] never shows a state older than one it has shown before.
//!
//! A layer decides about every request that there is: it matches the closed list without a wildcard.

mod leasing;
mod namespace;
mod ordering;

pub use leasing::Leasing;
pub use namespace::Namespace;
pub use ordering::Ordering;
