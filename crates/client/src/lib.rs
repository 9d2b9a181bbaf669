//! An etcd v3 client that survives frozen members, lost connections and expired tokens.
//!
//! ```no_run
//! # async fn example() -> etcdkit::Result<()> {
//! use etcdkit::{Client, Compare, Get, Put, Txn};
//!
//! let client = Client::connect(["http://127.0.0.1:2379"]).await?;
//! client.put("/a", "1").await?;
//! let answer = client.get(Get::prefix("/").limit(10)).await?;
//! assert_eq!(answer.kvs()[0].value(), b"1");
//! client
//!     .txn(Txn::new().when([Compare::value("/a").eq("1")]).then([Put::new("/a", "2")]))
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! * A call ends by its deadline, and there is always one: see [`config::Timeouts`]. The error says which endpoints were
//!   tried and how each failed.
//! * A write is sent again only when it is certain that it was not applied. [`Error::maybe_applied`] tells whether a
//!   failed one may have been.
//! * A member is used only after it has answered, and left when it stops answering, not only when its connection breaks:
//!   see [`config::Liveness`].
//! * A token that expired is replaced once for all callers, without a new client.
//! * A watch goes on across connections and members, with no event lost or repeated, and ends with one error: see
//!   [`Client::watch`].
//!
//! # Where things are
//!
//! [`Client`] makes requests: [`Get`], [`Put`], [`Delete`], [`Txn`], [`Compact`], [`Watch`], [`LeaseGrant`], plain values
//! all; those for whoever runs a cluster are in [`auth`], [`cluster`] and [`maintenance`], and etcd's own locks and
//! elections in [`lock`] and [`election`]. [`config`] says how. [`service`] is the door that all requests go through: for
//! layers, mocks and tests; [`layer`] has those of this crate. On top of all that are [`concurrency`] (locks,
//! elections, queues, transactions in memory), [`cache`], [`mirror`] and [`kubernetes`]. [`Error`] is the only error.
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `aws-lc-rs` (default) | TLS by rustls with AWS-LC |
//! | `ring` | TLS by rustls with ring |
//! | `serde` | values as JSON |
//! | `naming` | the endpoints of services; includes `serde` |
//! | `tonic` | tonic channels that follow the endpoints of a service; includes `naming` |
//! | `srv` | clusters found by DNS SRV records |
//! | `yaml` | configuration files as etcd's Go client reads them |
//! | `metrics` | RPC counters through the `metrics` facade, see [`telemetry`] |
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod auth;
mod byte_string;
pub mod cache;
mod client;
mod clock;
pub mod cluster;
pub mod concurrency;
pub mod config;
pub mod election;
mod error;
mod hash;
pub mod kubernetes;
mod kv;
pub mod layer;
mod lease;
pub mod lock;
pub mod maintenance;
pub mod metadata;
pub mod mirror;
#[cfg(feature = "naming")]
#[cfg_attr(docsrs, doc(cfg(feature = "naming")))]
pub mod naming;
mod range_stream;
mod request;
mod response;
mod revision;
pub mod service;
mod sync;
mod task;
pub mod telemetry;
pub mod transport;
mod version;
mod watch;

pub use byte_string::ByteString;
pub use client::Client;
pub use config::ClientBuilder;
pub use error::{Attempt, Cause, Code, Error, ErrorKind, Result, ServerError};
pub use kv::PutOnce;
pub use lease::{LeaseControl, LeaseState, LossReason};
pub use metadata::Metadata;
pub use request::{
    AnyRequest, AnyResponse, AnyStream, AnyStreamRequest, Compact, Compare, CompareProperty,
    Delete, Get, GetStream, KeepAlive, KeepAliveOnce, KeyRange, LeaseGrant, LeaseRevoke,
    LeaseTimeToLive, Leases, Op, OpResponse, Put, Request, SortOrder, SortTarget, StreamRequest,
    Txn, Watch, WhenFull, prefix_end,
};
pub use response::{
    DeleteResponse, Event, EventKind, GetResponse, HeaderResponse, KeyValue, LeaseGrantResponse,
    LeaseRenewal, LeaseTimeToLiveResponse, LeasesResponse, PutResponse, ResponseHeader,
    TxnResponse, WatchResponse, cluster::MemberId,
};
pub use revision::{LeaseId, Revision};
pub use service::{CallOptions, Service, Streaming};
pub use transport::Channel;
pub use watch::{Resync, ResyncWatch, WatchControl, WatchState};

/// etcd's own messages, for [`Client::raw`].
pub use etcdkit_proto as proto;
