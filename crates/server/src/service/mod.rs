//! What each RPC does: from a message and a caller to answers.
//!
//! One room between the protocols and the state: `grpc/` calls it with what came over HTTP/2, and other protocols may as
//! well. Who asks is found out under the same lock as what is asked is done, so that nothing can change in between.

mod auth;
mod election;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod range_stream;
mod reflection;
mod route;
mod session;
mod snapshot;
mod watch;

pub(crate) use route::{stream, unary};

#[cfg(test)]
mod tests;
