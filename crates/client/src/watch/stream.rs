//! The stream as the hub holds it: its two halves, what waits to be sent, and the watch over the member.

use std::task::Context;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::hub::{Job, poll_job};
use crate::clock::Instant;
use crate::config::Liveness;
use crate::error::{Cause, Error};
use crate::telemetry;
use crate::transport::{Connection, Failure, Sink, Transport};

type SinkOf<T> = <<T as Transport>::Connection as Connection>::Sink;
type SourceOf<T> = <<T as Transport>::Connection as Connection>::Source;

/// What came of sending, and the half that it was sent on.
type Sent<S> = (Result<(), Failure>, S);

/// A sign of life is waited for at least so long: nobody waits for an answer, so there is no hurry.
const PATIENCE: Duration = Duration::from_secs(2);
/// A stream on which so many messages came between two looks needs no probe. The answer to a request for progress, right
/// after the last look, says nothing about the rest of the time.
const LIVELY: u32 = 8;
/// What is sent in one piece.
const CHUNK: usize = 16 << 10;

pub(super) struct Stream<T: Transport> {
    pub(super) source: SourceOf<T>,
    /// The sending half, unless it is busy.
    sink: Option<SinkOf<T>>,
    sending: Option<Job<Sent<SinkOf<T>>>>,
    outgoing: BytesMut,
    probe: Option<Job<Result<Option<i64>, Cause>>>,
    interval: Duration,
    patience: Duration,
    stale_after: Duration,
    next_tick: Instant,
    next_comparison: Instant,
    /// When a probe under way counts as unanswered.
    probe_deadline: Option<Instant>,
    /// How many messages came since the last tick.
    received: u32,
    /// Since when the member lags behind, and the revision that it has to reach.
    behind: Option<(Instant, i64)>,
    /// Since when the oldest creation has been seen to wait, and its id.
    waiting: Option<(Instant, i64)>,
    observed: telemetry::Rpc,
}

/// What the time says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tick {
    Early,
    /// A probe stayed without an answer.
    Silent,
    /// It is time to look after the member.
    Look {
        /// Little or nothing came since the last time.
        quiet: bool,
    },
}

impl<T: Transport> Stream<T> {
    pub(super) fn new(
        sink: SinkOf<T>,
        source: SourceOf<T>,
        observed: telemetry::Rpc,
        liveness: &Liveness,
        now: Instant,
    ) -> Self {
        Self {
            source,
            sink: Some(sink),
            sending: None,
            outgoing: BytesMut::new(),
            probe: None,
            interval: liveness.watch_probe_interval,
            patience: liveness.probe_timeout.max(PATIENCE),
            stale_after: liveness.stale_after,
            next_tick: now + liveness.watch_probe_interval,
            next_comparison: now + liveness.stale_after,
            probe_deadline: None,
            received: 0,
            behind: None,
            waiting: None,
            observed,
        }
    }

    /// Adds a framed request to what is to be sent.
    pub(super) fn outgoing(&mut self, framed: &Bytes) {
        self.outgoing.extend_from_slice(framed);
        self.observed.sent(1);
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) {
        loop {
            if !self.outgoing.is_empty()
                && let Some(mut sink) = self.sink.take()
            {
                let chunk = self.outgoing.split_to(self.outgoing.len().min(CHUNK)).freeze();
                self.sending = Some(Box::pin(async move { (sink.send(chunk).await, sink) }));
            }
            let Some((outcome, sink)) = poll_job(&mut self.sending, cx) else { return };
            // A failure shows at the other half as well, which says more.
            if outcome.is_ok() {
                self.sink = Some(sink);
            }
        }
    }

    pub(super) fn received(&mut self) {
        self.received = self.received.saturating_add(1);
        self.observed.received();
    }

    pub(super) fn failed(self, error: &Error) {
        self.observed.end(Some(error));
    }

    /// When to look after the member.
    pub(super) fn next_tick(&self) -> Instant {
        self.probe_deadline.map_or(self.next_tick, |deadline| deadline.min(self.next_tick))
    }

    pub(super) fn tick(&mut self, now: Instant) -> Tick {
        if self.probe_deadline.is_some_and(|deadline| now >= deadline) {
            // A slow line may hold the answer back, but then other messages come in.
            if self.received == 0 {
                return Tick::Silent;
            }
            self.alive();
            self.probe = None;
        }
        if now < self.next_tick {
            return Tick::Early;
        }
        self.next_tick = now + self.interval;
        if self.probe.is_some() {
            return Tick::Early;
        }
        let quiet = std::mem::take(&mut self.received) < LIVELY;
        Tick::Look { quiet }
    }

    pub(super) fn begin_probe(&mut self, probe: Job<Result<Option<i64>, Cause>>, now: Instant) {
        self.probe = Some(probe);
        self.probe_deadline = Some(now + self.patience);
    }

    pub(super) fn poll_probe(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Option<Result<Option<i64>, Cause>> {
        poll_job(&mut self.probe, cx)
    }

    /// The probe was answered.
    pub(super) fn alive(&mut self) {
        self.probe_deadline = None;
    }

    /// Whether it is time to find out how far the rest of the cluster has come.
    pub(super) fn is_comparison_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next_comparison;
        if due {
            self.next_comparison = now + self.stale_after;
        }
        due
    }

    /// Whether the member, which has come to `shown`, has for too long not reached what was known elsewhere.
    pub(super) fn is_stale(&mut self, shown: i64, known: i64, now: Instant) -> bool {
        if let Some((since, goal)) = self.behind
            && shown < goal
        {
            return now >= since + self.stale_after;
        }
        self.behind = (shown < known).then_some((now, known));
        false
    }

    /// Whether the member has for too long left this creation, the oldest one, without an answer.
    pub(super) fn is_ignored(&mut self, creation: Option<i64>, now: Instant) -> bool {
        if let Some((since, waiting)) = self.waiting
            && creation == Some(waiting)
        {
            return now >= since + self.stale_after;
        }
        self.waiting = creation.map(|id| (now, id));
        false
    }
}
