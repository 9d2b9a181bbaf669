//! The answers about leases.

use std::time::{Duration, Instant};

use bytes::Bytes;
use etcdkit_proto::etcdserverpb::{self, LeaseLeasesResponse};

use super::{ResponseHeader, unsigned};
use crate::error::{Error, Result};
use crate::revision::{LeaseId, Revision};

/// A lease was granted.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseGrantResponse {
    header: ResponseHeader,
    id: LeaseId,
    ttl: Duration,
}

impl LeaseGrantResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, id: LeaseId, ttl: Duration) -> Self {
        Self { header, id, ttl }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The lease.
    #[must_use]
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// How long it lives without a renewal: what was asked for, or the server's minimum if that is more.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    pub(crate) fn from_wire(wire: etcdserverpb::LeaseGrantResponse) -> Result<Self> {
        let id = LeaseId::new(wire.id)
            .ok_or_else(|| Error::internal("the server granted a lease without an id"))?;
        Ok(Self { header: wire.header.into(), id, ttl: Duration::from_secs(unsigned(wire.ttl)) })
    }
}

/// How long a lease has left.
///
/// ```
/// use std::time::Duration;
/// use etcdkit::{LeaseTimeToLiveResponse, ResponseHeader};
///
/// let (left, of) = (Duration::from_secs(4), Duration::from_secs(5));
/// let answer = LeaseTimeToLiveResponse::new(ResponseHeader::at(9), Some((left, of)));
/// assert_eq!((answer.remaining(), answer.granted()), (Some(left), Some(of)));
/// assert_eq!(LeaseTimeToLiveResponse::new(ResponseHeader::at(9), None).remaining(), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeaseTimeToLiveResponse {
    header: ResponseHeader,
    /// What is left of how much.
    time: Option<(Duration, Duration)>,
    keys: Vec<Bytes>,
}

impl LeaseTimeToLiveResponse {
    /// An answer: what is left and what was granted; `None` for a lease that does not exist.
    #[must_use]
    pub fn new(header: ResponseHeader, time: Option<(Duration, Duration)>) -> Self {
        Self { header, time, keys: Vec::new() }
    }

    /// The same answer with these attached keys.
    #[must_use]
    pub fn with_keys(mut self, keys: impl IntoIterator<Item = Bytes>) -> Self {
        self.keys = keys.into_iter().collect();
        self
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// What is left, in whole seconds; `None` if there is no such lease, or its time is over.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.time.map(|(remaining, _)| remaining)
    }

    /// What was granted; `None` if there is no such lease.
    #[must_use]
    pub fn granted(&self) -> Option<Duration> {
        self.time.map(|(_, granted)| granted)
    }

    /// The keys attached to it, if they were asked for.
    #[must_use]
    pub fn keys(&self) -> &[Bytes] {
        &self.keys
    }
}

impl From<etcdserverpb::LeaseTimeToLiveResponse> for LeaseTimeToLiveResponse {
    fn from(wire: etcdserverpb::LeaseTimeToLiveResponse) -> Self {
        let seconds = |seconds| Duration::from_secs(unsigned(seconds));
        // etcd says -1 for a lease that is gone, and 0 for one in its last second.
        let time = (wire.ttl >= 0 && wire.granted_ttl > 0)
            .then(|| (seconds(wire.ttl), seconds(wire.granted_ttl)));
        Self { header: wire.header.into(), time, keys: wire.keys }
    }
}

/// All leases of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeasesResponse {
    header: ResponseHeader,
    ids: Vec<LeaseId>,
}

impl LeasesResponse {
    /// An answer.
    #[must_use]
    pub fn new(header: ResponseHeader, ids: impl IntoIterator<Item = LeaseId>) -> Self {
        Self { header, ids: ids.into_iter().collect() }
    }

    /// Who answered, and when.
    #[must_use]
    pub fn header(&self) -> ResponseHeader {
        self.header
    }

    /// The leases; etcd lists first what ends first.
    #[must_use]
    pub fn ids(&self) -> &[LeaseId] {
        &self.ids
    }
}

impl From<LeaseLeasesResponse> for LeasesResponse {
    fn from(wire: LeaseLeasesResponse) -> Self {
        let ids = wire.leases.iter().filter_map(|lease| LeaseId::new(lease.id)).collect();
        Self { header: wire.header.into(), ids }
    }
}

/// A lease was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseRenewal {
    /// The lease.
    pub id: LeaseId,
    /// How long it lives without another renewal.
    pub ttl: Duration,
    /// Until when it lives at least: counted from the moment at which the renewal was *sent*, so that the time its
    /// answer took is not lost.
    pub until: Instant,
    /// The revision of the member that answered.
    pub revision: Revision,
    /// Which member answered, and in which state.
    pub header: ResponseHeader,
}

impl LeaseRenewal {
    /// A renewal of `id` by the member of `header` that holds for `ttl` from `sent` on.
    #[must_use]
    pub fn new(id: LeaseId, ttl: Duration, sent: Instant, header: ResponseHeader) -> Self {
        // A time to live that no clock can express: it lives for a century more.
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        let until = sent + ttl.min(century);
        Self { id, ttl, until, revision: header.revision, header }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_is_gone_has_no_time() {
        let wire = |ttl, granted_ttl| etcdserverpb::LeaseTimeToLiveResponse {
            ttl,
            granted_ttl,
            ..Default::default()
        };
        let some = |left, of| Some((Duration::from_secs(left), Duration::from_secs(of)));
        let table = [
            (wire(-1, 0), None),
            (wire(-1, 5), None),
            (wire(0, 0), None),
            (wire(0, 5), some(0, 5)),
            (wire(4, 5), some(4, 5)),
        ];
        for (wire, time) in table {
            assert_eq!(LeaseTimeToLiveResponse::from(wire.clone()).time, time, "{wire:?}");
        }
    }
}
