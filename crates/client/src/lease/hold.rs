//! A lease that is granted anew when it is lost.

use std::convert::Infallible;
use std::time::Duration;

use super::control::LossReason;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result, ServerError};
use crate::request::{KeepAlive, LeaseGrant};
use crate::revision::LeaseId;
use crate::service::Service;

/// The pause after a failure that time may mend; doubled by each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl<S: Service> Client<S> {
    /// Holds a lease: grants it, has `attach` put keys on it, keeps it alive, and begins again when it is lost because its
    /// time ran out or somebody revoked it, with the same id if one was chosen.
    ///
    /// `attach` is called with the lease each time it has been granted. It has to put the keys back, since they were
    /// deleted with the lease; and between the loss and then, others may have taken their place.
    ///
    /// ```
    /// use std::time::Duration;
    /// use etcdkit::{Client, Put, Result};
    ///
    /// async fn register(client: Client) -> Result<()> {
    ///     let held = client.hold_lease(Duration::from_secs(10), async |lease| {
    ///         client.call(Put::new("/hosts/a", "up").lease(lease)).await.map(drop)
    ///     });
    ///     // It ends only with an error that a new lease does not mend.
    ///     match held.await? {}
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Whatever a new lease does not mend, such as [`Closed`](ErrorKind::Closed) or
    /// [`PermissionDenied`](ErrorKind::PermissionDenied), and what `attach` fails with, unless it
    /// [may succeed later](Error::is_retryable).
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the renewals. The lease runs out by itself.
    pub async fn hold_lease<F>(&self, grant: impl Into<LeaseGrant>, attach: F) -> Result<Infallible>
    where
        F: AsyncFn(LeaseId) -> Result<()>,
    {
        let grant = grant.into();
        let mut failures = 0;
        loop {
            match self.hold_once(&grant, &attach).await {
                Ok(LossReason::Expired | LossReason::Revoked) => failures = 0,
                Ok(reason) => return Err(Error::new(ErrorKind::Cancelled, reason.to_string())),
                // Lost again before it was held.
                Err(error) if error.is_retryable() || is_lost(&error) => {
                    let pause = FIRST_PAUSE.saturating_mul(1 << failures).min(LONGEST_PAUSE);
                    failures = (failures + 1).min(10);
                    clock::sleep(pause.mul_f64(0.5 + clock::rng().f64() / 2.0)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// From one grant to the loss.
    async fn hold_once<F>(&self, grant: &LeaseGrant, attach: &F) -> Result<LossReason>
    where
        F: AsyncFn(LeaseId) -> Result<()>,
    {
        let lease = match (self.call(grant.clone()).await, grant.lease_id()) {
            (Ok(granted), _) => granted.id(),
            // It was not lost after all, or an answer was.
            (Err(error), Some(id)) if error.server_error() == Some(ServerError::LeaseExist) => id,
            (Err(error), _) => return Err(error),
        };
        let mut kept = self.open(KeepAlive::new(lease)).await?;
        attach(lease).await?;
        loop {
            match kept.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) if is_lost(&error) => return Ok(LossReason::Expired),
                Some(Err(error)) => return Err(error),
                None => return Ok(LossReason::Cancelled),
            }
        }
    }
}

/// Whether there is no such lease any more.
fn is_lost(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}
