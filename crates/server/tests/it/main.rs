//! The server against real etcd, and over its connections.
//!
//! `peer.rs` is a bare gRPC client: it shows what is on the wire, without a word of the client's own. `differential/` sends
//! the same requests to both, `acceptance/` has old versions of etcdctl talk to both. `durable/` is about what outlives the
//! process, `listening.rs` about addresses, `patience.rs` about clients that ping too often or never finish what they begin, `permissions.rs` about who may ask for what, `alarms.rs` about what is refused meanwhile, `broken.rs` about a disk that is gone, `load.rs` about very many clients, `reflection.rs` about what the server tells of
//! itself, `room.rs` about calls that wait, `testing.rs` about what it offers to tests of others.

mod acceptance;
mod alarms;
mod broken;
mod differential;
mod durable;
mod http;
mod listening;
mod load;
mod patience;
mod peer;
mod permissions;
mod reflection;
mod room;
mod sentences;
mod testing;
