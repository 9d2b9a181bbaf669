//! What etcdkit's tests run against: real etcd processes and clusters, a fault proxy, certificates and a scripted
//! HTTP/2 peer.
//!
//! Not published, and only ever a dev-dependency. It knows nothing of the client: whatever it offers, a test of
//! another client could use too.

pub mod certs;
pub mod clock;
pub mod cluster;
pub mod etcd;
pub mod name_server;
pub mod peer;
pub mod proxy;
pub mod wait;
