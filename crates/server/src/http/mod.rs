//! HTTP/1.1 on the ports of gRPC: health, version, metrics, and the JSON gateway.
//!
//! `front` hands a connection over whose first bytes are no HTTP/2. `connection.rs` serves it, one request after the other;
//! `request.rs` and `response.rs` know the bytes. `route.rs` finds who answers: `health.rs`, `metrics.rs` with `process.rs`, or `gateway/`,
//! which makes a gRPC call of a request.

mod connection;
mod gateway;
mod health;
mod metrics;
mod process;
mod request;
mod response;
mod route;

pub(crate) use connection::serve;

#[cfg(test)]
mod tests;
