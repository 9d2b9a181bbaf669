//! Waiting for what happens to keys, and looking again.

use std::future::Future;
use std::time::Duration;

use crate::client::Client;
use crate::clock;
use crate::error::{ErrorKind, Result};
use crate::request::{Get, Watch};
use crate::response::WatchResponse;
use crate::service::{Service, Streaming};
use crate::watch::WatchControl;

pub(super) type Watching = Streaming<WatchResponse, WatchControl>;

/// Between two attempts, while no member answers.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// What `attempt` comes to, made again for as long as no member answers: who waits for others anyway has time until one
/// does. It must not change anything.
pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T> {
    loop {
        match attempt().await {
            Err(error) if error.is_retryable() => clock::sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
}

/// Waits until something happens that `watch` sees, or until nobody knows any more whether it did: the caller looks.
pub(super) async fn happens<S: Service>(client: &Client<S>, watch: Watch) -> Result<()> {
    happened(&mut client.watch(watch).await?).await.map(drop)
}

/// Watches from now on: what happens after this has returned is seen.
pub(super) async fn begin<S: Service>(client: &Client<S>, watch: Watch) -> Result<Watching> {
    let mut watching = client.watch(watch.created_notify()).await?;
    // The first response says so, and nothing else.
    watching.next().await.transpose()?;
    Ok(watching)
}

/// The same as [`happens`], of a watch that has begun. `false` if it is not known whether something happened.
pub(super) async fn happened(watching: &mut Watching) -> Result<bool> {
    while let Some(response) = watching.next().await {
        match response {
            Ok(response) if response.events().is_empty() => {}
            Ok(_) => return Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::Compacted | ErrorKind::Lagged) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Waits until there is no such key: at some moment since the call.
pub(crate) async fn missing<S: Service>(client: &Client<S>, key: &[u8]) -> Result<()> {
    let look = || client.call(Get::new(key).keys_only());
    let mut answer = look().await?;
    while let Some(kv) = answer.first() {
        let made = kv.create_revision();
        let watch = Watch::new(key).from_revision(answer.revision().next()).only_deletes();
        answer = patiently(|| async {
            happens(client, watch.clone()).await?;
            look().await
        })
        .await?;
        // A key that was deleted and made again meanwhile was missing in between.
        if answer.first().is_some_and(|kv| kv.create_revision() != made) {
            break;
        }
    }
    Ok(())
}
