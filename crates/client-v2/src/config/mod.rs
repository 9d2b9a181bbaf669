//! How a client behaves: endpoints, proxies, TLS and timeouts, checked once when it is built and then only read.
//!
//! [`ClientBuilder`] is what users write; what it becomes is a `Config`. Nothing here connects to anything.

mod builder;
mod endpoint;
mod origin;
mod proxy;
mod tls;

pub use builder::ClientBuilder;
pub use endpoint::Endpoint;
pub use proxy::Proxy;
pub use tls::Tls;

pub(crate) use builder::{Config, Secret};
pub(crate) use origin::{Origin, Place};
pub(crate) use proxy::{ProxyServer, Speaks};
pub(crate) use tls::TlsLoader;

/// Which endpoint a client turns to first, after its endpoints were set or [synchronised](crate::Client::sync).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Selection {
    /// A random one, so that many clients spread over the members.
    #[default]
    Random,
    /// The leader's, which saves writes and quorum reads a hop. It is found by a synchronisation, not before.
    PrioritizeLeader,
}
