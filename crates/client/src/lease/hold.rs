//! A lease that is granted anew when it is lost.

use std::convert::Infallible;
use std::time::Duration;

use super::control::LossReason;
use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorKind, Result, ServerError};
use crate::request::{KeepAlive, LeaseGrant};
use crate::response::LeaseRenewal;
use crate::revision::LeaseId;
use crate::service::{Service, Streaming};
use crate::task::{Either, race};

/// The pause after a failure that time may mend; doubled by each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl<S: Service> Client<S> {
    /// Holds a lease: grants it, has `attach` put keys on it, keeps it alive, and begins again when it is lost because its
    /// time ran out or somebody revoked it, with the same id if one was chosen.
    ///
    /// `attach` is called with the lease each time it has been granted, and again after a failure that may pass. It has to
    /// put the keys back, since they were deleted with the lease; and between the loss and then, others may have taken
    /// their place. Its future is dropped if the lease is lost meanwhile.
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
    /// [may succeed later](Error::is_retryable) or says that the lease does not exist any more. The lease runs out by
    /// itself then.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the renewals. The lease runs out by itself.
    pub async fn hold_lease<F>(&self, grant: impl Into<LeaseGrant>, attach: F) -> Result<Infallible>
    where
        F: AsyncFn(LeaseId) -> Result<()>,
    {
        let grant = grant.into();
        let mut losses = Pauses::default();
        loop {
            match self.hold_once(&grant, &attach).await? {
                Loss::Held => losses = Pauses::default(),
                Loss::Unheld => losses.next().await,
            }
        }
    }

    /// From one grant to the loss. What may pass is tried again, with the same lease for as long as there is that.
    async fn hold_once<F>(&self, grant: &LeaseGrant, attach: &F) -> Result<Loss>
    where
        F: AsyncFn(LeaseId) -> Result<()>,
    {
        let mut pauses = Pauses::default();
        let lease = loop {
            match (self.call(grant.clone()).await, grant.lease_id()) {
                (Ok(granted), _) => break granted.id(),
                // It was not lost after all, or an answer was.
                (Err(error), Some(id)) if error.server_error() == Some(ServerError::LeaseExist) => {
                    break id;
                }
                (Err(error), _) => pauses.after(error).await?,
            }
        };
        let mut loss = Loss::Unheld;
        loop {
            let error = match self.open(KeepAlive::new(lease)).await {
                Ok(kept) => {
                    pauses = Pauses::default();
                    let attaching = async {
                        if loss == Loss::Unheld {
                            attach_to(lease, attach).await?;
                            loss = Loss::Held;
                        }
                        std::future::pending::<Result<Infallible>>().await
                    };
                    match race(end(kept), attaching).await {
                        Either::First(error) => error,
                        Either::Second(Err(error)) => match error.server_error() {
                            Some(ServerError::LeaseNotFound) => return Ok(loss),
                            _ => return Err(error),
                        },
                    }
                }
                Err(error) => error,
            };
            if error.kind() == ErrorKind::NotFound {
                return Ok(loss);
            }
            pauses.after(error).await?;
        }
    }
}

/// What there was to lose when the lease was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Held,
    /// It was not attached yet.
    Unheld,
}

/// Calls `attach` until it succeeds.
async fn attach_to<F>(lease: LeaseId, attach: &F) -> Result<()>
where
    F: AsyncFn(LeaseId) -> Result<()>,
{
    let mut pauses = Pauses::default();
    while let Err(error) = attach(lease).await {
        pauses.after(error).await?;
    }
    Ok(())
}

/// The error that ends the renewals.
async fn end<C>(mut kept: Streaming<LeaseRenewal, C>) -> Error {
    loop {
        match kept.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return error,
            None => return Error::new(ErrorKind::Cancelled, LossReason::Cancelled.to_string()),
        }
    }
}

/// Those after failures in a row.
#[derive(Default)]
struct Pauses {
    failures: u32,
}

impl Pauses {
    /// A pause after a failure that may pass.
    ///
    /// # Errors
    ///
    /// Any other failure, at once.
    async fn after(&mut self, error: Error) -> Result<()> {
        if !error.is_retryable() {
            return Err(error);
        }
        self.next().await;
        Ok(())
    }

    async fn next(&mut self) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures).min(LONGEST_PAUSE);
        self.failures = (self.failures + 1).min(10);
        clock::sleep(pause.mul_f64(0.5 + clock::rng().f64() / 2.0)).await;
    }
}
