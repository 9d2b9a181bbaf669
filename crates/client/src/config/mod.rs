//! What a client is told before it starts: parsed, checked, and from then on only read.
//!
//! [`ClientBuilder`] takes the settings as they are written and turns them into a `Config`, which holds nothing
//! invalid; nothing here connects to anything. Certificate files are the exception that is read again later, for each
//! connection. The rooms below read `Config`: the channel its timeouts and retries, the balancer its endpoints, the
//! connector its TLS.

mod balance;
mod builder;
mod check;
mod endpoint;
mod endpoints;
mod environment;
mod limits;
mod liveness;
mod retry;
mod secret;
mod settings;
#[cfg(feature = "srv")]
mod srv;
mod timeouts;
mod tls;
#[cfg(feature = "yaml")]
mod yaml;

pub use balance::{Balance, Candidate, Pick};
pub use builder::ClientBuilder;
pub use endpoint::{Address, Endpoint, TlsDecision};
pub use limits::Limits;
pub use liveness::Liveness;
pub use retry::{Reconnect, RetryPolicy};
#[cfg(feature = "srv")]
#[cfg_attr(docsrs, doc(cfg(feature = "srv")))]
pub use srv::{SrvLookup, srv};
pub use timeouts::Timeouts;
pub use tls::Tls;

pub(crate) use builder::Config;
pub(crate) use endpoints::{Endpoints, FromMembers, MemberPolicy};
pub(crate) use liveness::KeepAlive;
pub(crate) use secret::{Credentials, Secret};
pub(crate) use tls::TlsLoader;

#[cfg(test)]
mod tests;
