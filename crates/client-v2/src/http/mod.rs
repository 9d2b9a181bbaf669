//! One request to one server, and everything about HTTP that etcd's API does not know of.
//!
//! It stands on hyper's HTTP/1.1 connection alone, without hyper-util's pooled client, for three reasons. A failure has
//! to say whether the request may have left, which decides whether a write may go to the next endpoint; a pool that
//! repeats requests by itself blurs that. A connection is driven by the future of the call that uses it, so that dropping
//! a call closes its connection, there and then, without a task that outlives it. And a member that may be frozen has to
//! be asked on another connection than the one that is silent.
//!
//! Which endpoint is asked, and what follows a failure, is decided in `cluster`.

mod connect;
mod connection;
pub(crate) mod encode;
mod exchange;
mod io;
mod pool;
mod socks;
mod tunnel;

pub(crate) use exchange::{Answer, Failure, Http, Manner, OnHead, Outgoing};
