//! The stream of a snapshot, checked as it passes.

use etcdkit_proto::etcdserverpb::SnapshotResponse;
use etcdkit_proto::method;

use super::verify::Verifier;
use crate::error::Result;
use crate::request::snapshot::Snapshot;
use crate::response::maintenance::SnapshotPiece;
use crate::service::{CallOptions, Streaming, unfold};
use crate::transport::{Channel, Messages, Transport};

/// Opens the stream; its first piece has been read when this returns.
pub(crate) async fn open<T: Transport>(
    channel: &Channel<T>,
    request: Snapshot,
    options: &CallOptions,
) -> Result<Streaming<SnapshotPiece>> {
    let method = method::maintenance::SNAPSHOT;
    let pool = channel.pool(options)?;
    let call = channel.prepare(&pool, method.info(), true, options);
    let messages = channel.server_stream(method, request.wire(), &call).await?.on(&pool);
    let reading = Reading { messages, verifier: Verifier::new() };
    Ok(Streaming::new(unfold(Some(reading), |reading| async {
        let (piece, reading) = reading?.next().await;
        Some((piece, reading))
    })))
}

struct Reading<T: Transport> {
    messages: Messages<T, SnapshotResponse>,
    verifier: Verifier,
}

impl<T: Transport> Reading<T> {
    /// The next piece, and what to go on with.
    async fn next(mut self) -> (Result<SnapshotPiece>, Option<Self>) {
        loop {
            let message = match self.messages.next().await {
                Ok(Some(message)) => message,
                Ok(None) => {
                    let digest = self.verifier.finish();
                    let digest = digest.map_err(|error| error.with_rpc(RPC));
                    return (digest.map(SnapshotPiece::new_digest), None);
                }
                Err(error) => return (Err(error), None),
            };
            let version = message.version.parse().ok();
            match self.verifier.message(message.blob, message.remaining_bytes) {
                Ok((bytes, remaining)) if !bytes.is_empty() => {
                    let piece = SnapshotPiece { bytes, remaining, version, digest: false };
                    return (Ok(piece), Some(self));
                }
                // The digest, which is told when the stream has ended well.
                Ok(_) => {}
                Err(error) => return (Err(error.with_rpc(RPC)), None),
            }
        }
    }
}

const RPC: &str = method::maintenance::SNAPSHOT.path();
