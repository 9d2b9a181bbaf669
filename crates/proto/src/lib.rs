//! What etcd says on the wire: its messages, its RPCs and its errors.
//!
//! Here live the messages of etcd's gRPC API and of its files (one module for each protobuf
//! package), the table of RPCs with what a caller must know to repeat one ([`method`]), gRPC's
//! status codes ([`Code`]) and the errors that etcd's servers answer with ([`ServerError`]). The
//! client, the server and the tools build on it.
//!
//! Nothing here opens a socket, spawns a task or decides whether to retry: the facts are here, the
//! policy belongs to the client.
//!
//! The messages are plain structs that implement [`prost::Message`]. They are generated from
//! `proto/*.proto` by `cargo xtask codegen`, without macros, and committed. Byte fields are
//! [`bytes::Bytes`], which share the buffer that they were decoded from: whoever keeps a small one
//! for long copies it. Enum fields hold the number from the wire, known or not; an accessor of the
//! same name gives the enum. Passwords and tokens do not show in `Debug` output.
//!
//! ```
//! use etcdkit_proto::etcdserverpb::{RangeRequest, range_request::SortOrder};
//! use prost::Message;
//!
//! let mut request = RangeRequest { key: "a".into(), limit: 1, ..Default::default() };
//! request.set_sort_order(SortOrder::Descend);
//! let decoded = RangeRequest::decode(request.encode_to_vec().as_slice())?;
//! assert_eq!(decoded, request);
//! assert_eq!(decoded.sort_order(), SortOrder::Descend);
//! # Ok::<(), prost::DecodeError>(())
//! ```

mod code;
mod error;
mod generated;
mod header;
pub mod method;

pub use code::Code;
pub use error::{Applied, ServerError, VersionLine};
pub use generated::{
    authpb, etcdserverpb, grpc_health_v1, grpc_reflection_v1, leasepb, membershippb, mvccpb,
    raftpb, snappb, v3electionpb, v3lockpb, walpb,
};
pub use header::HasHeader;

/// A message of this crate, whatever it is.
///
/// It stands for [`prost::Message`] where that crate is nobody's business, such as in a public signature of the
/// client.
pub trait WireMessage: prost::Message + Default + 'static {}

impl<M: prost::Message + Default + 'static> WireMessage for M {}
