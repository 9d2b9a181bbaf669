//! What can be seen of an endpoint from outside.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::error::Cause;

/// How an endpoint fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointState {
    pub(crate) endpoint: Arc<str>,
    pub(crate) status: EndpointStatus,
    pub(crate) member_id: Option<u64>,
    pub(crate) version: Option<Arc<str>>,
    pub(crate) learner: bool,
}

/// The conditions of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointStatus {
    /// Nobody has asked for it yet.
    Idle,
    /// A connection is being opened, or waits for the member's first answer.
    Connecting,
    /// The member has answered on a connection that is up.
    Ready,
    /// It failed, and is tried again after a pause.
    Failed(Cause),
}

impl EndpointState {
    /// The endpoint as it was configured.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How it fares.
    #[must_use]
    pub fn status(&self) -> &EndpointStatus {
        &self.status
    }

    /// Whether calls may go there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status == EndpointStatus::Ready
    }

    /// The member's id, once it has told.
    #[must_use]
    pub fn member_id(&self) -> Option<u64> {
        self.member_id
    }

    /// The member's etcd version, once it has told.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Whether the member is a learner, which serves serializable reads only.
    #[must_use]
    pub fn is_learner(&self) -> bool {
        self.learner
    }
}

/// The states of all endpoints, again after every change; see [`Client::watch_endpoint_states`].
///
/// Changes that follow each other quickly may show as one. It ends when the client is closed or dropped.
///
/// [`Client::watch_endpoint_states`]: crate::Client::watch_endpoint_states
pub struct EndpointStates(Pin<Box<dyn Stream<Item = Vec<EndpointState>> + Send>>);

impl EndpointStates {
    pub(crate) fn new(states: impl Stream<Item = Vec<EndpointState>> + Send + 'static) -> Self {
        Self(Box::pin(states))
    }

    /// The next states; at once the first time. Cancel-safe.
    pub async fn next(&mut self) -> Option<Vec<EndpointState>> {
        std::future::poll_fn(|cx| self.0.as_mut().poll_next(cx)).await
    }
}

impl fmt::Debug for EndpointStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointStates")
    }
}

impl Stream for EndpointStates {
    type Item = Vec<EndpointState>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}
