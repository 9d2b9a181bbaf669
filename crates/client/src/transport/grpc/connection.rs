//! One HTTP/2 connection that carries calls, as callers hold it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::uri::Authority;

use super::call::{Answer, Left};
use super::head::{RequestHead, Template};
use super::keep_alive::{self, OpenStreams};
use super::queue::{Caller, Job};
use super::stream::{Flow, H2Sink, H2Source, Held};
use super::task::{Driver, Shared, decide};
use crate::config::{Endpoint, KeepAlive};
use crate::error::Cause;
use crate::task::{self, Task, race};
use crate::transport::connector::Established;
use crate::transport::traits::{Connection, Failure, Head};

/// A connection of the [`H2`](super::H2) transport.
#[derive(Debug)]
pub struct H2Connection {
    shared: Arc<Shared>,
    streams: OpenStreams,
    driver: Task,
}

impl H2Connection {
    /// Starts HTTP/2 on an established stream. That the peer speaks it shows only once it answers.
    pub(super) fn start(
        endpoint: &Endpoint,
        established: Established,
        receive_limit: usize,
        keep_alive: Option<KeepAlive>,
    ) -> Result<Self, Cause> {
        let authority = endpoint.authority();
        if let Err(error) = Authority::try_from(authority) {
            return Err(Cause::Connect(format!("{authority:?} is no authority: {error}")));
        }
        let scheme = if established.encrypted { "https" } else { "http" };
        let template = Template::new(scheme, authority);
        let shared = Shared::new();
        let streams = OpenStreams::default();
        let driver = Driver::new(established.stream, template, receive_limit, Arc::clone(&shared));
        let (pinging, pinged) = (Arc::clone(&shared), streams.clone());
        let driver = task::spawn(async move {
            let pinging = async {
                match keep_alive {
                    Some(settings) => {
                        let cause = keep_alive::keep_alive(&pinging.queue, pinged, settings).await;
                        decide(&pinging.fate, cause);
                    }
                    None => std::future::pending().await,
                }
            };
            // Whichever ends first has decided why.
            let _ = race(driver.run_to_end(), pinging).await;
        });
        Ok(Self { shared, streams, driver })
    }

    /// Leaves a call to the connection's task.
    fn leave(&self, head: &Head<'_>, caller: Caller) -> Result<(), Failure> {
        let job = Job { head: RequestHead::new(head), caller };
        if self.shared.queue.leave(job) {
            Ok(())
        } else {
            Err(Failure::NotProcessed(self.shared.over()))
        }
    }
}

impl Connection for H2Connection {
    type Sink = H2Sink;
    type Source = H2Source;

    async fn unary(&self, head: Head<'_>, message: Bytes) -> Result<Bytes, Failure> {
        let answer = Answer::new();
        self.leave(&head, Caller::Unary { message, answer: Arc::clone(&answer) })?;
        Left::new(&self.shared.queue, answer, &head).answered().await
    }

    async fn open(&self, head: Head<'_>) -> Result<(H2Sink, H2Source), Failure> {
        let flow = Flow::new();
        let held =
            Held::new(Arc::clone(&self.shared.queue), Arc::clone(&flow), self.streams.open());
        self.leave(&head, Caller::Stream(flow))?;
        held.opened().await
    }

    fn capacity(&self) -> usize {
        self.shared.capacity.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.shared.fate.borrow().is_some() || self.shared.open() >= self.capacity()
    }

    fn is_busy(&self) -> bool {
        self.shared.open() > 0 && !self.is_over()
    }

    fn is_over(&self) -> bool {
        self.driver.is_over()
    }

    async fn ping_turn(&self) {
        self.shared.queue.ping_turn().await;
    }

    async fn ping(&self) -> Result<(), Cause> {
        self.shared.queue.ping().await.map_err(|_| self.shared.over())
    }

    fn received(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }

    async fn closed(&self) -> Cause {
        let mut fate = self.shared.fate.subscribe();
        // The sender is held here.
        let _ = fate.wait_for(Option::is_some).await;
        self.shared.over()
    }

    fn shut_down(&self, cause: Cause) {
        decide(&self.shared.fate, cause);
        self.driver.abort();
    }
}
