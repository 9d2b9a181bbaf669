//! How a client gets to a cluster: endpoints in all their forms, TLS, member lists, connectors, versions.
//!
//! On real etcd where etcd can show it. What only the far side of a connection sees (`:authority`, headers, how often
//! something is sent), and clusters that no etcd forms, are left to a peer that looks like one.
#![cfg(test)]

mod authority;
mod connect;
mod endpoints;
mod mutual_tls;
mod options;
mod reload;
mod sockets;
#[cfg(feature = "srv")]
mod srv;
mod sync;
mod tls;
mod version;

use etcdkit::Metadata;
use etcdkit::proto::etcdserverpb::{RangeResponse, ResponseHeader};
use etcdkit_testkit::peer::{Answer, EtcdLike};
use prost::Message;

pub(crate) const RANGE: &str = "/etcdserverpb.KV/Range";

/// The header of the cluster that every [`EtcdLike`] belongs to.
pub(crate) fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 1, member_id: 1, revision: 1, raft_term: 1 })
}

/// An answer with this message.
pub(crate) fn message(message: &impl Message) -> Answer {
    Answer::message(message.encode_to_vec())
}

/// Has `etcd` answer every read with nothing.
pub(crate) fn serve_reads(etcd: &EtcdLike) {
    let empty = RangeResponse { header: header(), ..RangeResponse::default() };
    etcd.answer_with(move |call| (call.path == RANGE).then(|| message(&empty)));
}

/// Metadata of one header.
fn metadata(name: &str, value: &str) -> Metadata {
    Metadata::new().with(name, value).expect("a name that can be sent")
}
