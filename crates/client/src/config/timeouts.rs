//! How long a call of each class may take when the caller names no deadline.

use std::time::Duration;

use etcdkit_proto::method::Patience;

use crate::config::check;
use crate::error::Result;

/// Deadlines for calls that bring none of their own: no call waits for ever unless it is told to.
///
/// | class | calls | default |
/// |---|---|---|
/// | [`connect`](Self::connect) | one attempt to connect, TLS handshake included | 5 s |
/// | [`read`](Self::read) | get, read-only transactions, lease queries | 10 s |
/// | [`write`](Self::write) | put, delete, writing transactions, grant and revoke, compaction | 10 s |
/// | [`admin`](Self::admin) | users, roles, members, alarms, status | 10 s |
/// | [`long`](Self::long) | defragmentation, hashes, compaction that waits for the disk, locks and elections | 10 min |
/// | [`stream_idle`](Self::stream_idle) | silence on a stream that ought to flow: a snapshot, a streamed get | 30 s |
///
/// Why 10 s: an etcd member gives up on a request after 5 s and twice its election timeout, 7 s with etcd's defaults. A
/// deadline beyond that hears the member's own answer, so that "the write failed" and "nobody knows" stay apart; a
/// shorter one turns every slow write into [`maybe_applied`](crate::Error::maybe_applied). A cluster with a longer
/// election timeout wants longer deadlines.
///
/// What differs from these defaults is sent to the server as `grpc-timeout`, as is a call's own
/// [`timeout`](crate::CallOptions::timeout). A default is not: the member's own limit ends the work before it, and the end
/// of a call cancels it there (but for transactions), whereas a timer for each request costs etcd 7 % of the work of a read.
///
/// Frozen members and lost connections are found long before these deadlines, see
/// [`Liveness`](crate::config::Liveness).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) read: Duration,
    pub(crate) write: Duration,
    pub(crate) admin: Duration,
    pub(crate) long: Duration,
    pub(crate) stream_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Timeouts {
    pub(crate) const DEFAULT: Self = Self {
        connect: Duration::from_secs(5),
        read: Duration::from_secs(10),
        write: Duration::from_secs(10),
        admin: Duration::from_secs(10),
        long: Duration::from_secs(600),
        stream_idle: Duration::from_secs(30),
    };

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For one attempt to connect to one endpoint: name resolution, TCP and TLS together. Default 5 s: a lost SYN is
    /// repeated after 1 s and 3 s, and the second repetition is still waited for.
    ///
    /// A call waits for a connection until its own deadline, over as many attempts as that takes.
    #[must_use]
    pub fn connect(mut self, timeout: Duration) -> Self {
        self.connect = timeout;
        self
    }

    /// For calls that change nothing. Default 10 s: a linearizable read waits as long for the leader as a write does.
    #[must_use]
    pub fn read(mut self, timeout: Duration) -> Self {
        self.read = timeout;
        self
    }

    /// For calls that change keys or leases. Default 10 s, longer than a member's own limit of 7 s.
    #[must_use]
    pub fn write(mut self, timeout: Duration) -> Self {
        self.write = timeout;
        self
    }

    /// For calls that look after the cluster: users, roles, members, alarms, status. Default 10 s.
    #[must_use]
    pub fn admin(mut self, timeout: Duration) -> Self {
        self.admin = timeout;
        self
    }

    /// For calls whose work grows with the data: defragmentation, hashes, physical compaction. Default 10 minutes: a
    /// member rewrites its whole file, up to 8 GiB, and answers nothing before it is done.
    #[must_use]
    pub fn long(mut self, timeout: Duration) -> Self {
        self.long = timeout;
        self
    }

    /// How long a stream of data that the server is sending may be silent. Default 30 s.
    ///
    /// The whole may take as long as it likes. Watches, lease keep-alives and [observers](crate::Client::observe) of elections
    /// are not meant: they may rest for days. Only to be heard by a member, an observer has no more time than this.
    #[must_use]
    pub fn stream_idle(mut self, timeout: Duration) -> Self {
        self.stream_idle = timeout;
        self
    }

    /// The same for every class of calls.
    #[must_use]
    pub(crate) fn all(self, timeout: Duration) -> Self {
        self.read(timeout).write(timeout).admin(timeout).long(timeout)
    }

    /// The deadline of calls of one class; a stream has none.
    pub(crate) fn of(&self, patience: Patience) -> Option<Duration> {
        match patience {
            Patience::Read => Some(self.read),
            Patience::Write => Some(self.write),
            Patience::Admin => Some(self.admin),
            Patience::Long => Some(self.long),
            Patience::Stream => None,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        check::not_zero("the connect timeout", self.connect)?;
        check::not_zero("the read timeout", self.read)?;
        check::not_zero("the write timeout", self.write)?;
        check::not_zero("the admin timeout", self.admin)?;
        check::not_zero("the long timeout", self.long)?;
        check::not_zero("the stream idle timeout", self.stream_idle)?;
        check::within_a_day("the connect timeout", self.connect)?;
        check::within_a_day("the stream idle timeout", self.stream_idle)
    }
}
