//! Finding out that a member is frozen while an answer is waited for.
//!
//! A process that was stopped, or a machine that lost its disk, keeps its connections open and accepts new ones, by way
//! of its kernel. Silence alone does not tell it from a member that is busy, or that has no event yet. So another
//! question is put to it that any live member answers at once.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::Cluster;
use crate::clock::{sleep, within};
use crate::config::Endpoint;
use crate::error::Cause;
use crate::http::{Answer, Failure, Manner, Outgoing};
use crate::task::{Either, race};

/// What a member has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// That it answers at all.
    Life,
    /// That it is part of a cluster with a leader.
    Health,
}

impl Cluster {
    /// Waits for `request`, which is made at `endpoint`, and asks the member for a sign in each `interval`.
    pub(super) async fn guard(
        &self,
        endpoint: &Endpoint,
        request: impl Future<Output = Result<Answer, Failure>>,
        sent: &AtomicBool,
        interval: Duration,
        sign: Sign,
    ) -> Result<Answer, Failure> {
        let mut request = pin!(request);
        let probes = async {
            loop {
                sleep(interval).await;
                if let Err(cause) = self.probe(endpoint, sign).await {
                    return cause;
                }
            }
        };
        match race(request.as_mut(), probes).await {
            Either::First(answer) => answer,
            Either::Second(cause) => Err(Failure { cause, sent: sent.load(Ordering::Relaxed) }),
        }
    }

    /// Asks for a sign, on a new connection.
    async fn probe(&self, endpoint: &Endpoint, sign: Sign) -> Result<(), Cause> {
        let target = match sign {
            // Both are answered without authentication; the first without the cluster's agreement.
            Sign::Life => "/version",
            Sign::Health => "/health",
        };
        let outgoing = Outgoing {
            method: Method::GET,
            target: target.to_owned(),
            content_type: None,
            body: Bytes::new(),
            shown: None,
            repeatable: true,
        };
        let sent = AtomicBool::new(false);
        let manner = Manner { fresh: true, limit: None, on_head: None, sent: &sent };
        // etcd gives its own check of health a second before it says that there is none.
        let limit = match sign {
            Sign::Life => self.config.timeouts.probe,
            Sign::Health => self.config.timeouts.probe * 2,
        };
        let request = Box::pin(self.http.request(endpoint, &outgoing, manner));
        match within(limit, request).await {
            None => Err(Cause::Frozen),
            Some(Err(Failure { cause, .. })) => match (sign, cause) {
                (_, Cause::ConnectTimeout) => Err(Cause::Frozen),
                (_, cause @ (Cause::Connect(_) | Cause::Tls(_))) => Err(cause),
                (Sign::Health, cause) => Err(cause),
                // It answered, in whatever way.
                (Sign::Life, _) => Ok(()),
            },
            Some(Ok(answer)) if sign == Sign::Health && !crate::health::is_healthy(&answer) => {
                Err(Cause::NoLeader("the member is not healthy".to_owned()))
            }
            Some(Ok(_)) => Ok(()),
        }
    }
}
