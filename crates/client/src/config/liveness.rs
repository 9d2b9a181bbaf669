//! When a member counts as slow, and when as frozen.

use std::time::Duration;

use crate::config::check;
use crate::error::{Error, Result};

/// How a member that stopped answering is told from one that is merely busy.
///
/// A member can freeze with its connections up: a stopped process, a stalled machine, a network that swallows packets.
/// TCP notices after minutes. Each connection is therefore watched while requests wait on it:
///
/// 1. When a request waits for eight times as long as answers from that member usually take, 20 ms at least and
///    [`doubt_after`](Self::doubt_after) at most, and no other has been answered since, new calls go to another member,
///    if one is ready.
/// 2. After [`probe_after`](Self::probe_after) without a byte received, the member is asked for a sign of life: the
///    standard gRPC health check, which needs neither disk nor quorum, so that a slow cluster is not taken for a frozen
///    process.
/// 3. If nothing is received for [`probe_timeout`](Self::probe_timeout) after that, the connection is given up: its
///    calls fail with [`Cause::Frozen`](crate::Cause::Frozen), and those that may be repeated go elsewhere. The member
///    gets no call until it has answered on a new connection, and there a read that takes the leader, for which it has
///    1.5 s: a process that wakes up has lost its connections to the other members, and what it forwards is lost too.
///
/// By default a frozen member is left within 1.5 s, about as long as a cluster takes to replace a frozen leader, while one
/// that pauses for half a second costs nothing but the turn to its neighbours.
///
/// A member that is cut off from its peers answers all of this and still can't serve a linearizable read. So a read that
/// waits for longer than [`hedge_after`](Self::hedge_after) is sent to a second member as well.
///
/// Fast HTTP/2 pings would be no way to find out: etcd allows one in 5 s, none while no stream is open, and closes the
/// connection of a client that does not comply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liveness {
    pub(crate) doubt_after: Duration,
    pub(crate) probe_after: Duration,
    pub(crate) probe_timeout: Duration,
    pub(crate) hedge_after: Duration,
    pub(crate) watch_probe_interval: Duration,
    pub(crate) stale_after: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            doubt_after: Duration::from_millis(100),
            probe_after: Duration::from_millis(500),
            probe_timeout: Duration::from_millis(750),
            hedge_after: Duration::from_secs(1),
            watch_probe_interval: Duration::from_secs(3),
            stale_after: Duration::from_secs(10),
        }
    }
}

impl Liveness {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a request may wait at most, with no answer to any since, before new calls prefer another member. Default
    /// 100 ms: a healthy write takes 1–30 ms, and being wrong only means that another member serves the next call.
    #[must_use]
    pub fn doubt_after(mut self, duration: Duration) -> Self {
        self.doubt_after = duration;
        self
    }

    /// How long it waits before the member is probed. Default 500 ms; not less than [`doubt_after`](Self::doubt_after).
    #[must_use]
    pub fn probe_after(mut self, duration: Duration) -> Self {
        self.probe_after = duration;
        self
    }

    /// How long a sign of life is waited for. Default 750 ms: the answer to a probe never waits for a disk, so even
    /// between continents that is several round trips.
    #[must_use]
    pub fn probe_timeout(mut self, duration: Duration) -> Self {
        self.probe_timeout = duration;
        self
    }

    /// How long a read waits before a second member is asked too; the first answer counts. Default 1 s: less than the
    /// 7 s that a member without a quorum keeps a read waiting, and more than nearly every healthy one takes. A read with
    /// a deadline of less than twice this waits for half of its time. Writes and streams are never sent twice, nor is
    /// anything with retries off.
    #[must_use]
    pub fn hedge_after(mut self, duration: Duration) -> Self {
        self.hedge_after = duration;
        self
    }

    /// How often a stream of watches on which little or nothing comes is probed. Default 3 s: with the 2 s, or
    /// [`probe_timeout`](Self::probe_timeout) if that is longer, that a sign of life is waited for, an idle watch leaves a
    /// frozen member within 5 s. Where much came until it froze, the first look finds nothing wrong: then within 8 s.
    ///
    /// With it goes a request for progress, so that watches to which nothing happens keep up with compactions.
    #[must_use]
    pub fn watch_probe_interval(mut self, duration: Duration) -> Self {
        self.watch_probe_interval = duration;
        self
    }

    /// How long a member that serves watches may lag behind what this client has seen elsewhere, or leave the creation of
    /// a watch without an answer, before they leave it.
    /// Default 10 s: a member that merely catches up needs less, and one that is cut off never makes it.
    ///
    /// So often a linearizable read, which counts a key that is watched, finds out how far the cluster has come: a client
    /// that does nothing but watch leaves a member that lags within three times this.
    #[must_use]
    pub fn stale_after(mut self, duration: Duration) -> Self {
        self.stale_after = duration;
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        check::not_zero("doubt_after", self.doubt_after)?;
        check::not_zero("probe_timeout", self.probe_timeout)?;
        check::not_zero("hedge_after", self.hedge_after)?;
        check::not_zero("watch_probe_interval", self.watch_probe_interval)?;
        check::not_zero("stale_after", self.stale_after)?;
        check::ordered(("doubt_after", self.doubt_after), ("probe_after", self.probe_after))?;
        check::within_a_day("probe_after", self.probe_after)?;
        check::within_a_day("probe_timeout", self.probe_timeout)?;
        check::within_a_day("hedge_after", self.hedge_after)?;
        check::within_a_day("watch_probe_interval", self.watch_probe_interval)?;
        check::within_a_day("stale_after", self.stale_after)
    }
}

/// Pings on a connection whose streams are all at rest, such as watches without events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeepAlive {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

impl KeepAlive {
    /// More often, and a member with etcd's defaults closes the connection (`--grpc-keepalive-min-time`).
    pub(crate) const MIN_INTERVAL: Duration = Duration::from_secs(5);

    /// As in gRPC.
    pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

    pub(super) fn new(interval: Duration, timeout: Duration) -> Result<Self> {
        if interval < Self::MIN_INTERVAL {
            return Err(Error::invalid(format!(
                "a keep-alive interval of {interval:?} is too short: etcd closes connections that \
                 ping more often than every 5s (its --grpc-keepalive-min-time)"
            )));
        }
        check::not_zero("the keep-alive timeout", timeout)?;
        check::within_a_day("the keep-alive interval", interval)?;
        check::within_a_day("the keep-alive timeout", timeout)?;
        Ok(Self { interval, timeout })
    }
}
