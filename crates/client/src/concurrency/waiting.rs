//! Waiting for what happens to keys, and looking again.

use crate::client::Client;
use crate::error::{ErrorKind, Result};
use crate::request::{Get, Watch};
use crate::response::WatchResponse;
use crate::service::{Service, Streaming};
use crate::watch::WatchControl;

pub(super) type Watching = Streaming<WatchResponse, WatchControl>;

/// Waits until something happens that `watch` sees, or until nobody knows any more whether it did: the caller looks.
pub(super) async fn happens<S: Service>(client: &Client<S>, watch: Watch) -> Result<()> {
    happened(&mut client.watch(watch).await?).await
}

/// Watches from now on: what happens after this has returned is seen.
pub(super) async fn begin<S: Service>(client: &Client<S>, watch: Watch) -> Result<Watching> {
    let mut watching = client.watch(watch.created_notify()).await?;
    // The first response says so, and nothing else.
    watching.next().await.transpose()?;
    Ok(watching)
}

/// The same as [`happens`], of a watch that has begun.
pub(super) async fn happened(watching: &mut Watching) -> Result<()> {
    while let Some(response) = watching.next().await {
        match response {
            Ok(response) if response.events().is_empty() => {}
            Ok(_) => break,
            Err(error) if matches!(error.kind(), ErrorKind::Compacted | ErrorKind::Lagged) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until there is no such key: at some moment since the call.
pub(crate) async fn missing<S: Service>(client: &Client<S>, key: &[u8]) -> Result<()> {
    loop {
        let answer = client.call(Get::new(key).keys_only()).await?;
        let Some(kv) = answer.first() else { return Ok(()) };
        let since = answer.revision().next();
        let made = kv.create_revision();
        happens(client, Watch::new(key).from_revision(since).only_deletes()).await?;
        // A key that was deleted and made again meanwhile was missing in between.
        let answer = client.call(Get::new(key).keys_only()).await?;
        if answer.first().is_none_or(|kv| kv.create_revision() != made) {
            return Ok(());
        }
    }
}
