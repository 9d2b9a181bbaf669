//! A TCP proxy that breaks connections on command.
//!
//! Put a [`Proxy`] between a client and a server, then make the network misbehave while both run: freeze it, lose one
//! direction, slow it down, reset it, refuse it, or cut a connection after an exact number of bytes. Every fault
//! applies to the connections that exist and to those that come later, unless its name says otherwise.
//!
//! The proxy copies bytes and knows nothing of TLS, HTTP/2 or etcd: faults that need to know frames belong to
//! [`crate::peer`], and stopping or killing a real etcd process belongs to the module that owns it.
//!
//! Nothing here waits for luck: counters say what has happened, and each has a `wait_…` twin.
//!
//! * `handle.rs`: the [`Proxy`] that tests hold, its faults and its counters.
//! * `supervisor.rs`: owns the listening port and one task per connection.
//! * `pump.rs`: moves the bytes of one direction of one connection and applies the faults to them.

mod handle;
mod pump;
mod supervisor;
#[cfg(test)]
mod tests;

pub use handle::{Direction, Proxy};
