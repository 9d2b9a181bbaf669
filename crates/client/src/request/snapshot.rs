//! A copy of a member's backend.

use etcdkit_proto::etcdserverpb::SnapshotRequest;

/// Asks a member for a copy of its backend. Learners answer too.
///
/// ```
/// use etcdkit::maintenance::Snapshot;
///
/// assert_eq!(format!("{:?}", Snapshot::new()), "Snapshot(SnapshotRequest)");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot(SnapshotRequest);

impl Snapshot {
    /// Asks a member for a copy of its backend.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn wire(&self) -> &SnapshotRequest {
        &self.0
    }
}
