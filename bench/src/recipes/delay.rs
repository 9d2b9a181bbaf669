//! A network with a delay: every byte arrives so much later, in both directions, and none is lost.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::{Error, clock};

/// Pieces on their way in one direction of a connection: more than a delay of some milliseconds ever holds.
const ON_THE_WAY: usize = 1024;

/// A proxy in front of a server, until it is dropped.
#[derive(Debug)]
pub(super) struct DelayProxy {
    endpoint: String,
    /// With all pumps of its connections.
    _accepting: JoinSet<()>,
}

impl DelayProxy {
    /// Passes on to `upstream` what arrives, `delay` later.
    pub(super) async fn start(upstream: String, delay: Duration) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = listener.local_addr()?.to_string();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut pumps = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&upstream).await else { continue };
                if near.set_nodelay(true).is_err() || far.set_nodelay(true).is_err() {
                    continue;
                }
                let ((from_near, to_near), (from_far, to_far)) =
                    (near.into_split(), far.into_split());
                pumps.spawn(pump(from_near, to_far, delay));
                pumps.spawn(pump(from_far, to_near, delay));
            }
        });
        Ok(Self { endpoint, _accepting: accepting })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (send, mut on_the_way) = mpsc::channel(ON_THE_WAY);
    let reading = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(size @ 1..) = from.read(&mut buffer).await {
            let piece = (clock::now() + delay, buffer[..size].to_vec());
            if send.send(piece).await.is_err() {
                return;
            }
        }
    };
    let writing = async {
        while let Some((due, piece)) = on_the_way.recv().await {
            clock::pause(due.saturating_duration_since(clock::now())).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
