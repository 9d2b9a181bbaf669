//! The state as a file of etcd's, in pieces.

use std::io;
use std::sync::Arc;

use etcdkit_proto::Code;
use etcdkit_proto::etcdserverpb::SnapshotResponse;

use crate::caller::Caller;
use crate::clock::stopwatch;
use crate::config::STORAGE_VERSION;
use crate::grpc::{Outbound, framed};
use crate::node::Node;
use crate::snapshot::{Copy, write};
use crate::status::{Result, Status};
use crate::task::blocking;

/// Bytes of a piece, as etcd sends them.
const PIECE: usize = 32 * 1024;

/// Bytes that are read at once.
const READ: usize = 1 << 20;

/// Copies the state, and sends what became of it. What comes to the client is durable.
pub(super) async fn snapshot(
    node: &Arc<Node>,
    caller: &Caller,
    outbound: &mut Outbound,
) -> Result<()> {
    let begin = node.read_as(caller, |state, who| {
        state.auth.check_root(who)?;
        Ok(Copy::begin(state, node))
    });
    let copy = begin.await?;
    let time = stopwatch();
    let from = Arc::clone(node);
    let mut image = blocking(move || write(&from, copy)).await?.map_err(|error| failed(&error))?;
    while image.left() > 0 {
        outbound.room().await;
        let _read = outbound.hold(READ);
        let read = blocking(move || image.next(READ).map(|bytes| (image, bytes))).await?;
        let (rest, mut bytes) = read.map_err(|error| failed(&error))?;
        image = rest;
        while !bytes.is_empty() {
            let blob = bytes.split_to(PIECE.min(bytes.len()));
            let remaining = image.left() + bytes.len() as u64;
            outbound.send_framed(framed(&piece(blob, remaining))).await?;
        }
    }
    outbound.send(&piece(image.trailer(), 0)).await?;
    node.observed.snapshots.observe(time());
    Ok(())
}

fn piece(blob: bytes::Bytes, remaining_bytes: u64) -> SnapshotResponse {
    let version = STORAGE_VERSION.to_owned();
    SnapshotResponse { header: None, remaining_bytes, blob, version }
}

fn failed(error: &io::Error) -> Status {
    Status::new(Code::Internal, format!("etcdserver: cannot make a snapshot: {error}"))
}
