//! An etcd v3 server with one member, in your process.
//!
//! It shows what a client of a single etcd 3.7.1 can see, is in memory by default, and starts in well under a millisecond:
//! made for tests of programs that use etcd, and for programs that bring their own.
//!
//! ```
//! use etcdkit_server::Server;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), etcdkit_server::Error> {
//! let server = Server::start_ephemeral().await?;
//! assert_eq!(server.revision(), 1);
//! // A connection without a socket, for any client that takes one.
//! let connection = server.connect();
//! # drop(connection);
//! # Ok(())
//! # }
//! ```
//!
//! # Keeping the state
//!
//! [`storage::Disk`] keeps everything in a folder: what was answered is synced, and [`Server::failed`] tells
//! when the disk does not do that any more. [`ServerBuilder::snapshot`] starts from a
//! snapshot of any etcd, and etcd starts from those of this server.
//!
//! ```
//! use etcdkit_server::Server;
//! # #[cfg(feature = "disk")]
//! use etcdkit_server::storage::Disk;
//!
//! # #[cfg(feature = "disk")]
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let data = folder.path().join("data");
//! let server = Server::builder().storage(Disk::open(&data)?).start().await?;
//! server.shutdown().await;
//! let server = Server::builder().storage(Disk::open(&data)?).start().await?;
//! assert_eq!(server.revision(), 1);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "disk"))]
//! # fn main() {}
//! ```
//!
//! # Without gRPC
//!
//! The same ports answer HTTP/1.1: `/health`, `/livez`, `/readyz`, `/version`, `/metrics`, and JSON below `/v3/`, for this
//! machine alone unless [`ServerBuilder::gateway_hosts`] says otherwise.
//!
//! # Testing code that uses etcd
//!
//! * [`Server::start_ephemeral`] and [`Server::connector`]: a server of its own for each test, without a port.
//! * [`Server::clock`]: leases and tokens expire when the test says so.
//! * [`Server::faults`]: calls that wait, fail or break, and a lost leader.
//! * [`Server::restart`], [`Server::compact`], [`Server::expire_tokens`]: what otherwise happens at the worst time.
//!
//! A whole test, with etcdkit's client. Nothing in it waits for time to pass:
//!
//! ```
//! use std::time::Duration;
//! use etcdkit::{Client, Put, ServerError};
//! use etcdkit::transport::in_process;
//! use etcdkit_server::Server;
//!
//! /// The code under test: says who we are for as long as we live, and whether that could be stored.
//! async fn register(client: &Client, name: &str) -> etcdkit::Result<()> {
//!     let lease = client.grant(Duration::from_secs(30)).await?.id();
//!     client.call(Put::new(format!("/alive/{name}"), "").lease(lease)).await?;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::start_ephemeral().await?;
//! let connector = in_process(server.connector());
//! let client = Client::builder().connector(connector).endpoints(["inprocess:etcd"]).connect().await?;
//!
//! // It is there, and gone when nobody has renewed its lease.
//! register(&client, "a").await?;
//! let mut watch = client.watch("/alive/a").await?;
//! server.clock().advance(Duration::from_secs(31));
//! let change = watch.next().await.expect("a watch goes on")?;
//! assert!(change.events()[0].is_delete());
//!
//! // A member that has no room says so.
//! server.faults().fail_next("/etcdserverpb.KV/Put", 1, ServerError::NoSpace);
//! let error = register(&client, "b").await.unwrap_err();
//! assert_eq!(error.server_error(), Some(ServerError::NoSpace));
//! # Ok(())
//! # }
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

mod apply;
mod auth;
mod auto_compaction;
mod base64;
mod budget;
mod builder;
mod caller;
mod clock;
mod commit;
mod config;
mod error;
mod fault;
mod front;
mod grpc;
mod histogram;
mod http;
mod identity;
mod lease;
mod listen;
mod mvcc;
mod node;
mod observed;
mod server;
mod service;
mod snapshot;
mod state;
mod status;
pub mod storage;
mod task;
#[cfg(feature = "tls")]
mod tls;
mod transfer;
mod watch;

#[cfg(feature = "jwt")]
pub use auth::jwt::AuthJwt;
pub use builder::ServerBuilder;
pub use clock::Clock;
pub use config::AutoCompaction;
pub use error::{Error, ErrorKind};
pub use fault::Faults;
pub use server::Server;
#[cfg(feature = "tls")]
pub use tls::{ServerTls, TlsVersion};
