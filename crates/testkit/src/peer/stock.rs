//! Peers that are no HTTP/2 servers.

use bytes::Bytes;

use super::Peer;

impl Peer {
    /// Answers every connection with HTTP/1.1 400 and closes it, as a server without HTTP/2 does.
    pub async fn http1() -> Self {
        let mut peer = Self::bind().await;
        peer.run(|mut conn| async move {
            conn.read_raw().await?;
            conn.raw(
                "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 11\r\n\
                 connection: close\r\n\r\nBad Request",
            )
            .await?;
            conn.close().await
        });
        peer
    }

    /// Accepts connections and neither reads nor writes.
    pub async fn silent() -> Self {
        let mut peer = Self::bind().await;
        peer.run(|conn| async move {
            std::future::pending::<()>().await;
            conn.close().await
        });
        peer
    }

    /// Accepts connections and closes them.
    pub async fn closes() -> Self {
        let mut peer = Self::bind().await;
        peer.run(|conn| conn.close());
        peer
    }

    /// Accepts connections and resets them.
    pub async fn resets() -> Self {
        let mut peer = Self::bind().await;
        peer.run(|conn| async move { conn.reset() });
        peer
    }

    /// Writes `bytes` to every connection, then reads until the client closes it.
    pub async fn garbage(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let mut peer = Self::bind().await;
        peer.run(move |mut conn| {
            let bytes = bytes.clone();
            async move {
                conn.raw(bytes).await?;
                while conn.read_raw().await.is_ok() {}
                Ok(())
            }
        });
        peer
    }
}
