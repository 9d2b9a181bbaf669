//! What a caller may decide per call.

use std::time::Duration;

use crate::clock;
use crate::config::Endpoint;
use crate::metadata::Metadata;

/// How a call is to be made: its deadline, its retries and what it says to the server beside the request.
///
/// A [`Client`](crate::Client) carries one set and makes every call with it; [`Client::with_options`] gives the same
/// client another set, which costs no more than a clone:
///
/// ```
/// # use etcdkit::service::CallOptions;
/// # use std::time::Duration;
/// # async fn example(client: etcdkit::Client) -> etcdkit::Result<()> {
/// let quick = CallOptions::new().timeout(Duration::from_millis(200));
/// client.with_options(quick).get("/flags").await?;
/// # Ok(())
/// # }
/// ```
///
/// [`Client::with_options`]: crate::Client::with_options
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallOptions {
    pub(crate) timeout: Option<Timeout>,
    pub(crate) retry: Option<bool>,
    pub(crate) require_leader: bool,
    pub(crate) metadata: Metadata,
    pub(crate) endpoint: Option<Endpoint>,
}

/// A caller's own deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    After(Duration),
    Never,
}

impl CallOptions {
    /// The client's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the call with [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) after `timeout`, all attempts together; with
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if no member was ready by then.
    ///
    /// Also sent to the server as `grpc-timeout`, but for transactions: members from 3.5.0 to 3.5.5 don't survive it if one of
    /// reads is cancelled. Without it the default of the request's class holds, of which the server hears nothing, see
    /// [`Timeouts`](crate::config::Timeouts).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(Timeout::After(timeout));
        self
    }

    /// Lets the call wait for as long as it takes. A frozen member is still found and left.
    #[must_use]
    pub fn no_timeout(mut self) -> Self {
        self.timeout = Some(Timeout::Never);
        self
    }

    /// Whether failed attempts that are safe to repeat are repeated, and reads that wait long are sent to a second
    /// member too. Overrides the client's setting.
    #[must_use]
    pub fn retry(mut self, retry: bool) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Has a member that knows no leader refuse the call at once ([`ErrorKind::NoLeader`]), rather than hold it.
    ///
    /// [`ErrorKind::NoLeader`]: crate::ErrorKind::NoLeader
    #[must_use]
    pub fn require_leader(mut self) -> Self {
        self.require_leader = true;
        self
    }

    /// Sends the call to `endpoint` and nowhere else: to one of the client's, or to any other member of the cluster. The
    /// connection is kept for further calls to it.
    ///
    /// For what concerns one member: its status, its hash, its defragmentation; [`Client::at`](crate::Client::at) is the
    /// short way. The call fails once the endpoint could not be connected to; a read that may be repeated is repeated
    /// there.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Sends `metadata` along with the call, beside what etcdkit sends itself.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// When the caller's own time is up, counted from now.
    pub(crate) fn deadline(&self) -> Option<clock::Instant> {
        match self.timeout {
            Some(Timeout::After(timeout)) => clock::now().checked_add(timeout),
            Some(Timeout::Never) | None => None,
        }
    }

    /// The same options with the time that is left until `deadline`; without one, with their own.
    pub(crate) fn until(&self, deadline: Option<clock::Instant>) -> Self {
        match deadline {
            Some(at) => self.clone().timeout(at.saturating_duration_since(clock::now())),
            None => self.clone(),
        }
    }

    /// The same options for each of several calls that share one deadline, counted from now; without a timeout, `default`
    /// is that of all of them.
    pub(crate) fn sharing(&self, default: Duration) -> impl Fn() -> Self + Sync {
        let total = match self.timeout {
            Some(Timeout::Never) => None,
            Some(Timeout::After(total)) => Some(total),
            None => Some(default),
        };
        let deadline = total.and_then(|total| clock::now().checked_add(total));
        let options = self.clone();
        move || options.until(deadline)
    }
}
