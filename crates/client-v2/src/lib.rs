//! A client of etcd's legacy v2 API that notices frozen members and never repeats a write by guess.
//!
//! The v2 API is served by etcd up to 3.5, from 3.4 on only with `--enable-v2`. It is gone from etcd 3.6 on. Programs for
//! newer etcd use the crate `etcdkit`.
//!
//! ```no_run
//! # async fn example() -> etcdkit_v2::Result<()> {
//! use etcdkit_v2::{Client, ErrorKind, Set};
//! use std::time::Duration;
//!
//! let client = Client::new(["http://10.0.0.1:2379", "http://10.0.0.2:2379"])?;
//! let keys = client.keys();
//! let lock = Set::new("/locks/job", "me").must_not_exist().ttl(Duration::from_secs(30));
//! match keys.call(lock).await {
//!     Ok(_) => println!("mine"),
//!     Err(error) if error.kind() == ErrorKind::Conflict => println!("somebody else's"),
//!     Err(error) if error.maybe_applied() => println!("maybe mine: {error}"),
//!     Err(error) => return Err(error),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! * A call ends: connecting, an answer's head and its parts have finite limits by default. Only a watch waits, and it
//!   asks its member whether it still lives.
//! * What was read can be read again: a read is sent to the next endpoint too when one fails or is silent for 500 ms, and
//!   the first answer counts. What was written is not written again: a write goes to the next endpoint only if it
//!   certainly did not leave. [`Error::maybe_applied`] tells whether a failed one may have been applied.
//! * Credentials go to the endpoints, never to where a redirect leads, and no error or debug output shows them.
//! * What etcd would silently change is refused: TTLs of less than a second or of a fraction, comparisons with an empty
//!   value, directories with values.
//!
//! # Frozen members
//!
//! The v2 client of Go never notices a member that is stopped (SIGSTOP) or whose disk hangs: its kernel keeps the
//! connection open, and without a timeout of the caller's the call waits forever. Here, a read has the next endpoint join
//! in after [500 ms](ClientBuilder::hedge_after); while a write waits, its member is asked for a sign of life after
//! [1 s](ClientBuilder::suspect_after), and the write fails after another with [`Cause::Frozen`] if there is none, since
//! the member may still apply it when it goes on; a watch does the same every [5 s](ClientBuilder::watch_intervals) and
//! goes on at another member without losing an event. The member is not turned to first afterwards.
//!
//! # Isolated members
//!
//! A member that is cut off from the others still answers reads from what it knew, without an error, for as long as it
//! runs, and watches that wait there see nothing. No client can tell from the answer. Where that matters, read by
//! [`Get::quorum`], which an isolated member can't serve, and watch with [`Watch::require_leader`], which leaves a member
//! that says of itself that it is not healthy.
//!
//! # Ways to a member
//!
//! TCP, a unix-domain socket (`unix:///path`), or a proxy that speaks HTTP, with TLS or without, or SOCKS 5: by default the
//! one that the environment names, as for Go's client, see [`Proxy`]. Go also takes a transport of the program's own; here
//! a program that needs one has it listen on a unix-domain socket.
//!
//! # Where things are
//!
//! [`Client`] has [`Keys`], [`Members`], [`Auth`] and [`Stats`]; [`Get`], [`Set`], [`CreateInOrder`], [`Delete`] and
//! [`Watch`] are requests, plain values all. [`discovery`] finds clusters by DNS or by a discovery service. [`Error`] is
//! the only error.
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `aws-lc-rs` (default) | TLS by rustls with AWS-LC |
//! | `ring` | TLS by rustls with ring |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod auth;
mod client;
mod clock;
mod cluster;
mod config;
pub mod discovery;
mod error;
mod health;
mod http;
mod keys;
mod members;
pub mod stats;
mod sync;
mod task;

pub use auth::{Auth, Permissions, Role, User};
pub use client::Client;
pub use config::{ClientBuilder, Endpoint, Proxy, Selection, Tls};
pub use error::{Attempt, Cause, Error, ErrorCode, ErrorKind, Result};
pub use health::Version;
pub use keys::{
    Action, CreateInOrder, Delete, Get, Keys, Node, Request, Response, Set, Watch, Watcher,
};
pub use members::{Member, Members};
pub use stats::Stats;
