//! One stream of renewals, from its opening to its end.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use etcdkit_proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use etcdkit_proto::method;
use prost::Message as _;
use tokio::sync::Notify;

use super::control::LossReason;
use super::keeper::{Driver, Going};
use super::machine::Answer;
use crate::clock::{self, Instant};
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::response::{LeaseRenewal, ResponseHeader};
use crate::revision::LeaseId;
use crate::transport::{Duplex, Failure, Sink, Source, Transport, frame};

/// Answers that are taken in before anything else gets its turn.
const AT_ONCE: usize = 256;

const RPC: &str = method::lease::KEEP_ALIVE.path();

/// The batch that is being sent. There is one at a time: what has to wait for the network is not counted as sent.
#[derive(Default)]
struct Outbox {
    batch: Mutex<Option<Bytes>>,
    filled: Notify,
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.lock().is_none()
    }

    fn fill(&self, batch: Bytes) {
        *self.lock() = Some(batch);
        self.filled.notify_one();
    }

    /// Sends one batch after another; returns when the stream takes no more, for a reason that its source knows.
    async fn pump(&self, mut sink: impl Sink) {
        loop {
            let batch = self.lock().clone();
            let Some(batch) = batch else {
                self.filled.notified().await;
                continue;
            };
            if sink.send(batch).await.is_err() {
                return;
            }
            *self.lock() = None;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Bytes>> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What may happen to a stream.
enum Event {
    Message(Result<Option<Bytes>, Failure>),
    /// The batch has been sent.
    Sent,
    /// A command came, or it is time to look.
    Look,
}

impl<T: Transport> Driver<T> {
    /// Renews leases on this stream until it breaks or nobody holds a lease any more.
    pub(super) async fn serve(&mut self, duplex: Duplex<T>) {
        let (sink, mut source, line, observed) = duplex.split();
        let core = std::sync::Arc::clone(&self.core);
        let outbox = Outbox::default();
        let mut pump = pin!(outbox.pump(sink));
        let mut pumping = true;
        let mut waiting = None;
        let mut cluster = 0;
        let mut ids = Vec::new();
        let mut stalled = false;
        let error = loop {
            let now = clock::now();
            if self.attend(now) == Going::Idle {
                return;
            }
            if self.machine.is_stalled(now) {
                stalled = true;
                break Error::new(ErrorKind::Unavailable, "renewals are not answered")
                    .with_rpc(RPC);
            }
            if outbox.is_empty() {
                self.machine.due(now, &mut ids);
                if !ids.is_empty() {
                    outbox.fill(framed(&ids));
                    observed.sent(ids.len());
                    ids.clear();
                }
            }
            // Silence is judged while answers are due, as with calls.
            if !self.machine.is_waiting() {
                waiting = None;
            } else if waiting.is_none() {
                waiting = Some(line.waiting(now));
            }
            let at = self.machine.wake_at(outbox.is_empty());
            let event = {
                let mut next = pin!(source.next());
                let mut wake = pin!(core.wake.notified());
                let mut timer = pin!(clock::until(at, std::future::pending::<()>()));
                poll_fn(|cx| {
                    if let Poll::Ready(message) = next.as_mut().poll(cx) {
                        return Poll::Ready(Event::Message(message));
                    }
                    if pumping {
                        let full = !outbox.is_empty();
                        pumping = pump.as_mut().poll(cx).is_pending();
                        if full && outbox.is_empty() {
                            return Poll::Ready(Event::Sent);
                        }
                    }
                    let look =
                        wake.as_mut().poll(cx).is_ready() || timer.as_mut().poll(cx).is_ready();
                    if look { Poll::Ready(Event::Look) } else { Poll::Pending }
                })
                .await
            };
            let Event::Message(mut message) = event else { continue };
            let now = clock::now();
            line.answered(now);
            let mut taken = 0;
            let end = loop {
                let bytes = match message {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => {
                        let message = "the server ended the stream";
                        break Some(Error::new(ErrorKind::Unavailable, message).with_rpc(RPC));
                    }
                    Err(failure) => break Some(line.error(failure).with_rpc(RPC)),
                };
                observed.received();
                if let Err(error) = self.take(bytes, now, &mut cluster) {
                    break Some(error);
                }
                taken += 1;
                if taken == AT_ONCE {
                    break None;
                }
                match at_once(pin!(source.next())).await {
                    Some(next) => message = next,
                    None => break None,
                }
            };
            if let Some(error) = end {
                break error;
            }
        };
        // A member that can't renew leases, or does not, is left: others may.
        if stalled || matches!(error.kind(), ErrorKind::NoLeader | ErrorKind::Unsupported) {
            line.leave(Cause::Frozen);
        }
        drop(waiting);
        let error =
            if self.channel().is_some_and(|it| it.is_closed()) { Error::closed() } else { error };
        observed.end(Some(&error));
        self.broken(error, Some(line.token)).await;
    }

    /// Takes one answer in.
    fn take(&mut self, message: Bytes, now: Instant, cluster: &mut u64) -> Result<()> {
        let answer = LeaseKeepAliveResponse::decode(message).map_err(|error| {
            Error::internal("an answer can't be decoded").with_source(error).with_rpc(RPC)
        })?;
        let header: ResponseHeader = answer.header.into();
        if header.cluster_id != *cluster {
            if let Some(channel) = self.channel() {
                channel.check_cluster(&header)?;
            }
            *cluster = header.cluster_id;
        }
        let Some(id) = LeaseId::new(answer.id) else { return Ok(()) };
        match self.machine.answered(id, answer.ttl, now) {
            Answer::Renewed { sent, ttl } => {
                self.renewed(LeaseRenewal::new(id, ttl, sent.into_std(), header));
                self.recovered();
            }
            Answer::Gone { expired: true } => self.lose(id, LossReason::Expired, None),
            Answer::Gone { expired: false } => self.lose(id, LossReason::Revoked, None),
            Answer::Unasked => {}
        }
        Ok(())
    }
}

/// The requests for these leases, one behind the other.
fn framed(ids: &[LeaseId]) -> Bytes {
    let mut batch = BytesMut::with_capacity(ids.len() * 16);
    for id in ids {
        let request = LeaseKeepAliveRequest { id: id.get() };
        if let Ok(one) = frame(&request, usize::MAX) {
            batch.extend_from_slice(&one);
        }
    }
    batch.freeze()
}

/// The output of `future` if it is ready now.
async fn at_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
