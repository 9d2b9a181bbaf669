//! Real etcd processes, one or many, by version.
//!
//! [`Etcd`] is one member: a process with its ports, data and log, that can be killed, frozen and started again.
//! [`Cluster`](crate::cluster::Cluster) holds several. Both are configured by [`Builder`] and run the binaries that
//! `cargo xtask etcd` put into the cache; [`Version`] says which those are. What a test starts ends with it: a member
//! is killed and its data removed when it is dropped, and the kernel kills it when the test's process dies.
//!
//! Nothing here speaks gRPC. A test looks at a member with the client under test, with its `etcdctl`, or by its
//! metrics.

mod builder;
pub(crate) mod cache;
mod gate;
mod home;
mod http;
mod limit;
mod member;
mod ports;
mod process;
mod version;

pub use builder::{Builder, Tls};
pub use member::Etcd;
pub use version::Version;

pub(crate) use limit::Permit;
pub(crate) use member::join;
