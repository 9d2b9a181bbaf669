//! gRPC for those who speak JSON: POST below `/v3/`, with answers as etcd's own gateway gives them.
//!
//! Each HTTP connection has, from its first such request on, a gRPC connection to the server that it is in, so that a
//! request goes exactly the way of any other. `call.rs` is that connection; `decode.rs` and `encode.rs` translate between JSON
//! and the wire by `schema/`, a table that is generated; bytes are base64.

mod call;
mod decode;
mod encode;
mod message;
mod schema;
mod serve;

#[cfg(test)]
mod tests;

pub(super) use serve::Gateway;
