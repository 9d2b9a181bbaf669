//! A connection that is up, with what is known of the member behind it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcdkit_proto::WireMessage;
use etcdkit_proto::etcdserverpb::{RangeRequest, StatusRequest, StatusResponse};
use etcdkit_proto::grpc_health_v1::HealthCheckRequest;
use etcdkit_proto::method::{self, Method};
use futures_util::FutureExt;
use http::HeaderValue;

use super::balancer::{About, Candidates, SlotId};
use super::grpc;
use super::liveness::{Doubt, Liveness, Sample, Verdict, Watchdog};
use super::traits::{Connection, Failure, Head};
use crate::clock::{self, Instant};
use crate::config::{self, Endpoint};
use crate::error::Cause;
use crate::metadata::Metadata;
use crate::task::{Either, race};

/// One usable connection.
#[derive(Debug)]
pub(super) struct Link<C> {
    pub(super) slot: SlotId,
    pub(super) endpoint: Endpoint,
    pub(super) connection: C,
    pub(super) liveness: Liveness,
    /// The member's id, if it has told.
    member: Option<u64>,
    learner: AtomicBool,
    settings: config::Liveness,
}

impl<C: Connection> Link<C> {
    pub(super) fn new(
        slot: SlotId,
        endpoint: Endpoint,
        connection: C,
        about: &About,
        settings: config::Liveness,
    ) -> Self {
        Self {
            slot,
            endpoint,
            connection,
            liveness: Liveness::new(clock::now()),
            member: about.member_id,
            learner: AtomicBool::new(about.learner),
            settings,
        }
    }

    /// Whether `other` leads to the same member: two endpoints may, and one endpoint may lead to several.
    pub(super) fn same_member(&self, other: &Self) -> bool {
        match (self.member, other.member) {
            (Some(this), Some(other)) => this == other,
            _ => self.endpoint == other.endpoint,
        }
    }

    /// The member said that it is a learner, after it was taken for a voter.
    pub(super) fn mark_learner(&self) {
        self.learner.store(true, Ordering::Relaxed);
    }

    /// The member served what a learner can't: it was promoted.
    pub(super) fn mark_voter(&self) {
        self.learner.store(false, Ordering::Relaxed);
    }

    fn sample(&self) -> Sample {
        Sample {
            expecting: self.liveness.expecting(),
            resting: self.liveness.resting(),
            answers: self.liveness.answers(),
            received: self.connection.received(),
        }
    }

    /// Watches over the connection until it is lost, and says why.
    pub(super) async fn supervise(&self) -> Cause {
        match race(self.connection.closed(), self.silence(WhenIdle::Wait)).await {
            Either::First(cause) => cause,
            Either::Second(cause) => {
                let cause = cause.unwrap_or(Cause::Frozen);
                self.connection.shut_down(cause.clone());
                cause
            }
        }
    }

    /// Watches over what is left on a connection which gets no new calls, until it is over: calls, and streams, even
    /// those that nobody reads from at the moment. What nobody waits for any more, and is under way all the same, has some
    /// more time.
    pub(super) async fn drain(self: Arc<Self>) {
        let mut left = None;
        loop {
            if let Some(cause) = self.silence(WhenIdle::Leave).await {
                self.connection.shut_down(cause);
                return;
            }
            if self.connection.is_over() {
                return;
            }
            if Arc::strong_count(&self) == 1 {
                let now = clock::now();
                if !self.connection.is_busy() || now >= *left.get_or_insert(now + NOBODY_WAITS) {
                    return;
                }
            }
            clock::until(Some(clock::now() + LAST_LOOK), self.liveness.wait_for_calls()).await;
        }
    }

    /// Waits until the member does not answer any more, and says how; `None` if there is nothing left to answer.
    async fn silence(&self, when_idle: WhenIdle) -> Option<Cause> {
        let mut watchdog = Watchdog::new(self.settings.probe_after, clock::now());
        loop {
            match watchdog.observe(self.sample(), clock::now()) {
                Verdict::Idle if when_idle == WhenIdle::Leave => return None,
                Verdict::Idle => self.liveness.wait_for_calls().await,
                Verdict::Look(at) => clock::sleep_until(at).await,
                Verdict::Rest(at) => {
                    let called = self.liveness.wait_for_expecting();
                    crate::task::race(clock::sleep_until(at), called).await;
                }
                Verdict::Probe => {
                    let answer = if self.connection.is_full() {
                        // A call would wait behind those that the server does not allow yet, or is refused because the
                        // server is going away.
                        self.ping().await
                    } else {
                        match self.probe(|| alive(&self.connection)).await {
                            // That the server is going away says nothing about the calls which it still has.
                            Err(_) if self.is_closed() && !self.connection.is_over() => Ok(()),
                            answer => answer,
                        }
                    };
                    if let Err(cause) = answer {
                        return Some(cause);
                    }
                }
            }
        }
    }

    /// Has the process behind the connection answer a ping, once etcd allows another one.
    async fn ping(&self) -> Result<(), Cause> {
        // As soon as calls are answered, there is nothing to find out.
        let received = self.connection.received();
        let step = self.settings.probe_after.max(Duration::from_millis(1));
        let answered = async {
            while self.connection.received() == received {
                clock::sleep(step).await;
            }
        };
        match race(self.connection.ping_turn(), answered).await {
            Either::First(()) => self.probe(|| self.connection.ping()).await,
            Either::Second(()) => Ok(()),
        }
    }

    /// Has the member give a sign of life.
    ///
    /// Whoever judges must have had the time to listen: when this machine was too busy to keep the deadline, the answer
    /// may lie unread, and the member gets another chance.
    async fn probe<F>(&self, ask: impl Fn() -> F) -> Result<(), Cause>
    where
        F: Future<Output = Result<(), Cause>>,
    {
        let before = self.connection.received();
        for _ in 0..PROBES_OF_A_BUSY_MACHINE {
            let deadline = clock::now() + self.settings.probe_timeout;
            match clock::until(Some(deadline), ask()).await {
                Some(answer) => return answer,
                // A slow line may hold the answer back, but then other bytes come in.
                None if self.connection.received() != before => return Ok(()),
                None if clock::now() > deadline + LATE => {}
                None => return Err(Cause::Frozen),
            }
        }
        Err(Cause::Frozen)
    }
}

/// What a watch does on a connection without calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhenIdle {
    Wait,
    Leave,
}

/// How often a connection that is being drained is looked at whether it is over, or nobody holds it any more.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// How long calls that nobody waits for may take until their connection is closed: a member gives them up by itself
/// after 7 s, with etcd's defaults.
const NOBODY_WAITS: Duration = Duration::from_secs(10);
/// A timer that is later than this shows that this machine, not the member, is slow.
const LATE: Duration = Duration::from_millis(50);
/// How often a machine that is too busy asks again.
const PROBES_OF_A_BUSY_MACHINE: u32 = 4;

impl<C: Connection> Candidates for Link<C> {
    fn slot(&self) -> SlotId {
        self.slot
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn is_learner(&self) -> bool {
        self.learner.load(Ordering::Relaxed)
    }

    fn in_flight(&self) -> usize {
        self.liveness.in_flight()
    }

    fn doubt(&self, now: Instant) -> Doubt {
        self.liveness.doubt(now, &self.settings)
    }

    fn is_closed(&self) -> bool {
        self.connection.closed().now_or_never().is_some()
    }
}

/// Has the process behind the connection answer anything at all.
///
/// The standard health check needs no quorum, no disk and no credentials, so a slow cluster is not taken for a frozen
/// process. An error is an answer too.
pub(super) async fn alive<C: Connection>(connection: &C) -> Result<(), Cause> {
    let request = HealthCheckRequest::default();
    answered(ask(connection, method::health::CHECK, &request, None).await)
}

/// Has the member confirm with the others, by the cheapest linearizable read there is.
///
/// An error is an answer too: etcd looks at permissions only after it has heard from the leader.
pub(super) async fn reaches_leader<C: Connection>(
    connection: &C,
    token: Option<&HeaderValue>,
) -> Result<(), Cause> {
    let request = RangeRequest { key: "\0".into(), count_only: true, ..RangeRequest::default() };
    answered(ask(connection, method::kv::RANGE, &request, token).await)
}

fn answered<Res>(answer: Result<Res, Failure>) -> Result<(), Cause> {
    match answer {
        Ok(_) | Err(Failure::Status(_)) => Ok(()),
        Err(Failure::NotProcessed(cause) | Failure::Unknown(cause)) => Err(cause),
    }
}

/// What the member tells of itself, and the id of its cluster. Nothing, if it would rather not.
pub(super) async fn introduce<C: Connection>(
    connection: &C,
    token: Option<&HeaderValue>,
) -> (About, Option<u64>) {
    let Ok(status) = ask::<C, StatusRequest, StatusResponse>(
        connection,
        method::maintenance::STATUS,
        &StatusRequest::default(),
        token,
    )
    .await
    else {
        return (About::default(), None);
    };
    let header = status.header.unwrap_or_default();
    let about = About {
        member_id: (header.member_id != 0).then_some(header.member_id),
        version: (!status.version.is_empty()).then(|| status.version.as_str().into()),
        learner: status.is_learner,
    };
    (about, (header.cluster_id != 0).then_some(header.cluster_id))
}

/// The revision that the member has come to; `None` if it would rather not tell.
pub(super) async fn revision<C: Connection>(
    connection: &C,
    token: Option<&HeaderValue>,
) -> Option<i64> {
    let request = StatusRequest::default();
    let status: StatusResponse =
        ask(connection, method::maintenance::STATUS, &request, token).await.ok()?;
    status.header.map(|header| header.revision)
}

async fn ask<C: Connection, Req: WireMessage, Res: WireMessage>(
    connection: &C,
    method: Method<Req, Res>,
    request: &Req,
    token: Option<&HeaderValue>,
) -> Result<Res, Failure> {
    let message = grpc::frame(request, usize::MAX).map_err(Failure::NotProcessed)?;
    let head = Head {
        path: method.path(),
        timeout: None,
        token,
        require_leader: false,
        metadata: &Metadata::new(),
        unsent: None,
    };
    let answer = connection.unary(head, message).await?;
    Res::decode(answer).map_err(|error| {
        // It answered; what it said is another matter.
        Failure::Status(super::traits::Status {
            code: crate::error::Code::Internal,
            message: format!("the answer can't be decoded: {error}"),
        })
    })
}
