//! Responses: thin typed views of what the server sent.
//!
//! Every request has one, and most hold keys ([`KeyValue`]) that share the buffer of the answer. They can be made by
//! hand too, each with `new` and a few `with_…`, as mocks and layers have to. Nothing here decides anything.

pub(crate) mod auth;
pub(crate) mod cluster;
mod delete;
pub(crate) mod election;
mod get;
mod header;
mod key_value;
mod lease;
pub(crate) mod maintenance;
mod put;
mod txn;
mod watch;

pub use delete::DeleteResponse;
pub use get::GetResponse;
pub use header::{HeaderResponse, ResponseHeader};
pub use key_value::KeyValue;
pub use lease::{LeaseGrantResponse, LeaseRenewal, LeaseTimeToLiveResponse, LeasesResponse};
pub use put::PutResponse;
pub use txn::TxnResponse;
pub use watch::{Event, EventKind, WatchResponse};

/// A number that is never negative, as etcd sends it.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
